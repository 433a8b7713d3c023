//! How many TCP connections there may be, and how much of their answers may wait for clients to take them, all
//! workers together.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use slab::Slab;

use super::stream::mailbox::{Mailbox, Order};
use crate::clock::Time;
use crate::config::Limits;
use crate::observe::metrics::Client;

/// The share of the room for answers that is kept for connections which hold none, as its inverse.
const RESERVED: usize = 8;

/// How many connections are looked at in search of the one idle longest.
const LOOKED_AT: usize = 4096;

/// How many connections may be on their way out, displaced and not closed yet, where at most `most` may be open.
pub const fn leaving(most: usize) -> usize {
    match most / 8 {
        0 => 1,
        64.. => 64,
        some => some,
    }
}

/// The connections of all workers, counted in all and by client. Touched only when one is
/// accepted or ends.
#[derive(Debug)]
pub struct Connections {
    most: AtomicUsize,
    most_per_client: AtomicUsize,
    open: Mutex<Open>,
    /// Octets of answers that clients have not taken, and the most there may be.
    answers: AtomicUsize,
    most_answers: AtomicUsize,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    leaving: usize,
    by_client: HashMap<IpAddr, usize>,
    guests: Slab<Guest>,
    /// Who may be displaced, by the time since when each was idle when it was last looked at. It is no later than
    /// the truth.
    by_age: BTreeSet<(Time, usize)>,
}

#[derive(Debug)]
struct Guest {
    mailbox: Arc<Mailbox>,
    /// Its place in [`Open::by_age`]; `None` once it was told to leave.
    since: Option<Time>,
}

/// Why a connection has no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// There are as many as there may be, and none that is idle.
    Total,
    /// This client has as many as it may have.
    Client,
}

impl Connections {
    /// As many as `limits` says.
    pub fn new(limits: &Limits) -> Arc<Connections> {
        Arc::new(Connections {
            most: AtomicUsize::new(limits.tcp_connections),
            most_per_client: AtomicUsize::new(limits.tcp_connections_per_client),
            open: Mutex::default(),
            answers: AtomicUsize::new(0),
            most_answers: AtomicUsize::new(limits.tcp_answers),
        })
    }

    /// Others hold from now on. Connections that are open stay.
    pub fn suit(&self, limits: &Limits) {
        self.most.store(limits.tcp_connections, Ordering::Relaxed);
        let per_client = limits.tcp_connections_per_client;
        self.most_per_client.store(per_client, Ordering::Relaxed);
        self.most_answers
            .store(limits.tcp_answers, Ordering::Relaxed);
    }

    /// A place for a connection from `peer`, that of the one idle longest if need be, whichever worker it is with.
    pub(super) fn enter(
        self: &Arc<Connections>,
        peer: SocketAddr,
        now: Time,
    ) -> Result<Place, Full> {
        let client = client(peer.ip());
        let mut open = self.lock();
        if open.by_client.get(&client).copied().unwrap_or_default()
            >= self.most_per_client.load(Ordering::Relaxed)
        {
            return Err(Full::Client);
        }
        let mut displaced = false;
        let most = self.most.load(Ordering::Relaxed);
        if open.total >= most {
            displaced = open.leaving < leaving(most) && open.displace(now);
            if !displaced {
                return Err(Full::Total);
            }
        }
        *open.by_client.entry(client).or_default() += 1;
        open.total += 1;
        let mailbox = Arc::new(Mailbox::new(Arc::clone(self), peer, now));
        let key = open.guests.insert(Guest {
            mailbox: Arc::clone(&mailbox),
            since: Some(now),
        });
        open.by_age.insert((now, key));
        Ok(Place {
            connections: Arc::clone(self),
            client,
            class: peer.ip().into(),
            key,
            mailbox,
            displaced,
        })
    }

    /// Tells the connection that has been idle longest to leave; false if none is idle.
    pub(super) fn displace(&self, now: Time) -> bool {
        let mut open = self.lock();
        open.leaving < leaving(self.most.load(Ordering::Relaxed)) && open.displace(now)
    }

    /// Takes room for `octets` of an answer for a connection that holds `held` already. The last of it is for those
    /// that hold nothing, or that another one has left for. To be called without a mailbox's lock.
    pub(super) fn take(&self, octets: usize, held: usize) -> bool {
        let all = self.most_answers.load(Ordering::Relaxed);
        let most = match held == 0 || self.relieve(octets, held) {
            true => all,
            false => all - all / RESERVED,
        };
        let taken = |taken: usize| Some(taken + octets).filter(|&sum| sum <= most);
        self.answers
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken)
            .is_ok()
    }

    /// Gives room back.
    pub(super) fn give_back(&self, octets: usize) {
        if octets > 0 {
            self.answers.fetch_sub(octets, Ordering::Relaxed);
        }
    }

    /// Where the room for answers is short, the connection that holds most of it leaves, unless that is one that
    /// holds `held`. True if one does.
    fn relieve(&self, octets: usize, held: usize) -> bool {
        let all = self.most_answers.load(Ordering::Relaxed);
        let short = all - all / RESERVED;
        if self.answers.load(Ordering::Relaxed) + octets <= short {
            return false;
        }
        let mut open = self.lock();
        let holders = open.guests.iter().filter(|(_, it)| it.since.is_some());
        let most = holders
            .map(|(key, it)| (it.mailbox.held(), key))
            .max()
            .filter(|(most, _)| *most > held);
        if let Some((_, key)) = most {
            open.dismiss(key, Order::Yield);
        }
        most.is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn displace(&mut self, now: Time) -> bool {
        for _ in 0..LOOKED_AT {
            let Some(&(since, key)) = self.by_age.first() else {
                return false;
            };
            let idle_since = self.guests[key].mailbox.idle_since();
            if idle_since == Some(since) {
                self.dismiss(key, Order::Leave);
                return true;
            }
            if since >= now {
                return false; // All were looked at just now, and are busy.
            }
            self.by_age.pop_first();
            let since = idle_since.unwrap_or(now);
            self.guests[key].since = Some(since);
            self.by_age.insert((since, key));
        }
        false
    }

    fn dismiss(&mut self, key: usize, order: Order) {
        let guest = &mut self.guests[key];
        if let Some(since) = guest.since.take() {
            guest.mailbox.order(order);
            self.by_age.remove(&(since, key));
            self.leaving += 1;
        }
    }
}

