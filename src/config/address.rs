//! Addresses as people write them: `10.0.0.2`, `10.0.0.2:5300`, `fd00::1`, `[fd00::1]:53`,
//! `fe80::1%eth0`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};

use super::host::Host;
use super::report::clip;

/// An address with what may be written beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The address.
    pub ip: IpAddr,
    /// The interface of a link-local IPv6 address, by name or number (RFC 4007 section 11).
    pub zone: Option<String>,
    /// The port, where one is written.
    pub port: Option<u16>,
}

/// Why a text is not an address that can be used there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not an IP address.
    #[error("not an IP address")]
    NotAnAddress,
    /// Probably a host name.
    #[error("expected an IP address, not a host name")]
    HostName,
    /// A URL.
    #[error("expected an IP address, not a URL")]
    Url,
    /// A URL or an address that stands for an encrypted transport.
    #[error("expected an IP address, not a URL of DNS over {0}")]
    Encrypted(&'static str),
    /// What follows the address is no port.
    #[error("`{0}` is not a port, 1 to 65535")]
    Port(String),
    /// A listener's port is missing.
    #[error("expected a port too")]
    NoPort,
    /// 0.0.0.0 or ::, where somebody has to be reached.
    #[error("expected the address of a host, not the wildcard")]
    Unspecified,
    /// Multicast or broadcast.
    #[error("expected the address of one host")]
    NotUnicast,
    /// A link-local address without its interface.
    #[error("a link-local address needs its interface")]
    NoZone,
    /// An interface beside an address that is not link-local.
    #[error("only a link-local IPv6 address (fe80::/10) takes an interface")]
    Zone,
    /// An IPv4 address in IPv6 clothes.
    #[error("expected the IPv4 address itself, `{0}`")]
    Mapped(Ipv4Addr),
    /// The interface does not exist.
    #[error("this host has no interface `{0}`")]
    NoInterface(String),
}

impl AddressError {
    /// What to do, where there is more to say than the error itself does.
    pub fn help(&self, text: &str) -> Option<String> {
        match self {
            AddressError::HostName if text.starts_with("localhost") => {
                Some("write `127.0.0.1` or `::1`".to_owned())
            }
            AddressError::HostName => {
                Some("byway has nobody to ask for it before it runs: write the address".to_owned())
            }
            AddressError::Url => {
                Some("how an upstream is spoken to is a key of its own, `transport`".to_owned())
            }
            AddressError::Encrypted("TLS") => Some(
                "write the address alone and `transport = \"tls\"`, with `tls-name` for the name"
                    .to_owned(),
            ),
            AddressError::Encrypted(_) => {
                Some("of the encrypted transports byway speaks TLS alone".to_owned())
            }
            AddressError::NoPort if text.contains(':') => Some(format!("write `[{text}]:53`")),
            AddressError::NoPort => Some(format!("write `{text}:53`")),
            AddressError::NoZone => Some(format!("write `{text}%eth0`, with the interface's name")),
            _ => None,
        }
    }
}

impl Endpoint {
    /// An address to listen on: the port is needed, 0 lets the kernel choose one.
    pub fn listener(text: &str) -> Result<Endpoint, AddressError> {
        let it = Endpoint::parse(text)?;
        if it.ip.is_multicast() || it.ip == IpAddr::V4(Ipv4Addr::BROADCAST) {
            return Err(AddressError::NotUnicast);
        }
        if it.port.is_none() {
            return Err(AddressError::NoPort);
        }
        Ok(it)
    }

    /// The address of a resolver: somebody's own, with a port or without.
    pub fn upstream(text: &str) -> Result<Endpoint, AddressError> {
        let it = Endpoint::parse(text)?;
        check_host(it.ip)?;
        match it.port {
            Some(0) => Err(AddressError::Port("0".to_owned())),
            _ => Ok(it),
        }
    }

