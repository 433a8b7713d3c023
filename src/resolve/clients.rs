//! Who asks for what is not known, and how much of what all share each of them has.
//!
//! A client is an address or a prefix of it, as the configuration says. Hits never come here. Of a miss there are three
//! things of which one client could take all: room among those who wait, room among the questions, and room upstream. Of
//! the first two nobody holds more than eight times what is left, so that there is always some for who holds little.
//! Upstream, routes have a little room beyond their limits for clients that have less than an equal part of what is under
//! way ([`Stake::is_light`]), and the queue is worked off by turns ([`super::backlog`]).
//!
//! Beside that, who is not exempt may ask for so many new names a second, and have so many queries waiting, however much
//! room there is.
//!
//! The table is bounded. Who finds no place in it, because all who have one are busy, shares an account with all others
//! who do not.

#[cfg(test)]
mod tests;

use std::hash::BuildHasher;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use foldhash::quality::RandomState;
use ipnet::IpNet;
use lru::LruCache;

use crate::clock::Time;
use crate::config::Limits;
use crate::observe::metrics::{self, Limit};

/// Nobody holds more of a bounded room than so many times what is left of it; docs/security.md says so too.
const SHARE: usize = 8;

/// New names are paid for by the second; so many seconds' worth may come at once.
const BURST: Duration = Duration::from_secs(2);

/// Parts of the table, each behind its own lock.
const SHARDS: usize = 16;

/// How many of those that were not heard of for longest are looked at for one that has nothing under way.
const LOOKED_AT: usize = 8;

/// Accounts, the one that was not asked for longest last.
type Accounts = LruCache<IpNet, Arc<Guest>, RandomState>;

/// A part of the table.
type Shard = Mutex<Accounts>;

/// The clients, all workers together.
#[derive(Debug)]
pub struct Clients {
    shards: Box<[Shard]>,
    hasher: RandomState,
    terms: RwLock<Arc<Terms>>,
    /// Whoever the table has no place for.
    /// Those that others share: who is exempt has one apart.
    crowds: [Mutex<Arc<Guest>>; 2],
    /// Clients in the table.
    known: AtomicUsize,
    /// Those that have questions.
    active: AtomicUsize,
    /// Questions under way upstream.
    racing: AtomicUsize,
}

/// What the configuration says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Terms {
    ipv4: u8,
    ipv6: u8,
    exempt: Vec<IpNet>,
    clients: usize,
    waiting: usize,
    /// Nanoseconds that one new name costs.
    price: u64,
}

/// One client's account.
#[derive(Debug)]
pub struct Guest {
    net: IpNet,
    is_exempt: bool,
    waiting: AtomicUsize,
    questions: AtomicUsize,
    racing: AtomicUsize,
    /// Nanoseconds up to which new names are paid for.
    paid: AtomicU64,
    turned_away: AtomicU64,
}

/// A client's place among those who wait, until dropped.
#[derive(Debug)]
pub struct Seat {
    guest: Arc<Guest>,
}

/// A client's question, until dropped.
#[derive(Debug)]
pub struct Stake {
    clients: Arc<Clients>,
    guest: Arc<Guest>,
    is_racing: bool,
}

impl Clients {
    /// Nobody has asked yet.
    pub fn new(limits: &Limits) -> Arc<Clients> {
        let terms = Terms::of(limits);
        let shard = |_| {
            Mutex::new(LruCache::with_hasher(
                terms.places(),
                RandomState::default(),
            ))
        };
        Arc::new(Clients {
            shards: (0..SHARDS).map(shard).collect(),
            hasher: RandomState::default(),
            crowds: [false, true].map(|is_exempt| Mutex::new(Guest::new(CROWD, is_exempt))),
            terms: RwLock::new(Arc::new(terms)),
            known: AtomicUsize::new(0),
            active: AtomicUsize::new(0),
            racing: AtomicUsize::new(0),
        })
    }

