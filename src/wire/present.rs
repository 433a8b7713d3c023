//! Records as text, in the words of a zone file.
//!
//! What a record holds was chosen by a stranger. Octets that are no printable ASCII are written as
//! `\DDD` (RFC 1035 section 5.1), in names and in text alike, so that nothing of it can steer a terminal or
//! pass for another line. Types whose data byway does not know are written as octets (RFC 3597 section 5).

use std::fmt::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr};

use data_encoding::{BASE32HEX_NOPAD, BASE64, HEXUPPER};

use super::header::{self, Header};
use super::name;
use super::place::Place;
use super::question::question_at;
use super::rdata::{self, Part};
use super::record::{Record, Records};
use super::types::{CLASS_IN, RecordType};

/// The sections of a message, each record a line without its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// The answer section.
    pub answers: Vec<String>,
    /// The authority section.
    pub authorities: Vec<String>,
    /// The additional section, less the OPT record.
    pub additionals: Vec<String>,
}

impl Lines {
    /// The records of a response that byway has written. Stops where it cannot be read.
    pub fn of(message: &[u8]) -> Lines {
        let header = Header::read(message).unwrap_or_default();
        let question = question_at(message).map_or(0, <[u8]>::len);
        let mut lines = Lines::default();
        let mut records = Records::new(message, header::LEN + question, header.records());
        for (count, section) in [
            (header.answers, &mut lines.answers),
            (header.authorities, &mut lines.authorities),
            (header.additionals, &mut lines.additionals),
        ] {
            let records = records.by_ref().take(count.into());
            let plain = records.filter(|record| record.record_type != RecordType::OPT);
            section.extend(plain.map(|record| line(message, &record)));
        }
        lines
    }
}

/// Text that came from the network: `\DDD` for what is not printable ASCII, and for the backslash.
pub struct Escaped<'a>(pub &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for &octet in self.0 {
            match octet {
                b'\\' => f.write_str("\\\\")?,
                b' '..=b'~' => f.write_char(octet.into())?,
                _ => write!(f, "\\{octet:03}")?,
            }
        }
        Ok(())
    }
}

/// A character string between quotes.
struct Quoted<'a>(&'a [u8]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for &octet in self.0 {
            match octet {
                b'"' | b'\\' => write!(f, "\\{}", char::from(octet))?,
                b' '..=b'~' => f.write_char(octet.into())?,
                _ => write!(f, "\\{octet:03}")?,
            }
        }
        f.write_char('"')
    }
}

fn line(message: &[u8], record: &Record) -> String {
    let class = match record.class {
        CLASS_IN => "IN".to_string(),
        class => format!("CLASS{class}"),
    };
    let owner = text_of_name(message, record.owner);
    let mut line = format!("{owner} {} {class} {}", record.ttl, record.record_type);
    let data = record.data(message);
    let known = match record.class {
        CLASS_IN => known(message, record, Reader(data)),
        _ => None,
    };
    // Writing to a string cannot fail.
    let _ = match known {
        Some(text) => write!(line, " {text}"),
        None if data.is_empty() => write!(line, " \\# 0"),
        None => write!(line, " \\# {} {}", data.len(), HEXUPPER.encode(data)),
    };
    line
}

fn text_of_name(message: &[u8], at: usize) -> String {
    let mut wire = Vec::new();
    Place::new(message, at).copy_to(name::MAX_LABELS, &mut wire);
    wire.push(0);
    name::Text(&wire).to_string()
}

/// Data as it is read, from its front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(*self.take(2)?.first_chunk()?))
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(*self.take(4)?.first_chunk()?))
    }

    /// A character string.
    fn string(&mut self) -> Option<&'a [u8]> {
        let len = self.u8()?;
        self.take(len.into())
    }

    /// An uncompressed name.
    fn name(&mut self) -> Option<String> {
        let len = name::plain_len(self.0)?;
        self.take(len).map(|name| name::Text(name).to_string())
    }

    fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }
}

