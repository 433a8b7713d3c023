//! Every number that the metrics offer is fed by some room.
//!
//! A counter that nothing counts reads zero for ever, and an operator takes that for good news. The
//! enums in `observe::labels` are closed, so what feeds them can be looked for in the source.

use std::fmt::Debug;
use std::fs;
use std::path::Path;

use byway::observe::metrics::{Counter, Drop, Evacuation, Gauge, Label, Limit, QueryResult};

/// The source of all rooms but `observe` itself, tests left out.
fn source(directory: &Path, text: &mut String) {
    for entry in fs::read_dir(directory).expect("a directory of the source") {
        let path = entry.expect("an entry").path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .expect("a plain name");
        if path.is_dir() {
            if name != "observe" && name != "tests" {
                source(&path, text);
            }
        } else if name.ends_with(".rs") && name != "tests.rs" {
            let file = fs::read_to_string(&path).expect("UTF-8");
            text.push_str(
                file.split("#[cfg(test)]\nmod tests {")
                    .next()
                    .unwrap_or_default(),
            );
        }
    }
}

/// `Counter::CacheHit` and so on.
fn written<T: Debug>(list: &str, values: &[T]) -> Vec<String> {
    values
        .iter()
        .map(|value| format!("{list}::{value:?}"))
        .collect()
}

#[test]
fn every_count_has_a_feeder() {
    let mut text = String::new();
    source(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut text,
    );

    let mut wanted = written("Counter", Counter::ALL);
    wanted.extend(written("Gauge", Gauge::ALL));
    wanted.extend(written("Limit", Limit::ALL));
    wanted.extend(written("QueryResult", QueryResult::ALL));
    wanted.extend(written("Evacuation", Evacuation::ALL));
    // `Drop::from(Garbage)` makes the other two. A room with a destructor imports it by another name.
    let drops = Drop::ALL
        .iter()
        .filter(|reason| !matches!(reason, Drop::Short | Drop::Response));
    wanted.extend(written("", &drops.collect::<Vec<_>>()));
    let methods = [
        "query",
        "latency",
        "dropped",
        "sent",
        "attempt",
        "mismatched",
    ];
    wanted.extend(methods.map(|method| format!(".{method}(")));
    wanted.extend([".edns_fallback(".to_owned(), ".evacuated(".to_owned()]);

    let unfed: Vec<String> = wanted
        .into_iter()
        .filter(|word| !text.contains(word.as_str()))
        .collect();
    assert_eq!(unfed, Vec::<String>::new(), "read zero for ever");
}
