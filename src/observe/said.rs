//! In whose words an attempt failed: the kernel's, the server's, or nobody's.

use std::fmt::{self, Write};
use std::io;

use rustix::io::Errno;

use crate::wire::{self, Ede, Rcode};

/// What the kernel said of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reason(Errno);

impl Reason {
    /// Nothing listens there: RST, or ICMP port unreachable.
    pub const REFUSED: Reason = Reason(Errno::CONNREFUSED);
    /// A router, or neighbour discovery, found nobody.
    pub const HOST_UNREACHABLE: Reason = Reason(Errno::HOSTUNREACH);
    /// There is no route, here or further on.
    pub const NETWORK_UNREACHABLE: Reason = Reason(Errno::NETUNREACH);
    /// No answer to the handshake.
    pub const TIMED_OUT: Reason = Reason(Errno::TIMEDOUT);
    /// The connection was taken, and no TLS came of it in time.
    pub const NO_TLS: Reason = Reason(Errno::TIME);
    /// It was closed before it carried anything.
    pub const CLOSED: Reason = Reason(Errno::PIPE);
    /// The path's interface or source address has gone.
    pub const PATH_DOWN: Reason = Reason(Errno::NETDOWN);

    /// What `error` says, or else that something failed.
    pub fn of(error: &io::Error) -> Reason {
        Reason(Errno::from_io_error(error).unwrap_or(match error.kind() {
            io::ErrorKind::TimedOut => Errno::TIMEDOUT,
            _ => Errno::IO,
        }))
    }

    /// An error that says this.
    pub fn error(self) -> io::Error {
        self.0.into()
    }

    /// What the error number says (errno(3)).
    pub fn of_number(number: i32) -> Reason {
        Reason(Errno::from_raw_os_error(number))
    }

    /// Whether it says that there is no way to a whole network or host, and nothing of who would have listened.
    pub fn is_no_way(self) -> bool {
        matches!(
            self.0,
            Errno::NETUNREACH | Errno::HOSTUNREACH | Errno::ADDRNOTAVAIL
        )
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Errno::CONNREFUSED => "connection refused",
            Errno::HOSTUNREACH => "host unreachable",
            Errno::NETUNREACH => "network unreachable",
            Errno::TIMEDOUT => "timed out",
            Errno::TIME => "no answer to TLS, though the connection was taken",
            Errno::NETDOWN => "path down",
            Errno::CONNRESET => "connection reset",
            Errno::PIPE => "connection closed",
            Errno::PERM | Errno::ACCESS => "not permitted, perhaps by a firewall of this host",
            Errno::ADDRNOTAVAIL => "no address of this host to send from",
            Errno::NODEV => "no such interface",
            Errno::MSGSIZE => "longer than the way there takes",
            Errno::NOPROTOOPT | Errno::PROTO => "protocol unreachable",
            // Its number is on the end: "Cannot allocate memory (os error 12)".
            other => return write!(f, "{}", io::Error::from(other)),
        })
    }
}

/// Why a server that is asked over TLS is not believed to be who it should be, or cannot be spoken with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flaw {
    /// Its certificate has ended.
    Ended,
    /// Its certificate does not hold yet.
    NotYet,
    /// No authority that is trusted vouches for it.
    Authority,
    /// Its certificate is for other names.
    Name,
    /// Its key is none of those that it should have.
    Key,
    /// Its certificate is wrong in another way.
    Certificate,
    /// It has ended the handshake.
    Refused,
    /// What it says is not TLS.
    Garbled,
}

impl Flaw {
    /// The flaw that `error` was made of, if it was.
    pub fn of(error: &io::Error) -> Option<Flaw> {
        let inner = error.get_ref()?;
        inner.downcast_ref::<Flaw>().copied()
    }
}

impl std::error::Error for Flaw {}

impl From<Flaw> for io::Error {
    fn from(flaw: Flaw) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, flaw)
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Flaw::Ended => "its certificate has ended, if this host's clock is right",
            Flaw::NotYet => "its certificate holds only later; this host's clock may be behind",
            Flaw::Authority => "nobody who is trusted vouches for its certificate",
            Flaw::Name => "its certificate is for other names",
            Flaw::Key => "its key is not one of `tls-pins`",
            Flaw::Certificate => "its certificate is not in order",
            Flaw::Refused => "it refuses the TLS handshake",
            Flaw::Garbled => "it does not speak TLS",
        })
    }
}

/// The longest text of a server's that is kept, in octets.
const TEXT: usize = 64;

/// How a server explains itself (RFC 8914), made safe to be printed and shortened.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Explained {
    code: u16,
    length: u8,
    text: [u8; TEXT],
}

impl Explained {
    /// `ede` with what does not print escaped.
    pub fn of(ede: &Ede<'_>) -> Explained {
        let mut explained = Explained {
            code: ede.code,
            length: 0,
            text: [0; TEXT],
        };
        for piece in ede.text.trim().chars().map(char::escape_debug) {
            let mut octets = [0; 16];
            let mut end = 0;
            for each in piece {
                end += each.encode_utf8(&mut octets[end..]).len();
            }
            let start = usize::from(explained.length);
            let Some(place) = explained.text.get_mut(start..start + end) else {
                break;
            };
            place.copy_from_slice(&octets[..end]);
            explained.length += end as u8;
        }
        explained
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.text[..usize::from(self.length)]).unwrap_or_default()
    }
}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EDE {}", self.code)?;
        if let Some(purpose) = wire::ede_purpose(self.code) {
            write!(f, " {purpose}")?;
        }
        match self.text() {
            "" => Ok(()),
            text => write!(f, ": {text}"),
        }
    }
}

