//! What byway must reach, and what of it was not.

use std::time::Duration;

use crate::figures::Figures;

/// What must be reached; `None` is not judged.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    pub failed: Option<usize>,
    pub over_50: Option<usize>,
    pub over_250: Option<usize>,
    pub worst: Option<Duration>,
    pub x: Option<f64>,
    pub share: Option<f64>,
    pub left: Option<Duration>,
    pub back: Option<Duration>,
    pub known_p99: Option<Duration>,
    pub known_failed: Option<usize>,
    pub new_failed: Option<f64>,
    pub clean: Option<Duration>,
    pub returns: Option<usize>,
    /// No stale answer in health.
    pub stale: Option<usize>,
    /// Without any answer in a stub's patience.
    pub silent: Option<usize>,
    pub errors: Option<Duration>,
    pub fresh: Option<Duration>,
    pub of_health: Option<f64>,
    /// At least.
    pub used: Option<f64>,
    /// At least.
    pub hits: Option<f64>,
    pub grown: Option<f64>,
    /// Packets for each name that fails.
    pub each: Option<f64>,
    /// Changes of verdicts.
    pub verdicts: Option<usize>,
    /// Lines in the log.
    pub lines: Option<usize>,
    /// Whoever is blamed has a name that starts so; nobody else may be.
    pub blamed: Option<&'static str>,
}

impl Limits {
    /// Those for a machine that does other things too: whether byway leaves the trouble without losing a
    /// question, not how many milliseconds that takes, nor what else a machine that stalls made it suspect.
    pub fn lenient(self) -> Limits {
        Limits {
            over_50: None,
            over_250: None,
            worst: None,
            known_p99: None,
            stale: None,
            errors: None,
            fresh: None,
            hits: None,
            used: None,
            left: None,
            clean: None,
            back: None,
            blamed: None,
            verdicts: None,
            lines: None,
            x: self.x.map(|it| it + 0.2),
            share: self.share.map(|_| 0.1),
            new_failed: self.new_failed.map(|_| 0.2),
            ..self
        }
    }

    /// What was not reached, in words.
    pub fn misses(&self, is: &Figures) -> Vec<String> {
        let mut misses = Vec::new();
        let mut at_most = |what: &str, is: f64, limit: Option<f64>, unit: &str| {
            if limit.is_some_and(|limit| is > limit) {
                let limit = limit.unwrap_or_default();
                misses.push(format!(
                    "{what} {}{unit} > {}{unit}",
                    short(is),
                    short(limit)
                ));
            }
        };
        let count = |it: Option<usize>| it.map(|it| it as f64);
        let millis = |it: Duration| it.as_secs_f64() * 1e3;
        at_most("failed", is.failed as f64, count(self.failed), "");
        at_most(
            "known failed",
            is.known_failed as f64,
            count(self.known_failed),
            "",
        );
        at_most(
            "new failed",
            is.new_failed * 100.0,
            self.new_failed.map(|it| it * 100.0),
            " %",
        );
        at_most("over 50 ms", is.over_50 as f64, count(self.over_50), "");
        at_most("over 250 ms", is.over_250 as f64, count(self.over_250), "");
        at_most("worst", millis(is.worst), self.worst.map(millis), " ms");
        at_most(
            "known p99",
            millis(is.known_p99),
            self.known_p99.map(millis),
            " ms",
        );
        at_most("x", is.x, self.x, "");
        at_most(
            "share",
            is.share * 100.0,
            self.share.map(|it| it * 100.0),
            " %",
        );
        at_most(
            "clean after",
            millis(is.clean),
            self.clean.map(millis),
            " ms",
        );
        at_most("returns", is.returns as f64, count(self.returns), "");
        let cache = &is.cache;
        at_most("stale", cache.stale as f64, count(self.stale), "");
        at_most("silent", cache.silent as f64, count(self.silent), "");
        at_most(
            "errors",
            millis(cache.errors[2]),
            self.errors.map(millis),
            " ms",
        );
        at_most(
            "fresh after",
            millis(cache.fresh),
            self.fresh.map(millis),
            " ms",
        );
        at_most("packets", cache.of_health, self.of_health, "");
        at_most("grown", cache.grown, self.grown, " MiB");
        at_most("packets a failing name", is.failing.each, self.each, "");
        at_most("verdicts", is.changes as f64, count(self.verdicts), "");
        at_most("lines", is.lines as f64, count(self.lines), "");
        // What is to be much is little to be missed.
        at_most("misses", 1.0 - cache.hits, self.hits.map(|it| 1.0 - it), "");
        at_most("used", -cache.used, self.used.map(|it| -it), "/s");
        let never = Duration::MAX;
        let mut in_time = |what: &str, is: Option<Duration>, limit: Option<Duration>| {
            if limit.is_some_and(|limit| is.unwrap_or(never) > limit) {
                let limit = limit.map_or(0.0, millis);
                let is = is.map_or("never".into(), |it| format!("{} ms", short(millis(it))));
                misses.push(format!("{what} {is} > {} ms", short(limit)));
            }
        };
        in_time("left", is.left, self.left);
        in_time("back", is.back, self.back);
        if let Some(wanted) = self.blamed {
            let others = is.blamed.iter().filter(|it| !it.starts_with(wanted));
            misses.extend(others.map(|it| format!("blamed {it}")));
            if !is.blamed.iter().any(|it| it.starts_with(wanted)) {
                misses.push(format!("did not blame {wanted}"));
            }
        }
        misses
    }
}

/// A number with the digits that matter.
pub fn short(number: f64) -> String {
    match number.abs() {
        it if it.fract() == 0.0 || it >= 100.0 => format!("{number:.0}"),
        it if it >= 10.0 => format!("{number:.1}"),
        _ => format!("{number:.3}"),
    }
}
