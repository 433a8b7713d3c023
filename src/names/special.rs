//! Names that mean the same everywhere, or nothing anywhere, and that nobody beyond this network can know (IANA's registry
//! of special-use domain names, RFC 6761).
//!
//! Some are answered here whatever the configuration: to ask anybody for `localhost` could only go wrong. Others mean something
//! in some networks: a resolver of this network, which has a private address, may well serve `.local`, `.test` or the reverse zones of
//! private addresses, and a public one never does. So these are answered here only where
//! every upstream that would be asked is a public one, and a zone of the configuration always comes first.

use std::collections::HashMap;
use std::net::IpAddr;

use foldhash::fast::FixedState;

use super::zones::{Zones, suffixes};
use crate::config::{Answering, Config, reverse_zones};
use crate::wire::{KeyRef, OwnRecord, Rcode, RecordType, name_from_text};

/// TTL of what is answered, in seconds: three hours, as for the empty zones of RFC 6303 section 3.
const TTL: u32 = 10_800;

/// What is said of the names of a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Addresses of the loopback interface.
    Localhost,
    /// It does not exist.
    Nothing,
    /// It exists, and nothing below it.
    Empty,
    /// The same, but who checks signatures is to learn from above that there are none (RFC 8375 section 4, RFC 9665).
    Home,
    /// It and all below it exist and have no data.
    NoData,
    /// It is the reverse name of a loopback address.
    Loopback,
    /// The name that tells of NAT64 (RFC 7050).
    Ipv4Only,
    /// The reverse name of one of its addresses.
    Ipv4OnlyReverse,
}

/// A zone of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Zone {
    kind: Kind,
    why: &'static str,
}

/// What is said of one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said {
    /// NOERROR or NXDOMAIN.
    pub rcode: Rcode,
    /// Where in the name that of its zone begins.
    pub zone_at: usize,
    /// Its records.
    pub records: &'static [OwnRecord<'static>],
    /// How long it may be kept, in seconds.
    pub ttl: u32,
    /// The document that says so.
    pub why: &'static str,
}

/// Which of them are answered here.
#[derive(Debug, Default)]
pub struct Special {
    zones: HashMap<Box<[u8]>, Zone, FixedState>,
    deepest: usize,
}

const LOCALHOST_A: &[OwnRecord<'static>] = &[OwnRecord {
    record_type: RecordType::A,
    ttl: TTL,
    data: &[127, 0, 0, 1],
}];
const LOCALHOST_AAAA: &[OwnRecord<'static>] = &[OwnRecord {
    record_type: RecordType::AAAA,
    ttl: TTL,
    data: &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
}];
const LOCALHOST_PTR: &[OwnRecord<'static>] = &[OwnRecord {
    record_type: RecordType::PTR,
    ttl: TTL,
    data: b"\x09localhost\0",
}];
const IPV4ONLY_PTR: &[OwnRecord<'static>] = &[OwnRecord {
    record_type: RecordType::PTR,
    ttl: TTL,
    data: b"\x08ipv4only\x04arpa\0",
}];
/// The addresses of RFC 7050 section 8.
const IPV4ONLY_A: &[OwnRecord<'static>] = &[
    OwnRecord {
        record_type: RecordType::A,
        ttl: TTL,
        data: &[192, 0, 0, 170],
    },
    OwnRecord {
        record_type: RecordType::A,
        ttl: TTL,
        data: &[192, 0, 0, 171],
    },
];

/// Reverse zones that are of no use to anybody who is asked from elsewhere (RFC 6303 section 4, RFC 7793).
const PRIVATE: [&str; 17] = [
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
    "0.0.0.0/8",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "192.0.2.0/24",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "255.255.255.255/32",
    "::/128",
    "fd00::/8",
    "fe80::/10",
    "2001:db8::/32",
    "fc00::/8",
    "::ffff:0:0/96",
];

