//! What the daemon says of itself, in sentences.

use std::time::Duration;

use crate::admin::api;
use crate::cache::{Freshness, Look};
use crate::route::{Refused, Report, RouteReport, Standing, Verdict};

pub(super) fn times(count: u32) -> String {
    match count {
        1 => "once".into(),
        2 => "twice".into(),
        count => format!("{count} times"),
    }
}

pub(super) fn route(route: &RouteReport, uptime: Duration) -> api::Route {
    let seconds = |time: Option<Duration>| time.map(|time| time.as_secs_f64());
    api::Route {
        name: route.name.to_string(),
        verdict: route.verdict.to_string(),
        verdict_for: route.standing_for.min(uptime).as_secs_f64(),
        evidence: route.evidence.to_string(),
        base: seconds(route.base),
        excess: seconds(route.excess),
        typical: route.typical.as_secs_f64(),
        loss: route.loss,
        in_flight: route.in_flight,
        limit: route.limit,
        hedge_after: route.hedge_wait.as_secs_f64(),
        drained: route.drained,
        missing: route.missing,
    }
}

/// What is wrong or out of use: paths before upstreams before single routes, and none that the one above it
/// explains.
pub(super) fn trouble(report: &Report) -> Vec<String> {
    let mut all = Vec::new();
    let mut explained = Vec::new();
    let paths = report.paths.iter();
    let paths = paths.map(|it| {
        (
            "path",
            &it.name,
            it.verdict,
            it.standing_for,
            it.drained,
            it.missing,
        )
    });
    let upstreams = report.upstreams.iter();
    let upstreams = upstreams.map(|it| {
        (
            "upstream",
            &it.name,
            it.verdict,
            it.standing_for,
            it.drained,
            false,
        )
    });
    for (kind, name, verdict, since, drained, missing) in paths.chain(upstreams) {
        let what = if missing {
            "not usable: its interface or source address is not on this host".to_owned()
        } else if drained {
            "drained by the operator".to_owned()
        } else if is_trouble(verdict) {
            format!("{verdict} for {}", span(since))
        } else {
            continue;
        };
        all.push(format!("{kind} {name}: {what}"));
        explained.push(name.clone());
    }
    for pool in &report.pools {
        let since = span(pool.standing_for);
        all.push(match pool.standing {
            Standing::Clear => continue,
            Standing::NothingClear => {
                format!("zone {}: no route has been clear for {since}", pool.name)
            }
            Standing::Outage => {
                format!("zone {}: no upstream has answered for {since}", pool.name)
            }
        });
    }
    for route in &report.routes {
        let (upstream, path) = route.name.split_once('@').unwrap_or((&route.name, ""));
        let explained = explained
            .iter()
            .any(|it| **it == *upstream || **it == *path);
        if explained || !(route.drained || is_trouble(route.verdict)) {
            continue;
        }
        let what = match route.drained {
            true => "drained by the operator".to_owned(),
            false => format!(
                "{} for {}: {}",
                route.verdict,
                span(route.standing_for),
                route.evidence
            ),
        };
        all.push(format!("route {}: {what}", route.name));
    }
    all
}

/// Suspicion is nobody's alarm, and recovering is good news.
fn is_trouble(verdict: Verdict) -> bool {
    verdict.is_bad()
}

pub(super) fn span(time: Duration) -> String {
    match time.as_secs() {
        secs if secs < 120 => format!("{secs} s"),
        secs if secs < 7200 => format!("{} min", secs / 60),
        secs => format!("{} h", secs / 3600),
    }
}

