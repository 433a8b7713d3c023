//! `[[zone]]`: whom the names of a domain are asked of.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::meaning::{at_most, first_time, value_or};
use super::report::{Place, Report, Written, nearest, quoted};
use super::settings::{not_above, setting};
use super::spec::{Key, ZoneSpec};
use super::units::format_duration;
use super::value::{Read, Value};
use super::{UpstreamConfig, ZoneConfig, ZoneTtls, bounds};
use crate::wire::{name_from_text, name_to_text};

/// Makes the zones of what is written. `complete`: every upstream that is written is known.
pub(super) fn zones(
    written: &[ZoneSpec],
    upstreams: &[UpstreamConfig],
    complete: bool,
    reports: &mut Vec<Report>,
) -> Vec<ZoneConfig> {
    let place = |it| name_place(it);
    let written = at_most(written, bounds::MOST_ZONES, "zones", place, reports);
    let mut seen = HashMap::new();
    let mut zones = Vec::new();
    for it in written {
        let Some(names) = &it.names else {
            continue;
        };
        if names.value.is_empty() {
            let label = "expected at least one name";
            let report = Report::error("a zone without a name", &names.place, label);
            reports.push(report.help("the zone of all names is `\".\"`"));
        }
        for name in &names.value {
            for wire in &name.value {
                let message = || format!("two zones are named `{}`", name_to_text(wire));
                first_time(&mut seen, wire.clone(), &name.place, message, reports);
            }
        }
        zones.push(ZoneConfig {
            names: names.value.iter().flat_map(|it| it.value.clone()).collect(),
            upstreams: upstreams_of(&it.upstreams, upstreams, complete, reports),
            policy: it.policy.as_ref().map(|it| it.value),
            deadline: it.deadline.as_ref().map(|it| it.value),
            stale: value_or(&it.stale, true),
            filter: match &it.filter {
                Some(filter) => filter.value.iter().map(|it| it.value).collect(),
                None => Vec::new(),
            },
            private_addresses: value_or(&it.private_addresses, true),
            ttls: ttls(it, reports),
            fall_through: value_or(&it.fall_through, false),
            subtree_denial: value_or(&it.subtree_denial, false),
            learnt: None,
        });
    }
    zones
}

fn ttls(it: &ZoneSpec, reports: &mut Vec<Report>) -> ZoneTtls {
    let value = |key: &Key<Duration>| key.as_ref().map(|it| it.value);
    let pairs = [
        (("min-ttl", &it.min_ttl), ("max-ttl", &it.max_ttl)),
        (
            ("negative-max-ttl", &it.negative_max_ttl),
            ("max-ttl", &it.max_ttl),
        ),
        (
            ("failure-min-ttl", &it.failure_min_ttl),
            ("failure-max-ttl", &it.failure_max_ttl),
        ),
    ];
    for ((low_name, low), (high_name, high)) in pairs {
        if let (Some(least), Some(most)) = (value(low), value(high)) {
            let (low, high) = (
                setting(low_name, low, &least),
                setting(high_name, high, &most),
            );
            not_above(low, high, |it| format_duration(*it), reports);
        }
    }
    ZoneTtls {
        min: value(&it.min_ttl),
        max: value(&it.max_ttl),
        negative_max: value(&it.negative_max_ttl),
        failure_min: value(&it.failure_min_ttl),
        failure_max: value(&it.failure_max_ttl),
    }
}

/// Whether zones have taken every upstream there is, so that there is none for other names.
pub(super) fn leave_nobody(zones: &[ZoneConfig], upstreams: &[UpstreamConfig]) -> bool {
    let of_all = |zone: &ZoneConfig| zone.is_root() && !zone.upstreams.is_empty();
    let taken = |index: usize| zones.iter().any(|zone| zone.upstreams.contains(&index));
    !zones.iter().any(of_all) && (0..upstreams.len()).all(taken)
}

/// Whether a name server of the host is none that a zone has taken: such a one is said to be for that zone alone.
pub(super) fn is_new(
    found: &UpstreamConfig,
    upstreams: &[UpstreamConfig],
    reports: &mut Vec<Report>,
) -> bool {
    let same = |it: &&UpstreamConfig| it.address == found.address || it.name == found.name;
    let Some(known) = upstreams.iter().find(same) else {
        return true;
    };
    let whole = Place::Whole("[[zone]]".to_owned());
    let message = format!("no upstream for names outside of the zones: {}", found.name);
    let label = format!(
        "the host's name server is `{}`, which a zone has taken",
        known.name
    );
    let report = Report::error(message, &whole, label);
    reports.push(
        report
            .help("write a `[[zone]]` with the name `\".\"` and the upstreams of all other names"),
    );
    false
}

fn name_place(zone: &ZoneSpec) -> Option<&Place> {
    zone.names.as_ref().map(|it| &it.place)
}

