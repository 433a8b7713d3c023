use proptest::prelude::*;

use super::*;

const LEFT: usize = 1_000_000;

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn clients(limits: Limits) -> Arc<Clients> {
    Clients::new(&limits)
}

fn at(millis: u64) -> Time {
    Time::START + Duration::from_millis(millis)
}

#[test]
fn a_client_is_a_prefix_as_long_as_configured() {
    let clients = clients(Limits {
        client_ipv4: 24,
        ..Limits::default()
    });
    let same =
        |one: &str, other: &str| Arc::ptr_eq(&clients.guest(ip(one)), &clients.guest(ip(other)));
    assert!(same("10.0.0.1", "10.0.0.200"));
    assert!(same("10.0.0.1", "::ffff:10.0.0.2"));
    assert!(!same("10.0.0.1", "10.0.1.1"));
    assert!(same("2001:db8::1", "2001:db8::ffff:0:0:1"));
    assert!(!same("2001:db8::1", "2001:db8:0:1::1"));
    assert_eq!(clients.known(), 4);
}

#[test]
fn new_names_are_paid_for_and_names_that_others_ask_are_not() {
    let clients = clients(Limits {
        new_names_per_client: 10,
        ..Limits::default()
    });
    let guest = clients.guest(ip("10.0.0.1"));
    let mut seats = Vec::new();
    let mut ask = |is_new, millis| {
        let seat = clients.seat(&guest, LEFT, is_new, at(millis));
        seat.map(|seat| seats.push(seat)).err()
    };
    for _ in 0..20 {
        assert_eq!(ask(true, 0), None, "two seconds' worth at once");
    }
    assert_eq!(ask(true, 0), Some(Limit::NewNamesPerClient));
    assert_eq!(ask(false, 0), None);
    assert_eq!(ask(true, 99), Some(Limit::NewNamesPerClient));
    assert_eq!(ask(true, 100), None);
    assert_eq!(ask(true, 100), Some(Limit::NewNamesPerClient));
    let other = clients.guest(ip("10.0.0.2"));
    assert!(clients.seat(&other, LEFT, true, at(100)).is_ok());
    let told = clients.turned_away_most().map(|it| it.to_string());
    assert_eq!(told.as_deref(), Some("10.0.0.1/32"));
    assert_eq!(clients.turned_away_most(), None, "it is told once");
}

#[test]
fn so_many_wait_and_no_more_until_one_has_its_answer() {
    let clients = clients(Limits {
        waiting_per_client: 3,
        ..Limits::default()
    });
    let guest = clients.guest(ip("10.0.0.1"));
    let seat = || clients.seat(&guest, LEFT, false, at(0));
    let mut seats: Vec<Seat> = (0..3).map(|_| seat().expect("room")).collect();
    assert_eq!(seat().err(), Some(Limit::WaitingPerClient));
    seats.pop();
    seats.push(seat().expect("room again"));
}

#[test]
fn who_is_exempt_is_held_back_by_nothing_but_the_room_of_all() {
    let clients = clients(Limits {
        waiting_per_client: 3,
        new_names_per_client: 1,
        ..Limits::default()
    });
    let (own, other) = (
        clients.guest(ip("127.0.0.1")),
        clients.guest(ip("10.0.0.1")),
    );
    let seats: Vec<Seat> = (0..100)
        .map(|_| clients.seat(&own, LEFT, true, at(0)).expect("no limit"))
        .collect();
    assert_eq!(
        clients.seat(&own, 12, true, at(0)).err(),
        Some(Limit::Waiting)
    );
    assert!(clients.seat(&own, 13, true, at(0)).is_ok());
    assert!(clients.seat(&other, 1, true, at(0)).is_ok());
    drop(seats);
    assert_eq!(own.waiting.load(Relaxed), 0);
}

/// Room of which each takes as much as it can leaves some for who comes last.
#[test]
fn there_is_always_room_for_who_holds_little() {
    let clients = clients(Limits::default());
    let bound = 8192;
    for greedy in [1u8, 2, 10, 100] {
        let guests: Vec<_> = (0..greedy)
            .map(|n| clients.guest(IpAddr::from([10, 0, 1, n])))
            .collect();
        clients.guest(ip("10.0.0.1"));
        let mut stakes = Vec::new();
        loop {
            let before = stakes.len();
            for guest in &guests {
                let stake = clients.stake(guest);
                if stakes.len() < bound && stake.is_fair(bound - stakes.len()) {
                    stakes.push(stake);
                }
            }
            if stakes.len() == before {
                break;
            }
        }
        let late = clients.guest(ip("10.0.0.1"));
        let late: Vec<Stake> = (0..5).map(|_| clients.stake(&late)).collect();
        let left = bound - stakes.len();
        assert!(late.iter().all(|it| it.is_fair(left)), "{greedy}: {left}");
        assert!(left < bound / 8, "{greedy}: {left} are left unused");
    }
}

