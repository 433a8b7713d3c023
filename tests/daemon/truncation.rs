//! Answers that do not fit: cut by whole records with TC, and whole over TCP.

use super::kit::*;

/// An upstream whose answers of `count` records of `length` octets are truncated over UDP.
fn large(count: usize, length: usize) -> Upstream {
    Upstream::new(move |asked| {
        let records =
            (0..count).map(|number| txt(&asked.name(), 3600, b'a' + (number % 26) as u8, length));
        let reply = asked.reply().edns(Edns::new(1232));
        let reply = match asked.tcp {
            true => reply.answers(records),
            false => reply.set(TC),
        };
        vec![Act::Send(reply.bytes())]
    })
}

#[test]
fn what_does_not_fit_is_cut_and_what_fits_is_there() {
    // 60 records of 53 octets each behind a compressed owner.
    let upstream = large(60, 40);
    let daemon = Daemon::to(&[&upstream]);
    let stub = Stub::new(daemon.dns());
    let name = "large.example";
    let record = 12 + 41;
    let head = 12 + super::kit::name(name).len() + 4;
    for (edns, limit) in [
        (None, 512),
        (Some(0), 512),
        (Some(512), 512),
        (Some(600), 600),
        (Some(1232), 1232),
        (Some(4096), 1232),
        (Some(65535), 1232),
    ] {
        let query = edns
            .into_iter()
            .fold(Build::query(name, TXT), |query, payload| {
                query.edns(Edns::new(payload))
            });
        let reply = stub.ask(&query);
        let opt = if edns.is_some() { 11 } else { 0 };
        assert!(
            reply.bytes.len() <= limit,
            "{edns:?}: {} octets",
            reply.bytes.len()
        );
        assert!(reply.has(TC), "{edns:?}: {reply:?}");
        assert_eq!(
            reply.answers.len(),
            (limit - head - opt) / record,
            "{edns:?}"
        );
        assert!(
            reply.answers.iter().all(|record| record.data.len() == 41),
            "whole records"
        );
    }
    let mut connection = Connection::new(daemon.dns());
    let whole = connection.ask(&Build::query(name, TXT));
    assert_eq!((whole.answers.len(), whole.has(TC)), (60, false));
    let whole = connection.ask(&Build::query(name, TXT).edns(Edns::new(512)));
    assert_eq!(
        (whole.answers.len(), whole.has(TC)),
        (60, false),
        "the payload is one of UDP"
    );
    // By UDP, then by TCP, then never again.
    daemon.expect_questions(1);
    daemon.expect_metric("byway_truncated_answers_total", &[], 7.0);
}

#[test]
fn a_fresh_answer_is_cut_like_one_from_the_cache() {
    let upstream = large(60, 40);
    let daemon = Daemon::to(&[&upstream]);
    let stub = Stub::new(daemon.dns());
    let query = Build::query("fresh.example", TXT).edns(Edns::new(700));
    let (fresh, known) = (stub.ask(&query), stub.ask(&query));
    assert!(fresh.has(TC) && known.has(TC));
    assert_eq!(fresh.answers.len(), known.answers.len());
    assert!(fresh.bytes.len() <= 700);
}

#[test]
fn additional_records_may_be_left_out_without_tc() {
    let upstream = Upstream::saying(|asked| {
        let glue = (0..40).map(|number| a("mail.glue.example", 3600, [10, 0, 0, number]));
        let data = [&[0, 1][..], &name("mail.glue.example")].concat();
        let reply = asked.reply().answer(record(&asked.name(), MX, 3600, &data));
        glue.fold(reply, Build::additional)
    });
    let daemon = Daemon::to(&[&upstream]);
    for _ in 0..2 {
        let reply = Stub::new(daemon.dns()).ask(&Build::query("glue.example", MX));
        assert!(reply.bytes.len() <= 512);
        assert!(
            !reply.has(TC),
            "nothing that was asked for is missing: {reply:?}"
        );
        assert_eq!(reply.answers.len(), 1);
    }
    let whole = Connection::new(daemon.dns()).ask(&Build::query("glue.example", MX));
    assert_eq!(whole.additionals.len(), 40);
}