/// How everything is, and the same in a sentence. `troubles` things are wrong or out of use.
pub(super) fn state(report: &Report, troubles: usize) -> (api::State, String) {
    let (mut clear, mut usable) = (0, 0);
    for route in report.routes.iter().filter(|it| !it.drained && !it.missing) {
        usable += 1;
        clear += usize::from(matches!(
            route.verdict,
            Verdict::Clear | Verdict::Recovering
        ));
    }
    let all = report.routes.len();
    let since = span(report.standing_for);
    const DOWN: &str = "names that are not in the cache do not resolve";
    match report.standing {
        _ if usable == 0 => (
            api::State::Down,
            format!("{DOWN}: every route is drained by the operator or not usable on this host"),
        ),
        Standing::Outage => (
            api::State::Down,
            format!("{DOWN}: no upstream has answered for {since}"),
        ),
        Standing::NothingClear => (
            api::State::Trouble,
            format!("names resolve with difficulty: no route has been clear for {since}"),
        ),
        Standing::Clear if troubles == 0 => (
            api::State::Well,
            format!("names resolve; {clear} of {all} routes are clear"),
        ),
        Standing::Clear => (
            api::State::Trouble,
            format!("names resolve, around trouble; {clear} of {all} routes are clear"),
        ),
    }
}

/// What would be done with a question, in a sentence. `over` is the route that it would go over first.
pub(super) fn decision(
    look: Option<&Look>,
    failed: Option<&str>,
    standing: Standing,
    over: &Result<String, Refused>,
) -> String {
    let nobody = match (standing, over) {
        (_, Err(Refused::NoRoute)) => Some("every route is drained or not usable"),
        (Standing::Outage, _) => Some("every route is dead, and only probes go upstream"),
        _ => None,
    };
    let asked = match over {
        Ok(route) => format!("asked over {route}"),
        Err(_) => "made to wait: every usable route has as much under way as it may".into(),
    };
    let because = nobody.or(failed.map(|_| "it failed lately"));
    match (look.map(|look| look.freshness), because) {
        (Some(Freshness::Fresh { left, .. }), _) => {
            format!("answered from the cache, fresh for another {left} s")
        }
        (Some(Freshness::Stale { for_ }), Some(why)) => {
            format!("answered from the cache at once, stale for {for_} s, because {why}")
        }
        (Some(Freshness::Stale { for_ }), None) => {
            format!("{asked}; if that takes too long, answered from the cache, stale for {for_} s")
        }
        (None, Some(why)) => format!("answered SERVFAIL without asking, because {why}"),
        (None, None) => asked,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Time;
    use crate::config::Config;
    use crate::route::Engine;

    fn engine() -> Engine {
        let upstreams = ["192.0.2.1:53", "192.0.2.2:53"].map(|it| it.parse().expect("an address"));
        Engine::new(&Config::default_with_upstreams(&upstreams), Time::START)
    }

    #[test]
    fn what_is_drained_is_said_once_and_all_of_it_is_down() {
        let mut engine = engine();
        let report = engine.report(Time::START);
        assert_eq!(trouble(&report), [""; 0]);
        assert_eq!(state(&report, 0).0, api::State::Well);
        engine
            .drain("default", "a test", None, Time::START)
            .expect("the path");
        let report = engine.report(Time::START);
        let told = trouble(&report);
        assert_eq!(told, ["path default: drained by the operator"]);
        let (state, headline) = state(&report, told.len());
        assert_eq!(state, api::State::Down);
        assert!(headline.contains("do not resolve: every route is drained"));
    }

    #[test]
    fn in_an_outage_nothing_is_said_to_be_asked() {
        let over = Ok("dc1@eth0".to_owned());
        assert_eq!(
            decision(None, None, Standing::Clear, &over),
            "asked over dc1@eth0"
        );
        assert_eq!(
            decision(None, None, Standing::Outage, &over),
            "answered SERVFAIL without asking, because every route is dead, and only probes go upstream"
        );
        assert_eq!(
            decision(None, Some("twice"), Standing::Clear, &over),
            "answered SERVFAIL without asking, because it failed lately"
        );
        assert_eq!(
            decision(None, None, Standing::Clear, &Err(Refused::NoRoute)),
            "answered SERVFAIL without asking, because every route is drained or not usable"
        );
    }

    #[test]
    fn a_span_is_read_at_a_glance() {
        assert_eq!(span(Duration::from_secs(119)), "119 s");
        assert_eq!(span(Duration::from_secs(120)), "2 min");
        assert_eq!(span(Duration::from_secs(90_000)), "25 h");
    }
}