#[test]
fn who_is_alone_may_have_all() {
    let clients = clients(Limits::default());
    let guest = clients.guest(ip("127.0.0.1"));
    let stakes: Vec<Stake> = (0..16).map(|_| clients.stake(&guest)).collect();
    assert!(stakes[15].is_fair(1));
    clients.guest(ip("127.0.0.2"));
    assert!(!stakes[15].is_fair(1));
}

#[test]
fn who_has_less_than_an_equal_part_under_way_is_light() {
    let clients = clients(Limits::default());
    let [heavy, light] = ["10.0.0.1", "10.0.0.2"].map(|it| clients.guest(ip(it)));
    let race = |guest| {
        let mut stake = clients.stake(guest);
        stake.race();
        stake
    };
    let mut all: Vec<Stake> = (0..9).map(|_| race(&heavy)).collect();
    assert!(!all[0].is_light(), "nobody else is there");
    let queued = clients.stake(&light);
    assert!(queued.is_light());
    for n in 0..8 {
        all.push(race(&light));
        assert_eq!(queued.is_light(), n < 8, "{n}");
    }
    all.push(race(&light));
    assert!(!queued.is_light());
    drop((queued, all));
    assert_eq!(clients.racing.load(Relaxed), 0);
    assert_eq!(clients.active.load(Relaxed), 0);
}

#[test]
fn the_table_is_bounded_and_who_is_busy_keeps_its_place() {
    let clients = clients(Limits {
        clients: 64,
        ..Limits::default()
    });
    let busy = clients.guest(ip("10.1.0.1"));
    let seat = clients.seat(&busy, LEFT, false, at(0)).expect("room");
    for n in 0..10_000u32 {
        clients.guest(IpAddr::from((0x0a02_0000 + n).to_be_bytes()));
        assert!(clients.known() <= 64);
    }
    assert!(Arc::ptr_eq(&busy, &clients.guest(ip("10.1.0.1"))));
    drop((seat, busy));
    // Where all are busy the others share an account.
    let all: Vec<_> = (0..10_000u32)
        .map(|n| clients.guest(IpAddr::from((0x0a03_0000 + n).to_be_bytes())))
        .collect();
    assert!(clients.known() <= 64);
    let crowd = all.iter().filter(|it| it.net == CROWD).count();
    assert!(crowd >= 10_000 - 64, "{crowd}");
    assert!(!all.iter().any(|it| it.net == CROWD && it.is_exempt));
    // A flood does not take from the host itself what it is exempt from.
    assert!(clients.guest(ip("127.0.0.1")).is_exempt);
}

#[test]
fn other_terms_hold_at_once_and_what_is_under_way_is_counted_to_its_end() {
    let clients = clients(Limits::default());
    let guest = clients.guest(ip("10.0.0.1"));
    let stake = clients.stake(&guest);
    clients.suit(&Limits {
        waiting_per_client: 1,
        ..Limits::default()
    });
    assert_eq!(clients.known(), 0);
    let anew = clients.guest(ip("10.0.0.1"));
    let _seat = clients.seat(&anew, LEFT, false, at(0)).expect("room");
    assert!(clients.seat(&anew, LEFT, false, at(0)).is_err());
    drop(stake);
    assert_eq!(clients.active.load(Relaxed), 0);
}

proptest! {
    /// However fast and in whatever order it asks, a client gets no more than its rate and one burst.
    #[test]
    fn a_rate_is_kept(steps in prop::collection::vec(0u64..50, 1..500)) {
        let clients = clients(Limits { new_names_per_client: 100, ..Limits::default() });
        let guest = clients.guest(ip("10.0.0.1"));
        let (mut now, mut got) = (0, 0);
        for step in steps {
            now += step;
            got += u64::from(clients.seat(&guest, LEFT, true, at(now)).is_ok());
            prop_assert!(got <= 200 + now / 10);
        }
    }
}