impl fmt::Debug for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What is known of why an attempt brought no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// The kernel: nothing could be sent, or ICMP came back.
    Kernel(Reason),
    /// The kernel: no connection was made.
    Handshake(Reason),
    /// The other end closed the connection.
    Closed,
    /// The server answered uselessly.
    Server {
        /// With this.
        rcode: Rcode,
        /// And why, if it said so.
        why: Option<Explained>,
    },
    /// The server answered without an error and without an answer.
    Lame,
    /// The server sent what cannot be read.
    Garbled,
    /// The name came back in other case than it was sent.
    OtherCase,
    /// The server did not prove who it is, or speaks no TLS.
    Untrusted(Flaw),
    /// What came does not match what was asked: it is no answer, and who sent it is not known.
    Unmatched,
    /// Nobody said anything in time.
    Nothing,
}

impl Said {
    /// Whether the server said it: evidence against it and nobody else.
    pub fn is_servers(&self) -> bool {
        matches!(
            self,
            Said::Server { .. } | Said::Lame | Said::Garbled | Said::Untrusted(_)
        )
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Said::Kernel(reason) => reason.fmt(f),
            Said::Handshake(Reason::REFUSED) => f.write_str("connection refused"),
            Said::Handshake(reason) => write!(f, "handshake failed: {reason}"),
            Said::Closed => f.write_str("connection closed"),
            Said::Server { rcode, why: None } => rcode.fmt(f),
            Said::Server {
                rcode,
                why: Some(why),
            } => write!(f, "{rcode} ({why})"),
            Said::Lame => f.write_str("an answer to something else, or to nothing"),
            Said::Garbled => f.write_str("garbled answer"),
            Said::OtherCase => f.write_str("name in other letter case"),
            Said::Untrusted(flaw) => flaw.fmt(f),
            Said::Unmatched => f.write_str("answers do not match what was asked"),
            Said::Nothing => f.write_str("no answer"),
        }
    }
}

/// The longest account given to a client, in octets: with the longest name and an OPT record it fits 512.
pub const ACCOUNT: usize = 160;

/// `dc1@eth0: connection refused; dc2@eth1: no answer`: what each route said, in at most [`ACCOUNT`] octets.
#[derive(Clone, Debug, Default)]
pub struct Account {
    text: String,
    full: bool,
}

impl Account {
    /// Adds what came of a route, unless there is no more room.
    pub fn add(&mut self, route: &str, said: Said) {
        let before = self.text.len();
        let separator = if before == 0 { "" } else { "; " };
        // Writing to a string does not fail.
        let _ = write!(self.text, "{separator}{route}: {said}");
        // Something must be left for saying that it goes on.
        if self.full || self.text.len() > ACCOUNT - MORE.len() {
            self.text.truncate(before);
            if before == 0 {
                let _ = write!(self.text, "{route}: {said}");
                let fits = |end: &usize| self.text.is_char_boundary(*end);
                let end = (0..=ACCOUNT - MORE.len()).rev().find(fits).unwrap_or(0);
                self.text.truncate(end);
            }
            if !std::mem::replace(&mut self.full, true) {
                self.text.push_str(MORE);
            }
        }
    }

    /// The text; empty if nothing was added.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

const MORE: &str = "; ...";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_names_every_route_and_keeps_its_bound() {
        let mut account = Account::default();
        account.add("dc1@eth0", Said::Kernel(Reason::REFUSED));
        account.add("dc2@eth1", Said::Nothing);
        assert_eq!(
            account.as_str(),
            "dc1@eth0: connection refused; dc2@eth1: no answer"
        );
        for index in 0..20 {
            account.add(&format!("other{index}@eth1"), Said::Nothing);
            assert!(account.as_str().len() <= ACCOUNT);
        }
        assert!(account.as_str().ends_with("no answer; ..."), "{account:?}");
        let mut long = Account::default();
        long.add(&"ü".repeat(200), Said::Closed);
        assert!(long.as_str().len() <= ACCOUNT && !long.as_str().is_empty());
    }

    #[test]
    fn a_server_explains_itself_without_escapes_and_at_length() {
        let ede = Ede {
            code: 6,
            text: "signature \x1b[31mexpired\n\u{202e}",
        };
        let said = Said::Server {
            rcode: Rcode::SERVFAIL,
            why: Some(Explained::of(&ede)),
        };
        assert_eq!(
            said.to_string(),
            r"SERVFAIL (EDE 6 DNSSEC Bogus: signature \u{1b}[31mexpired\n\u{202e})"
        );
        let long = Ede {
            code: 60_000,
            text: &"ü\x01".repeat(500),
        };
        let shown = Explained::of(&long).to_string();
        assert!(shown.starts_with("EDE 60000: ü"), "{shown}");
        assert!(
            shown.len() <= TEXT + 11 && !shown.contains('\x01'),
            "{shown}"
        );
    }

    #[test]
    fn the_kernel_is_quoted_in_plain_words() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        assert_eq!(
            Reason::of(&refused),
            Reason::of_number(5),
            "without a number"
        );
        let refused = io::Error::from_raw_os_error(111);
        assert_eq!(Reason::of(&refused), Reason::REFUSED);
        let said = |reason| Said::Handshake(reason).to_string();
        assert_eq!(said(Reason::REFUSED), "connection refused");
        assert_eq!(said(Reason::TIMED_OUT), "handshake failed: timed out");
        assert!(Reason::of_number(12).to_string().ends_with("(os error 12)"));
    }
}
