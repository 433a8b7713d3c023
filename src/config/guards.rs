//! `[[guard]]`: names that must not vanish.

use std::collections::HashMap;

use super::meaning::{at_most, first_time, value_or};
use super::report::{Place, Report};
use super::spec::GuardSpec;
use super::{GuardConfig, bounds};
use crate::wire::name_to_text;

/// Makes the guards of what is written.
pub(super) fn guards(written: &[GuardSpec], reports: &mut Vec<Report>) -> Vec<GuardConfig> {
    let place = |it| zones_place(it);
    let written = at_most(written, bounds::MOST_GUARDS, "guards", place, reports);
    let mut seen = HashMap::new();
    let mut guards = Vec::new();
    for it in written {
        let Some(zones) = &it.zones else {
            continue;
        };
        if zones.value.is_empty() {
            let label = "expected at least one domain";
            let report = Report::error("a guard of nothing", &zones.place, label);
            reports.push(report.help("leave `[[guard]]` out to guard no names"));
        }
        for zone in &zones.value {
            for wire in &zone.value {
                let message = || format!("two guards of `{}`", name_to_text(wire));
                first_time(&mut seen, wire.clone(), &zone.place, message, reports);
            }
        }
        guards.push(GuardConfig {
            zones: zones.value.iter().flat_map(|it| it.value.clone()).collect(),
            keep: value_or(&it.keep, bounds::GUARD_KEEP.default),
            after: value_or(&it.after, bounds::GUARD_AFTER.default),
            floor: value_or(&it.floor, bounds::GUARD_FLOOR.default),
        });
    }
    guards
}

fn zones_place(guard: &GuardSpec) -> Option<&Place> {
    guard.zones.as_ref().map(|it| &it.place)
}
