//! The numbers of DNS that byway names: response codes, record types, extended errors.

use std::fmt;
use std::str::FromStr;

/// The Internet class, the only one byway answers for (RFC 1035 section 3.2.4).
pub const CLASS_IN: u16 = 1;

/// A response code, the upper eight bits of an EDNS extended one included (RFC 6891 section
/// 6.1.3): 0 to 4095.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rcode(pub u16);

/// A record type, known or not (RFC 3597).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordType(pub u16);

/// Names numbers once: the constants, how they print and how they are read stay in step.
macro_rules! numbers {
    ($type:ident: $($name:ident = $value:literal, $doc:literal;)*) => {
        impl $type {
            $(#[doc = $doc] pub const $name: $type = $type($value);)*

            /// The mnemonic of the IANA registry, where byway knows it.
            pub fn mnemonic(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }
    };
}

numbers! { Rcode:
    NOERROR = 0, "No error: an answer, or no data of this type (RFC 1035).";
    FORMERR = 1, "The query could not be read (RFC 1035).";
    SERVFAIL = 2, "The server could not answer (RFC 1035).";
    NXDOMAIN = 3, "The name does not exist (RFC 1035, RFC 2308).";
    NOTIMP = 4, "The server does not do this kind of query (RFC 1035).";
    REFUSED = 5, "The server does not want to answer (RFC 1035).";
    YXDOMAIN = 6, "A DNAME substitution grew too long (RFC 6672).";
    YXRRSET = 7, "A record set exists that should not (RFC 2136).";
    NXRRSET = 8, "A record set that should exist does not (RFC 2136).";
    NOTAUTH = 9, "The server is not authoritative, or not authorised (RFC 2136, RFC 8945).";
    NOTZONE = 10, "The name is not within the zone (RFC 2136).";
    DSOTYPENI = 11, "The DSO type is not implemented (RFC 8490).";
    BADVERS = 16, "The EDNS version is not implemented (RFC 6891 section 6.1.3).";
    BADCOOKIE = 23, "The server cookie is bad or missing (RFC 7873).";
}

numbers! { RecordType:
    A = 1, "An IPv4 address (RFC 1035).";
    NS = 2, "A name server (RFC 1035).";
    MD = 3, "A mail destination; obsolete (RFC 1035).";
    MF = 4, "A mail forwarder; obsolete (RFC 1035).";
    CNAME = 5, "The canonical name of an alias (RFC 1035).";
    SOA = 6, "The start of a zone of authority (RFC 1035).";
    MB = 7, "A mailbox domain name (RFC 1035).";
    MG = 8, "A mail group member (RFC 1035).";
    MR = 9, "A mail rename domain name (RFC 1035).";
    WKS = 11, "Well known services (RFC 1035).";
    PTR = 12, "A pointer to another name (RFC 1035).";
    HINFO = 13, "Host information; also the answer to ANY (RFC 8482).";
    MINFO = 14, "Mailbox information (RFC 1035).";
    MX = 15, "A mail exchange (RFC 1035).";
    TXT = 16, "Text strings (RFC 1035).";
    RP = 17, "A responsible person (RFC 1183).";
    AFSDB = 18, "An AFS data base (RFC 1183).";
    RT = 21, "A route-through binding (RFC 1183).";
    SIG = 24, "A signature; today only of a transaction (RFC 2931).";
    KEY = 25, "A key (RFC 2536).";
    PX = 26, "X.400 mail mapping (RFC 2163).";
    AAAA = 28, "An IPv6 address (RFC 3596).";
    LOC = 29, "A location (RFC 1876).";
    NXT = 30, "The next name; obsolete (RFC 2535).";
    SRV = 33, "The location of a service (RFC 2782).";
    NAPTR = 35, "A naming authority pointer (RFC 3403).";
    KX = 36, "A key exchanger (RFC 2230).";
    CERT = 37, "A certificate (RFC 4398).";
    DNAME = 39, "An alias of a whole subtree (RFC 6672).";
    OPT = 41, "EDNS: a pseudo record of one hop (RFC 6891).";
    DS = 43, "A delegation signer (RFC 4034).";
    SSHFP = 44, "An SSH key fingerprint (RFC 4255).";
    RRSIG = 46, "A signature of a record set (RFC 4034).";
    NSEC = 47, "The next name, signed (RFC 4034).";
    DNSKEY = 48, "A zone's key (RFC 4034).";
    NSEC3 = 50, "The next name, hashed (RFC 5155).";
    NSEC3PARAM = 51, "The parameters of NSEC3 (RFC 5155).";
    TLSA = 52, "A TLS certificate association (RFC 6698).";
    SMIMEA = 53, "An S/MIME certificate association (RFC 8162).";
    CDS = 59, "A child's DS (RFC 7344).";
    CDNSKEY = 60, "A child's DNSKEY (RFC 7344).";
    OPENPGPKEY = 61, "An OpenPGP key (RFC 7929).";
    CSYNC = 62, "Child-to-parent synchronisation (RFC 7477).";
    ZONEMD = 63, "A zone's digest (RFC 8976).";
    SVCB = 64, "Service binding (RFC 9460).";
    HTTPS = 65, "Service binding for HTTP (RFC 9460).";
    SPF = 99, "A sender policy; obsolete (RFC 7208).";
    NXNAME = 128, "The mark of a compact denial; never asked for (RFC 9824).";
    TKEY = 249, "A transaction key (RFC 2930).";
    TSIG = 250, "A transaction signature (RFC 8945).";
    IXFR = 251, "An incremental zone transfer (RFC 1995).";
    AXFR = 252, "A zone transfer (RFC 5936).";
    MAILB = 253, "Any mailbox record; obsolete (RFC 1035).";
    MAILA = 254, "Any mail agent record; obsolete (RFC 1035).";
    ANY = 255, "Some or all records of a name (RFC 8482).";
    URI = 256, "A URI (RFC 7553).";
    CAA = 257, "The authorities that may issue certificates (RFC 8659).";
}

impl fmt::Display for Rcode {
    /// The mnemonic, or `RCODE` and the number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mnemonic() {
            Some(mnemonic) => f.pad(mnemonic),
            None => f.pad(&format!("RCODE{}", self.0)),
        }
    }
}

