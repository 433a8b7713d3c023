//! Which clients are known to be where they say they are, and how much goes to those over UDP who are not.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use siphasher::sip::SipHasher24;

use super::admit::Admission;
use super::rates::Rates;
use crate::clock::{Clock, Time};
use crate::config::Limits;
use crate::wire::{ClientEdns, CookieSecret, bake};

/// How long a secret of byway's own makes cookies, in seconds; it is taken for as long again (RFC 7873 section 7.1.2).
const DAY: u32 = 24 * 3600;

/// What all workers share.
#[derive(Debug)]
pub struct Proofs {
    /// What secrets are made of where none is configured.
    seed: CookieSecret,
    rates: Rates,
}

/// One worker's view of it.
#[derive(Debug)]
pub(super) struct Prover {
    shared: Arc<Proofs>,
    clock: Clock,
    terms: RefCell<Terms>,
    /// The secrets that are taken, the one that cookies are made with first, and the day that they are for.
    secrets: RefCell<(u32, Vec<CookieSecret>)>,
    /// Unix time when it was last read, and when that was.
    read: Cell<(Time, u32)>,
    /// Answers held back since one was sent.
    held_back: Cell<u32>,
}

#[derive(Debug)]
struct Terms {
    exempt: Admission,
    rate: u32,
    slip: u32,
    ipv4: u8,
    ipv6: u8,
    configured: Vec<CookieSecret>,
}

/// What becomes of an answer to somebody who may be somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is sent.
    Whole,
    /// Only so much of it is sent that nothing is won by having it sent elsewhere.
    Short,
    /// It is not sent.
    None,
}

impl Proofs {
    /// `seed` must be unpredictable.
    pub fn new(seed: [u8; 16]) -> Arc<Proofs> {
        let rates = Rates::default();
        Arc::new(Proofs { seed, rates })
    }

    /// The secret of a day, where none is configured.
    fn secret_of(&self, day: u32) -> CookieSecret {
        let half = |n: u8| {
            let [a, b, c, d] = day.to_be_bytes();
            SipHasher24::new_with_key(&self.seed).hash(&[a, b, c, d, n])
        };
        let (one, other) = (u128::from(half(0)), u128::from(half(1)));
        (one << 64 | other).to_be_bytes()
    }
}

impl Terms {
    fn of(limits: &Limits) -> Terms {
        Terms {
            exempt: Admission::new(&limits.exempt_clients),
            rate: limits.udp_answers_per_client,
            slip: limits.slip,
            ipv4: limits.client_ipv4,
            ipv6: limits.client_ipv6,
            configured: limits.cookie_secrets.clone(),
        }
    }
}

impl Prover {
    pub(super) fn new(shared: Arc<Proofs>, limits: &Limits, clock: Clock) -> Prover {
        Prover {
            shared,
            clock,
            terms: RefCell::new(Terms::of(limits)),
            secrets: RefCell::default(),
            read: Cell::default(),
            held_back: Cell::default(),
        }
    }

    /// Others hold from now on.
    pub(super) fn suit(&self, limits: &Limits) {
        *self.terms.borrow_mut() = Terms::of(limits);
        self.secrets.borrow_mut().1.clear();
    }

    /// Whether the cookie among what a client at `address` said proves that it is there. What it said becomes what it is
    /// told: the cookie to prove it with from now on.
    #[inline]
    pub(super) fn prove(&self, edns: Option<&mut ClientEdns>, address: IpAddr, now: Time) -> bool {
        match edns {
            Some(edns) if edns.cookie.is_some() => self.look(edns, address, now),
            _ => false,
        }
    }

    fn look(&self, edns: &mut ClientEdns, address: IpAddr, now: Time) -> bool {
        let Some(cookie) = edns.cookie.take() else {
            return false;
        };
        let unix = self.unix(now);
        let mut secrets = self.secrets.borrow_mut();
        let day = unix / DAY;
        if secrets.1.is_empty() || secrets.0 != day {
            let configured = &self.terms.borrow().configured;
            let own = || [day, day.wrapping_sub(1)].map(|day| self.shared.secret_of(day));
            secrets.1 = match configured.is_empty() {
                true => own().to_vec(),
                false => configured.clone(),
            };
            secrets.0 = day;
        }
        let (made, proven) = bake(cookie, address, &secrets.1, unix);
        edns.cookie = made;
        proven
    }

    /// Unix time in seconds, to one or two: it is read once a second at most.
    fn unix(&self, now: Time) -> u32 {
        let (read_at, unix) = self.read.get();
        if read_at.secs() == now.secs() {
            return unix;
        }
        // It wraps in 2106, and serial numbers are compared (RFC 9018 section 4.3).
        let unix = self.clock.wall() as u32;
        self.read.set((now, unix));
        unix
    }

    /// What becomes of an answer by datagram to `address`, which nothing proves.
    #[inline]
    pub(super) fn fate(&self, address: IpAddr, now: Time) -> Fate {
        let terms = self.terms.borrow();
        match terms.exempt.admits(address) {
            true => Fate::Whole,
            false => self.weigh(&terms, address, now),
        }
    }

    fn weigh(&self, terms: &Terms, address: IpAddr, now: Time) -> Fate {
        let address = address.to_canonical();
        let length = match address {
            IpAddr::V4(_) => terms.ipv4,
            IpAddr::V6(_) => terms.ipv6,
        };
        let Ok(net) = IpNet::new(address, length) else {
            return Fate::None; // The lengths are within their bounds.
        };
        if self.shared.rates.pay(net.trunc(), terms.rate, now) {
            return Fate::Whole;
        }
        let held_back = self.held_back.get() + 1;
        let sends = held_back >= terms.slip;
        self.held_back.set(if sends { 0 } else { held_back });
        if sends { Fate::Short } else { Fate::None }
    }
}