    fn parse(text: &str) -> Result<Endpoint, AddressError> {
        if let Some((scheme, _)) = text.split_once("://") {
            return Err(match scheme.to_ascii_lowercase().as_str() {
                "tls" | "dot" => AddressError::Encrypted("TLS"),
                "https" | "h2" | "h3" | "doh" => AddressError::Encrypted("HTTPS"),
                "quic" | "doq" => AddressError::Encrypted("QUIC"),
                "sdns" | "dnscrypt" => AddressError::Encrypted("DNSCrypt"),
                _ => AddressError::Url,
            });
        }
        let (host, port) = split(text)?;
        let (ip, zone) = match host.split_once('%') {
            Some((ip, zone)) => (ip, Some(zone)),
            None => (host, None),
        };
        let ip: IpAddr = ip.parse().map_err(|_| not_an_address(ip))?;
        let port = match port {
            Some(port) => Some(parse_port(port).ok_or_else(|| AddressError::Port(clip(port)))?),
            None => None,
        };
        check_form(ip)?;
        check_zone(ip, zone)?;
        Ok(Endpoint {
            ip,
            zone: zone.map(str::to_owned),
            port,
        })
    }

    /// The socket address of somebody who is asked, and the interface that is to be looked up for it, if it has a
    /// name. A number stands for itself.
    pub fn of_upstream(&self, default_port: u16) -> (SocketAddr, Option<String>) {
        let port = self.port.unwrap_or(default_port);
        match self.ip {
            IpAddr::V4(ip) => (SocketAddr::from((ip, port)), None),
            IpAddr::V6(ip) => {
                let number = self.zone.as_deref().and_then(zone_number);
                let name = self.zone.clone().filter(|_| number.is_none());
                let address = SocketAddrV6::new(ip, port, 0, number.unwrap_or(0));
                (address.into(), name)
            }
        }
    }

    /// The socket address, once the zone's interface is looked up.
    pub fn resolve(&self, default_port: u16, host: &Host) -> Result<SocketAddr, AddressError> {
        let port = self.port.unwrap_or(default_port);
        Ok(match self.ip {
            IpAddr::V4(ip) => SocketAddr::from((ip, port)),
            IpAddr::V6(ip) => {
                let scope = match &self.zone {
                    Some(zone) => zone_index(zone, host)?,
                    None => 0,
                };
                SocketAddr::V6(SocketAddrV6::new(ip, port, 0, scope))
            }
        })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let zone = match &self.zone {
            Some(zone) => format!("%{zone}"),
            None => String::new(),
        };
        match (self.ip, self.port) {
            (ip, None) => write!(f, "{ip}{zone}"),
            (IpAddr::V4(ip), Some(port)) => write!(f, "{ip}:{port}"),
            (IpAddr::V6(ip), Some(port)) => write!(f, "[{ip}{zone}]:{port}"),
        }
    }
}

/// Whether `ip` can be one host's address as byway writes it: neither the wildcard nor multicast nor an
/// IPv4 address in IPv6 clothes.
pub(super) fn check_host(ip: IpAddr) -> Result<(), AddressError> {
    check_form(ip)?;
    if ip.is_unspecified() {
        return Err(AddressError::Unspecified);
    }
    if ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST) {
        return Err(AddressError::NotUnicast);
    }
    Ok(())
}

/// Address and port, apart. Two colons or more without brackets are a bare IPv6 address.
fn split(text: &str) -> Result<(&str, Option<&str>), AddressError> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or(AddressError::NotAnAddress)?;
        return match after.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if after.is_empty() => Ok((host, None)),
            None => Err(AddressError::NotAnAddress),
        };
    }
    match text.split_once(':') {
        Some((host, port)) if !port.contains(':') => Ok((host, Some(port))),
        _ => Ok((text, None)),
    }
}

/// Digits only: `u16::from_str` would take a sign too.
fn parse_port(text: &str) -> Option<u16> {
    let digits = !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

fn not_an_address(text: &str) -> AddressError {
    let name = text.bytes().any(|it| it.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|it| it.is_ascii_alphanumeric() || b".-_".contains(&it));
    if name {
        AddressError::HostName
    } else {
        AddressError::NotAnAddress
    }
}

fn check_form(ip: IpAddr) -> Result<(), AddressError> {
    match ip {
        IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
            Some(v4) => Err(AddressError::Mapped(v4)),
            None => Ok(()),
        },
        IpAddr::V4(_) => Ok(()),
    }
}

/// Whether a zone is there exactly where one is needed (RFC 4007 section 6).
pub(super) fn check_zone(ip: IpAddr, zone: Option<&str>) -> Result<(), AddressError> {
    let link_local = matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
    match (link_local, zone) {
        (true, None | Some("")) => Err(AddressError::NoZone),
        (false, Some(_)) => Err(AddressError::Zone),
        (true, Some(zone)) if !is_plain(zone) => Err(AddressError::NoInterface(clip(zone))),
        _ => Ok(()),
    }
}

