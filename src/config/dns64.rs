//! `[dns64]`: IPv6 addresses for hosts that have no IPv4.

use ipnet::{IpNet, Ipv6Net};

use super::Dns64Config;
use super::report::quoted;
use super::spec::Dns64Spec;
use super::value::{Read, Value};

/// Lengths of prefixes into which an IPv4 address can be put (RFC 6052 section 2.2).
const LENGTHS: [u8; 6] = [32, 40, 48, 56, 64, 96];

/// What no translator should be asked for: IPv4 addresses that mean nothing elsewhere (RFC 6052 section 3.1).
const NOT_GLOBAL: [&str; 11] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.2.0/24",
    "192.168.0.0/16",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "240.0.0.0/4",
];

/// IPv6 addresses that are none to anybody (RFC 6147 section 5.1.4).
const MAPPED: &str = "::ffff:0:0/96";

pub(super) fn dns64(written: &Dns64Spec) -> Option<Dns64Config> {
    let prefix = written.prefix.as_ref()?.value;
    let exclude = match &written.exclude {
        Some(written) => written.value.iter().map(|it| it.value).collect(),
        None => {
            let well_known = prefix.to_string() == "64:ff9b::/96";
            let all = NOT_GLOBAL.iter().filter(|_| well_known).chain([&MAPPED]);
            all.filter_map(|it| it.parse().ok()).collect()
        }
    };
    Some(Dns64Config { prefix, exclude })
}

pub(super) fn prefix(value: &Value<'_>) -> Read<Ipv6Net> {
    let text = value.string("an IPv6 prefix in quotes, such as `\"64:ff9b::/96\"`")?;
    let net = text.parse::<Ipv6Net>().ok();
    // Octet 8 is zero in every address that is made (RFC 6052 section 2.2).
    let is_good = |net: &Ipv6Net| {
        let whole = net.trunc() == *net && LENGTHS.contains(&net.prefix_len());
        whole && (net.prefix_len() < 96 || net.network().octets()[8] == 0)
    };
    net.filter(is_good).ok_or_else(|| {
        let message = format!("{} is no prefix of a translator", quoted(text));
        let label =
            "expected an IPv6 prefix of 32, 40, 48, 56, 64 or 96 bits (RFC 6052 section 2.2)";
        value.error(message, label)
    })
}

pub(super) fn exclude(value: &Value<'_>) -> Read<IpNet> {
    let text = value.string("a prefix in quotes, such as `\"10.0.0.0/8\"`")?;
    let net = text.parse::<IpNet>().ok();
    net.filter(|net| net.trunc() == *net).ok_or_else(|| {
        let message = format!("{} is not a prefix", quoted(text));
        value.error(message, "expected an address and its length")
    })
}
