//! The daemon's answers for people: plain text, the most important first.

use crate::admin::api::{self, State, Status};

/// Zones of links that are shown before the rest is a number.
const LINKS_MOST: usize = 8;

/// One screen: a sentence, what is wrong, what clients felt, then the table.
pub(super) fn status(status: &Status) -> String {
    let word = match status.state {
        State::Well => "well",
        State::Trouble => "trouble",
        State::Down => "DOWN",
    };
    let mut out = format!("{word}: {}\n", status.headline);
    for line in &status.trouble {
        out += &format!("  - {line}\n");
    }
    for name in &status.reload.needs_restart {
        out += &format!("  - {name}: the file says otherwise; that needs a restart\n");
    }
    for drain in &status.drains {
        let until = drain.until.as_deref().unwrap_or("restored");
        let (name, by, since) = (&drain.name, &drain.by, &drain.since);
        out += &format!("  - {name} was drained by {by} at {since}, until {until}\n");
    }
    out += &felt(&status.felt);
    // Of a few questions it says nothing: what measured the routes would be reckoned on them.
    if status.felt.from_upstream + status.felt.failed >= 20 {
        out += &format!(
            "{:.2} packets upstream for each question that needed one\n",
            status.amplification
        );
    }
    out += &format!(
        "{} answers cached ({} of {})\n",
        status.cache.entries,
        bytes(status.cache.bytes),
        bytes(status.cache.capacity)
    );
    for zone in status.reload.link_domains.iter().take(LINKS_MOST) {
        out += &format!("zone {zone}\n");
    }
    if let Some(more) = status.reload.link_domains.len().checked_sub(LINKS_MOST + 1) {
        out += &format!("and {} more zones of links\n", more + 1);
    }
    if let Some(snapshot) = &status.snapshot {
        let age = match snapshot.age {
            Some(age) => format!("{} old", span(age)),
            None => "not written yet".into(),
        };
        let failed = match snapshot.failed {
            0 => String::new(),
            failed => format!(", {failed} writes FAILED"),
        };
        out += &format!("snapshot {age}{failed}: {}\n", snapshot.path);
    }
    if let Some(recorder) = &status.recorder {
        out += &recorded(recorder);
    }
    out += &format!(
        "byway {}, process {}, up {} ({})\n\n",
        status.version,
        status.pid,
        span(status.uptime),
        status.configuration
    );
    out + &routes(&status.routes)
}

fn recorded(recorder: &api::Recorder) -> String {
    let path = recorder.path.as_deref().unwrap_or_default();
    match (&recorder.why, path) {
        (None, path) => format!("recorded in {path}\n"),
        (Some(why), "") => format!("recorded in memory, the last hour: {why}\n"),
        (Some(why), _) => format!("recorded in MEMORY ONLY, the last hour: {why}\n"),
    }
}

/// A line of a trace: the time of day, in UTC, and which question of which worker it is about.
pub(super) fn trace_line(line: &api::TraceLine) -> String {
    let time = line
        .time
        .split_once('T')
        .map_or(&*line.time, |(_, time)| time);
    let (worker, asked, text) = (line.worker, &line.asked, &line.text);
    let question = line.question.map_or(String::new(), |it| format!("#{it}"));
    format!(
        "{time} {:<8} {asked}: {text}\n",
        format!("{worker}{question}")
    )
}

fn felt(felt: &api::Felt) -> String {
    if felt.queries == 0 {
        return format!("no query in the last {}\n", span(felt.seconds));
    }
    let mut parts = Vec::new();
    for (count, what) in [
        (felt.from_cache, "from the cache"),
        (felt.local, "by byway itself"),
        (felt.from_upstream, "from upstream"),
        (felt.stale, "stale"),
        (felt.failed, "FAILED"),
        (felt.shed, "turned away (limits)"),
        (felt.refused, "refused"),
    ] {
        if count > 0 {
            parts.push(format!("{count} {what}"));
        }
    }
    let (queries, seconds) = (felt.queries, span(felt.seconds));
    format!(
        "{queries} queries in the last {seconds}: {}\n",
        parts.join(", ")
    )
}