/// Names of zones stand in the names of upstreams and routes, so they are kept as plain as those. No interface has a
/// longer one (IFNAMSIZ).
fn is_plain(zone: &str) -> bool {
    zone.len() <= 15
        && zone
            .bytes()
            .all(|it| it.is_ascii_alphanumeric() || b"._-".contains(&it))
}

/// The number that a zone is written as. It stands for itself: interfaces come and go.
fn zone_number(zone: &str) -> Option<u32> {
    zone.parse().ok().filter(|number| *number != 0)
}

/// The number of the interface that a zone names.
fn zone_index(zone: &str, host: &Host) -> Result<u32, AddressError> {
    zone_number(zone)
        .or_else(|| (host.interface_index)(zone))
        .ok_or_else(|| AddressError::NoInterface(clip(zone)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form() {
        let host = Host::example();
        for (text, expected) in [
            ("10.0.0.2", "10.0.0.2:53"),
            ("10.0.0.2:5300", "10.0.0.2:5300"),
            ("fd00::1", "[fd00::1]:53"),
            ("[fd00::1]", "[fd00::1]:53"),
            ("[fd00::1]:5300", "[fd00::1]:5300"),
            ("fe80::1%eth0", "[fe80::1%2]:53"),
            ("[fe80::1%7]:54", "[fe80::1%7]:54"),
        ] {
            let endpoint = Endpoint::upstream(text).unwrap();
            let address = endpoint.resolve(53, &host).unwrap();
            assert_eq!(address.to_string(), expected, "{text}");
            let (later, zone) = endpoint.of_upstream(53);
            assert_eq!((later.ip(), later.port()), (address.ip(), address.port()));
            assert_eq!(zone.is_some(), text.ends_with("%eth0"), "{text}");
            let again = Endpoint::upstream(&endpoint.to_string()).unwrap();
            assert_eq!(again, endpoint, "{text}");
        }
        let wildcard = Endpoint::listener("[::]:0").unwrap();
        assert_eq!(wildcard.port, Some(0));
    }

    #[test]
    fn says_why_not() {
        use AddressError::*;
        let port = |text: &str| Port(text.to_owned());
        for (text, expected) in [
            ("", NotAnAddress),
            ("10.0.0.300", NotAnAddress),
            ("10.0.0.2 ", NotAnAddress),
            ("[fd00::1", NotAnAddress),
            ("[fd00::1]53", NotAnAddress),
            ("fd00::12345", NotAnAddress),
            ("dns.example", HostName),
            ("dns.example:53", HostName),
            ("udp://10.0.0.2", Url),
            ("tls://10.0.0.2", Encrypted("TLS")),
            ("tls://dns.example:853", Encrypted("TLS")),
            ("HTTPS://dns.example/dns-query", Encrypted("HTTPS")),
            ("quic://10.0.0.2", Encrypted("QUIC")),
            ("10.0.0.2:", port("")),
            ("10.0.0.2:0", port("0")),
            ("10.0.0.2:+53", port("+53")),
            ("10.0.0.2:65536", port("65536")),
            ("0.0.0.0", Unspecified),
            ("::", Unspecified),
            ("224.0.0.251", NotUnicast),
            ("255.255.255.255", NotUnicast),
            ("fe80::1", NoZone),
            ("fe80::1%", NoZone),
            ("fe80::1%a@b", NoInterface("a@b".to_owned())),
            ("fe80::1%+2", NoInterface("+2".to_owned())),
            ("fd00::1%eth0", Zone),
            ("10.0.0.2%eth0", Zone),
            ("::ffff:10.0.0.2", Mapped(Ipv4Addr::new(10, 0, 0, 2))),
        ] {
            assert_eq!(Endpoint::upstream(text), Err(expected), "{text:?}");
        }
        assert_eq!(Endpoint::listener("127.0.0.1"), Err(NoPort));
        assert_eq!(Endpoint::listener("[::1]"), Err(NoPort));
        let gone = Endpoint::upstream("fe80::1%eth9").unwrap();
        assert_eq!(
            gone.resolve(53, &Host::example()),
            Err(NoInterface("eth9".to_owned()))
        );
    }
}
