//! Who is answered.
//!
//! Clients outside the allowed prefixes are told so (REFUSED); senders that cannot be clients are not
//! answered at all, because whoever sent such a query wants the answer to hit somebody else.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

/// The clients that are answered: prefixes, matched one by one as network and mask. Access lists are
/// short, and a few comparisons cost less than any tree.
#[derive(Clone, Debug, Default)]
pub struct Admission {
    ipv4: Vec<(u32, u32)>,
    ipv6: Vec<(u128, u128)>,
}

impl Admission {
    /// Admits exactly the clients within `allow`.
    pub fn new(allow: &[IpNet]) -> Admission {
        let mut admission = Admission::default();
        for prefix in allow {
            match prefix {
                IpNet::V4(prefix) => admission
                    .ipv4
                    .push((prefix.network().to_bits(), prefix.netmask().to_bits())),
                IpNet::V6(prefix) => admission
                    .ipv6
                    .push((prefix.network().to_bits(), prefix.netmask().to_bits())),
            }
        }
        admission
    }

    /// Whether a client at `address` is admitted. IPv4 in IPv6 (RFC 4291 section 2.5.5.2) is taken
    /// for the IPv4 that it is.
    #[inline]
    pub fn admits(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => self.admits_ipv4(address),
            IpAddr::V6(address) => match address.to_ipv4_mapped() {
                Some(address) => self.admits_ipv4(address),
                None => self.admits_ipv6(address),
            },
        }
    }

    #[inline]
    fn admits_ipv4(&self, address: Ipv4Addr) -> bool {
        let bits = address.to_bits();
        self.ipv4
            .iter()
            .any(|&(network, mask)| bits & mask == network)
    }

    fn admits_ipv6(&self, address: Ipv6Addr) -> bool {
        let bits = address.to_bits();
        self.ipv6
            .iter()
            .any(|&(network, mask)| bits & mask == network)
    }
}

/// Whether a datagram from `peer` may be answered at all. Port 0 and group addresses cannot be
/// clients. Behind the small ports listed here are services that answer whatever they are sent
/// (echo, daytime, quotd, chargen, time, kpasswd): two of a kind would talk for ever.
#[inline]
pub fn is_answerable(peer: SocketAddr) -> bool {
    let address = match peer.ip() {
        IpAddr::V4(address) => {
            !address.is_unspecified() && !address.is_multicast() && !address.is_broadcast()
        }
        IpAddr::V6(address) => !address.is_unspecified() && !address.is_multicast(),
    };
    address && !matches!(peer.port(), 0 | 7 | 13 | 17 | 19 | 37 | 464)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(prefixes: &[&str]) -> Admission {
        let prefixes: Vec<IpNet> = prefixes.iter().map(|text| text.parse().unwrap()).collect();
        Admission::new(&prefixes)
    }

    #[test]
    fn prefixes_admit_what_lies_within_them() {
        let admission = admission(&["10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32", "::1/128"]);
        for (address, admitted) in [
            ("10.255.0.1", true),
            ("11.0.0.1", false),
            ("192.0.2.7", true),
            ("192.0.2.6", false),
            ("::ffff:10.1.2.3", true),
            ("::ffff:11.1.2.3", false),
            ("2001:db8:ffff::1", true),
            ("2001:db9::1", false),
            ("::1", true),
            ("::", false),
        ] {
            assert_eq!(
                admission.admits(address.parse().unwrap()),
                admitted,
                "{address}"
            );
        }
    }

    #[test]
    fn the_whole_internet_is_a_prefix_and_nobody_is_too() {
        let everybody = admission(&["0.0.0.0/0", "::/0"]);
        assert!(everybody.admits("203.0.113.9".parse().unwrap()));
        assert!(everybody.admits("2001:db8::1".parse().unwrap()));
        assert!(!admission(&[]).admits("127.0.0.1".parse().unwrap()));
    }

    /// The host bits of a prefix as written do not matter.
    #[test]
    fn host_bits_are_ignored() {
        assert!(admission(&["10.1.2.3/8"]).admits("10.200.0.1".parse().unwrap()));
    }

    #[test]
    fn what_cannot_be_a_client_is_not_answered() {
        for (peer, answerable) in [
            ("192.0.2.1:4000", true),
            ("[2001:db8::1]:53", true),
            ("192.0.2.1:0", false),
            ("192.0.2.1:19", false),
            ("255.255.255.255:4000", false),
            ("224.0.0.251:5353", false),
            ("0.0.0.0:4000", false),
            ("[ff02::fb]:5353", false),
            ("[::]:4000", false),
        ] {
            assert_eq!(is_answerable(peer.parse().unwrap()), answerable, "{peer}");
        }
    }
}
