//! A flight recorder's file: whatever has become of it, reading it does no harm.
#![no_main]

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
});
