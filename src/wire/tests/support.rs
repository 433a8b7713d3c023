//! Messages octet by octet, well formed or not.

use hickory_proto::op::Message;

use crate::wire::{
    Answer, Asked, ClientEdns, RecordType, Render, Response, Sent, TtlRule, examine, name_from_text,
};

pub(crate) const ID: u16 = 0x1234;
/// A pointer to the question's name.
pub(crate) const QNAME: &[u8] = &[0xc0, 12];

pub(crate) fn name(text: &str) -> Vec<u8> {
    name_from_text(text).expect("a name")
}

pub(crate) fn question(name_text: &str, record_type: RecordType) -> Vec<u8> {
    let mut question = name(name_text);
    question.extend(record_type.0.to_be_bytes());
    question.extend([0, 1]);
    question
}

/// A message in the making.
#[derive(Clone)]
pub(crate) struct Packet(pub Vec<u8>);

/// The sections that hold records, by the place of their count in the header.
#[derive(Clone, Copy)]
pub(crate) enum Section {
    Answer = 6,
    Authority = 8,
    Additional = 10,
}

impl Packet {
    pub fn header(flags: u16) -> Packet {
        let mut octets = ID.to_be_bytes().to_vec();
        octets.extend(flags.to_be_bytes());
        octets.extend([0; 8]);
        Packet(octets)
    }

    /// A query with RD.
    pub fn query(name: &str, record_type: RecordType) -> Packet {
        Packet::header(0x0100).question(&question(name, record_type))
    }

    /// A response with RD and RA.
    pub fn response(name: &str, record_type: RecordType) -> Packet {
        Packet::header(0x8180).question(&question(name, record_type))
    }

    pub fn question(mut self, octets: &[u8]) -> Packet {
        self.bump(4);
        self.0.extend(octets);
        self
    }

    pub fn flags(mut self, flags: u16) -> Packet {
        self.0[2..4].copy_from_slice(&flags.to_be_bytes());
        self
    }

    pub fn count(mut self, at: usize, count: u16) -> Packet {
        self.0[at..at + 2].copy_from_slice(&count.to_be_bytes());
        self
    }

    pub fn record(
        mut self,
        section: Section,
        owner: &[u8],
        record_type: RecordType,
        ttl: u32,
        data: &[u8],
    ) -> Packet {
        self.bump(section as usize);
        self.0.extend(owner);
        self.0.extend(record_type.0.to_be_bytes());
        self.0.extend([0, 1]);
        self.0.extend(ttl.to_be_bytes());
        self.0.extend((data.len() as u16).to_be_bytes());
        self.0.extend(data);
        self
    }

    pub fn answer(self, owner: &[u8], record_type: RecordType, ttl: u32, data: &[u8]) -> Packet {
        self.record(Section::Answer, owner, record_type, ttl, data)
    }

    pub fn authority(self, owner: &[u8], record_type: RecordType, ttl: u32, data: &[u8]) -> Packet {
        self.record(Section::Authority, owner, record_type, ttl, data)
    }

    pub fn additional(
        self,
        owner: &[u8],
        record_type: RecordType,
        ttl: u32,
        data: &[u8],
    ) -> Packet {
        self.record(Section::Additional, owner, record_type, ttl, data)
    }

    /// An OPT record; `ttl` is extended rcode, version and flags.
    pub fn opt(mut self, payload: u16, ttl: u32, options: &[u8]) -> Packet {
        let at = self.0.len();
        self = self.additional(&[0], RecordType::OPT, ttl, options);
        self.0[at + 3..at + 5].copy_from_slice(&payload.to_be_bytes());
        self
    }

    pub fn soa(self, ttl: u32, minimum: u32) -> Packet {
        let mut data = vec![0xc0, 12, 0xc0, 12];
        data.extend([0; 16]);
        data.extend(minimum.to_be_bytes());
        self.authority(QNAME, RecordType::SOA, ttl, &data)
    }

    pub fn octets(mut self, octets: &[u8]) -> Packet {
        self.0.extend(octets);
        self
    }

    fn bump(&mut self, at: usize) {
        let count = u16::from_be_bytes([self.0[at], self.0[at + 1]]) + 1;
        self.0[at..at + 2].copy_from_slice(&count.to_be_bytes());
    }

    /// The response, examined as one to the question it has.
    pub fn examined(&self) -> Response<'_> {
        let question = super::super::question::question_at(&self.0).expect("a question");
        let sent = Sent {
            id: ID,
            question,
            exact_case: true,
        };
        examine(&self.0, &sent).expect("a response")
    }

    /// A failure without a question, kept.
    pub fn examined_bare(&self) -> Answer {
        let question = question("www.example.com", RecordType::A);
        let sent = Sent {
            id: ID,
            question: &question,
            exact_case: true,
        };
        let answer = examine(&self.0, &sent).expect("a failure").to_answer();
        assert_eq!(
            Answer::from_bytes(answer.as_bytes().into()).as_ref(),
            Some(&answer)
        );
        answer
    }

    pub fn kept(&self) -> Answer {
        let answer = self.examined().to_answer();
        let again = Answer::from_bytes(answer.as_bytes().into());
        assert_eq!(
            again.as_ref(),
            Some(&answer),
            "an answer must pass its own check"
        );
        answer
    }
}

pub(crate) fn asked(question: &[u8]) -> Asked<'_> {
    Asked {
        id: 0xbeef,
        rd: true,
        cd: false,
        ad: false,
        edns: None,
        question,
    }
}

pub(crate) fn with_edns(question: &[u8]) -> Asked<'_> {
    let edns = Some(ClientEdns {
        payload: 1232,
        dnssec_ok: false,
        nsid: false,
        cookie: None,
        keepalive: None,
    });
    Asked {
        edns,
        ..asked(question)
    }
}

pub(crate) const PLAIN: Render<'static> = Render {
    ttl: TtlRule::AsStored,
    limit: 65535,
    payload: 1232,
    ede: None,
    turn: 0,
};

/// The reply, octets and all, and as hickory reads it.
pub(crate) fn reply(answer: &Answer, to: &Asked<'_>, how: &Render<'_>) -> (Vec<u8>, Message) {
    let mut out = vec![0; 65535];
    let len = answer.write(to, how, &mut out);
    out.truncate(len);
    assert!(len <= how.limit, "{len} octets, limit {}", how.limit);
    let message = Message::from_vec(&out).expect("a message hickory reads");
    (out, message)
}