    /// Others hold from now on. All accounts begin anew, but what is under way goes on being counted where it began.
    pub fn suit(&self, limits: &Limits) {
        let terms = Arc::new(Terms::of(limits));
        let places = terms.places();
        {
            let mut held = self.terms.write().unwrap_or_else(PoisonError::into_inner);
            if **held == *terms {
                return;
            }
            *held = terms;
        }
        for shard in &self.shards {
            let mut shard = lock(shard);
            self.known.fetch_sub(shard.len(), Relaxed);
            shard.clear();
            shard.resize(places);
        }
        for (crowd, is_exempt) in self.crowds.iter().zip([false, true]) {
            *lock(crowd) = Guest::new(CROWD, is_exempt);
        }
    }

    /// The account of whoever asks from `address`.
    pub fn guest(&self, address: IpAddr) -> Arc<Guest> {
        let (terms, net, mut shard) = loop {
            let terms = self.terms();
            let net = terms.client(address);
            let shard = lock(&self.shards[self.hasher.hash_one(net) as usize % SHARDS]);
            // Accounts by terms that hold no longer would stay.
            if Arc::ptr_eq(&terms, &self.terms()) {
                break (terms, net, shard);
            }
        };
        if let Some(guest) = shard.get(&net) {
            return Arc::clone(guest);
        }
        if shard.len() >= shard.cap().get() && !self.make_room(&mut shard) {
            let crowd = &self.crowds[usize::from(terms.is_exempt(address))];
            return Arc::clone(&lock(crowd));
        }
        let guest = Guest::new(net, terms.is_exempt(address));
        shard.push(net, Arc::clone(&guest));
        self.known.fetch_add(1, Relaxed);
        guest
    }

    /// Forgets somebody who has nothing under way and was not heard of for long. False if there is nobody.
    fn make_room(&self, shard: &mut Accounts) -> bool {
        for _ in 0..LOOKED_AT {
            let Some((net, guest)) = shard.pop_lru() else {
                return false;
            };
            // Nobody else can come by it: the table is locked.
            if Arc::strong_count(&guest) == 1 {
                self.known.fetch_sub(1, Relaxed);
                return true;
            }
            shard.push(net, guest);
        }
        false
    }

    /// Lets a client wait for an answer where `left` more may. `is_new`: the question goes upstream for it.
    ///
    /// # Errors
    /// The limit that it meets.
    pub fn seat(
        &self,
        guest: &Arc<Guest>,
        left: usize,
        is_new: bool,
        now: Time,
    ) -> Result<Seat, Limit> {
        let terms = self.terms();
        let waiting = guest.waiting.load(Relaxed);
        let met = if !self.may_hold(waiting, left) {
            Some(Limit::Waiting)
        } else if guest.is_exempt {
            None
        } else if waiting >= terms.waiting {
            Some(Limit::WaitingPerClient)
        } else if is_new && !guest.pay(terms.price, now) {
            Some(Limit::NewNamesPerClient)
        } else {
            None
        };
        match met {
            Some(limit) => {
                guest.turned_away();
                Err(limit)
            }
            None => {
                guest.waiting.fetch_add(1, Relaxed);
                let guest = Arc::clone(guest);
                Ok(Seat { guest })
            }
        }
    }

    /// A question of a client's.
    pub fn stake(self: &Arc<Self>, guest: &Arc<Guest>) -> Stake {
        if guest.questions.fetch_add(1, Relaxed) == 0 {
            self.active.fetch_add(1, Relaxed);
        }
        Stake {
            clients: Arc::clone(self),
            guest: Arc::clone(guest),
            is_racing: false,
        }
    }

    /// Who was turned away most since this was last asked.
    pub fn turned_away_most(&self) -> Option<IpNet> {
        let most = |shard: &Shard| {
            let shard = lock(shard);
            let of = shard
                .iter()
                .map(|(net, guest)| (guest.turned_away.swap(0, Relaxed), *net));
            of.max()
        };
        let (count, net) = self.shards.iter().filter_map(most).max()?;
        (count > 0).then_some(net)
    }

    /// Clients in the table.
    pub fn known(&self) -> usize {
        self.known.load(Relaxed)
    }

    /// Whether who holds so much of a room may have more while so much is left. Who is alone may have all.
    fn may_hold(&self, held: usize, left: usize) -> bool {
        held == 0 || held < SHARE.saturating_mul(left) || self.known() <= 1
    }

