//! Messages as octets, written with any fault a test wants; [`reading`](super::reading) reads them.
//!
//! Neither byway's own `wire` nor a library stands behind this, so that a mistake is not judged by
//! itself. What clients receive is shown to hickory-proto as well.

use super::reading::Message;

pub const A: u16 = 1;
pub const NS: u16 = 2;
pub const CNAME: u16 = 5;
pub const SOA: u16 = 6;
pub const PTR: u16 = 12;
pub const HINFO: u16 = 13;
pub const MX: u16 = 15;
pub const TXT: u16 = 16;
pub const AAAA: u16 = 28;
pub const SRV: u16 = 33;
pub const OPT: u16 = 41;
pub const RRSIG: u16 = 46;
pub const IXFR: u16 = 251;
pub const AXFR: u16 = 252;
pub const ANY: u16 = 255;

pub const QR: u16 = 0x8000;
pub const AA: u16 = 0x0400;
pub const TC: u16 = 0x0200;
pub const RD: u16 = 0x0100;
pub const RA: u16 = 0x0080;
pub const Z: u16 = 0x0040;
pub const AD: u16 = 0x0020;
pub const CD: u16 = 0x0010;

pub const NOERROR: u16 = 0;
pub const FORMERR: u16 = 1;
pub const SERVFAIL: u16 = 2;
pub const NXDOMAIN: u16 = 3;
pub const NOTIMP: u16 = 4;
pub const REFUSED: u16 = 5;
pub const BADVERS: u16 = 16;

/// The EDNS option of Extended DNS Errors.
pub const EDE: u16 = 15;

/// A name in wire form, from labels between dots.
pub fn name(text: &str) -> Vec<u8> {
    let mut wire = Vec::new();
    for label in text.split('.').filter(|label| !label.is_empty()) {
        wire.push(u8::try_from(label.len()).expect("a label"));
        wire.extend_from_slice(label.as_bytes());
    }
    wire.push(0);
    wire
}

/// A name in text, letter case kept.
pub fn text(mut wire: &[u8]) -> String {
    let mut text = String::new();
    while let [length @ (1..), rest @ ..] = wire {
        let (label, rest) = rest.split_at(usize::from(*length));
        text.push_str(&String::from_utf8_lossy(label));
        text.push('.');
        wire = rest;
    }
    if text.is_empty() { ".".into() } else { text }
}

/// The OPT record of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edns {
    pub payload: u16,
    pub rcode_high: u8,
    pub version: u8,
    pub flags: u16,
    pub options: Vec<(u16, Vec<u8>)>,
}

impl Edns {
    pub fn new(payload: u16) -> Edns {
        Edns {
            payload,
            rcode_high: 0,
            version: 0,
            flags: 0,
            options: Vec::new(),
        }
    }

    pub fn dnssec(self) -> Edns {
        Edns {
            flags: self.flags | 0x8000,
            ..self
        }
    }

    pub fn version(self, version: u8) -> Edns {
        Edns { version, ..self }
    }

    pub fn option(mut self, code: u16, data: &[u8]) -> Edns {
        self.options.push((code, data.to_vec()));
        self
    }

    pub fn dnssec_ok(&self) -> bool {
        self.flags & 0x8000 != 0
    }

    /// The codes of the Extended DNS Errors.
    pub fn edes(&self) -> Vec<u16> {
        let edes = self
            .options
            .iter()
            .filter(|(code, data)| *code == EDE && data.len() >= 2);
        edes.map(|(_, data)| u16::from_be_bytes([data[0], data[1]]))
            .collect()
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut data = Vec::new();
        for (code, value) in &self.options {
            data.extend_from_slice(&code.to_be_bytes());
            data.extend_from_slice(&(value.len() as u16).to_be_bytes());
            data.extend_from_slice(value);
        }
        let ttl = u32::from_be_bytes([
            self.rcode_high,
            self.version,
            (self.flags >> 8) as u8,
            self.flags as u8,
        ]);
        full_record(&[0], OPT, self.payload, ttl, &data)
    }
}

/// A record of class IN with its owner written out.
pub fn record(owner: &str, rtype: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
    full_record(&name(owner), rtype, 1, ttl, data)
}

pub fn full_record(owner: &[u8], rtype: u16, class: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
    let mut wire = owner.to_vec();
    wire.extend_from_slice(&rtype.to_be_bytes());
    wire.extend_from_slice(&class.to_be_bytes());
    wire.extend_from_slice(&ttl.to_be_bytes());
    wire.extend_from_slice(
        &u16::try_from(data.len())
            .expect("record data")
            .to_be_bytes(),
    );
    wire.extend_from_slice(data);
    wire
}

pub fn a(owner: &str, ttl: u32, address: [u8; 4]) -> Vec<u8> {
    record(owner, A, ttl, &address)
}