/// A row for each route.
pub(super) fn routes(routes: &[api::Route]) -> String {
    let mut rows = vec![
        [
            "route",
            "verdict",
            "for",
            "base",
            "now",
            "loss",
            "under way",
            "why",
        ]
        .map(String::from),
    ];
    for route in routes {
        let verdict = match (route.missing, route.drained) {
            (true, _) => "lost".to_owned(),
            (_, true) => "drained".to_owned(),
            // What is sick may get well; where nothing listens nobody is.
            _ if route.refuses => "refuses".to_owned(),
            _ => route.verdict.clone(),
        };
        let now = route.base.map(|base| base + route.excess.unwrap_or(0.0));
        let loss = match route.loss {
            loss if loss > 0.0 => format!("{:.0} %", loss * 100.0),
            _ => "-".into(),
        };
        // Of a clear route there is nothing to explain.
        let why = match verdict.as_str() {
            "clear" | "drained" | "lost" | "unknown" => String::new(),
            _ => route.evidence.clone(),
        };
        rows.push([
            route.name.clone(),
            verdict,
            span(route.verdict_for),
            route.base.map_or("-".into(), millis),
            now.map_or("-".into(), millis),
            loss,
            format!("{}/{}", route.in_flight, route.limit),
            why,
        ]);
    }
    table(&rows)
}

pub(super) fn why(why: &api::Why) -> String {
    let mut out = format!("{} {}: {}\n", why.name, why.record_type, why.decision);
    if let Some(zone) = &why.zone {
        out += &match why.falls_through {
            false => format!("zone: {zone}, so nobody but these upstreams is asked\n"),
            true => format!("zone: {zone}; what these upstreams cannot answer, others are asked\n"),
        };
    }
    if let Some(guard) = &why.guard {
        out += &format!("guard: {guard}\n");
    }
    match &why.cached {
        Some(cached) => out += &format!("cached: {}", answer(cached)),
        None => out += "cached: nothing\n",
    }
    if let Some(failed) = &why.failed {
        out += &format!("remembered: {failed}\n");
    }
    if let (Some(hedge), Some(after)) = (&why.hedge, why.hedge_after) {
        out += &format!("if late: {hedge} is asked too, after {}\n", millis(after));
    }
    out += "\n";
    let mut rows = vec![["route", "verdict", "expected", ""].map(String::from)];
    for candidate in &why.candidates {
        let note = match &candidate.passed_over {
            Some(reason) => format!("passed over: {reason}"),
            None => "would be asked first".into(),
        };
        rows.push([
            candidate.name.clone(),
            candidate.verdict.clone(),
            millis(candidate.expected),
            note,
        ]);
    }
    out + &table(&rows)
}

pub(super) fn cache(look: &api::CacheLook) -> String {
    if look.answers.is_empty() {
        return format!("nothing is held for {}\n", look.name);
    }
    look.answers.iter().map(answer).collect()
}

/// A row for each name that has vanished.
pub(super) fn guard(guard: &api::Guard) -> String {
    if !guard.enabled {
        return "no names are under guard: write a [[guard]] in the configuration\n".into();
    }
    let watched = match guard.watched {
        1 => "1 name is under guard".to_owned(),
        watched => format!("{watched} names are under guard"),
    };
    if guard.count == 0 {
        return format!("{watched}, and none has vanished\n");
    }
    let mut rows = vec![
        [
            "name",
            "type",
            "gone for",
            "kept for another",
            "given",
            "said",
            "addresses",
        ]
        .map(String::from),
    ];
    for it in &guard.kept {
        rows.push([
            it.name.clone(),
            it.record_type.clone(),
            span(it.gone_for),
            span(it.left),
            it.given.to_string(),
            format!("{} over {}", it.said, it.by),
            it.addresses.join(" "),
        ]);
    }
    let more = guard.count - guard.kept.len() as u64;
    let more = match more {
        0 => String::new(),
        more => format!("and {more} more\n"),
    };
    format!(
        "{watched}, {} vanished:\n{}{more}",
        guard.count,
        table(&rows)
    )
}

