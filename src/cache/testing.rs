//! Answers to test with.

use std::time::Duration;

use crate::config::CacheConfig;
use crate::wire::{self, Answer, CLASS_IN, QuestionKey, RecordType, Sent, name_from_text};

use super::Origin;

/// An upstream that is well.
pub(super) const WELL: Origin = Origin {
    route: 3,
    trusted: true,
};
/// An upstream that is not.
pub(super) const SICK: Origin = Origin {
    route: 4,
    trusted: false,
};

/// The defaults, in a cache of `size` bytes.
pub(super) fn config(size: usize) -> CacheConfig {
    CacheConfig {
        size,
        min_ttl: Duration::ZERO,
        max_ttl: Duration::from_secs(7 * 24 * 3600),
        negative_max_ttl: Duration::from_secs(3600),
        stale_max: Duration::from_secs(24 * 3600),
        stale_ttl: Duration::from_secs(30),
        stale_wait: Duration::from_millis(200),
        refresh: true,
        rotate: true,
        failure_min_ttl: Duration::from_secs(1),
        failure_max_ttl: Duration::from_secs(300),
        snapshot: None,
        snapshot_every: Duration::from_secs(600),
    }
}

/// The key of `name` A, without DO and CD.
pub(super) fn key(name: &str) -> QuestionKey {
    key_with(name, false, false)
}

pub(super) fn key_with(name: &str, dnssec_ok: bool, checking_disabled: bool) -> QuestionKey {
    let name = wire_name(name);
    QuestionKey::new(&name, RecordType::A, CLASS_IN, dnssec_ok, checking_disabled)
        .expect("a well-formed name")
}

pub(super) fn wire_name(name: &str) -> Vec<u8> {
    name_from_text(name).expect("a well-formed name").to_vec()
}

/// A response in the making.
pub(super) struct Making {
    key: QuestionKey,
    packet: Vec<u8>,
    flags: u16,
    counts: [u16; 3],
}

/// A response to `key` without records.
pub(super) fn response(key: &QuestionKey) -> Making {
    let mut packet = vec![0; 12];
    packet.extend_from_slice(key.question());
    Making {
        key: *key,
        packet,
        flags: 0x8180,
        counts: [0; 3],
    }
}

impl Making {
    /// An address; `serial` tells one answer from another.
    pub(super) fn address(mut self, ttl: u32, serial: u32) -> Making {
        self.record(0, 1, ttl, &serial.to_be_bytes());
        self
    }

    /// A signature that makes the answer large, and lives for as long as any.
    pub(super) fn padding(mut self, octets: usize) -> Making {
        let mut data = vec![0; 19];
        data[1] = 1;
        data.resize(19 + octets, b'x');
        self.record(0, 46, i32::MAX as u32, &data);
        self
    }

    /// The SOA of a negative answer.
    pub(super) fn soa(mut self, ttl: u32, minimum: u32) -> Making {
        let mut data = vec![0, 0];
        for field in [1, 2, 3, 4, minimum] {
            data.extend_from_slice(&u32::to_be_bytes(field));
        }
        self.record(1, 6, ttl, &data);
        self
    }

    /// A name server in the authority section.
    pub(super) fn server(mut self, ttl: u32) -> Making {
        self.record(1, 2, ttl, &[0xc0, 12]);
        self
    }

    pub(super) fn rcode(mut self, rcode: u16) -> Making {
        self.flags |= rcode;
        self
    }

    pub(super) fn truncated(mut self) -> Making {
        self.flags |= 0x0200;
        self
    }

    pub(super) fn answer(mut self) -> Answer {
        let [answers, authorities, additionals] = self.counts;
        let header = [0, self.flags, 1, answers, authorities, additionals];
        for (place, field) in self.packet.chunks_exact_mut(2).zip(header) {
            place.copy_from_slice(&field.to_be_bytes());
        }
        let sent = Sent {
            id: 0,
            question: self.key.question(),
            exact_case: false,
        };
        wire::examine(&self.packet, &sent)
            .expect("a well-formed response")
            .to_answer()
    }

    fn record(&mut self, section: usize, record_type: u16, ttl: u32, data: &[u8]) {
        self.packet.extend_from_slice(&[0xc0, 12]);
        self.packet.extend_from_slice(&record_type.to_be_bytes());
        self.packet.extend_from_slice(&[0, 1]);
        self.packet.extend_from_slice(&ttl.to_be_bytes());
        self.packet
            .extend_from_slice(&(data.len() as u16).to_be_bytes());
        self.packet.extend_from_slice(data);
        self.counts[section] += 1;
    }
}

/// `name` has this address, for `ttl` seconds.
pub(super) fn positive(name: &str, ttl: u32, serial: u32) -> (QuestionKey, Answer) {
    let key = key(name);
    (key, response(&key).address(ttl, serial).answer())
}

/// `name` does not exist, for `ttl` seconds.
pub(super) fn nxdomain(name: &str, ttl: u32) -> (QuestionKey, Answer) {
    let key = key(name);
    (key, response(&key).soa(ttl, ttl).rcode(3).answer())
}

/// The number that `address` was given; `None` for an answer without one.
pub(super) fn serial(answer: &Answer) -> Option<u32> {
    let octets = answer.as_bytes();
    let at = 7 + 12 + answer.question().len() + 12;
    let positive = answer.kind() == wire::Kind::Positive;
    let data = octets.get(at..at + 4).filter(|_| positive)?;
    Some(u32::from_be_bytes([data[0], data[1], data[2], data[3]]))
}
