//! What is told of a trouble, put together from what is known of everybody.

use std::sync::Arc;

use super::super::super::event::Subject;
use super::super::{Begun, Culprit, Vain};
use super::{Troubles, Way};
use crate::clock::Time;

impl Troubles {
    pub(super) fn describe(&self, index: usize, number: u64, now: Time) -> Begun {
        let mind = &self.minds[index];
        let (since, before) = match &mind.open {
            Some(open) => (open.since, open.before),
            None => (Time::default(), self.seen.felt),
        };
        let everything = self.is_everything(index);
        let kept = mind.open.as_ref().and_then(|open| open.nature.clone());
        Begun {
            number,
            culprit: mind.culprit.clone(),
            since,
            lasted: now.since(since),
            nature: mind.nature().or(kept),
            evidence: mind.evidence,
            reasons: if everything {
                self.reasons(index)
            } else {
                Vec::new()
            },
            instead: if everything {
                Vec::new()
            } else {
                self.instead(index)
            },
            felt: self.seen.felt.since(before),
            known: self.seen.known,
            explains: Vec::new(),
            said: mind.missing.as_ref().is_some_and(|(_, at_start)| *at_start),
        }
    }

    /// What is wrong with each way, with whom that is about: a path or an upstream in place of all its routes.
    fn reasons(&self, index: usize) -> Vec<(String, Vec<Arc<str>>)> {
        let mut reasons: Vec<(String, Vec<Arc<str>>)> = Vec::new();
        let pool = self.pool_of(index);
        let ways = pool.map_or(&[][..], |pool| &pool.ways);
        let vain = pool.map_or(Vain::default(), |pool| pool.vain);
        let useless = || match vain.rcode {
            _ if vain.unserved == 0 => None,
            Some(rcode) => Some(rcode.to_string()),
            None => Some("useless answers".into()),
        };
        for way in ways {
            let unused = |index: &usize| {
                let mind = &self.minds[*index];
                mind.drained || mind.loops
            };
            let all = way.all();
            let found = match all.into_iter().find(unused) {
                Some(index) if self.minds[index].loops => Some((index, "leads back here".into())),
                Some(index) => Some((index, "drained by the operator".into())),
                None => all
                    .into_iter()
                    .find_map(|index| Some((index, self.minds[index].gist()?)))
                    .or_else(|| Some((way.upstream, useless()?))),
            };
            let Some((mut index, reason)) = found else {
                continue;
            };
            if self.minds[index].is_refused() && index == way.path {
                // Where everything refuses, it is the servers' ports that do.
                index = way.upstream;
            }
            let Some(subject) = self.minds[index].culprit.subject() else {
                continue;
            };
            let name: Arc<str> = match subject {
                Subject::Route(name) => name.clone(),
                other => other.to_string().into(),
            };
            match reasons.iter_mut().find(|(known, _)| *known == reason) {
                Some((_, names)) if names.contains(&name) => {}
                Some((_, names)) => names.push(name),
                None => reasons.push((reason, vec![name])),
            }
        }
        reasons
    }

    /// Who is used in the place of a path, an upstream or a route that is in trouble.
    pub(super) fn instead(&self, index: usize) -> Vec<Arc<str>> {
        let own = |way: &Way| way.all().contains(&index);
        let mut names: Vec<Arc<str>> = Vec::new();
        for way in &self.ways {
            // Whom the same names may be asked of.
            let same = self
                .pools
                .iter()
                .any(|pool| pool.ways.contains(way) && pool.ways.iter().any(own));
            if !same || own(way) || !self.usable(*way) || self.is_bad_way(*way) {
                continue;
            }
            let other = match &self.minds[index].culprit {
                Culprit::One(Subject::Path(_)) => way.path,
                Culprit::One(Subject::Upstream(_)) => way.upstream,
                _ => way.route,
            };
            if let Some(subject) = self.minds[other].culprit.subject()
                && !names.iter().any(|name| **name == *subject.name())
            {
                names.push(subject.name().into());
            }
        }
        names
    }
}
