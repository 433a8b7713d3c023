//! What the daemon says of itself, in sentences.

use std::time::{Duration, SystemTime};

use super::rfc3339;
use crate::admin::api;
use crate::cache::{Freshness, Look};
use crate::names::Said;
use crate::names::guard::Kept;
use crate::observe::metrics::Label;
use crate::observe::trouble::Ongoing;
use crate::route::{Refused, Report, RouteReport, Standing, Verdict};
use crate::wire::{QuestionKey, Rcode, name_to_text};

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
        recent_loss: route.recent_loss,
        last_answer: seconds(route.last_answer),
        in_flight: route.in_flight,
        limit: route.limit,
        hedge_after: route.hedge_wait.as_secs_f64(),
        drained: route.drained,
        missing: route.missing,
        refuses: route.verdict.is_bad() && route.evidence.is_refusal(),
    }
}

/// A trouble that goes on, as of `now` by the wall clock, `passed` after it began.
pub(super) fn trouble(it: &Ongoing, passed: Duration, now: SystemTime) -> api::Trouble {
    let culprit = &it.begun.culprit;
    api::Trouble {
        number: it.begun.number,
        scope: culprit.scope().as_str().into(),
        subject: culprit.subject().map(|subject| subject.to_string()),
        since: rfc3339(now - passed),
        seconds: passed.as_secs_f64(),
        well_for: it.well_for.map(|time| time.as_secs_f64()),
        flapped: it.flapped,
        failed: it.begun.felt.failed,
        stale: it.begun.felt.stale,
        again: it.begun.felt.again,
        text: it.to_string(),
    }
}

/// `since 14:02:11Z, 12 s: path eth1 is dead: ...`. A day ago is another day.
pub(super) fn line(trouble: &api::Trouble) -> String {
    let passed = Duration::from_secs_f64(trouble.seconds);
    let since = match passed < Duration::from_secs(12 * 3600) {
        true => trouble.since.split_once('T').map_or("", |(_, time)| time),
        false => &trouble.since,
    };
    format!("since {since}, {}: {}", span(passed), trouble.text)
}

/// What is out of use: by the operator, or because it is not there and `told` does not say so.
pub(super) fn out_of_use(report: &Report, told: &[api::Trouble]) -> Vec<String> {
    let mut all = Vec::new();
    let mut add = |kind: &str, name: &str, what: &str| all.push(format!("{kind} {name}: {what}"));
    const DRAINED: &str = "drained by the operator";
    let is_told = |name: &str| {
        let is = |subject: &String| subject.strip_prefix("path ") == Some(name);
        told.iter()
            .any(|trouble| trouble.subject.as_ref().is_some_and(is))
    };
    for path in &report.paths {
        if path.drained {
            add("path", &path.name, DRAINED);
        } else if path.missing && !is_told(&path.name) {
            add(
                "path",
                &path.name,
                "its interface or source address is not on this host",
            );
        }
    }
    let mut upstreams = Vec::new();
    for upstream in report.upstreams.iter().filter(|it| it.drained) {
        add("upstream", &upstream.name, DRAINED);
        upstreams.push(&*upstream.name);
    }
    for route in report.routes.iter().filter(|it| it.drained) {
        let (upstream, path) = route.name.split_once('@').unwrap_or((&route.name, ""));
        let of_path = report
            .paths
            .iter()
            .any(|it| it.drained && *it.name == *path);
        if !of_path && !upstreams.contains(&upstream) {
            add("route", &route.name, DRAINED);
        }
    }
    all
}

/// Routes that are only doubted, and of which most is lost all the same: nobody is told, but well is another thing.
pub(super) fn doubts(report: &Report) -> Vec<String> {
    let lossy = |it: &&RouteReport| {
        let usable = !it.drained && !it.missing;
        usable && it.verdict == Verdict::Suspect && it.evidence.lost >= 2 && it.loss >= 0.5
    };
    let line = |it: &RouteReport| {
        let since = span(it.standing_for);
        format!("route {} is in doubt for {since}: {}", it.name, it.evidence)
    };
    report.routes.iter().filter(lossy).map(line).collect()
}

pub(in crate::daemon) fn span(time: Duration) -> String {
    match time.as_secs() {
        secs if secs < 120 => format!("{secs} s"),
        secs if secs < 7200 => format!("{} min", secs / 60),
        secs => format!("{} h", secs / 3600),
    }
}

/// How everything is, and the same in a sentence. `troubles` things are wrong or out of use; `barren`: nothing useful
/// comes from anybody.
pub(super) fn state(report: &Report, troubles: usize, barren: bool) -> (api::State, String) {
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
        _ if all == 0 => (
            api::State::Down,
            format!(
                "{DOWN}: no upstream is known yet; the host's resolver configuration names none"
            ),
        ),
        _ if usable == 0 => (
            api::State::Down,
            format!("{DOWN}: every route is drained by the operator or not usable on this host"),
        ),
        Standing::Outage => (
            api::State::Down,
            format!("{DOWN}: no upstream has answered for {since}"),
        ),
        _ if barren => (
            api::State::Down,
            format!("{DOWN}: no upstream gives a useful answer"),
        ),
        Standing::NothingClear => (
            api::State::Trouble,
            format!("names resolve with difficulty: no route has been clear for {since}"),
        ),
        Standing::Clear if troubles == 0 => (
            api::State::Well,
            format!("names resolve; {clear} of {all} routes are clear"),
        ),
        Standing::Clear if clear == all => (
            api::State::Trouble,
            format!("names resolve; {clear} of {all} routes are clear, but:"),
        ),
        Standing::Clear => (
            api::State::Trouble,
            format!("names resolve, around trouble; {clear} of {all} routes are clear"),
        ),
    }
}

