//! Messages as they were received, read without mercy.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::message::*;

/// One record as received.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// Written out, letter case kept.
    pub owner: Vec<u8>,
    pub rtype: u16,
    pub class: u16,
    pub ttl: u32,
    /// With the names of the well-known types written out.
    pub data: Vec<u8>,
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} TYPE{} {:02x?}",
            text(&self.owner),
            self.ttl,
            self.rtype,
            &self.data[..self.data.len().min(24)]
        )
    }
}

impl Record {
    /// The record as [`full_record`] would write it with another TTL.
    pub fn with_ttl(&self, ttl: u32) -> Vec<u8> {
        full_record(&self.owner, self.rtype, self.class, ttl, &self.data)
    }
}

/// A message as received.
#[derive(Clone)]
pub struct Message {
    pub bytes: Vec<u8>,
    pub id: u16,
    pub flags: u16,
    pub counts: [u16; 4],
    /// The question section as sent; empty if there is none.
    pub question: Vec<u8>,
    pub answers: Vec<Record>,
    pub authorities: Vec<Record>,
    /// Without OPT.
    pub additionals: Vec<Record>,
    pub edns: Option<Edns>,
    /// Octets behind the last record.
    pub trailing: usize,
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("flags", &format_args!("{:04x}", self.flags))
            .field("question", &self.name())
            .field("type", &self.rtype())
            .field("answers", &self.answers)
            .field("authorities", &self.authorities)
            .field("additionals", &self.additionals)
            .field("edns", &self.edns)
            .field("octets", &self.bytes.len())
            .finish()
    }
}

impl Message {
    /// Reads a message to its end.
    pub fn parse(bytes: &[u8]) -> Result<Message, String> {
        let mut reader = Reader { bytes, at: 0 };
        let id = reader.u16()?;
        let flags = reader.u16()?;
        let counts = [reader.u16()?, reader.u16()?, reader.u16()?, reader.u16()?];
        let start = reader.at;
        let mut question = Vec::new();
        for number in 0..counts[0] {
            let owner = reader.name()?;
            let tail = reader.take(4)?;
            if number == 0 {
                question = [&owner, tail].concat();
                if bytes[start..reader.at] != question[..] {
                    return Err("a compressed question".into());
                }
            }
        }
        let mut edns = None;
        let mut sections = [Vec::new(), Vec::new(), Vec::new()];
        for (section, count) in sections.iter_mut().zip(&counts[1..]) {
            for _ in 0..*count {
                let record = reader.record()?;
                if record.rtype == OPT {
                    if edns.is_some() {
                        return Err("two OPT records".into());
                    }
                    if record.owner != [0] {
                        return Err("an OPT record with an owner".into());
                    }
                    edns = Some(read_edns(&record)?);
                } else {
                    section.push(record);
                }
            }
        }
        let [answers, authorities, additionals] = sections;
        Ok(Message {
            bytes: bytes.to_vec(),
            id,
            flags,
            counts,
            question,
            answers,
            authorities,
            additionals,
            edns,
            trailing: bytes.len() - reader.at,
        })
    }

    pub fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    pub fn opcode(&self) -> u16 {
        self.flags >> 11 & 0xf
    }

    /// The response code, the upper bits of EDNS included.
    pub fn rcode(&self) -> u16 {
        let high = self
            .edns
            .as_ref()
            .map_or(0, |edns| u16::from(edns.rcode_high));
        self.flags & 0xf | high << 4
    }

    /// The name asked for, letter case kept.
    pub fn name(&self) -> String {
        text(
            self.question
                .get(..self.question.len().saturating_sub(4))
                .unwrap_or_default(),
        )
    }

    /// The name asked for in lower case.
    pub fn lower(&self) -> String {
        self.name().to_ascii_lowercase()
    }

    pub fn rtype(&self) -> u16 {
        match self.question.last_chunk::<4>() {
            Some([high, low, _, _]) => u16::from_be_bytes([*high, *low]),
            None => 0,
        }
    }

    pub fn edes(&self) -> Vec<u16> {
        self.edns.as_ref().map(Edns::edes).unwrap_or_default()
    }

