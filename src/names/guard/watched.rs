//! One name under guard: what is known of it, and since when.

use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use super::{ASK_EVERY, FORGET, Kept, TTL};
use crate::clock::Life;
use crate::config::GuardConfig;
use crate::observe::event::Event;
use crate::wire::{Answer, CLASS_IN, KeyRef, QuestionKey, RecordType, name_to_text};

/// Ways to ask, by the DO and CD bits, that are remembered of each type.
const WAYS: usize = 2;

/// What is known of a name.
#[derive(Debug, Default)]
pub(super) struct Watched {
    pub(super) types: SmallVec<[OfType; 2]>,
}

/// What is known of its addresses of one type.
#[derive(Debug)]
pub(super) struct OfType {
    pub(super) record_type: RecordType,
    /// Since when it has had them.
    pub(super) since: Life,
    /// When that was last said.
    pub(super) last: Life,
    /// The last answer with addresses for each way to ask, the latest last.
    pub(super) answers: SmallVec<[(u8, Answer); 1]>,
    /// How many it has usually: a mean over the time for which a name must have had them.
    pub(super) usual: f64,
    /// It was told that there are few.
    pub(super) shrunk: bool,
    /// It has none any more.
    pub(super) gone: Option<Gone>,
}

/// What is known of a disappearance.
#[derive(Clone, Debug)]
pub(super) struct Gone {
    /// Since when.
    pub(super) since: Life,
    /// What was said.
    pub(super) said: &'static str,
    /// By whom.
    pub(super) by: Arc<str>,
    /// When it was last asked for anew.
    pub(super) asked: Life,
    /// How often the addresses were given.
    pub(super) given: u64,
    /// Which disappearance it is.
    pub(super) number: u64,
}

/// The words for what may be said, as they are recorded.
pub(super) const SAID: [&str; 3] = ["NXDOMAIN", "no data", "fails validation"];

/// How many addresses of the type asked for an answer has.
pub(super) fn addresses(answer: &Answer, record_type: RecordType) -> usize {
    let of_type = |it: &std::net::IpAddr| match record_type {
        RecordType::A => it.is_ipv4(),
        RecordType::AAAA => it.is_ipv6(),
        _ => false,
    };
    answer.addresses().filter(of_type).count()
}

impl Watched {
    pub(super) fn of_type(&mut self, record_type: RecordType) -> Option<&mut OfType> {
        let mut types = self.types.iter_mut();
        types.find(|it| it.record_type == record_type)
    }

    /// Remembers an answer with `count` addresses.
    pub(super) fn confirm(
        &mut self,
        key: KeyRef<'_>,
        answer: &Answer,
        count: usize,
        now: Life,
    ) -> &mut OfType {
        let record_type = key.record_type();
        let at = self
            .types
            .iter()
            .position(|it| it.record_type == record_type);
        let at = at.unwrap_or_else(|| {
            self.types.push(OfType {
                record_type,
                since: now,
                last: now,
                answers: SmallVec::new(),
                usual: count as f64,
                shrunk: false,
                gone: None,
            });
            self.types.len() - 1
        });
        let it = &mut self.types[at];
        if it.gone.is_none() && it.is_forgotten(now) {
            (it.since, it.usual) = (now, count as f64);
        }
        it.answers.retain(|(flags, _)| *flags != key.flags());
        if it.answers.len() == WAYS {
            it.answers.remove(0);
        }
        it.answers.push((key.flags(), answer.clone()));
        it
    }

    /// Whether one of its types has had addresses for long enough.
    pub(super) fn is_settled(&self, rule: &GuardConfig) -> bool {
        self.types.iter().any(|it| it.is_settled(rule))
    }

    /// Whether nothing of it counts any more.
    pub(super) fn is_forgotten(&self, now: Life) -> bool {
        let mut types = self.types.iter();
        types.all(|it| it.gone.is_none() && it.is_forgotten(now))
    }
}

impl OfType {
    /// Whether it has had addresses for long enough.
    pub(super) fn is_settled(&self, rule: &GuardConfig) -> bool {
        self.last.since(self.since) >= rule.after
    }

    /// Whether it is too long ago that it had addresses.
    pub(super) fn is_forgotten(&self, now: Life) -> bool {
        now.since(self.last) > FORGET
    }