/// The data of a type that is known and well formed.
fn known(message: &[u8], record: &Record, mut data: Reader<'_>) -> Option<String> {
    let data = &mut data;
    let text = match record.record_type {
        RecordType::A => Ipv4Addr::from(<[u8; 4]>::try_from(data.rest()).ok()?).to_string(),
        RecordType::AAAA => Ipv6Addr::from(<[u8; 16]>::try_from(data.rest()).ok()?).to_string(),
        RecordType::TXT | RecordType::SPF | RecordType::HINFO => strings(data)?,
        RecordType::CAA => {
            let (flags, tag) = (data.u8()?, data.string()?);
            format!("{flags} {} {}", Escaped(tag), Quoted(data.rest()))
        }
        RecordType::URI => {
            let (priority, weight) = (data.u16()?, data.u16()?);
            format!("{priority} {weight} {}", Quoted(data.rest()))
        }
        RecordType::SVCB | RecordType::HTTPS => binding(data)?,
        RecordType::DS | RecordType::CDS => {
            let (tag, algorithm, digest) = (data.u16()?, data.u8()?, data.u8()?);
            format!(
                "{tag} {algorithm} {digest} {}",
                HEXUPPER.encode(data.rest())
            )
        }
        RecordType::DNSKEY | RecordType::CDNSKEY | RecordType::KEY => {
            let (flags, protocol, algorithm) = (data.u16()?, data.u8()?, data.u8()?);
            format!(
                "{flags} {protocol} {algorithm} {}",
                BASE64.encode(data.rest())
            )
        }
        RecordType::RRSIG => signature(data)?,
        RecordType::NSEC => {
            let next = data.name()?;
            format!("{next}{}", types(data)?)
        }
        RecordType::NSEC3 => hashed(data)?,
        RecordType::NSEC3PARAM => {
            let (hash, flags, iterations) = (data.u8()?, data.u8()?, data.u16()?);
            format!("{hash} {flags} {iterations} {}", salt(data.string()?))
        }
        RecordType::TLSA | RecordType::SMIMEA => {
            let (usage, selector, matching) = (data.u8()?, data.u8()?, data.u8()?);
            format!(
                "{usage} {selector} {matching} {}",
                HEXUPPER.encode(data.rest())
            )
        }
        RecordType::SSHFP => {
            let (algorithm, kind) = (data.u8()?, data.u8()?);
            format!("{algorithm} {kind} {}", HEXUPPER.encode(data.rest()))
        }
        RecordType::OPENPGPKEY => BASE64.encode(data.rest()),
        RecordType::NAPTR => {
            let (order, preference) = (data.u16()?, data.u16()?);
            let (flags, service, pattern) = (data.string()?, data.string()?, data.string()?);
            let replacement = record.end - data.rest().len();
            format!(
                "{order} {preference} {} {} {} {}",
                Quoted(flags),
                Quoted(service),
                Quoted(pattern),
                text_of_name(message, replacement)
            )
        }
        _ => return with_names(message, record),
    };
    data.0.is_empty().then_some(text)
}

/// Numbers of sixteen and thirty-two bits, and names: what the older types are made of.
fn with_names(message: &[u8], record: &Record) -> Option<String> {
    let wide = record.record_type == RecordType::SOA;
    let mut words: Vec<String> = Vec::new();
    let mut names = false;
    let whole = rdata::parts(message, record, |part| {
        match part {
            Part::Name(at) => {
                names = true;
                words.push(text_of_name(message, at));
            }
            Part::Octets(range) => {
                let mut data = Reader(message.get(range).unwrap_or_default());
                while !data.0.is_empty() {
                    let number = match wide {
                        true => data.u32(),
                        false => data.u16().map(u32::from),
                    };
                    match number {
                        Some(number) => words.push(number.to_string()),
                        None => return false,
                    }
                }
            }
        }
        true
    });
    (whole && names && !matches!(record.record_type, RecordType::SIG | RecordType::NXT))
        .then(|| words.join(" "))
}

fn strings(data: &mut Reader<'_>) -> Option<String> {
    let mut strings = vec![Quoted(data.string()?).to_string()];
    while !data.0.is_empty() {
        strings.push(Quoted(data.string()?).to_string());
    }
    Some(strings.join(" "))
}

/// SVCB and HTTPS (RFC 9460 section 2.1).
fn binding(data: &mut Reader<'_>) -> Option<String> {
    let (priority, target) = (data.u16()?, data.name()?);
    let mut text = format!("{priority} {target}");
    while !data.0.is_empty() {
        let (key, len) = (data.u16()?, data.u16()?);
        let mut value = Reader(data.take(len.into())?);
        text.push(' ');
        text.push_str(&parameter(key, &mut value)?);
    }
    Some(text)
}