impl RecordType {
    /// Whether this asks about a query, or travels with one, and names no records of a zone
    /// (RFC 6895 section 3.1: OPT and 128 to 255).
    pub fn is_meta(self) -> bool {
        self == RecordType::OPT || (128..=255).contains(&self.0)
    }
}

impl fmt::Display for RecordType {
    /// The mnemonic, or `TYPE` and the number (RFC 3597 section 5).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mnemonic() {
            Some(mnemonic) => f.pad(mnemonic),
            None => f.pad(&format!("TYPE{}", self.0)),
        }
    }
}

/// The text is neither a mnemonic byway knows nor `TYPE` and a number up to 65535.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown record type `{0}` (a mnemonic such as AAAA, or TYPE and a number)")]
pub struct UnknownType(String);

impl FromStr for RecordType {
    type Err = UnknownType;

    /// Reads a mnemonic in any letter case, or `TYPE65280` (RFC 3597 section 5).
    fn from_str(text: &str) -> Result<RecordType, UnknownType> {
        let upper = text.to_ascii_uppercase();
        let number = |digits: &str| -> Option<u16> {
            let plain = digits.bytes().all(|octet| octet.is_ascii_digit());
            plain.then(|| digits.parse().ok()).flatten()
        };
        if let Some(value) = upper.strip_prefix("TYPE").and_then(number) {
            return Ok(RecordType(value));
        }
        (0..=RecordType::CAA.0)
            .map(RecordType)
            .find(|known| known.mnemonic() == Some(upper.as_str()))
            .ok_or_else(|| UnknownType(text.to_owned()))
    }
}

/// An Extended DNS Error: why an answer is what it is (RFC 8914).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ede<'a> {
    /// The code of the IANA registry.
    pub code: u16,
    /// A text for people; may be empty.
    pub text: &'a str,
}

impl<'a> Ede<'a> {
    /// 0: none of the others.
    pub const OTHER: Ede<'static> = Ede::new(0);
    /// 3: the answer is stale (RFC 8767).
    pub const STALE_ANSWER: Ede<'static> = Ede::new(3);
    /// 13: the failure was cached.
    pub const CACHED_ERROR: Ede<'static> = Ede::new(13);
    /// 14: the server is not ready yet.
    pub const NOT_READY: Ede<'static> = Ede::new(14);
    /// 15: the operator blocks this name.
    pub const BLOCKED: Ede<'static> = Ede::new(15);
    /// 17: the operator keeps this from clients.
    pub const FILTERED: Ede<'static> = Ede::new(17);
    /// 18: this client may not ask.
    pub const PROHIBITED: Ede<'static> = Ede::new(18);
    /// 19: the NXDOMAIN is stale.
    pub const STALE_NXDOMAIN: Ede<'static> = Ede::new(19);
    /// 20: the server is not authoritative for the name and does not recurse for it.
    pub const NOT_AUTHORITATIVE: Ede<'static> = Ede::new(20);
    /// 21: the operation or the type is not supported.
    pub const NOT_SUPPORTED: Ede<'static> = Ede::new(21);
    /// 22: no upstream could be reached.
    pub const NO_REACHABLE_AUTHORITY: Ede<'static> = Ede::new(22);
    /// 23: an error while talking to another server.
    pub const NETWORK_ERROR: Ede<'static> = Ede::new(23);
    /// 24: another server's answer made no sense.
    pub const INVALID_DATA: Ede<'static> = Ede::new(24);
    /// 29: the answer was made of others.
    pub const SYNTHESIZED: Ede<'static> = Ede::new(29);
    /// 30: a type that must not be asked for (RFC 9824).
    pub const INVALID_QUERY_TYPE: Ede<'static> = Ede::new(30);

    /// The error `code` without a text.
    pub const fn new(code: u16) -> Ede<'static> {
        Ede { code, text: "" }
    }

    /// The same error with a text.
    pub const fn with_text<'b>(self, text: &'b str) -> Ede<'b> {
        Ede {
            code: self.code,
            text,
        }
    }
}