fn upstreams_of(
    written: &Key<Vec<Written<String>>>,
    upstreams: &[UpstreamConfig],
    complete: bool,
    reports: &mut Vec<Report>,
) -> Vec<usize> {
    let Some(written) = written else {
        return Vec::new();
    };
    if written.value.is_empty() {
        let label = "expected the name of at least one";
        let report = Report::error("a zone without upstreams", &written.place, label);
        reports.push(report.help("leave `upstreams` out for those of all other names"));
    }
    let mut seen = HashMap::new();
    let mut found = Vec::new();
    for it in &written.value {
        let message = || format!("upstream `{}` is named twice", it.value);
        if !first_time(&mut seen, it.value.as_str(), &it.place, message, reports) {
            continue;
        }
        match upstreams.iter().position(|known| known.name == it.value) {
            Some(index) => found.push(index),
            None if complete => {
                let message = format!("unknown upstream {}", quoted(&it.value));
                let label = "no `[[upstream]]` has this name";
                let report = Report::error(message, &it.place, label);
                let names = upstreams.iter().map(|it| it.name.as_str());
                reports.push(match nearest(&it.value, names) {
                    Some(near) => report.help(format!("did you mean `{near}`?")),
                    None => {
                        report.help("an upstream that was given no `name` is named by its address")
                    }
                });
            }
            None => {}
        }
    }
    found
}

/// The names of a zone: a domain, or the reverse zones of a prefix.
pub(super) fn zone_name(value: &Value<'_>) -> Read<Vec<Vec<u8>>> {
    let text = value.string("a domain in quotes, or a prefix such as `\"10.0.0.0/8\"`")?;
    if text.contains('/') {
        return prefix(value, text);
    }
    if text.parse::<IpAddr>().is_ok() {
        let message = format!("{} is an address, not a zone", quoted(text));
        let label = "expected a domain, or a prefix with its length";
        return Err(value.error(message, label));
    }
    match name_from_text(text) {
        Ok(name) if name.starts_with(b"\x01*") => {
            let message = format!("{} is not a zone", quoted(text));
            let label = "a zone takes in all names below its own";
            Err(value.error(message, label).help("leave `*.` out"))
        }
        Ok(name) => Ok(vec![name.to_ascii_lowercase()]),
        Err(error) => {
            let message = format!("{} is not a domain name", quoted(text));
            let report = value.error(message, error.to_string());
            Err(
                match text.strip_prefix('.').filter(|rest| !rest.is_empty()) {
                    Some(_) => report.help("leave the dot in front out"),
                    None => report,
                },
            )
        }
    }
}

fn prefix(value: &Value<'_>, text: &str) -> Read<Vec<Vec<u8>>> {
    let net = text.parse::<IpNet>().ok().filter(|net| net.trunc() == *net);
    net.map(|net| reverse_zones(&net)).ok_or_else(|| {
        let message = format!("{} is not a prefix", quoted(text));
        let label = "expected an address and its length, such as `10.0.0.0/8`";
        value.error(message, label)
    })
}

/// The reverse zones of a prefix (RFC 1035 section 3.5, RFC 3596 section 2.5), as many as it takes where it ends between
/// two labels: at most 128.
pub fn reverse_zones(net: &IpNet) -> Vec<Vec<u8>> {
    let (bits, octets, suffix): (_, Vec<u8>, &[u8]) = match net {
        IpNet::V4(net) => (8, net.network().octets().to_vec(), b"\x07in-addr\x04arpa\0"),
        IpNet::V6(net) => {
            let octets = net.network().octets();
            let nibbles = octets.iter().flat_map(|octet| [octet >> 4, octet & 15]);
            (4, nibbles.collect(), b"\x03ip6\x04arpa\0")
        }
    };
    let len = usize::from(net.prefix_len());
    let labels = len.div_ceil(bits);
    let count = 1usize << (labels * bits - len);
    let zones = (0..count).map(|number| {
        let mut name = Vec::new();
        for (index, part) in octets[..labels].iter().enumerate().rev() {
            let part = match index + 1 == labels {
                true => usize::from(*part) + number,
                false => usize::from(*part),
            };
            let label = match bits {
                8 => part.to_string(),
                _ => format!("{part:x}"),
            };
            name.push(label.len() as u8);
            name.extend(label.as_bytes());
        }
        name.extend(suffix);
        name
    });
    zones.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zones(text: &str) -> Vec<String> {
        let net = text.parse().expect("a prefix");
        reverse_zones(&net)
            .iter()
            .map(|it| name_to_text(it))
            .collect()
    }

    #[test]
    fn prefixes_are_their_reverse_zones() {
        assert_eq!(zones("10.0.0.0/8"), ["10.in-addr.arpa."]);
        assert_eq!(zones("192.168.0.0/16"), ["168.192.in-addr.arpa."]);
        assert_eq!(zones("192.0.2.1/32"), ["1.2.0.192.in-addr.arpa."]);
        assert_eq!(zones("fd00::/8"), ["d.f.ip6.arpa."]);
        assert_eq!(zones("2001:db8::/32"), ["8.b.d.0.1.0.0.2.ip6.arpa."]);
        assert_eq!(zones("0.0.0.0/0"), ["in-addr.arpa."]);
    }

    #[test]
    fn a_prefix_that_ends_within_a_label_is_several_zones() {
        let all = zones("172.16.0.0/12");
        assert_eq!(all.len(), 16);
        assert_eq!(
            (all[0].as_str(), all[15].as_str()),
            ("16.172.in-addr.arpa.", "31.172.in-addr.arpa.")
        );
        assert_eq!(zones("fc00::/7"), ["c.f.ip6.arpa.", "d.f.ip6.arpa."]);
        assert_eq!(zones("fe80::/10").len(), 4);
        assert_eq!(zones("128.0.0.0/1").len(), 128);
    }
}