/// A parameter (RFC 9460 sections 7 and 14.3.2), in the generic form where its value is not as it should be.
fn parameter(key: u16, value: &mut Reader<'_>) -> Option<String> {
    let whole = value.0;
    let name = match key {
        0 => "mandatory",
        1 => "alpn",
        2 => "no-default-alpn",
        3 => "port",
        4 => "ipv4hint",
        5 => "ech",
        6 => "ipv6hint",
        7 => "dohpath",
        8 => "ohttp",
        _ => return Some(generic(key, whole)),
    };
    let list = |items: Option<Vec<String>>| items.filter(|items| !items.is_empty());
    let text = match key {
        0 => list(all(value, |value| value.u16().map(key_name))).map(|keys| keys.join(",")),
        // A comma or a backslash within an item is escaped, and that once more as text (appendix A.1).
        1 => all(value, |value| value.string().map(item))
            .filter(|items| !items.is_empty())
            .map(|items| Quoted(&items.join(&b',')).to_string()),
        2 | 8 => whole.is_empty().then(String::new),
        3 => value.u16().map(|port| port.to_string()),
        4 => list(all(value, |value| {
            Some(Ipv4Addr::from(<[u8; 4]>::try_from(value.take(4)?).ok()?).to_string())
        }))
        .map(|hints| hints.join(",")),
        5 => Some(format!("\"{}\"", BASE64.encode(value.rest()))),
        6 => list(all(value, |value| {
            Some(Ipv6Addr::from(<[u8; 16]>::try_from(value.take(16)?).ok()?).to_string())
        }))
        .map(|hints| hints.join(",")),
        _ => Some(Quoted(value.rest()).to_string()),
    };
    Some(match text.filter(|_| value.0.is_empty()) {
        Some(text) if text.is_empty() => name.to_string(),
        Some(text) => format!("{name}={text}"),
        None => generic(key, whole),
    })
}

fn generic(key: u16, value: &[u8]) -> String {
    match value.is_empty() {
        true => format!("key{key}"),
        false => format!("key{key}={}", Quoted(value)),
    }
}

fn key_name(key: u16) -> String {
    let names = [
        "mandatory",
        "alpn",
        "no-default-alpn",
        "port",
        "ipv4hint",
        "ech",
        "ipv6hint",
        "dohpath",
        "ohttp",
    ];
    let name = names.get(usize::from(key));
    name.map_or_else(|| format!("key{key}"), |name| (*name).to_string())
}

/// Everything that `one` can be read of, to the end.
fn all<T>(
    value: &mut Reader<'_>,
    mut one: impl FnMut(&mut Reader<'_>) -> Option<T>,
) -> Option<Vec<T>> {
    let mut items = Vec::new();
    while !value.0.is_empty() {
        items.push(one(value)?);
    }
    Some(items)
}

/// An item of a list of values, its octets still as they are: [`Quoted`] sees to them.
fn item(item: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::new();
    for &octet in item {
        if matches!(octet, b',' | b'\\') {
            escaped.push(b'\\');
        }
        escaped.push(octet);
    }
    escaped
}

/// RRSIG (RFC 4034 section 3.2).
fn signature(data: &mut Reader<'_>) -> Option<String> {
    let covered = RecordType(data.u16()?);
    let (algorithm, labels, ttl) = (data.u8()?, data.u8()?, data.u32()?);
    let (expires, begins, tag) = (data.u32()?, data.u32()?, data.u16()?);
    let signer = data.name()?;
    let octets = BASE64.encode(data.rest());
    Some(format!(
        "{covered} {algorithm} {labels} {ttl} {expires} {begins} {tag} {signer} {octets}"
    ))
}

/// NSEC3 (RFC 5155 section 3.3).
fn hashed(data: &mut Reader<'_>) -> Option<String> {
    let (hash, flags, iterations) = (data.u8()?, data.u8()?, data.u16()?);
    let salt = salt(data.string()?);
    let next = BASE32HEX_NOPAD.encode(data.string()?);
    Some(format!(
        "{hash} {flags} {iterations} {salt} {next}{}",
        types(data)?
    ))
}

fn salt(salt: &[u8]) -> String {
    match salt.is_empty() {
        true => "-".to_string(),
        false => HEXUPPER.encode(salt),
    }
}

/// The types of a bit map, each behind a space (RFC 4034 section 4.1.2).
fn types(data: &mut Reader<'_>) -> Option<String> {
    let mut text = String::new();
    while !data.0.is_empty() {
        let (window, map) = (data.u8()?, data.string()?);
        for (octet, bits) in map.iter().enumerate() {
            for bit in (0..8).filter(|bit| bits & 0x80 >> bit != 0) {
                let number = u16::from(window) << 8 | (octet * 8 + bit) as u16 & 0xff;
                text.push(' ');
                text.push_str(&RecordType(number).to_string());
            }
        }
    }
    Some(text)
}
