//! Which limits are reached, told once for as long as it lasts.

use std::time::Duration;

use ipnet::IpNet;

use crate::clock::Time;
use crate::observe::event::Event;
use crate::observe::metrics::{Client, Label, Limit, Met};

/// A limit that was not reached for that long was left: the next time is news.
const LEFT: Duration = Duration::from_secs(60);

/// What was seen of the limits so far.
#[derive(Debug, Default)]
pub(super) struct Limits {
    seen: Met,
    /// When each was last reached.
    reached: [Option<Time>; Limit::COUNT],
}

impl Limits {
    /// The limits that were reached since the last look and not within the last minute. `met` is how often each
    /// was since the start, `configured` what it is set to, `most` says who was turned away most lately.
    pub(super) fn look(
        &mut self,
        met: Met,
        configured: impl Fn(Limit) -> usize,
        most: impl Fn() -> Option<IpNet>,
        now: Time,
    ) -> Vec<Event> {
        let mut news = Vec::new();
        for &limit in Limit::ALL {
            let index = limit.index();
            let more = |client: Client| {
                met[index][client.index()].wrapping_sub(self.seen[index][client.index()])
            };
            let by = limit.met_by().iter().copied().max_by_key(|it| more(*it));
            let Some(by) = by.filter(|it| more(*it) > 0) else {
                continue;
            };
            let before = self.reached[index].replace(now);
            if before.is_none_or(|before| now.since(before) >= LEFT) {
                news.push(Event::LimitReached {
                    limit: limit.as_str(),
                    value: configured(limit),
                    by,
                    most: limit.tells_clients_apart().then(&most).flatten().map(short),
                    waits: limit.makes_wait(),
                });
            }
        }
        self.seen = met;
        news
    }
}

/// As short as it can be said.
fn short(net: IpNet) -> String {
    match net.prefix_len() == net.max_prefix_len() {
        true => net.addr().to_string(),
        false => net.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_told_once_until_it_was_left_for_a_minute() {
        let mut limits = Limits::default();
        let mut met = Met::default();
        let at = |secs: u64| Time::from_secs(1_000 + secs);
        let mut look = |met, secs| -> Vec<String> {
            let most = || "10.0.0.7/32".parse().ok();
            let news = limits.look(met, |_| 64, most, at(secs));
            news.iter().map(Event::to_string).collect()
        };
        assert_eq!(look(met, 0), [""; 0]);
        met[Limit::Waiting.index()][Client::Private.index()] = 3;
        met[Limit::Waiting.index()][Client::Loopback.index()] = 1;
        let told = "limit waiting = 64 reached by clients in a private network, most of all 10.0.0.7: some are turned away";
        assert_eq!(look(met, 1), [told]);
        // It goes on for minutes.
        for secs in (2..200).step_by(50) {
            met[Limit::Waiting.index()][Client::Loopback.index()] += 1;
            assert_eq!(look(met, secs), [""; 0]);
        }
        assert_eq!(look(met, 240), [""; 0]);
        met[Limit::Waiting.index()][Client::Loopback.index()] += 1;
        let told = "limit waiting = 64 reached by programs on this host, most of all 10.0.0.7: some are turned away";
        assert_eq!(look(met, 241), [told]);
        met[Limit::TcpPipeline.index()][Client::Public.index()] += 1;
        let told = "limit tcp-pipeline = 64 reached by clients elsewhere: some wait";
        assert_eq!(look(met, 242), [told]);
    }
}
