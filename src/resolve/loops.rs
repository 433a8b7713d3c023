//! Forwarding loops: an upstream that forwards to this very byway, directly or through others.
//!
//! In a loop questions go round until they time out. So it is when a client's question has failed for want of any
//! answer, or goes unanswered while another client asks it too, and not more than once a minute, that each upstream is asked for a name that nobody else can know: 128
//! bits drawn at random. If that very question comes in as a client's while it is out, the upstream leads back
//! here. That is told, and the upstream is not asked any more until such a question is answered without having come
//! in. In ordinary life nothing of it goes out, and no client's question can be taken for it, whatever it asks.
//!
//! (An EDNS option would not survive other forwarders; the questions in flight themselves are what everybody asks,
//! so that their coming back proves nothing.)

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Time;
use crate::route::UpstreamId;
use crate::wire::{KeyRef, QuestionKey, RecordType};

/// The least between two such questions to an upstream that is suspected.
const PAUSE: Duration = Duration::from_secs(60);

/// How often one that leads back here is asked whether it still does.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// Digits of each of the name's two labels. Two, because some forwarders keep single ones to themselves.
const DIGITS: usize = 16;

/// Every upstream, as far as it may lead back here.
#[derive(Debug)]
pub struct Loops {
    /// A question failed for want of any answer.
    suspected: AtomicBool,
    /// Some question is out.
    listening: AtomicBool,
    upstreams: Mutex<Vec<Suspect>>,
}

#[derive(Clone, Debug, Default)]
struct Suspect {
    /// What it is asked, while that is out.
    question: Option<QuestionKey>,
    came_in: bool,
    /// When it was asked last.
    asked: Option<Time>,
    suspected: bool,
    loops: bool,
}

/// What an upstream was found to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// It leads back here.
    Loop,
    /// It does not any more.
    WayOut,
}

impl Loops {
    /// Nothing suspected of `upstreams` upstreams.
    pub fn new(upstreams: usize) -> Loops {
        Loops {
            suspected: AtomicBool::new(false),
            listening: AtomicBool::new(false),
            upstreams: Mutex::new(vec![Suspect::default(); upstreams]),
        }
    }

    /// A client's question has failed for want of any answer, or may be about to.
    pub fn suspect(&self) {
        // Written only once, so that workers do not pull the line from each other.
        if !self.suspected.load(Ordering::Relaxed) {
            self.suspected.store(true, Ordering::Relaxed);
        }
    }

    /// What is to be asked of which upstream now. [`Loops::ended`] is to be told of its end.
    pub fn due(&self, now: Time, rng: &mut impl rand::Rng) -> Option<(UpstreamId, QuestionKey)> {
        let mut upstreams = self.upstreams();
        if self.suspected.swap(false, Ordering::Relaxed) {
            upstreams.iter_mut().for_each(|it| it.suspected = true);
        }
        let due = |it: &Suspect| it.question.is_none() && it.may_be_asked(now);
        let number = upstreams.iter().position(due)?;
        let key = random_name(rng)?;
        let suspect = &mut upstreams[number];
        suspect.question = Some(key);
        suspect.suspected = false;
        suspect.came_in = false;
        suspect.asked = Some(now);
        self.listening.store(true, Ordering::Relaxed);
        Some((UpstreamId(number as u16), key))
    }

    /// A client asks `key`. If it is one of the questions that are out: which upstream sent it back, and whether that
    /// is news.
    #[inline]
    pub fn recognise(&self, key: KeyRef<'_>) -> Option<(UpstreamId, Option<Found>)> {
        match self.listening.load(Ordering::Relaxed) {
            true => self.look_up(key),
            false => None,
        }
    }

    #[cold]
    fn look_up(&self, key: KeyRef<'_>) -> Option<(UpstreamId, Option<Found>)> {
        let mut upstreams = self.upstreams();
        let asked = |it: &Suspect| {
            let question = it.question.as_ref();
            question.is_some_and(|question| question.question() == key.question())
        };
        let number = upstreams.iter().position(asked)?;
        let suspect = &mut upstreams[number];
        suspect.came_in = true;
        let news = !std::mem::replace(&mut suspect.loops, true);
        Some((UpstreamId(number as u16), news.then_some(Found::Loop)))
    }

