//! Each upstream over each path: reachable, honest, and up to what clients will ask of it.

use super::{Finding, Gravity};
use crate::config::Config;
use crate::daemon::examine::{Examined, Examiner, How};
use crate::wire::{
    self, CLASS_IN, Lines, OutgoingEdns, QuestionKey, Rcode, RecordType, Response, Sent,
    name_from_text,
};

/// DNSKEY (RFC 4034 section 2): those of the root are larger than most answers.
const DNSKEY: RecordType = RecordType(48);

const WITHOUT_DNSSEC: Option<OutgoingEdns> = Some(OutgoingEdns {
    payload: 1232,
    dnssec_ok: false,
});
const WITH_DNSSEC: Option<OutgoingEdns> = Some(OutgoingEdns {
    payload: 1232,
    dnssec_ok: true,
});

pub(super) fn examine(config: &Config, findings: &mut Vec<Finding>) {
    let mut examiner = match Examiner::new(config) {
        Ok(examiner) => examiner,
        Err(error) => {
            findings.push(Finding::new("upstreams", Gravity::Bad, error.to_string()));
            return;
        }
    };
    for number in 0..examiner.count() {
        route(&mut examiner, number, findings);
    }
}

/// What is wrong with one route, or one line that nothing is.
fn route(examiner: &mut Examiner, number: usize, findings: &mut Vec<Finding>) {
    let route = examiner.route(number);
    let subject = format!("upstream {}", route.name);
    let (address, by_tcp) = (route.upstream.address, route.upstream.transport.is_stream());
    let root = question(".", RecordType::NS);
    let by = |edns, tcp, mixed_case| How {
        edns,
        tcp,
        mixed_case,
    };
    let first = match examiner.ask(number, &root, by(WITHOUT_DNSSEC, false, false)) {
        Ok(first) => first,
        Err(why) => {
            // Some drop what they do not know.
            let plain = examiner.ask(number, &root, by(None, false, false));
            let other = examiner.ask(number, &root, by(None, !by_tcp, false));
            let (what, help) = match (plain, other) {
                (Ok(_), _) => (
                    format!("{address} answers plain questions only, not those with EDNS"),
                    "something on the way drops EDNS, or the server is very old".to_owned(),
                ),
                (Err(_), Ok(_)) => {
                    let (one, other) = if by_tcp {
                        ("TCP", "udp")
                    } else {
                        ("UDP", "tcp")
                    };
                    (
                        format!("{address} does not answer by {one}: {why}"),
                        format!("a firewall may be in the way; `transport = \"{other}\"` works"),
                    )
                }
                (Err(_), Err(_)) => (
                    format!("{address} does not answer: {why}"),
                    "see whether it runs, and whether the path leads there".to_owned(),
                ),
            };
            findings.push(Finding::new(subject, Gravity::Bad, what).help(help));
            return;
        }
    };
    let took = first.took.as_secs_f64() * 1e3;
    let mut odd = Vec::new();
    let mut bad = Vec::new();
    let rcode = read(&first, &root, |it| it.rcode());
    if rcode == Some(Rcode::REFUSED) {
        bad.push((
            "it refuses to answer this host",
            "see whom it allows to ask",
        ));
    }
    if read(&first, &root, |it| it.has_opt()) == Some(false) {
        odd.push(("it speaks no EDNS", "answers over 512 octets take TCP"));
    }
    // A name that nobody has, of the kind that those lie about who sell advertisements.
    let nonsense = format!("{}.com", examiner.letters(20));
    let nonsense = question(&nonsense, RecordType::A);
    let lie = examiner.ask(number, &nonsense, by(WITHOUT_DNSSEC, false, false));
    let lie = lie.ok().and_then(|it| {
        read(&it, &nonsense, |it| {
            (it.rcode(), it.kind() == wire::Kind::Positive)
        })
    });
    match lie {
        Some((_, true)) => bad.push((
            "it answers with an address for a name that does not exist",
            "it sends typing errors somewhere; ask another one",
        )),
        Some((Rcode::NXDOMAIN, _)) => {}
        Some((Rcode::NOERROR, _)) => odd.push((
            "it does not say that a name that does not exist does not",
            "programs that search several domains find nothing",
        )),
        Some(_) | None => odd.push((
            "whether it is honest about names that do not exist cannot be told",
            "it does not resolve names of the Internet",
        )),
    }
    let signed = examiner.ask(number, &root, by(WITH_DNSSEC, false, false));
    match signed {
        Ok(it) if rcode == Some(Rcode::NOERROR) => {
            let lines = Lines::of(&it.response);
            let is_signature =
                |line: &String| line.contains(" RRSIG ") || line.contains("\tRRSIG\t");
            let truncated = read(&it, &root, |it| it.truncated()) == Some(true);
            if !truncated && !lines.answers.iter().any(is_signature) {
                odd.push((
                    "it leaves signatures out (DO)",
                    "programs that validate DNSSEC fail behind it",
                ));
            }
        }
        Ok(_) => {}
        Err(_) => odd.push((
            "it does not answer questions with DO",
            "programs that validate DNSSEC fail behind it",
        )),
    }
    let other = examiner.ask(number, &root, by(WITHOUT_DNSSEC, !by_tcp, false));
    if other.is_err() {
        odd.push(match by_tcp {
            true => (
                "it does not answer by UDP",
                "TCP is used, so that does no harm",
            ),
            false => (
                "it does not answer by TCP",
                "answers that do not fit a datagram are lost; open port 53 for TCP",
            ),
        });
    }
    let keys = question(".", DNSKEY);
    let large = examiner.ask(number, &keys, by(WITH_DNSSEC, false, false));
    if large.is_err() && other.is_ok() {
        odd.push((
            "its large answers do not arrive",
            "something on the way drops large datagrams; look at the MTU",
        ));
    }
    if !by_tcp {
        let mixed = question("a.root-servers.net", RecordType::A);
        match examiner.ask(number, &mixed, by(WITHOUT_DNSSEC, false, true)) {
            Ok(it) if !it.case_kept => odd.push((
                "it changes the letter case of questions",
                "byway notices and does without that defence against forgery",
            )),
            _ => {}
        }
    }
    if odd.is_empty() && bad.is_empty() {
        let text = format!(
            "{address} answers in {took:.1} ms, honestly, by UDP and TCP, with EDNS, DO, large answers and the case kept"
        );
        findings.push(Finding::fine(subject, text));
        return;
    }
    for (all, gravity) in [(bad, Gravity::Bad), (odd, Gravity::Odd)] {
        for (what, help) in all {
            let text = format!("{address} answers in {took:.1} ms, but {what}");
            findings.push(Finding::new(subject.clone(), gravity, text).help(help));
        }
    }
}

fn question(name: &str, record_type: RecordType) -> Vec<u8> {
    let name = name_from_text(name).unwrap_or_default();
    let key = QuestionKey::new(&name, record_type, CLASS_IN, false, false);
    key.map_or_else(Vec::new, |key| key.question().to_vec())
}

/// What a response says. It has been found to be one to this question already.
fn read<R>(it: &Examined, question: &[u8], what: impl Fn(&Response<'_>) -> R) -> Option<R> {
    let id = u16::from_be_bytes([*it.response.first()?, *it.response.get(1)?]);
    let sent = Sent {
        id,
        question,
        exact_case: false,
    };
    wire::examine(&it.response, &sent).ok().as_ref().map(what)
}
