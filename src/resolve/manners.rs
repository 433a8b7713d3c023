//! How upstreams bear the way they are asked: with EDNS, with names in mixed case. What fails as byway puts it is
//! put otherwise once, and only what works then teaches anything ([`Peers`](crate::net::peers::Peers)).

use super::core::Core;
use super::outcomes::in_its_words;
use super::question::Stage;
use crate::clock::Time;
use crate::net::peers::Learnt;
use crate::net::{Exchanges, Tag};
use crate::observe::event::Event;
use crate::observe::said::Said;
use crate::route::{AttemptKind, Outcome, UpstreamId};
use crate::wire::{Rcode, Response};

impl<X: Exchanges> Core<X> {
    /// Puts an attempt's question otherwise if the way it was put may be why it failed: the same attempt goes on.
    pub(super) fn puts_otherwise(
        &mut self,
        tag: Tag,
        response: &Response<'_>,
        outcome: Outcome,
        case: Option<bool>,
        now: Time,
    ) -> bool {
        if self.fails_with_edns(tag, response, now) {
            // As the upstream understands it (RFC 6891 section 7).
            let attempt = &mut self.attempts[tag as usize];
            (attempt.dress.edns, attempt.dress.stripped) = (false, true);
            self.metrics.edns_fallback(usize::from(attempt.route.0));
        } else if case.is_some() && self.fails_in_mixed_case(tag, response.rcode(), outcome, now) {
            let attempt = &mut self.attempts[tag as usize];
            attempt.dress.plain_case = true;
            if outcome == Outcome::Answered {
                let upstream = self.shared.upstream_of(attempt.route);
                self.questions[attempt.question as usize].denied = Some(upstream);
            }
        } else {
            return false;
        }
        let attempt = &self.attempts[tag as usize];
        if let Some(said) = in_its_words(response, outcome) {
            let question = &mut self.questions[attempt.question as usize];
            question.said.push((attempt.route, said));
        }
        self.dispatch(tag, now);
        // What it took so far was another question's.
        self.connected(tag, now);
        true
    }

    /// Whether a response says that EDNS is not understood: FORMERR or BADVERS; NOTIMP or SERVFAIL only where
    /// nobody has seen that the upstream speaks it, for both are said of names and types, too.
    fn fails_with_edns(&self, tag: Tag, response: &Response<'_>, now: Time) -> bool {
        let attempt = &self.attempts[tag as usize];
        if !attempt.dress.edns {
            return false;
        }
        let (peers, upstream) = (&self.shared.peers, self.shared.upstream_of(attempt.route));
        match response.rcode() {
            Rcode::FORMERR | Rcode::BADVERS => true,
            Rcode::NOTIMP => !response.has_opt() && !peers.knows_edns(upstream),
            Rcode::SERVFAIL => !response.has_opt() && peers.may_try_plain(upstream, now),
            _ => false,
        }
    }

    /// Whether a useless answer to a name in mixed case is worth asking in plain case, or, now and then, one that says
    /// that there is no such name. Where another upstream can be asked that one is, in plain case.
    fn fails_in_mixed_case(&self, tag: Tag, rcode: Rcode, outcome: Outcome, now: Time) -> bool {
        let attempt = &self.attempts[tag as usize];
        let question = &self.questions[attempt.question as usize];
        let useless = matches!(
            outcome,
            Outcome::Poor(Rcode::SERVFAIL | Rcode::REFUSED | Rcode::FORMERR)
        );
        let key = question.key.by_ref();
        let name = &key.question()[..key.question().len().saturating_sub(4)];
        let denied = outcome == Outcome::Answered && rcode == Rcode::NXDOMAIN;
        (useless || denied)
            && question.stage == Stage::Racing
            && attempt.kind != AttemptKind::Probe
            && !attempt.dress.plain_case
            && name.iter().any(u8::is_ascii_alphabetic)
            && {
                let upstream = self.shared.upstream_of(attempt.route);
                let peers = &self.shared.peers;
                match denied {
                    true => {
                        peers.may_try_denied(upstream, now)
                            && self.shared.engine().may_repeat(question.pool, now)
                    }
                    false => {
                        peers.may_try_plain_case(upstream, now)
                            && self
                                .shared
                                .engine()
                                .may_ask_again(question.pool, attempt.route, now)
                    }
                }
            }
    }