    /// The question to `upstream` has ended, with a useful answer or without.
    pub fn ended(&self, upstream: UpstreamId, answered: bool) -> Option<Found> {
        let mut upstreams = self.upstreams();
        let suspect = upstreams.get_mut(usize::from(upstream.0))?;
        let way_out = suspect.question.take().is_some() && answered && !suspect.came_in;
        let news = way_out && std::mem::replace(&mut suspect.loops, false);
        if upstreams.iter().all(|it| it.question.is_none()) {
            self.listening.store(false, Ordering::Relaxed);
        }
        news.then_some(Found::WayOut)
    }

    /// Somebody else has the number: nothing is suspected of it.
    pub fn forget(&self, upstream: UpstreamId) {
        let mut upstreams = self.upstreams();
        let number = usize::from(upstream.0);
        if number >= upstreams.len() {
            upstreams.resize_with(number + 1, Suspect::default);
        }
        upstreams[number] = Suspect::default();
    }

    fn upstreams(&self) -> MutexGuard<'_, Vec<Suspect>> {
        self.upstreams
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Suspect {
    fn may_be_asked(&self, now: Time) -> bool {
        let pause = match (self.loops, self.suspected) {
            (true, _) => LOOK_AGAIN,
            (false, true) => PAUSE,
            (false, false) => return false,
        };
        self.asked.is_none_or(|asked| now.since(asked) >= pause)
    }
}

/// The question for the address of a name that nobody else knows.
fn random_name(rng: &mut impl rand::Rng) -> Option<QuestionKey> {
    let mut bytes = Vec::with_capacity(2 * (1 + DIGITS) + 6);
    for _ in 0..2 {
        bytes.push(DIGITS as u8);
        bytes.extend(format!("{:016x}", rng.next_u64()).as_bytes());
    }
    bytes.push(0);
    bytes.extend(RecordType::A.0.to_be_bytes());
    // Class IN, and neither DO nor CD.
    bytes.extend([0, 1, 0]);
    QuestionKey::from_bytes(&bytes)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    fn at(seconds: u64) -> Time {
        Time::START + Duration::from_secs(seconds)
    }

    #[test]
    fn nothing_is_asked_without_suspicion_and_seldom_with_it() {
        let (loops, mut rng) = (Loops::new(2), StdRng::seed_from_u64(1));
        assert!(loops.due(at(100), &mut rng).is_none());
        let mut asked = 0;
        for second in 0..300 {
            loops.suspect();
            while let Some((upstream, key)) = loops.due(at(second), &mut rng) {
                asked += 1;
                assert_eq!(
                    loops.recognise(QuestionKey::root_name_servers().by_ref()),
                    None
                );
                assert_eq!(loops.ended(upstream, second % 2 == 0), None);
                assert_eq!(
                    loops.recognise(key.by_ref()),
                    None,
                    "it is not out any more"
                );
            }
        }
        assert_eq!(asked, 10, "once a minute each");
    }

    #[test]
    fn an_upstream_that_leads_back_is_recognised_until_it_does_not() {
        let (loops, mut rng) = (Loops::new(2), StdRng::seed_from_u64(1));
        loops.suspect();
        let (one, first) = loops.due(at(0), &mut rng).expect("suspected");
        let (other, second) = loops.due(at(0), &mut rng).expect("suspected");
        assert_ne!(first.question(), second.question());
        assert_eq!(
            loops.recognise(first.by_ref()),
            Some((one, Some(Found::Loop)))
        );
        assert_eq!(
            loops.recognise(first.by_ref()),
            Some((one, None)),
            "told once"
        );
        assert_eq!(
            loops.ended(one, true),
            None,
            "it came in, whatever was answered"
        );
        assert_eq!(loops.ended(other, true), None);
        assert!(loops.due(at(1), &mut rng).is_none());
        // It is asked again by and by, without being suspected.
        let (again, third) = loops
            .due(at(30), &mut rng)
            .expect("it may have been mended");
        assert_eq!(again, one);
        assert_eq!(loops.recognise(third.by_ref()), Some((one, None)));
        assert_eq!(loops.ended(one, true), None);
        loops.due(at(60), &mut rng).expect("once more");
        assert_eq!(loops.ended(one, false), None, "no answer proves nothing");
        loops.due(at(90), &mut rng).expect("once more");
        assert_eq!(loops.ended(one, true), Some(Found::WayOut));
        assert!(loops.due(at(500), &mut rng).is_none());
    }
}