impl Special {
    /// Those that `config` wants answered here.
    pub fn new(config: &Config) -> Special {
        let names = &config.special;
        let (pools, _) = config.pools();
        let upstreams = pools[0].upstreams.iter();
        let addresses = upstreams.map(|it| config.upstreams[*it].address.ip().to_canonical());
        let private: Vec<IpAddr> = addresses.filter(|ip| is_private(*ip)).collect();
        // One on this host says nothing of the network. But it may be what is tested.
        let knows_network = private.iter().any(|ip| !ip.is_loopback());
        let knows_tests = !private.is_empty();
        let is_here = |answering: Answering| match answering {
            Answering::Here => true,
            Answering::Forward => false,
            Answering::Auto => !knows_network,
        };
        let test = match names.test {
            Answering::Auto if knows_tests => Answering::Forward,
            answering => answering,
        };
        let mut special = Special::default();
        for (answering, name, kind, why) in [
            (names.localhost, "localhost", Kind::Localhost, "RFC 6761"),
            (
                names.localhost,
                "1.0.0.127.in-addr.arpa",
                Kind::Loopback,
                "RFC 6761",
            ),
            (names.invalid, "invalid", Kind::Nothing, "RFC 6761"),
            (test, "test", Kind::Nothing, "RFC 6761"),
            (names.onion, "onion", Kind::Nothing, "RFC 7686"),
            (names.local, "local", Kind::Nothing, "RFC 6762"),
            (names.home_arpa, "home.arpa", Kind::Home, "RFC 8375"),
            (names.service_arpa, "service.arpa", Kind::Home, "RFC 9665"),
            (names.alt, "alt", Kind::Nothing, "RFC 9476"),
            (names.eap_arpa, "eap.arpa", Kind::Nothing, "RFC 9965"),
            (names.eap_arpa, "eap-noob.arpa", Kind::Nothing, "RFC 9140"),
            (names.eap_arpa, "6tisch.arpa", Kind::Nothing, "RFC 9031"),
            (
                names.resolver_arpa,
                "resolver.arpa",
                Kind::NoData,
                "RFC 9462",
            ),
            (
                names.ipv4only_arpa,
                "ipv4only.arpa",
                Kind::Ipv4Only,
                "RFC 8880",
            ),
            (
                names.use_application_dns,
                "use-application-dns.net",
                Kind::Nothing,
                "[special-names]",
            ),
        ] {
            if is_here(answering) {
                special.add(&name_from_text(name).unwrap_or_default(), kind, why);
            }
        }
        if is_here(names.localhost) {
            special.add_reverse("::1/128", Kind::Loopback, "RFC 6761");
        }
        // Whoever answers for the name in place of its owner answers for these too (RFC 8880 section 7.2).
        if is_here(names.ipv4only_arpa) && config.dns64.is_some() {
            for address in ["192.0.0.170/32", "192.0.0.171/32"] {
                special.add_reverse(address, Kind::Ipv4OnlyReverse, "RFC 8880");
            }
        }
        if is_here(names.private_reverse) {
            for prefix in PRIVATE {
                special.add_reverse(prefix, Kind::Empty, "RFC 6303");
            }
            // They exist, for 1.0.0.127.in-addr.arpa does.
            for prefix in ["127.0.0.0/16", "127.0.0.0/24"] {
                special.add_reverse(prefix, Kind::Empty, "RFC 6303");
            }
        }
        special
    }

    fn add_reverse(&mut self, prefix: &str, kind: Kind, why: &'static str) {
        if let Ok(net) = prefix.parse() {
            for name in reverse_zones(&net) {
                self.add(&name, kind, why);
            }
        }
    }

    fn add(&mut self, name: &[u8], kind: Kind, why: &'static str) {
        self.deepest = self.deepest.max(suffixes(name).count());
        self.zones.insert(name.into(), Zone { kind, why });
    }

    /// What is said here of the question. `None` if it is for nothing special, or a zone of the configuration says whom to ask.
    pub fn find(&self, key: KeyRef<'_>, zones: &Zones) -> Option<Said> {
        let (name, record_type) = (key.name(), key.record_type());
        let labels = suffixes(name).count();
        let skip = labels.saturating_sub(self.deepest);
        let suffix = suffixes(name)
            .skip(skip)
            .find(|suffix| self.zones.contains_key(*suffix))?;
        if zones.claims(name, suffix.len()) {
            return None;
        }
        let Zone { kind, why } = *self.zones.get(suffix)?;
        let at_apex = suffix.len() == name.len();
        let data = |records: &'static [OwnRecord<'static>]| (Rcode::NOERROR, records);
        let (rcode, records) = match (kind, record_type) {
            (Kind::Localhost, RecordType::A) => data(LOCALHOST_A),
            (Kind::Localhost, RecordType::AAAA) => data(LOCALHOST_AAAA),
            (Kind::Loopback, RecordType::PTR) if at_apex => data(LOCALHOST_PTR),
            (Kind::Ipv4Only, RecordType::A) if at_apex => data(IPV4ONLY_A),
            // Where an upstream does DNS64, it alone knows the prefix.
            (Kind::Ipv4Only, RecordType::AAAA) => return None,
            (Kind::Ipv4OnlyReverse, RecordType::PTR) if at_apex => data(IPV4ONLY_PTR),
            (Kind::Home, RecordType::DS) if at_apex && key.dnssec_ok() => return None,
            (Kind::Localhost | Kind::NoData, _) => data(&[]),
            (Kind::Nothing, _) => (Rcode::NXDOMAIN, &[][..]),
            _ if at_apex => data(&[]),
            _ => (Rcode::NXDOMAIN, &[][..]),
        };
        Some(Said {
            rcode,
            zone_at: name.len() - suffix.len(),
            records,
            ttl: TTL,
            why,
        })
    }
}

