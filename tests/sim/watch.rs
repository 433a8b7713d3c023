//! What a client saw, and what the network carried, over a stretch of time.

use std::fmt;
use std::time::Duration;

use byway::clock::Time;
use byway::route::{AttemptKind, Event};

use super::subject::Subject;
use super::world::World;

/// Figures in the lab's terms.
#[derive(Clone, Debug)]
pub struct Figures {
    pub asked: usize,
    pub failed: usize,
    pub failed_known: usize,
    pub unknown: usize,
    pub over_50: usize,
    pub over_250: usize,
    pub worst: Duration,
    pub p99_known: Duration,
    /// Packets upstream.
    pub packets: usize,
    /// Packets per question that needed one.
    pub x: f64,
    /// Share of packets over the first path, from one second after the beginning.
    pub on_first_path: f64,
}

impl Figures {
    /// Of questions asked from `from` until `until`, after the start.
    pub fn of<S: Subject>(world: &World<S>, from: Duration, until: Duration) -> Figures {
        let (from, until) = (world.start + from, world.start + until);
        let asked: Vec<_> = world
            .records
            .iter()
            .filter(|r| r.asked >= from && r.asked < until && !r.may_fail)
            .collect();
        let failed = asked.iter().filter(|r| r.latency().is_none());
        let latencies = |known: Option<bool>| {
            let mut all: Vec<Duration> = asked
                .iter()
                .filter(|r| known.is_none_or(|known| r.known == known))
                .filter_map(|r| r.latency())
                .collect();
            all.sort();
            all
        };
        let all = latencies(None);
        let known = latencies(Some(true));
        let late = |limit: u64| {
            asked
                .iter()
                .filter(|r| r.latency().is_none_or(|l| l > Duration::from_millis(limit)))
                .count()
        };
        let sent = world
            .packets
            .iter()
            .filter(|p| p.at >= from && p.at < until);
        let packets = sent.clone().count();
        let after = from + Duration::from_secs(1);
        let later: Vec<_> = sent.filter(|p| p.at >= after).collect();
        let races = |at: Time| {
            let index = world.races.partition_point(|(when, _)| *when < at);
            world
                .races
                .get(index)
                .map_or(world.subject.needed(), |(_, races)| *races)
        };
        Figures {
            asked: asked.len(),
            failed: failed.clone().count(),
            failed_known: failed.filter(|r| r.known).count(),
            unknown: asked.iter().filter(|r| !r.known).count(),
            over_50: late(50),
            over_250: late(250),
            worst: all.last().copied().unwrap_or_default(),
            p99_known: known
                .get(known.len() * 99 / 100)
                .copied()
                .unwrap_or_default(),
            packets,
            x: packets as f64 / (races(until) - races(from)).max(1) as f64,
            on_first_path: later.iter().filter(|p| p.path == 0).count() as f64
                / later.len().max(1) as f64,
        }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "asked {:6} failed {:4} ({:2} known) >50ms {:4} >250ms {:4} worst {:7.1} ms  packets {:6} x {:.3}  on A {:5.2} %",
            self.asked,
            self.failed,
            self.failed_known,
            self.over_50,
            self.over_250,
            self.worst.as_secs_f64() * 1e3,
            self.packets,
            self.x,
            self.on_first_path * 100.0,
        )
    }
}

impl<S: Subject> World<S> {
    /// How long after `healed` (from the start) clients' own questions go over the first path again:
    /// until the first half second in which most of them do.
    pub fn back_on_first_path(&self, healed: Duration) -> Option<Duration> {
        let healed = self.start + healed;
        let window = Duration::from_millis(500);
        let own: Vec<_> = self
            .packets
            .iter()
            .filter(|p| {
                p.at >= healed && matches!(p.kind, AttemptKind::Primary | AttemptKind::Refresh)
            })
            .collect();
        for (index, packet) in own.iter().enumerate() {
            let within: Vec<_> = own[index..]
                .iter()
                .take_while(|p| p.at.since(packet.at) < window)
                .collect();
            let first = within.iter().filter(|p| p.path == 0).count();
            if within.len() >= 2 && first * 2 > within.len() {
                return Some(packet.at.since(healed));
            }
        }
        None
    }

    /// The events from `from` on, one a line, with seconds from the start.
    pub fn story(&self, from: Duration) -> String {
        let mut story = String::new();
        for (at, event) in self.subject.events() {
            if at.since(self.start) >= from {
                let secs = at.since(self.start).as_secs_f64();
                story.push_str(&format!("{secs:9.3} {event}\n"));
            }
        }
        story
    }

    /// The packets from `from` on, one a line: when, over which route, what for, whether it was answered.
    pub fn parcels(&self, from: Duration) -> String {
        let mut lines = String::new();
        for packet in &self.packets {
            let at = packet.at.since(self.start);
            if at >= from {
                let path = char::from(b'A' + packet.path as u8);
                lines.push_str(&format!(
                    "{:9.3} dc{}@{path} {:?} {}\n",
                    at.as_secs_f64(),
                    packet.upstream + 1,
                    packet.kind,
                    if packet.came_back { "" } else { "lost" },
                ));
            }
        }
        lines
    }

    /// Packets sent between two times from the start that were usefully answered.
    pub fn came_back(&self, from: Duration, until: Duration) -> usize {
        let within = |at: Time| at.since(self.start) >= from && at.since(self.start) < until;
        self.packets
            .iter()
            .filter(|p| p.came_back && within(p.at))
            .count()
    }

    /// Verdict changes of `name` between two times from the start.
    pub fn changes(&self, name: &str, from: Duration, until: Duration) -> usize {
        let within = |at: &Time| at.since(self.start) >= from && at.since(self.start) < until;
        self.subject
            .events()
            .iter()
            .filter(|(at, event)| {
                within(at)
                    && matches!(event, Event::Verdict { subject, .. } if subject.name() == name)
            })
            .count()
    }
}
