//! A flight recorder's file: whatever stands in it, reading it and telling of it does no harm. Checksums are not looked
//! at here, so that what is behind them is met too.
#![no_main]

use byway::record::history::{self, Grid};
use byway::record::incident::{self, Account};
use byway::record::{Kind, Log};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    let mut log = Log::default();
    let len = octets.len() as u64;
    log.add(Box::new(octets.to_vec()), len).expect("memory can be read");
    for found in log.frames() {
        let Some(numbers) = log.numbers(found) else {
            continue;
        };
        let key = matches!(found.kind, Kind::SecondKey | Kind::MinuteKey);
        for slot in 0..numbers.shape.slots() {
            let _ = (numbers.counter(slot, key), numbers.gauge(slot));
        }
    }
    let Some((from, to)) = log.reach() else {
        return;
    };
    let step = (to - from).div_ceil(20).max(1_000);
    let grid = Grid::of(&log, from.saturating_sub(1), to, step);
    let steps = history::steps(&grid);
    let _ = history::openmetrics(&grid);
    if !steps.is_empty() {
        let _ = (
            history::table(&steps, log.told(), step),
            history::csv(&steps, step),
            history::json(&steps, log.told(), step),
        );
    }
    for incident in incident::find(&log).iter().take(3) {
        let account = Account::of(&log, incident);
        let _ = (
            incident::text(&account),
            incident::markdown(&account),
            incident::html(&account),
            incident::scenario(&log, incident),
        );
    }
});