/// An address that is not reached from the Internet: who has one may know names that nobody else does.
pub fn is_private(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [first, second, ..] = ip.octets();
            let shared = first == 100 && second & 0xc0 == 64;
            // To connect to 0.0.0.0 is to connect to this host.
            let here = first == 0;
            ip.is_private() || ip.is_loopback() || ip.is_link_local() || shared || here
        }
        IpAddr::V6(ip) => {
            ip.is_unspecified()
                || ip.is_loopback()
                || ip.is_unique_local()
                || ip.is_unicast_link_local()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ZoneConfig;
    use crate::wire::{CLASS_IN, QuestionKey};

    const PUBLIC: [u8; 4] = [9, 9, 9, 9];
    const CORPORATE: [u8; 4] = [10, 0, 0, 2];

    fn config(upstream: [u8; 4]) -> Config {
        Config::default_with_upstreams(&[(upstream, 53).into()])
    }

    /// What is said of it: the rcode, and how many records there are.
    fn said(config: &Config, name: &str, record_type: RecordType) -> Option<(Rcode, usize)> {
        asked(config, name, record_type, false)
    }

    fn asked(
        config: &Config,
        name: &str,
        record_type: RecordType,
        dnssec_ok: bool,
    ) -> Option<(Rcode, usize)> {
        let name = name_from_text(name).expect("a name");
        let key = QuestionKey::new(&name, record_type, CLASS_IN, dnssec_ok, false)?;
        let zones = Zones::new(config, &crate::config::lineup::Lineup::new(config));
        let said = Special::new(config).find(key.by_ref(), &zones)?;
        Some((said.rcode, said.records.len()))
    }

    const NOTHING: Option<(Rcode, usize)> = Some((Rcode::NXDOMAIN, 0));
    const NO_DATA: Option<(Rcode, usize)> = Some((Rcode::NOERROR, 0));
    const ONE: Option<(Rcode, usize)> = Some((Rcode::NOERROR, 1));

    #[test]
    fn what_the_documents_say() {
        let (a, aaaa, ptr) = (RecordType::A, RecordType::AAAA, RecordType::PTR);
        let (txt, svcb) = (RecordType::TXT, RecordType::SVCB);
        for (name, record_type, expected) in [
            ("localhost", a, ONE),
            ("localhost", aaaa, ONE),
            ("db.localhost", a, ONE),
            ("localhost", txt, NO_DATA),
            ("localhost.example", a, None),
            ("1.0.0.127.in-addr.arpa", ptr, ONE),
            ("1.0.0.127.in-addr.arpa", a, NO_DATA),
            ("0.0.127.in-addr.arpa", ptr, NO_DATA),
            ("127.in-addr.arpa", ptr, NO_DATA),
            ("2.0.0.127.in-addr.arpa", ptr, NOTHING),
            ("invalid", a, NOTHING),
            ("a.invalid", a, NOTHING),
            ("a.test", a, NOTHING),
            ("expyuzz4wqqyqhjn.onion", a, NOTHING),
            ("printer.local", a, NOTHING),
            ("home.arpa", a, NO_DATA),
            ("tv.home.arpa", a, NOTHING),
            ("_dns.resolver.arpa", svcb, NO_DATA),
            ("ipv4only.arpa", a, Some((Rcode::NOERROR, 2))),
            ("ipv4only.arpa", aaaa, None),
            ("ipv4only.arpa", txt, NO_DATA),
            ("a.ipv4only.arpa", a, NOTHING),
            ("4.3.2.10.in-addr.arpa", ptr, NOTHING),
            ("10.in-addr.arpa", RecordType::NS, NO_DATA),
            ("1.16.172.in-addr.arpa", ptr, NOTHING),
            ("1.32.172.in-addr.arpa", ptr, None),
            ("1.64.100.in-addr.arpa", ptr, NOTHING),
            ("1.2.3.4.d.f.ip6.arpa", ptr, NOTHING),
            ("use-application-dns.net", a, None),
            ("example", a, None),
            ("www.example.com", a, None),
            ("service.arpa", RecordType::SOA, NO_DATA),
            ("default.service.arpa", ptr, NOTHING),
            ("alt", a, NOTHING),
            ("a.b.alt", txt, NOTHING),
            ("eap.arpa", a, NOTHING),
            ("eap-noob.arpa", txt, NOTHING),
            ("x.6tisch.arpa", aaaa, NOTHING),
            ("170.0.0.192.in-addr.arpa", ptr, None),
            ("home.arpa", RecordType::DS, NO_DATA),
            (".", RecordType::NS, None),
        ] {
            assert_eq!(
                said(&config(PUBLIC), name, record_type),
                expected,
                "{name} {record_type}"
            );
        }
        let name = reverse_zones(&"::1/128".parse().expect("a prefix")).swap_remove(0);
        let config = config(CORPORATE);
        let key = QuestionKey::new(&name, ptr, CLASS_IN, false, false).expect("a question");
        let zones = Zones::new(&config, &crate::config::lineup::Lineup::new(&config));
        let said = Special::new(&config).find(key.by_ref(), &zones);
        assert_eq!(said.map(|it| it.records), Some(LOCALHOST_PTR));
    }

    #[test]
    fn a_resolver_of_this_network_is_asked_for_what_it_may_know() {
        let (a, ptr) = (RecordType::A, RecordType::PTR);
        for name in ["dc.corp.local", "4.3.2.10.in-addr.arpa"] {
            for upstream in [CORPORATE, [100, 64, 0, 1]] {
                assert_eq!(said(&config(upstream), name, ptr), None, "{name}");
            }
            for upstream in [PUBLIC, [127, 0, 0, 1]] {
                assert_eq!(said(&config(upstream), name, ptr), NOTHING, "{name}");
            }
        }
        for (upstream, expected) in [(CORPORATE, None), ([127, 0, 0, 1], None), (PUBLIC, NOTHING)] {
            assert_eq!(said(&config(upstream), "a.test", a), expected);
        }
        for name in ["a.invalid", "a.onion", "tv.home.arpa"] {
            assert_eq!(said(&config(CORPORATE), name, a), NOTHING, "{name}");
        }
    }

    #[test]
    fn who_checks_signatures_learns_from_above_that_there_are_none() {
        let config = config(PUBLIC);
        for name in ["home.arpa", "service.arpa"] {
            assert_eq!(asked(&config, name, RecordType::DS, true), None, "{name}");
            assert_eq!(asked(&config, name, RecordType::NS, true), NO_DATA);
        }
        let below = asked(&config, "tv.home.arpa", RecordType::DS, true);
        assert_eq!(below, NOTHING);
    }

    #[test]
    fn who_makes_addresses_answers_for_the_name_that_tells_of_it_both_ways() {
        let mut config = config(PUBLIC);
        config.dns64 = Some(crate::config::Dns64Config {
            prefix: "64:ff9b::/96".parse().expect("a prefix"),
            exclude: Vec::new(),
        });
        let said = |name: &str| said(&config, name, RecordType::PTR);
        assert_eq!(said("171.0.0.192.in-addr.arpa"), ONE);
        assert_eq!(said("172.0.0.192.in-addr.arpa"), None);
    }

    #[test]
    fn each_can_be_switched() {
        let mut config = config(PUBLIC);
        config.special.local = Answering::Forward;
        config.special.invalid = Answering::Forward;
        config.special.use_application_dns = Answering::Here;
        let a = RecordType::A;
        assert_eq!(said(&config, "a.local", a), None);
        assert_eq!(said(&config, "a.invalid", a), None);
        assert_eq!(said(&config, "use-application-dns.net", a), NOTHING);
        assert_eq!(said(&config, "a.test", a), NOTHING);
        config.special.test = Answering::Forward;
        assert_eq!(said(&config, "a.test", a), None);
    }

    #[test]
    fn a_zone_of_the_configuration_comes_first() {
        let mut config = config(PUBLIC);
        let zone = |name: &str| name_from_text(name).expect("a name");
        let names = ["corp.local", "168.192.in-addr.arpa", "test"].map(zone);
        config.zones.push(ZoneConfig::new(names.to_vec(), vec![]));
        config.zones.push(ZoneConfig::new(vec![vec![0]], vec![]));
        let a = RecordType::A;
        assert_eq!(said(&config, "dc.corp.local", a), None);
        assert_eq!(
            said(&config, "printer.local", a),
            NOTHING,
            "that is not in the zone"
        );
        assert_eq!(
            said(&config, "1.1.168.192.in-addr.arpa", RecordType::PTR),
            None
        );
        assert_eq!(said(&config, "a.test", a), None);
        assert_eq!(
            said(&config, "a.onion", a),
            NOTHING,
            "the root claims nothing"
        );
    }
}
