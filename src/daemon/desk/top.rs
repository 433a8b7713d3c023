//! What clients ask most, as the API shows it.

use crate::admin::api;
use crate::observe::top::{Count, Report};
use crate::wire::name_to_text;

pub(super) fn document(report: &Report) -> api::Top {
    let names = report.names.iter().map(|(name, count)| {
        let name = match name.as_slice() {
            // An answer to what could not be read.
            [] => "?".to_owned(),
            name => name_to_text(name),
        };
        entry(name, *count)
    });
    let clients = report.clients.iter();
    api::Top {
        enabled: report.enabled,
        seconds: report.span.as_secs_f64(),
        answers: report.answers,
        looked_at: report.looked_at,
        names: names.collect(),
        clients: clients
            .map(|(it, count)| entry(it.to_string(), *count))
            .collect(),
    }
}

fn entry(name: String, count: Count) -> api::TopEntry {
    api::TopEntry {
        name,
        answers: count.answers,
        excess: count.excess,
        from_upstream: count.from_upstream,
        failed: count.failed,
    }
}
