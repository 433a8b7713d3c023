//! Who may wait for an answer: there is room for so many, in all, of one client, and for one question.

use super::ask::Wanted;
use super::clients::Seat;
use super::core::{Core, OVERLOADED};
use super::front::{Asker, Turn};
use super::inflight::Room;
use super::settle::Gift;
use super::waiters::Waiter;
use crate::clock::Time;
use crate::net::Exchanges;
use crate::observe::metrics::{Client, Counter, Label, Limit, QueryResult};
use crate::route::PoolId;
use crate::wire::{Ede, KeyRef, OwnedAsked};

impl<X: Exchanges> Core<X> {
    /// Lets a client wait for an answer, until `stale_at` if one is held that serves for want of a better one.
    pub(super) fn wait(
        &mut self,
        wanted: Wanted<'_>,
        stale_at: Time,
        asker: impl FnOnce() -> Asker,
        now: Time,
        limit: usize,
        out: &mut [u8],
    ) -> Turn {
        let Wanted {
            key,
            hash,
            terms,
            asked,
            ..
        } = wanted;
        let asker = asker();
        let (room, seat) = match self.place(&asker, hash, asked.rd, now) {
            Ok(places) => places,
            Err(met) => {
                let is_held = stale_at < Time::NEVER;
                return self.no_place(wanted, met, is_held, now, limit, out);
            }
        };
        let waiter = Waiter {
            asker,
            asked: OwnedAsked::from(*asked),
            deadline: now + terms.deadline,
            stale_at,
            room,
            seat,
        };
        self.enlist(key, hash, PoolId(terms.pool), waiter, now);
        Turn::Pending
    }

    /// A place among those who wait, of all and of its client's. A question that nobody asks just now is a new one.
    fn place(
        &self,
        asker: &Asker,
        hash: u64,
        rd: bool,
        now: Time,
    ) -> Result<(Room, Option<Seat>), Limit> {
        let (inflight, clients) = (&self.shared.inflight, &self.shared.clients);
        let seat = match asker.client {
            Some(address) => {
                let is_new = !rd || inflight.leader(hash).is_none();
                let left = inflight.waiting().left();
                Some(clients.seat(&clients.guest(address), left, is_new, now)?)
            }
            None => None,
        };
        match inflight.waiting().take() {
            Some(room) => Ok((room, seat)),
            None => {
                if let Some(seat) = seat {
                    seat.guest().turned_away();
                }
                Err(Limit::Waiting)
            }
        }
    }

    /// A client may not wait: it gets what is held, or an error, at once.
    fn no_place(
        &self,
        wanted: Wanted<'_>,
        met: Limit,
        is_held: bool,
        now: Time,
        limit: usize,
        out: &mut [u8],
    ) -> Turn {
        let Wanted {
            key, hash, asked, ..
        } = wanted;
        self.trace_query(wanted, now, || match met {
            Limit::Waiting => "turned away: as many clients wait as may".into(),
            _ => format!(
                "turned away: its client has met the limit `{}`",
                met.as_str()
            ),
        });
        let held = is_held.then(|| {
            self.shared
                .write_held(key, hash, asked, self.life, limit, out)
        });
        let (length, result) = match held.flatten() {
            Some(held) => {
                self.metrics.count(Counter::StaleNothingClear, 1);
                held
            }
            None => {
                let ede = match met {
                    Limit::Waiting => OVERLOADED,
                    _ => GREEDY,
                };
                (self.write_failure(asked, ede, out), QueryResult::Shed)
            }
        };
        Turn::Limited {
            length,
            result,
            met,
        }
    }

    /// So many wait for this answer already that one more finds no room: it gets what is held, or an error.
    pub(super) fn crowded_out(&mut self, key: KeyRef<'_>, hash: u64, waiter: Waiter, now: Time) {
        let client = waiter.asker.client.map_or(Client::Own, Client::from);
        self.metrics.limited(Limit::WaitingPerQuestion, client);
        if let Some(waiter) = self.give_held(key, hash, waiter, Counter::StaleSlow, now) {
            self.give(waiter, &Gift::Error(OVERLOADED, QueryResult::Shed), now);
        }
    }
}

/// A client asks for more than its limits allow.
const GREEDY: Ede<'static> =
    Ede::NETWORK_ERROR.with_text("this client asks for more than one may: see [limits]");