pub fn cname(owner: &str, ttl: u32, target: &str) -> Vec<u8> {
    record(owner, CNAME, ttl, &name(target))
}

pub fn soa(zone: &str, ttl: u32, minimum: u32) -> Vec<u8> {
    let mut data = [name(&format!("ns.{zone}")), name(&format!("admin.{zone}"))].concat();
    for number in [1, 3600, 600, 86400, minimum] {
        data.extend_from_slice(&u32::to_be_bytes(number));
    }
    record(zone, SOA, ttl, &data)
}

/// A TXT record of `length` octets of text.
pub fn txt(owner: &str, ttl: u32, fill: u8, length: usize) -> Vec<u8> {
    let mut data = Vec::new();
    for part in vec![fill; length].chunks(255) {
        data.push(part.len() as u8);
        data.extend_from_slice(part);
    }
    record(owner, TXT, ttl, &data)
}

/// A message under construction.
#[derive(Clone, Debug)]
pub struct Build {
    pub id: u16,
    pub flags: u16,
    /// The question section.
    pub question: Vec<u8>,
    /// How many questions the header says there are.
    questions: u16,
    answers: Vec<Vec<u8>>,
    authorities: Vec<Vec<u8>>,
    additionals: Vec<Vec<u8>>,
    rcode: u16,
    edns: Option<Edns>,
}

impl Build {
    /// A plain question with RD.
    pub fn query(owner: &str, rtype: u16) -> Build {
        Build::query_wire(&name(owner), rtype)
    }

    pub fn query_wire(owner: &[u8], rtype: u16) -> Build {
        let mut question = owner.to_vec();
        question.extend_from_slice(&rtype.to_be_bytes());
        question.extend_from_slice(&1u16.to_be_bytes());
        Build {
            id: rand::random(),
            flags: RD,
            question,
            questions: 1,
            answers: Vec::new(),
            authorities: Vec::new(),
            additionals: Vec::new(),
            rcode: 0,
            edns: None,
        }
    }

    /// The response that an upstream gives: ID, question and RD repeated, RA set.
    pub fn reply(to: &Message) -> Build {
        Build {
            id: to.id,
            flags: QR | RA | to.flags & (RD | CD),
            question: to.question.clone(),
            ..Build::query(".", A)
        }
    }

    pub fn id(self, id: u16) -> Build {
        Build { id, ..self }
    }

    pub fn flags(self, flags: u16) -> Build {
        Build { flags, ..self }
    }

    /// These octets as the question section.
    pub fn question(self, question: Vec<u8>) -> Build {
        Build { question, ..self }
    }

    /// So many questions, says the header.
    pub fn questions(self, questions: u16) -> Build {
        Build { questions, ..self }
    }

    pub fn without_question(self) -> Build {
        self.question(Vec::new()).questions(0)
    }

    pub fn set(self, flags: u16) -> Build {
        Build {
            flags: self.flags | flags,
            ..self
        }
    }

    pub fn clear(self, flags: u16) -> Build {
        Build {
            flags: self.flags & !flags,
            ..self
        }
    }

    pub fn opcode(self, opcode: u16) -> Build {
        self.set(opcode << 11)
    }

    pub fn class(mut self, class: u16) -> Build {
        let at = self.question.len() - 2;
        self.question[at..].copy_from_slice(&class.to_be_bytes());
        self
    }

    pub fn rcode(self, rcode: u16) -> Build {
        Build { rcode, ..self }
    }

    pub fn edns(self, edns: Edns) -> Build {
        Build {
            edns: Some(edns),
            ..self
        }
    }

    pub fn answer(mut self, record: Vec<u8>) -> Build {
        self.answers.push(record);
        self
    }

    pub fn authority(mut self, record: Vec<u8>) -> Build {
        self.authorities.push(record);
        self
    }

    pub fn additional(mut self, record: Vec<u8>) -> Build {
        self.additionals.push(record);
        self
    }

    pub fn answers(mut self, records: impl IntoIterator<Item = Vec<u8>>) -> Build {
        self.answers.extend(records);
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let flags = self.flags | self.rcode & 0xf;
        let additionals = self.additionals.len() + usize::from(self.edns.is_some());
        let mut wire = Vec::new();
        for word in [
            self.id,
            flags,
            self.questions,
            self.answers.len() as u16,
            self.authorities.len() as u16,
            additionals as u16,
        ] {
            wire.extend_from_slice(&word.to_be_bytes());
        }
        wire.extend_from_slice(&self.question);
        for record in self
            .answers
            .iter()
            .chain(&self.authorities)
            .chain(&self.additionals)
        {
            wire.extend_from_slice(record);
        }
        if let Some(edns) = &self.edns {
            let rcode_high = edns.rcode_high | (self.rcode >> 4) as u8;
            wire.extend_from_slice(
                &Edns {
                    rcode_high,
                    ..edns.clone()
                }
                .bytes(),
            );
        }
        wire
    }
}