    /// The addresses of the answer section, A and AAAA, in order.
    pub fn addresses(&self) -> Vec<String> {
        let address = |record: &Record| match record.rtype {
            A => <[u8; 4]>::try_from(&record.data[..])
                .ok()
                .map(|it| Ipv4Addr::from(it).to_string()),
            AAAA => <[u8; 16]>::try_from(&record.data[..])
                .ok()
                .map(|it| Ipv6Addr::from(it).to_string()),
            _ => None,
        };
        self.answers.iter().filter_map(address).collect()
    }

    /// The TTL of the first answer.
    pub fn ttl(&self) -> u32 {
        self.answers.first().expect("an answer").ttl
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], String> {
        let taken = self
            .bytes
            .get(self.at..self.at + length)
            .ok_or_else(|| format!("cut short at octet {}", self.at))?;
        self.at += length;
        Ok(taken)
    }

    fn u16(&mut self) -> Result<u16, String> {
        Ok(u16::from_be_bytes(
            self.take(2)?.try_into().expect("two octets"),
        ))
    }

    fn u32(&mut self) -> Result<u32, String> {
        Ok(u32::from_be_bytes(
            self.take(4)?.try_into().expect("four octets"),
        ))
    }

    /// A name, written out; pointers must lead backwards (RFC 1035 section 4.1.4).
    fn name(&mut self) -> Result<Vec<u8>, String> {
        let mut wire = Vec::new();
        let (mut at, mut end, mut bound) = (self.at, None, self.at);
        loop {
            let length = *self.bytes.get(at).ok_or("a name beyond the end")?;
            match length {
                0 => {
                    wire.push(0);
                    self.at = end.unwrap_or(at + 1);
                    break;
                }
                1..=63 => {
                    let label = at..at + 1 + usize::from(length);
                    wire.extend_from_slice(self.bytes.get(label.clone()).ok_or("a cut label")?);
                    at = label.end;
                }
                192.. => {
                    let low = *self.bytes.get(at + 1).ok_or("half a pointer")?;
                    let target = usize::from(u16::from_be_bytes([length & 0x3f, low]));
                    if target >= bound {
                        return Err(format!("a pointer at {at} that leads on to {target}"));
                    }
                    end.get_or_insert(at + 2);
                    (at, bound) = (target, target);
                }
                _ => return Err(format!("a label of type {:#x}", length & 0xc0)),
            }
            if wire.len() > 255 {
                return Err("a name that is too long".into());
            }
        }
        Ok(wire)
    }

    fn record(&mut self) -> Result<Record, String> {
        let owner = self.name()?;
        let (rtype, class, ttl) = (self.u16()?, self.u16()?, self.u32()?);
        let length = usize::from(self.u16()?);
        let end = self.at + length;
        let whole = self
            .bytes
            .get(self.at..end)
            .ok_or("record data beyond the end")?;
        // How many octets stand before the names, and how many names.
        let (before, names) = match rtype {
            NS | CNAME | PTR => (0, 1),
            SOA => (0, 2),
            MX => (2, 1),
            SRV => (6, 1),
            _ => (0, 0),
        };
        let mut data = self.take(before.min(length))?.to_vec();
        for _ in 0..names {
            data.extend_from_slice(&self.name()?);
        }
        match whole.get(length - (end.checked_sub(self.at).ok_or("a name beyond its record")?)..) {
            Some(rest) => data.extend_from_slice(rest),
            None => return Err("a name beyond its record".into()),
        }
        self.at = end;
        Ok(Record {
            owner,
            rtype,
            class,
            ttl,
            data,
        })
    }
}

fn read_edns(record: &Record) -> Result<Edns, String> {
    let [rcode_high, version, high, low] = record.ttl.to_be_bytes();
    let mut edns = Edns {
        payload: record.class,
        rcode_high,
        version,
        flags: u16::from_be_bytes([high, low]),
        options: Vec::new(),
    };
    let mut reader = Reader {
        bytes: &record.data,
        at: 0,
    };
    while reader.at < record.data.len() {
        let (code, length) = (reader.u16()?, reader.u16()?);
        edns.options
            .push((code, reader.take(length.into())?.to_vec()));
    }
    Ok(edns)
}
