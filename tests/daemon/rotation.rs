//! The order of addresses changes from answer to answer (RFC 1794).

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use super::kit::*;

/// An upstream that always gives three addresses in one order.
fn pool() -> Upstream {
    Upstream::saying(|asked| {
        let address = |last| a(&asked.name(), 300, [192, 0, 2, last]);
        asked.reply().answers([1, 2, 3].map(address))
    })
}

/// The first address of each of so many answers from the cache.
fn firsts(daemon: &Daemon, count: usize) -> Vec<String> {
    let stub = Stub::new(daemon.dns());
    let query = Build::query("pool.example", A);
    stub.ask(&query);
    let first = |_| stub.ask(&query).addresses().swap_remove(0);
    (0..count).map(first).collect()
}

#[test]
fn each_address_is_the_first_in_turn() {
    let daemon = Daemon::to(&[&pool()]);
    let firsts = firsts(&daemon, 6);
    let of_a_round: BTreeSet<&String> = firsts[..3].iter().collect();
    assert_eq!(of_a_round.len(), 3, "{firsts:?}");
    assert_eq!(firsts[..3], firsts[3..]);
}

#[test]
fn addresses_stay_in_order_where_that_is_wanted() {
    let upstream = pool();
    let setup = Setup::to(&[&upstream]).tables("[cache]\nrotate = false\n");
    assert_eq!(firsts(&setup.start(), 5), ["192.0.2.1"; 5]);
}

/// Questions for stale answers are counted twice; that must not leave half of the addresses out.
#[test]
fn stale_answers_are_turned_too() {
    let up = AtomicBool::new(true);
    let upstream = Upstream::new(move |asked| {
        let is_it = asked.name().eq_ignore_ascii_case("stale.example.");
        if !is_it || !up.swap(false, Ordering::Relaxed) {
            return vec![];
        }
        let address = |last| a(&asked.name(), 1, [192, 0, 2, last]);
        vec![Act::Send(
            asked.reply().answers([1, 2].map(address)).bytes(),
        )]
    });
    let daemon = Daemon::to(&[&upstream]);
    let stub = Stub::new(daemon.dns());
    let query = Build::query("stale.example", A).edns(Edns::new(1232));
    stub.ask(&query);
    let mut seen = BTreeSet::new();
    eventually("both addresses come first when stale", || {
        let reply = stub.ask(&query);
        if reply.edes().contains(&3) {
            seen.insert(reply.addresses().swap_remove(0));
        }
        seen.len() == 2
    });
}
