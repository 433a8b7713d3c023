//! What the words behind `byway query` ask for.

use std::net::IpAddr;

use crate::config::address::Endpoint;
use crate::wire::{self, CLASS_IN, QuestionKey, RecordType};

/// The questions, and who is to be asked if that was said.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub(super) questions: Vec<QuestionKey>,
    pub(super) servers: Vec<Endpoint>,
}

impl Wanted {
    /// Reads names, types of records and servers (`@ADDR`) in any order; each name is asked for with each type. The
    /// names of the addresses in `reverse` are asked for with them, for PTR if no type is there.
    ///
    /// # Errors
    /// In a line, what is wrong.
    pub(super) fn read(words: &[String], reverse: &[IpAddr]) -> Result<Wanted, String> {
        let (mut names, mut types) = (Vec::new(), Vec::new());
        let mut wanted = Wanted::default();
        for word in words {
            if let Some(server) = word.strip_prefix('@') {
                let endpoint = super::super::run::upstream(server);
                let endpoint = endpoint.map_err(|why| format!("{}: {why}", word.escape_debug()))?;
                wanted.servers.push(endpoint);
            } else if let Ok(record_type) = word.parse::<RecordType>() {
                types.push(record_type);
            } else if looks_like_a_type(word) {
                return Err(format!(
                    "unknown record type `{word}` (a mnemonic such as AAAA, or TYPE and a number; a name is written `{word}.`)"
                ));
            } else {
                names.push(word.clone());
            }
        }
        if names.is_empty() && reverse.is_empty() {
            return Err("which name? `.` is the root; what reads as a type of record, such as A or MX, is one".into());
        }
        let usual = |usual| match types.is_empty() {
            true => vec![usual],
            false => types.clone(),
        };
        for name in &names {
            for record_type in usual(RecordType::A) {
                wanted.questions.push(question(name, record_type)?);
            }
        }
        for address in reverse {
            for record_type in usual(RecordType::PTR) {
                let name = reverse_name(*address);
                wanted.questions.push(question(&name, record_type)?);
            }
        }
        Ok(wanted)
    }
}

/// Letters as types are written, and no dot: hardly a name.
fn looks_like_a_type(word: &str) -> bool {
    let upper = |octet: u8| octet.is_ascii_uppercase() || octet.is_ascii_digit();
    word.bytes().all(upper) && word.bytes().any(|octet| octet.is_ascii_uppercase())
}

fn question(name: &str, record_type: RecordType) -> Result<QuestionKey, String> {
    let cannot = |why: &str| format!("cannot ask for {}: {why}", name.escape_debug());
    let wire = wire::name_from_text(name).map_err(|error| cannot(&error.to_string()))?;
    QuestionKey::new(&wire, record_type, CLASS_IN, false, false).ok_or_else(|| cannot("not a name"))
}

/// Where the name of an address is kept (RFC 1035 section 3.5, RFC 3596 section 2.5).
fn reverse_name(address: IpAddr) -> String {
    let mut name = String::new();
    match address {
        IpAddr::V4(address) => {
            for octet in address.octets().iter().rev() {
                name += &format!("{octet}.");
            }
            name + "in-addr.arpa."
        }
        IpAddr::V6(address) => {
            for octet in address.octets().iter().rev() {
                name += &format!("{:x}.{:x}.", octet & 15, octet >> 4);
            }
            name + "ip6.arpa."
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str], reverse: &[&str]) -> Result<Vec<String>, String> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let addresses: Vec<IpAddr> = reverse.iter().filter_map(|it| it.parse().ok()).collect();
        let wanted = Wanted::read(&words, &addresses)?;
        let servers = wanted.servers.iter().map(|it| format!("@{it}"));
        let questions = wanted.questions.iter().map(ToString::to_string);
        Ok(questions.chain(servers).collect())
    }

    #[test]
    fn names_types_and_servers_come_in_any_order() {
        let all = read(&["aaaa", "a.example", "@192.0.2.1", "MX", "b.example"], &[]);
        let expected = [
            "a.example. AAAA",
            "a.example. MX",
            "b.example. AAAA",
            "b.example. MX",
            "@192.0.2.1",
        ];
        assert_eq!(all.unwrap(), expected);
        assert_eq!(read(&["a."], &[]).unwrap(), ["a. A"]);
        assert_eq!(read(&["."], &[]).unwrap(), [". A"]);
    }

    #[test]
    fn an_address_is_turned_into_its_name() {
        let told = read(&[], &["192.0.2.10", "2001:db8::1"]).unwrap();
        assert_eq!(told[0], "10.2.0.192.in-addr.arpa. PTR");
        assert!(told[1].starts_with("1.0.0.0.0.0."), "{}", told[1]);
        assert!(told[1].ends_with(".8.b.d.0.1.0.0.2.ip6.arpa. PTR"));
        assert_eq!(
            read(&["TXT"], &["192.0.2.1"]).unwrap(),
            ["1.2.0.192.in-addr.arpa. TXT"]
        );
    }

    #[test]
    fn what_cannot_be_asked_is_told() {
        for (words, part) in [
            (&["NOTYPE", "a.example"][..], "`NOTYPE.`"),
            (&["A"], "which name?"),
            (&["a..b"], "cannot ask for a..b"),
            (&["@nonsense", "a.example"], "@nonsense: expected"),
        ] {
            let told = read(words, &[]).expect_err("no question");
            assert!(told.contains(part), "{told}");
        }
    }
}