fn answer(cached: &api::Cached) -> String {
    let left = i64::from(cached.ttl) - i64::from(cached.age);
    let state = match left {
        0.. => format!("fresh for another {left} s"),
        _ => format!("stale for {} s", -left),
    };
    let from = match &cached.route {
        Some(route) => format!("over {route}"),
        None => "from the snapshot".into(),
    };
    let hits = match cached.hits {
        1 => "asked for once since".into(),
        hits => format!("asked for {hits} times since"),
    };
    format!(
        "{}: {}, {state} (TTL {} s, {} s old), {from}, {hits}, {}\n",
        cached.question,
        cached.rcode,
        cached.ttl,
        cached.age,
        bytes(cached.bytes)
    )
}

/// Names, then clients, each with its share.
pub(super) fn top(top: &api::Top) -> String {
    if !top.enabled {
        return String::new();
    }
    let looked = match top.looked_at {
        all if all == top.answers => String::new(),
        some => format!(", estimated from {some} of them"),
    };
    let mut out = format!(
        "{} answers in the last {}{looked}\n",
        top.answers,
        span(top.seconds)
    );
    for (what, entries) in [("name", &top.names), ("client", &top.clients)] {
        let head = ["answers", "share", "from upstream", "failed", what];
        let mut rows = vec![head.map(String::from)];
        for entry in entries {
            let of = |count: u64| match count {
                0 => "-".to_owned(),
                count => format!(
                    "{:.0} %",
                    count as f64 / entry.answers.max(1) as f64 * 100.0
                ),
            };
            let answers = match entry.excess {
                0 => entry.answers.to_string(),
                excess => format!("{} (or {} less)", entry.answers, excess),
            };
            let share = entry.answers as f64 / top.answers.max(1) as f64;
            rows.push([
                answers,
                format!("{:.1} %", share * 100.0),
                of(entry.from_upstream),
                of(entry.failed),
                entry.name.clone(),
            ]);
        }
        out += "\n";
        out += &table(&rows);
    }
    out
}

pub(super) fn event(event: &api::Event) -> String {
    let mark = if event.trouble { '!' } else { ' ' };
    format!("{} {mark} {}\n", event.time, event.text)
}

/// Columns as wide as what is in them; the last one is not filled up.
fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line += &format!("{cell:width$}  ");
        }
        out += line.trim_end();
        out += "\n";
    }
    out
}

fn millis(seconds: f64) -> String {
    match seconds * 1e3 {
        ms if ms < 9.95 => format!("{ms:.1} ms"),
        ms => format!("{ms:.0} ms"),
    }
}

fn span(seconds: f64) -> String {
    match seconds as u64 {
        secs if secs < 120 => format!("{secs} s"),
        secs if secs < 7_200 => format!("{} min", secs / 60),
        secs if secs < 172_800 => format!("{} h", secs / 3_600),
        secs => format!("{} d", secs / 86_400),
    }
}

fn bytes(count: u64) -> String {
    match count {
        count if count < 10 << 10 => format!("{count} B"),
        count if count < 10 << 20 => format!("{} KiB", count >> 10),
        count => format!("{} MiB", count >> 20),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other() {
        let rows = [["a", "verdict"], ["dc1@eth0", ""], ["é", "x"]];
        let rows = rows.map(|row| row.map(String::from));
        assert_eq!(table(&rows), "a         verdict\ndc1@eth0\né         x\n");
    }

    #[test]
    fn what_clients_felt_names_only_what_happened() {
        let quiet = api::Felt {
            seconds: 60.0,
            ..api::Felt::default()
        };
        assert_eq!(felt(&quiet), "no query in the last 60 s\n");
        let bad = api::Felt {
            queries: 7,
            from_cache: 4,
            local: 0,
            failed: 3,
            ..quiet
        };
        assert_eq!(
            felt(&bad),
            "7 queries in the last 60 s: 4 from the cache, 3 FAILED\n"
        );
    }

    #[test]
    fn numbers_are_read_at_a_glance() {
        assert_eq!(millis(0.002), "2.0 ms");
        assert_eq!(millis(0.48), "480 ms");
        assert_eq!(span(59.9), "59 s");
        assert_eq!(span(90_000.0), "25 h");
        assert_eq!(bytes(9_999), "9999 B");
        assert_eq!(bytes(64 << 20), "64 MiB");
    }
}