    /// The usual number of addresses, if `count` is so much less all of a sudden that it is to be told.
    pub(super) fn shrinks(&mut self, count: usize, rule: &GuardConfig, now: Life) -> Option<f64> {
        let usual = self.usual;
        let weight = match rule.after.as_secs_f64() {
            span if span > 0.0 => 1.0 - (-now.since(self.last).as_secs_f64() / span).exp(),
            _ => 1.0,
        };
        self.usual += (count as f64 - usual) * weight;
        let is_few = (count as f64) < usual * rule.floor;
        let news = is_few && !self.shrunk && self.is_settled(rule);
        self.shrunk = is_few;
        news.then_some(usual)
    }

    /// It has none from now on.
    pub(super) fn go(&mut self, said: &'static str, by: Arc<str>, number: u64, now: Life) {
        self.gone = Some(Gone {
            since: now,
            said,
            by,
            asked: now,
            given: 0,
            number,
        });
    }

    /// For how many seconds its addresses may be given now, if it is gone and they may be.
    pub(super) fn left(&self, rule: &GuardConfig, now: Life) -> Option<u32> {
        let left = self.keeps_for(rule, now)?;
        // Who is told a second may keep it a second: what is left of the last one is given to nobody.
        let seconds = u32::try_from(left.as_secs()).unwrap_or(u32::MAX).min(TTL);
        (seconds > 0).then_some(seconds)
    }

    fn keeps_for(&self, rule: &GuardConfig, now: Life) -> Option<Duration> {
        let gone = self.gone.as_ref()?;
        let left = rule.keep.saturating_sub(now.since(gone.since));
        (!left.is_zero()).then_some(left)
    }

    /// Whether it is time to ask anew; that is noted.
    pub(super) fn asks_anew(&mut self, now: Life) -> bool {
        let Some(gone) = &mut self.gone else {
            return false;
        };
        let is_due = now.since(gone.asked) >= ASK_EVERY;
        if is_due {
            gone.asked = now;
        }
        is_due
    }

    /// Its answer to who asks like this, or else the latest one.
    pub(super) fn answer(&self, flags: u8) -> Option<&Answer> {
        let same = self.answers.iter().find(|(of, _)| *of == flags);
        same.or(self.answers.last()).map(|(_, answer)| answer)
    }

    /// The question to be asked anew.
    pub(super) fn question(&self, name: &[u8]) -> Option<QuestionKey> {
        let (flags, _) = self.answers.last()?;
        QuestionKey::new(
            name,
            self.record_type,
            CLASS_IN,
            flags & 1 != 0,
            flags & 2 != 0,
        )
    }

    /// It for the operator, if it is gone and kept.
    pub(super) fn listed(&self, name: &[u8], rule: &GuardConfig, now: Life) -> Option<Kept> {
        let gone = self.gone.as_ref()?;
        Some(Kept {
            name: name_to_text(name),
            record_type: self.record_type,
            addresses: self.answers.last()?.1.addresses().collect(),
            said: gone.said,
            by: Arc::clone(&gone.by),
            gone_for: now.since(gone.since),
            left: self.keeps_for(rule, now)?,
            given: gone.given,
        })
    }

    /// That it has vanished.
    pub(super) fn vanished(&self, name: &[u8], rule: &GuardConfig, now: Life) -> Option<Event> {
        let gone = self.gone.as_ref()?;
        let count = self.answers.last()?.1.addresses().count();
        Some(Event::NameVanished {
            number: gone.number,
            name: name_to_text(name).into(),
            record_type: self.record_type.to_string(),
            said: gone.said,
            by: Arc::clone(&gone.by),
            addresses: count,
            since: now.since(gone.since),
            keep: rule.keep.saturating_sub(now.since(gone.since)),
        })
    }

    /// That it has addresses again.
    pub(super) fn returned(&self, name: &[u8], gone: &Gone, now: Life) -> Event {
        Event::NameReturned {
            number: gone.number,
            name: name_to_text(name).into(),
            record_type: self.record_type.to_string(),
            after: now.since(gone.since),
            given: gone.given,
        }
    }

    /// That it is let go, for its time is over.
    pub(super) fn expired(&self, name: &[u8], now: Life) -> Option<Event> {
        self.let_go(name, None, now)
    }

    /// That it is let go, by somebody.
    pub(super) fn released(&self, name: &[u8], by: &str, now: Life) -> Option<Event> {
        self.let_go(name, Some(by.into()), now)
    }

    fn let_go(&self, name: &[u8], by: Option<Arc<str>>, now: Life) -> Option<Event> {
        let gone = self.gone.as_ref()?;
        Some(Event::NameLetGo {
            number: gone.number,
            name: name_to_text(name).into(),
            record_type: self.record_type.to_string(),
            after: now.since(gone.since),
            given: gone.given,
            by,
        })
    }
}