    /// Learns from a response what its upstream bears.
    pub(super) fn learn(
        &mut self,
        tag: Tag,
        response: &Response<'_>,
        outcome: Outcome,
        case: Option<bool>,
        now: Time,
    ) {
        let attempt = &self.attempts[tag as usize];
        let (peers, dress) = (&self.shared.peers, attempt.dress);
        let upstream = self.shared.upstream_of(attempt.route);
        let useful = matches!(
            outcome,
            Outcome::Answered | Outcome::Truncated | Outcome::Unfinished
        );
        let question = &mut self.questions[attempt.question as usize];
        let asked = question.key.by_ref();
        let mut learnt = [None; 2];
        if dress.edns && (useful || response.has_opt()) {
            learnt[0] = peers.edns_worked(upstream);
        } else if dress.stripped && useful {
            learnt[0] = peers.plain_worked(upstream, asked.question(), now);
            question.unsigned |= asked.dnssec_ok() && peers.speaks_edns(upstream, false, now);
        }
        let useless = |(route, said): &(_, Said)| {
            said.is_servers() && self.shared.upstream_of(*route) == upstream
        };
        let mut before = question
            .attempts
            .iter()
            .filter_map(|tag| self.attempts.get(*tag as usize));
        let unanswered = before.any(|attempt| {
            !attempt.dress.plain_case && self.shared.upstream_of(attempt.route) == upstream
        });
        learnt[1] = match case {
            Some(true) if useful => peers.case_kept(upstream),
            Some(false) => peers.case_changed(upstream, asked.question(), now),
            None if dress.plain_case && useful && question.guarded == Some(upstream) => {
                peers.case_changed(upstream, asked.question(), now)
            }
            None if dress.plain_case
                && question.denied == Some(upstream)
                && response.rcode() == Rcode::NOERROR =>
            {
                peers.plain_case_worked(upstream, asked.question(), false, now)
            }
            None if dress.plain_case && useful && question.denied == Some(upstream) => None,
            None if dress.plain_case && useful && question.said.iter().any(useless) => {
                peers.plain_case_worked(upstream, asked.question(), false, now)
            }
            None if dress.plain_case && useful && unanswered => {
                peers.plain_case_worked(upstream, asked.question(), true, now)
            }
            _ => None,
        };
        for learnt in learnt.into_iter().flatten() {
            self.announce(upstream, learnt, now);
        }
    }

    /// A name came back in other case than it was sent: somebody may be guessing. From now on nothing but a
    /// stream is good enough, if there is one.
    pub(super) fn guard(&mut self, tag: Tag, now: Time) {
        let Some(attempt) = self.attempts.get(tag as usize) else {
            return;
        };
        let upstream = self.shared.upstream_of(attempt.route);
        self.questions[attempt.question as usize].guarded = Some(upstream);
        if let Some(learnt) = self.shared.peers.near_miss(upstream, now) {
            self.announce(upstream, learnt, now);
        }
    }

    fn announce(&self, upstream: UpstreamId, learnt: Learnt, now: Time) {
        self.shared
            .engine()
            .announce(upstream, now, |upstream| match learnt {
                Learnt::NoEdns => Event::EdnsRefused { upstream },
                Learnt::Edns => Event::EdnsSpoken { upstream },
                Learnt::NoMixedCase => Event::MixedCaseRefused { upstream },
                Learnt::MixedCase => Event::MixedCaseBorne { upstream },
                Learnt::NearMisses(count) => Event::NearMisses { upstream, count },
            });
    }
}