/// What is done with a question for a type that is kept from clients.
pub(super) const FILTERED: &str =
    "answered here, and nobody is asked: the zone filters this type, so there is no such data";

/// What is done with a question for a name below one that does not exist.
pub(super) fn cut(cut: Option<&QuestionKey>) -> String {
    let name = cut.map_or_else(String::new, |it| name_to_text(it.name()));
    format!("answered from the cache: there is no {name}, and so nothing below it (RFC 8020)")
}

/// What may become of an answer without IPv6 addresses.
pub(super) const MADE: &str =
    "; if there are no IPv6 addresses, they are made of IPv4 ones (DNS64)";

/// What is done with a question for a name that has vanished.
pub(super) const KEPT: &str = "given its last known addresses, kept by [[guard]]";

/// A name that has vanished, in a sentence.
pub(super) fn vanished(kept: &Kept) -> String {
    format!(
        "name {} {} has vanished ({} over {}) {} ago; its last {} is kept for another {}, {} answers so far",
        kept.name,
        kept.record_type,
        kept.said,
        kept.by,
        span(kept.gone_for),
        match kept.addresses.len() {
            1 => "address".to_owned(),
            count => format!("answer, {count} addresses,"),
        },
        span(kept.left),
        kept.given
    )
}

/// The same for programs.
pub(super) fn guarded(kept: &Kept) -> api::GuardedName {
    api::GuardedName {
        name: kept.name.clone(),
        record_type: kept.record_type.to_string(),
        addresses: kept.addresses.iter().map(|it| it.to_string()).collect(),
        said: kept.said.into(),
        by: kept.by.to_string(),
        gone_for: kept.gone_for.as_secs_f64(),
        left: kept.left.as_secs_f64(),
        given: kept.given,
    }
}

/// Whether a name is under guard, in a sentence.
pub(super) fn guard(
    kept: Option<&Kept>,
    watched: Option<(String, Option<Duration>)>,
) -> Option<String> {
    if let Some(kept) = kept {
        return Some(vanished(kept));
    }
    let (zone, since) = watched?;
    Some(match since {
        Some(since) => format!(
            "under guard by {zone}; it has had addresses for {}",
            span(since)
        ),
        None => format!("under guard by {zone}; no addresses of it were seen"),
    })
}

/// What is done with a name whose records are known here, in a sentence.
pub(super) fn known_from(source: &str) -> String {
    format!(
        "answered here, from {source}; for where an alias of it ends elsewhere, that is asked for"
    )
}

/// What is said of a special name, in a sentence.
pub(super) fn own(said: &Said) -> String {
    let what = match (said.rcode, said.records) {
        (Rcode::NXDOMAIN, _) => "there is no such name",
        (_, []) => "there is no such data",
        _ => "its addresses, or its name, are the same everywhere",
    };
    format!("answered here, and nobody is asked: {what} ({})", said.why)
}

/// What would be done with a question, in a sentence. `over` is the route that it would go over first.
pub(super) fn decision(
    look: Option<&Look>,
    failed: Option<&str>,
    standing: Standing,
    over: &Result<String, Refused>,
) -> String {
    let nobody = match (standing, over) {
        (_, Err(Refused::NoRoute)) => {
            Some("no upstream is known, or every route is drained or not usable")
        }
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
        assert_eq!(out_of_use(&report, &[]), [""; 0]);
        assert_eq!(state(&report, 0, false).0, api::State::Well);
        engine
            .drain("default", "a test", None, Time::START)
            .expect("the path");
        let report = engine.report(Time::START);
        let told = out_of_use(&report, &[]);
        assert_eq!(told, ["path default: drained by the operator"]);
        let (state, headline) = state(&report, told.len(), true);
        assert_eq!(state, api::State::Down);
        assert!(headline.contains("do not resolve: every route is drained"));
    }

    #[test]
    fn a_trouble_is_told_with_the_time_that_it_began() {
        let mut trouble = api::Trouble {
            number: 1,
            scope: "path".into(),
            subject: Some("path eth1".into()),
            since: "2026-11-28T14:02:11Z".into(),
            seconds: 12.7,
            well_for: None,
            flapped: 0,
            failed: 0,
            stale: 0,
            again: 0,
            text: "path eth1 is dead".into(),
        };
        assert_eq!(line(&trouble), "since 14:02:11Z, 12 s: path eth1 is dead");
        trouble.seconds = 100_000.0;
        assert_eq!(
            line(&trouble),
            "since 2026-11-28T14:02:11Z, 27 h: path eth1 is dead"
        );
    }

    #[test]
    fn well_is_not_said_of_a_route_that_loses_most() {
        let engine = engine();
        let mut report = engine.report(Time::START);
        report.routes[1].verdict = Verdict::Suspect;
        (
            report.routes[1].evidence.lost,
            report.routes[1].evidence.attempts,
        ) = (3, 3);
        report.routes[1].loss = 1.0;
        let told = doubts(&report);
        assert_eq!(told.len(), 1);
        assert!(told[0].ends_with("3 lost, 3 attempts in 0.0 s"), "{told:?}");
        assert_eq!(state(&report, told.len(), false).0, api::State::Trouble);
        report.routes[1].loss = 0.1;
        assert_eq!(doubts(&report), [""; 0]);
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
            "answered SERVFAIL without asking, because no upstream is known, or every route is drained or not usable"
        );
    }

    #[test]
    fn a_span_is_read_at_a_glance() {
        assert_eq!(span(Duration::from_secs(119)), "119 s");
        assert_eq!(span(Duration::from_secs(120)), "2 min");
        assert_eq!(span(Duration::from_secs(90_000)), "25 h");
    }
}