#[test]
fn sixty_four_kilobytes_pass() {
    // Records of 12 + 256 octets behind "big.example".
    let big = || {
        let data = [vec![255], vec![b'x'; 255]].concat();
        full_record(&[0xc0, 12], TXT, 1, 3600, &data)
    };
    let upstream = Upstream::new(move |asked| {
        let room = 65_535 - 12 - asked.question.len() - 11;
        let records = (0..room / big().len()).map(|_| big());
        let reply = asked.reply().edns(Edns::new(1232));
        let whole = reply.clone().answers(records).bytes();
        vec![Act::Send(if asked.tcp {
            whole
        } else {
            reply.set(TC).bytes()
        })]
    });
    let daemon = Daemon::to(&[&upstream]);
    let mut connection = Connection::new(daemon.dns());
    for edns in [None, Some(Edns::new(1232)), Some(Edns::new(65535))] {
        let query = edns
            .into_iter()
            .fold(Build::query("big.example", TXT), Build::edns);
        let reply = connection.ask(&query);
        assert!(!reply.has(TC));
        assert!(
            reply.answers.len() >= 230,
            "{} records",
            reply.answers.len()
        );
        assert!(reply.bytes.len() > 65_000, "{} octets", reply.bytes.len());
    }
    let reply = Stub::new(daemon.dns()).ask(&Build::query("big.example", TXT));
    assert!(reply.has(TC) && reply.bytes.len() <= 512);
}

#[test]
fn the_longest_message_of_all_leaves_no_room_for_opt() {
    let upstream = Upstream::new(|asked| {
        let reply = asked.reply();
        if !asked.tcp {
            return vec![Act::Send(reply.set(TC).bytes())];
        }
        // 65,535 octets to the last, without an OPT record.
        let mut room = 65_535 - 12 - asked.question.len();
        let of = |data: &[u8]| full_record(&[0xc0, 12], 65280, 1, 3600, data);
        let least = of(b"").len();
        let mut records = Vec::new();
        while room > 2 * least + 1000 {
            records.push(of(&[7; 1000]));
            room -= least + 1000;
        }
        records.push(of(&vec![7; room - least]));
        let bytes = reply.answers(records).bytes();
        assert_eq!(bytes.len(), 65_535);
        vec![Act::Send(bytes)]
    });
    let daemon = Daemon::to(&[&upstream]);
    let mut connection = Connection::new(daemon.dns());
    let whole = connection.ask(&Build::query("longest.example", 65280));
    assert_eq!((whole.bytes.len(), whole.has(TC)), (65_535, false));
    let cut = connection.ask(&Build::query("longest.example", 65280).edns(Edns::new(1232)));
    assert!(
        cut.edns.is_some() && cut.has(TC),
        "a record had to go for OPT"
    );
    assert_eq!(cut.answers.len(), whole.answers.len() - 1);
}

#[test]
fn a_smaller_limit_of_the_operators_holds() {
    let upstream = large(60, 40);
    let daemon = Setup::to(&[&upstream])
        .tables("[limits]\nudp-payload = 512")
        .start();
    let reply =
        Stub::new(daemon.dns()).ask(&Build::query("small.example", TXT).edns(Edns::new(4096)));
    assert!(reply.has(TC) && reply.bytes.len() <= 512);
    assert_eq!(reply.edns.map(|edns| edns.payload), Some(512));
    let asked = upstream.asked_for("small.example.");
    assert_eq!(asked[0].edns.as_ref().map(|edns| edns.payload), Some(512));
}

#[test]
fn a_larger_limit_of_the_operators_holds() {
    let upstream = large(60, 40);
    let daemon = Setup::to(&[&upstream])
        .tables("[limits]\nudp-payload = 4096")
        .start();
    let ask = |payload| {
        Stub::new(daemon.dns()).ask(&Build::query("wide.example", TXT).edns(Edns::new(payload)))
    };
    let reply = ask(4096);
    assert!(
        reply.bytes.len() > 3000 && reply.bytes.len() <= 4096,
        "{}",
        reply.bytes.len()
    );
    let reply = ask(1232);
    assert!(reply.has(TC) && reply.bytes.len() <= 1232);
}
