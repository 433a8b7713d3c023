//! IPv6 addresses made of IPv4 ones, for hosts that have no IPv4 (DNS64, RFC 6147; the addresses: RFC 6052).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv6Net};

use crate::config::{Config, Dns64Config, reverse_zones};

/// The octet that is zero in every such address (RFC 6052 section 2.2).
const ZERO: usize = 8;

/// How they are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dns64 {
    prefix: Ipv6Net,
    exclude: Vec<IpNet>,
}

impl Dns64 {
    /// As `config` has it.
    pub fn new(config: &Config) -> Option<Dns64> {
        let Dns64Config { prefix, exclude } = config.dns64.clone()?;
        Some(Dns64 { prefix, exclude })
    }

    /// The address that stands for `ip`, unless none is to be made of it.
    pub fn map(&self, ip: Ipv4Addr) -> Option<Ipv6Addr> {
        self.counts(ip.into()).then(|| self.embed(ip))
    }

    /// The address that stands for `ip`.
    pub fn embed(&self, ip: Ipv4Addr) -> Ipv6Addr {
        let mut octets = self.prefix.network().octets();
        for (octet, place) in ip.octets().into_iter().zip(self.places()) {
            octets[place] = octet;
        }
        octets.into()
    }

    /// The address that `ip` stands for, if it is one of these.
    pub fn extract(&self, ip: Ipv6Addr) -> Option<Ipv4Addr> {
        if !self.prefix.contains(&ip) {
            return None;
        }
        let (octets, mut found) = (ip.octets(), [0; 4]);
        for (octet, place) in found.iter_mut().zip(self.places()) {
            *octet = octets[place];
        }
        let found = Ipv4Addr::from(found);
        (self.embed(found) == ip).then_some(found)
    }

    /// Where the octets of the IPv4 address are.
    fn places(&self) -> impl Iterator<Item = usize> {
        let first = usize::from(self.prefix.prefix_len()) / 8;
        (first..16).filter(move |place| *place != ZERO || first == 12)
    }

    /// Whether `ip` is not excluded.
    pub fn counts(&self, ip: IpAddr) -> bool {
        !self.exclude.iter().any(|net| net.contains(&ip))
    }

    /// The reverse name of the IPv4 address that the address of the reverse name `name`, in wire form and lower case, stands for.
    pub fn reverse(&self, name: &[u8]) -> Option<Vec<u8>> {
        let ip = self.extract(address_of(name)?)?;
        let net = IpNet::from(IpAddr::from(ip));
        self.counts(ip.into())
            .then(|| reverse_zones(&net).swap_remove(0))
    }
}

/// The IPv6 address of a reverse name (RFC 3596 section 2.5).
fn address_of(name: &[u8]) -> Option<Ipv6Addr> {
    const LABELS: usize = 32;
    let (nibbles, rest) = name.split_at_checked(2 * LABELS)?;
    if rest != b"\x03ip6\x04arpa\0" {
        return None;
    }
    let mut address = 0u128;
    for (place, label) in nibbles.chunks_exact(2).enumerate() {
        let [1, digit] = *label else {
            return None;
        };
        let nibble = char::from(digit).to_digit(16)?;
        address |= u128::from(nibble) << (4 * place);
    }
    Some(address.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dns64(prefix: &str, exclude: &[&str]) -> Dns64 {
        Dns64 {
            prefix: prefix.parse().expect("a prefix"),
            exclude: exclude
                .iter()
                .map(|it| it.parse().expect("a prefix"))
                .collect(),
        }
    }

    /// The examples of RFC 6052 section 2.4.
    #[test]
    fn addresses_are_made_as_the_standard_shows() {
        let ip = "192.0.2.33".parse().expect("an address");
        for (prefix, made) in [
            ("2001:db8::/32", "2001:db8:c000:221::"),
            ("2001:db8:100::/40", "2001:db8:1c0:2:21::"),
            ("2001:db8:122::/48", "2001:db8:122:c000:2:2100::"),
            ("2001:db8:122:300::/56", "2001:db8:122:3c0:0:221::"),
            ("2001:db8:122:344::/64", "2001:db8:122:344:c0:2:2100::"),
            ("2001:db8:122:344::/96", "2001:db8:122:344::192.0.2.33"),
            ("64:ff9b::/96", "64:ff9b::192.0.2.33"),
        ] {
            let dns64 = dns64(prefix, &[]);
            let made: Ipv6Addr = made.parse().expect("an address");
            assert_eq!(dns64.map(ip), Some(made), "{prefix}");
            assert_eq!(dns64.extract(made), Some(ip), "{prefix}");
        }
    }

    #[test]
    fn what_is_excluded_is_neither_made_nor_led_back() {
        let dns64 = dns64("64:ff9b::/96", &["10.0.0.0/8"]);
        assert_eq!(dns64.map([10, 1, 2, 3].into()), None);
        assert_eq!(dns64.extract("2001:db8::1".parse().expect("one")), None);
        let reverse = |ip: &str| {
            let net = IpNet::from(IpAddr::from(ip.parse::<Ipv6Addr>().expect("one")));
            dns64.reverse(&reverse_zones(&net).swap_remove(0))
        };
        let expected = b"\x0233\x012\x010\x03192\x07in-addr\x04arpa\0";
        assert_eq!(
            reverse("64:ff9b::192.0.2.33").as_deref(),
            Some(&expected[..])
        );
        assert_eq!(reverse("64:ff9b::10.1.2.3"), None);
        assert_eq!(reverse("2001:db8::1"), None);
        for name in [&b"\x01a\0"[..], b"\0", b"", b"\x03ip6\x04arpa\0"] {
            assert_eq!(dns64.reverse(name), None);
        }
    }
}
