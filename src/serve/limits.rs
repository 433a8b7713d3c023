//! How many TCP connections there may be, all workers together.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
    most: usize,
    most_per_client: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    by_client: HashMap<IpAddr, usize>,
}

/// Why a connection has no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// There are as many as there may be.
    Total,
    /// This client has as many as it may have.
    Client,
}

impl Connections {
    /// At most `most` in all, and `most_per_client` from one client.
    pub fn new(most: usize, most_per_client: usize) -> Arc<Connections> {
        Arc::new(Connections {
            most,
            most_per_client,
            open: Mutex::default(),
        })
    }

    /// A place for a connection from `peer`.
    pub fn enter(self: &Arc<Connections>, peer: IpAddr) -> Result<Place, Full> {
        if self.lock().total >= self.most {
            return Err(Full::Total);
        }
        self.enter_displacing(peer)
    }

    /// The same for a connection that takes the place of one which is about to end.
    pub fn enter_displacing(self: &Arc<Connections>, peer: IpAddr) -> Result<Place, Full> {
        let client = client(peer);
        let mut open = self.lock();
        let count = open.by_client.entry(client).or_default();
        if *count >= self.most_per_client {
            return Err(Full::Client);
        }
        *count += 1;
        open.total += 1;
        Ok(Place {
            connections: Arc::clone(self),
            client,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place, until dropped.
#[derive(Debug)]
pub struct Place {
    connections: Arc<Connections>,
    client: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.connections.lock();
        open.total -= 1;
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
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn places_are_bounded_by_client_and_in_all() {
        let connections = Connections::new(3, 2);
        let first = connections.enter(ip("10.0.0.1")).unwrap();
        let _second = connections.enter(ip("::ffff:10.0.0.1")).unwrap();
        assert_eq!(connections.enter(ip("10.0.0.1")).unwrap_err(), Full::Client);
        let _third = connections.enter(ip("10.0.0.2")).unwrap();
        assert_eq!(connections.enter(ip("10.0.0.3")).unwrap_err(), Full::Total);
        let over = connections.enter_displacing(ip("10.0.0.3")).unwrap();
        drop(over);
        drop(first);
        let _fourth = connections.enter(ip("10.0.0.1")).unwrap();
    }

    #[test]
    fn an_ipv6_client_is_its_network() {
        let connections = Connections::new(10, 1);
        let _place = connections.enter(ip("2001:db8:0:1::1")).unwrap();
        assert_eq!(
            connections.enter(ip("2001:db8:0:1:ffff::9")).unwrap_err(),
            Full::Client
        );
        assert!(connections.enter(ip("2001:db8:0:2::1")).is_ok());
    }

    #[test]
    fn nothing_is_kept_of_clients_that_have_left() {
        let connections = Connections::new(10, 1);
        for i in 0..100u8 {
            drop(connections.enter(ip(&format!("10.0.0.{i}"))));
        }
        let open = connections.lock();
        assert_eq!((open.total, open.by_client.len()), (0, 0));
    }
}