    fn terms(&self) -> Arc<Terms> {
        Arc::clone(&self.terms.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Where there is no place in the table, the account is nobody's in particular.
const CROWD: IpNet = IpNet::V6(ipnet::Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0));

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Terms {
    fn of(limits: &Limits) -> Terms {
        let rate = limits.new_names_per_client.max(1) as u64;
        Terms {
            ipv4: limits.client_ipv4,
            ipv6: limits.client_ipv6,
            exempt: limits.exempt_clients.clone(),
            clients: limits.clients,
            waiting: limits.waiting_per_client,
            price: Duration::from_secs(1).as_nanos() as u64 / rate,
        }
    }

    /// Places in one part of the table.
    fn places(&self) -> NonZeroUsize {
        NonZeroUsize::new(self.clients.div_ceil(SHARDS)).unwrap_or(NonZeroUsize::MIN)
    }

    /// What counts as one client.
    fn client(&self, address: IpAddr) -> IpNet {
        let length = match address.to_canonical() {
            IpAddr::V4(_) => self.ipv4,
            IpAddr::V6(_) => self.ipv6,
        };
        let net = IpNet::new(address.to_canonical(), length);
        net.map_or(CROWD, |net| net.trunc())
    }

    fn is_exempt(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.exempt.iter().any(|net| net.contains(&address))
    }
}

impl Guest {
    fn new(net: IpNet, is_exempt: bool) -> Arc<Guest> {
        Arc::new(Guest {
            net,
            is_exempt,
            waiting: AtomicUsize::new(0),
            questions: AtomicUsize::new(0),
            racing: AtomicUsize::new(0),
            paid: AtomicU64::new(0),
            turned_away: AtomicU64::new(0),
        })
    }

    /// Where it is.
    pub fn class(&self) -> metrics::Client {
        self.net.addr().into()
    }

    /// It did not get what it asked for.
    pub fn turned_away(&self) {
        self.turned_away.fetch_add(1, Relaxed);
    }

    /// Pays for a new name (the generic cell rate algorithm). Two workers that do so at once may pay once.
    fn pay(&self, price: u64, now: Time) -> bool {
        let now = now.nanos();
        let paid = self
            .paid
            .load(Relaxed)
            .max(now.saturating_sub(BURST.as_nanos() as u64));
        let may = paid + price <= now;
        if may {
            self.paid.store(paid + price, Relaxed);
        }
        may
    }
}

impl Seat {
    /// Whose it is.
    pub fn guest(&self) -> &Arc<Guest> {
        &self.guest
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.guest.waiting.fetch_sub(1, Relaxed);
    }
}

impl Stake {
    /// Whose question it is.
    pub fn guest(&self) -> &Arc<Guest> {
        &self.guest
    }

    /// Whether its client may have it where so many questions more may be.
    pub fn is_fair(&self, left: usize) -> bool {
        let others = self.guest.questions.load(Relaxed).saturating_sub(1);
        self.clients.may_hold(others, left)
    }

    /// Whether its client has less than an equal part of what is under way upstream.
    pub fn is_light(&self) -> bool {
        is_light(&self.clients, &self.guest)
    }

    /// It is under way from now on.
    pub fn race(&mut self) {
        if !std::mem::replace(&mut self.is_racing, true) {
            self.guest.racing.fetch_add(1, Relaxed);
            self.clients.racing.fetch_add(1, Relaxed);
        }
    }
}

/// Whether a client has less than an equal part of what is under way upstream.
pub fn is_light(clients: &Clients, guest: &Guest) -> bool {
    let (own, all) = (guest.racing.load(Relaxed), clients.racing.load(Relaxed));
    own < all && own * clients.active.load(Relaxed) < all
}

impl Drop for Stake {
    fn drop(&mut self) {
        if self.is_racing {
            self.guest.racing.fetch_sub(1, Relaxed);
            self.clients.racing.fetch_sub(1, Relaxed);
        }
        if self.guest.questions.fetch_sub(1, Relaxed) == 1 {
            self.clients.active.fetch_sub(1, Relaxed);
        }
    }
}