/// A connection's place, until dropped.
#[derive(Debug)]
pub(super) struct Place {
    connections: Arc<Connections>,
    client: IpAddr,
    /// Where the client is.
    pub(super) class: Client,
    key: usize,
    /// What finds the connection.
    pub(super) mailbox: Arc<Mailbox>,
    /// Whether another one had to leave for it.
    pub(super) displaced: bool,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.connections.lock();
        open.total -= 1;
        let guest = open.guests.remove(self.key);
        match guest.since {
            Some(since) => {
                open.by_age.remove(&(since, self.key));
            }
            None => open.leaving -= 1,
        }
        if let Some(count) = open.by_client.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                open.by_client.remove(&self.client);
            }
        }
    }
}

/// What counts as one client: an IPv4 address, or an IPv6 /64, within which a host may have as many
/// addresses as it likes (RFC 7934).
fn client(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn from(text: &str) -> SocketAddr {
        SocketAddr::new(ip(text), 4053)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn at(seconds: u64) -> Time {
        Time::START + Duration::from_secs(seconds)
    }

    fn connections(most: usize, most_per_client: usize) -> Arc<Connections> {
        Connections::new(&Limits {
            tcp_connections: most,
            tcp_connections_per_client: most_per_client,
            ..Limits::default()
        })
    }

    #[test]
    fn places_are_bounded_by_client_and_in_all() {
        let connections = connections(3, 2);
        let enter = |text| connections.enter(from(text), at(0));
        let first = enter("10.0.0.1").unwrap();
        let second = enter("::ffff:10.0.0.1").unwrap();
        assert_eq!(enter("10.0.0.1").unwrap_err(), Full::Client);
        let third = enter("10.0.0.2").unwrap();
        for place in [&first, &second, &third] {
            place.mailbox.set_idle_since(None);
        }
        assert_eq!(enter("10.0.0.3").unwrap_err(), Full::Total);
        drop(first);
        let _fourth = enter("10.0.0.1").unwrap();
    }

    #[test]
    fn the_one_idle_longest_makes_room_whoever_it_is_with() {
        let connections = connections(16, 16);
        let mut places: Vec<Place> = (0..16)
            .map(|n| connections.enter(from("10.0.0.1"), at(n)).unwrap())
            .collect();
        // The first is busy, the second was busy since.
        places[0].mailbox.set_idle_since(None);
        places[1].mailbox.set_idle_since(Some(at(20)));
        let left = |place: &Place| place.mailbox.was_told_to_leave();
        for expected in [2, 3] {
            let new = connections.enter(from("10.0.0.2"), at(30)).unwrap();
            assert!(new.displaced);
            new.mailbox.set_idle_since(None);
            assert!(left(&places[expected]), "number {expected}");
            places.push(new);
        }
        // Two are on their way out; no more until one of them is gone.
        assert_eq!(leaving(16), 2);
        let refused = connections.enter(from("10.0.0.2"), at(31)).unwrap_err();
        assert_eq!(refused, Full::Total);
        drop(places.remove(2));
        let new = connections.enter(from("10.0.0.2"), at(33)).unwrap();
        assert!(new.displaced && left(&places[3]));
    }

    #[test]
    fn where_all_are_busy_none_is_displaced() {
        let connections = connections(4, 4);
        let places: Vec<Place> = (0..4)
            .map(|n| connections.enter(from("10.0.0.1"), at(n)).unwrap())
            .collect();
        for place in &places {
            place.mailbox.set_idle_since(None);
        }
        for n in 10..20 {
            assert!(connections.enter(from("10.0.0.2"), at(n)).is_err());
        }
        places[3].mailbox.set_idle_since(Some(at(15)));
        assert!(connections.enter(from("10.0.0.2"), at(20)).is_ok());
        assert!(places[3].mailbox.was_told_to_leave());
    }

    #[test]
    fn an_ipv6_client_is_its_network() {
        let connections = connections(10, 1);
        let _place = connections.enter(from("2001:db8:0:1::1"), at(0)).unwrap();
        assert_eq!(
            connections
                .enter(from("2001:db8:0:1:ffff::9"), at(0))
                .unwrap_err(),
            Full::Client
        );
        assert!(connections.enter(from("2001:db8:0:2::1"), at(0)).is_ok());
    }

    #[test]
    fn nothing_is_kept_of_clients_that_have_left() {
        let connections = connections(10, 1);
        for i in 0..100u8 {
            drop(connections.enter(from(&format!("10.0.0.{i}")), at(0)));
        }
        let open = connections.lock();
        assert_eq!((open.total, open.leaving), (0, 0));
        assert!(open.by_client.is_empty() && open.guests.is_empty() && open.by_age.is_empty());
    }
}
