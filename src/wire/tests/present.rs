//! Records as text, and what strangers may write into them.

use super::super::present::{Escaped, Lines};
use super::support::{PLAIN, Packet, QNAME, asked, name};
use crate::wire::RecordType;

/// The one answer to a question for `record_type`, as text, less owner, TTL, class and type.
fn shown(record_type: RecordType, data: &[u8]) -> String {
    let packet =
        Packet::response("www.example.com", record_type).answer(QNAME, record_type, 300, data);
    let answer = packet.kept();
    let question = answer.question().to_vec();
    let mut out = vec![0; 4096];
    let len = answer.write(&asked(&question), &PLAIN, &mut out);
    let line = Lines::of(&out[..len]).answers.swap_remove(0);
    let front = format!("www.example.com. 300 IN {record_type} ");
    line.strip_prefix(&front).expect("its front").to_string()
}

#[test]
fn types_are_shown_as_their_documents_say() {
    let target = |prefix: &[u8], host: &str| [prefix, &name(host)].concat();
    let soa = [
        &name("ns.test")[..],
        &name("a\\.b.test"),
        &[0, 0, 0, 1].repeat(5),
    ]
    .concat();
    for (record_type, data, text) in [
        (RecordType::A, vec![192, 0, 2, 1], "192.0.2.1"),
        (
            RecordType::AAAA,
            [0x20, 1, 0xd, 0xb8]
                .into_iter()
                .chain([0; 11])
                .chain([1])
                .collect(),
            "2001:db8::1",
        ),
        (RecordType::CNAME, name("b.test"), "b.test."),
        (
            RecordType::MX,
            target(&[0, 10], "mail.test"),
            "10 mail.test.",
        ),
        (
            RecordType::SRV,
            target(&[0, 1, 0, 2, 1, 0xbb], "h.test"),
            "1 2 443 h.test.",
        ),
        (RecordType::SOA, soa, "ns.test. a\\.b.test. 1 1 1 1 1"),
        (
            RecordType::TXT,
            b"\x02hi\x00\x01;".to_vec(),
            r#""hi" "" ";""#,
        ),
        (
            RecordType::HINFO,
            b"\x03PDP\x02OS".to_vec(),
            r#""PDP" "OS""#,
        ),
        (
            RecordType::CAA,
            b"\x80\x05issueca.test; x=y".to_vec(),
            r#"128 issue "ca.test; x=y""#,
        ),
        (
            RecordType::URI,
            b"\x00\x0a\x00\x01https://x.test/".to_vec(),
            r#"10 1 "https://x.test/""#,
        ),
        (RecordType::DS, vec![0, 7, 13, 2, 0xab, 0xcd], "7 13 2 ABCD"),
        (
            RecordType::DNSKEY,
            vec![1, 1, 3, 13, 0xff, 0xfe],
            "257 3 13 //4=",
        ),
        (
            RecordType::NSEC,
            [name("n.test"), vec![0, 2, 0x40, 1]].concat(),
            "n.test. A MX",
        ),
        (
            RecordType::NSEC3PARAM,
            vec![1, 0, 0, 5, 1, 0xaa],
            "1 0 5 AA",
        ),
        (RecordType::TLSA, vec![3, 1, 1, 0xff], "3 1 1 FF"),
        (RecordType::SSHFP, vec![4, 2, 0x01], "4 2 01"),
        (RecordType(65280), vec![1, 2, 3], "\\# 3 010203"),
        (RecordType(65280), vec![], "\\# 0"),
    ] {
        assert_eq!(shown(record_type, &data), text, "{record_type}");
    }
    let naptr = target(b"\x00\x01\x00\x02\x01u\x03sip\x04!^!x", ".");
    let naptr = [&naptr[..naptr.len() - 1], b"\x00"].concat();
    assert_eq!(
        shown(RecordType::NAPTR, &naptr),
        r#"1 2 "u" "sip" "!^!x" ."#
    );
}

#[test]
fn service_bindings_are_shown() {
    let binding = |parameters: &[u8]| {
        let data = [&[0, 1, 0][..], parameters].concat();
        shown(RecordType::HTTPS, &data)
    };
    assert_eq!(binding(&[]), "1 .");
    assert_eq!(
        binding(b"\x00\x01\x00\x06\x02h2\x02h3"),
        r#"1 . alpn="h2,h3""#
    );
    // RFC 9460 appendix D.2: a comma and a backslash within an item.
    assert_eq!(
        binding(b"\x00\x01\x00\x0c\x08f\\oo,bar\x02h2"),
        r#"1 . alpn="f\\\\oo\\,bar,h2""#
    );
    assert_eq!(
        binding(b"\x00\x02\x00\x00\x00\x03\x00\x02\x01\xbb"),
        "1 . no-default-alpn port=443"
    );
    assert_eq!(
        binding(b"\x00\x04\x00\x08\xc0\x00\x02\x01\xc0\x00\x02\x02"),
        "1 . ipv4hint=192.0.2.1,192.0.2.2"
    );
    assert_eq!(
        binding(b"\x00\x00\x00\x04\x00\x01\x00\x63"),
        "1 . mandatory=alpn,key99"
    );
    assert_eq!(
        binding(b"\x00\x05\x00\x03\x01\x02\x03"),
        r#"1 . ech="AQID""#
    );
    assert_eq!(
        binding(b"\x02\x9b\x00\x05a\x1b[2J"),
        r#"1 . key667="a\027[2J""#
    );
    // A value that is not as it should be is shown all the same.
    assert_eq!(binding(b"\x00\x03\x00\x01\x07"), r#"1 . key3="\007""#);
    // And so is a record.
    assert_eq!(binding(b"\x00\x03\x00\x09\x07"), "\\# 8 0001000003000907");
}

#[test]
fn nothing_steers_a_terminal_or_forges_a_line() {
    let evil = b"\x1b[2J\n;; answer\r\x07\x00\x7f\x80\xff\"\\";
    let text = [&[evil.len() as u8][..], evil].concat();
    let caa = [&[0][..], &text, evil].concat();
    let label = [&text[..], &[0]].concat();
    let param = [&[0, 1, 0, 2, 0x9b, 0, evil.len() as u8][..], evil].concat();
    let alpn = [&[0, 1, 0, 0, 1, 0, text.len() as u8][..], &text].concat();
    for (record_type, data) in [
        (RecordType::TXT, text.clone()),
        (RecordType::HINFO, [&text[..], &text].concat()),
        (RecordType::CAA, caa),
        (RecordType::CNAME, label.clone()),
        (RecordType::NSEC, label),
        (RecordType::HTTPS, param),
        (RecordType::SVCB, alpn),
        (RecordType::URI, [&[0, 0, 0, 0][..], evil].concat()),
        (RecordType(65281), evil.to_vec()),
    ] {
        let line = shown(record_type, &data);
        assert!(
            line.bytes().all(|octet| (b' '..=b'~').contains(&octet)),
            "{line:?}"
        );
    }
    assert_eq!(shown(RecordType::TXT, b"\x03\x1b\"\\"), r#""\027\"\\""#);
    assert_eq!(Escaped(b"a\x1b\\\n").to_string(), r"a\027\\\010");
}
