//! Which label value stands for what other rooms have.

use std::net::IpAddr;

use super::{AnswerRcode, AskedType, Client, Drop, Mismatch};
use crate::wire::{self, Rcode, RecordType};

impl From<RecordType> for AskedType {
    #[inline]
    fn from(asked: RecordType) -> AskedType {
        match asked {
            RecordType::A => AskedType::A,
            RecordType::AAAA => AskedType::Aaaa,
            RecordType::HTTPS => AskedType::Https,
            RecordType::SVCB => AskedType::Svcb,
            RecordType::PTR => AskedType::Ptr,
            RecordType::SRV => AskedType::Srv,
            RecordType::TXT => AskedType::Txt,
            RecordType::MX => AskedType::Mx,
            RecordType::NS => AskedType::Ns,
            RecordType::SOA => AskedType::Soa,
            RecordType::CNAME => AskedType::Cname,
            RecordType::DS => AskedType::Ds,
            RecordType::DNSKEY => AskedType::Dnskey,
            RecordType::ANY => AskedType::Any,
            _ => AskedType::Other,
        }
    }
}

impl From<Rcode> for AnswerRcode {
    #[inline]
    fn from(rcode: Rcode) -> AnswerRcode {
        match rcode {
            Rcode::NOERROR => AnswerRcode::Noerror,
            Rcode::NXDOMAIN => AnswerRcode::Nxdomain,
            Rcode::SERVFAIL => AnswerRcode::Servfail,
            Rcode::REFUSED => AnswerRcode::Refused,
            Rcode::FORMERR => AnswerRcode::Formerr,
            Rcode::NOTIMP => AnswerRcode::Notimp,
            Rcode::BADVERS => AnswerRcode::Badvers,
            _ => AnswerRcode::Other,
        }
    }
}

impl From<wire::Garbage> for Drop {
    fn from(garbage: wire::Garbage) -> Drop {
        match garbage {
            wire::Garbage::Short => Drop::Short,
            wire::Garbage::Response => Drop::Response,
        }
    }
}

impl From<wire::Mismatch> for Mismatch {
    fn from(mismatch: wire::Mismatch) -> Mismatch {
        match mismatch {
            wire::Mismatch::Id => Mismatch::Id,
            wire::Mismatch::Question => Mismatch::Question,
            wire::Mismatch::Case => Mismatch::Case,
            wire::Mismatch::Short
            | wire::Mismatch::NotAResponse
            | wire::Mismatch::Opcode
            | wire::Mismatch::Garbled(_) => Mismatch::Garbled,
        }
    }
}

impl From<IpAddr> for Client {
    fn from(address: IpAddr) -> Client {
        let (loopback, private) = match address.to_canonical() {
            IpAddr::V4(address) => {
                let shared = address.octets()[0] == 100 && address.octets()[1] & 0xc0 == 64;
                let private = address.is_private() || address.is_link_local() || shared;
                (address.is_loopback(), private)
            }
            IpAddr::V6(address) => {
                let private = address.is_unique_local() || address.is_unicast_link_local();
                (address.is_loopback(), private)
            }
        };
        match (loopback, private) {
            (true, _) => Client::Loopback,
            (false, true) => Client::Private,
            (false, false) => Client::Public,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_told_apart_by_where_they_are() {
        for (address, class) in [
            ("127.0.0.53", Client::Loopback),
            ("::1", Client::Loopback),
            ("::ffff:127.0.0.1", Client::Loopback),
            ("10.1.2.3", Client::Private),
            ("172.31.0.1", Client::Private),
            ("172.32.0.1", Client::Public),
            ("192.168.1.1", Client::Private),
            ("100.64.0.1", Client::Private),
            ("100.128.0.1", Client::Public),
            ("169.254.3.4", Client::Private),
            ("fd00::1", Client::Private),
            ("fe80::1", Client::Private),
            ("2001:db8::1", Client::Public),
            ("192.0.2.1", Client::Public),
        ] {
            let parsed: IpAddr = address.parse().expect("an address");
            assert_eq!(Client::from(parsed), class, "{address}");
        }
    }
}
