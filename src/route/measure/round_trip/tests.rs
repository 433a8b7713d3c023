use super::*;

const WAITS: Waits = Waits {
    min: Duration::from_millis(4),
    max: Duration::from_millis(250),
};

fn ms(ms: f64) -> Duration {
    Duration::from_secs_f64(ms / 1e3)
}

/// A hundred round trips of these milliseconds in turn, ten a second, in health.
fn healthy(trips: &[f64]) -> (RoundTrips, Time) {
    let (mut round_trips, mut now) = (RoundTrips::new(WAITS), Time::START);
    round_trips.expect_slow(Tail {
        known: true,
        ..Tail::default()
    });
    for trip in trips.iter().cycle().take(100) {
        now = now + Duration::from_millis(100);
        round_trips.sample(ms(*trip), now, true, true);
    }
    (round_trips, now)
}

#[test]
fn a_queue_lifts_the_excess_and_hard_questions_do_not() {
    let (mut jammed, mut now) = healthy(&[2.0, 2.2, 2.1]);
    let (mut slow, _) = healthy(&[2.0, 2.2, 2.1]);
    for n in 0..28 {
        now = now + Duration::from_millis(100);
        jammed.sample(ms(80.0), now, false, false);
        slow.sample(ms(if n % 2 == 0 { 80.0 } else { 2.1 }), now, true, true);
    }
    assert!(
        jammed.excess(now) > Some(ms(70.0)),
        "{:?}",
        jammed.excess(now)
    );
    assert!(slow.excess(now) < Some(ms(1.0)), "{:?}", slow.excess(now));
}

#[test]
fn what_is_learnt_in_a_jam_teaches_patience_to_the_timeout_alone() {
    let (mut round_trips, mut now) = healthy(&[2.0, 2.4]);
    let (hedge, rto) = (round_trips.hedge_wait(), round_trips.rto());
    for _ in 0..50 {
        now = now + Duration::from_millis(100);
        round_trips.sample(ms(900.0), now, false, false);
    }
    assert_eq!(round_trips.hedge_wait(), hedge);
    assert!(round_trips.rto() > 10 * rto);
    assert_eq!(round_trips.base(), Some(ms(2.0)));
}

#[test]
fn the_hedge_keeps_within_the_operators_bounds() {
    let (near, _) = healthy(&[0.1]);
    assert_eq!(near.hedge_wait(), WAITS.min);
    let (far, _) = healthy(&[700.0, 900.0]);
    assert_eq!(far.hedge_wait(), WAITS.max);
    let unmeasured = RoundTrips::new(WAITS);
    assert!(unmeasured.hedge_wait() <= WAITS.max);
}

#[test]
fn an_hour_of_jam_does_not_become_the_base() {
    let (mut round_trips, mut now) = healthy(&[2.0]);
    for _ in 0..3600 {
        now = now + Duration::from_secs(1);
        round_trips.sample(ms(300.0), now, false, false);
    }
    assert_eq!(round_trips.base(), Some(ms(2.0)));
}

#[test]
fn a_way_that_has_become_longer_is_told_from_a_queue() {
    let (mut longer, mut now) = healthy(&[2.0]);
    let (mut queue, _) = healthy(&[2.0]);
    let (mut rebased, mut mistaken) = (None, None);
    for n in 0..700u32 {
        now = now + Duration::from_secs(1);
        longer.sample(ms(30.0 + f64::from(n % 3) / 10.0), now, false, false);
        queue.sample(ms(30.0 + f64::from(n * 7 % 60)), now, false, false);
        rebased = rebased.or(longer.rebase(now, true));
        mistaken = mistaken.or(queue.rebase(now, true));
    }
    let (from, to) = rebased.expect("ten minutes are enough");
    assert_eq!((from, to), (ms(2.0), ms(30.0)));
    assert_eq!(mistaken, None);
    assert_eq!(longer.base(), Some(ms(30.0)));
}

#[test]
fn a_restart_keeps_what_health_was() {
    let (before, now) = healthy(&[5.0, 6.0]);
    let remembered = before.remembered().expect("measured");
    let mut after = RoundTrips::new(WAITS);
    after.recall(remembered, now);
    assert_eq!(after.base(), before.base());
    assert_eq!(after.hedge_wait(), before.hedge_wait());
    // What this process has measured is not overwritten.
    after.sample(ms(1.0), now, true, true);
    after.recall(remembered, now);
    assert_eq!(after.base(), Some(ms(1.0)));
}

#[test]
fn a_peak_shows_at_once_and_fades() {
    let (mut round_trips, now) = healthy(&[2.0]);
    round_trips.sample(ms(100.0), now, true, false);
    assert!(round_trips.current_us(now) >= 100_000.0);
    let later = now + 5 * Duration::from_secs(2);
    assert!(round_trips.current_us(later) < 20_000.0);
}

/// The stretch of a route whose base is `base` and whose round trips are `now` by now, in microseconds.
fn stretch(base: u64, now: u64) -> f32 {
    let mut round_trips = RoundTrips::new(WAITS);
    for (n, micros) in [base].into_iter().chain([now; RECENT]).enumerate() {
        let at = Time::from_secs(1) + Duration::from_millis(n as u64);
        round_trips.sample(Duration::from_micros(micros), at, true, true);
    }
    round_trips.stretch()
}

#[test]
fn the_hosts_own_delay_is_no_queue_and_a_real_one_is() {
    assert!(stretch(50, 2_000) <= 1.0);
    assert!(stretch(50, 10_000) > 4.0);
    assert!(stretch(20_000, 60_000) > 2.5);
    assert_eq!(stretch(20_000, 20_000), 1.0);
}

#[test]
fn a_queue_that_fills_slowly_is_late_all_the_same() {
    for (gap_us, each_us) in [(1_000, 450), (300, 60), (3_000, 150)] {
        let (mut round_trips, mut now) = healthy(&[2.0, 2.4]);
        // So often asked, and each answer a little later than the one before.
        let late = (0..1000).find(|&nth| {
            now = now + Duration::from_micros(gap_us);
            let rtt = Duration::from_micros(2_000 + nth * each_us);
            let late = round_trips.is_late(rtt);
            round_trips.sample(rtt, now, true, !late);
            late
        });
        let queue = late.expect("noticed") * each_us;
        assert!(queue < 20_000, "noticed at {queue} us");
    }
}

#[test]
fn what_returns_is_expected_to_take_what_it_takes_now() {
    let (mut round_trips, mut now) = healthy(&[2.0]);
    // A queue that fills slowly, before it is found out.
    for trip in [3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0] {
        for _ in 0..10 {
            now = now + Duration::from_millis(10);
            round_trips.sample(ms(trip), now, true, true);
        }
    }
    assert!(round_trips.typical_us() > 6_000.0);
    now = now + Duration::from_secs(20);
    for _ in 0..3 {
        now = now + Duration::from_millis(100);
        round_trips.sample(ms(2.1), now, false, true);
    }
    round_trips.returns(now);
    assert!(round_trips.typical_us() < 2_200.0);
}

#[test]
fn the_first_timeouts_are_long_until_slow_questions_are_known() {
    let mut first = RoundTrips::new(WAITS);
    let now = Time::START + Duration::from_secs(1);
    first.sample(ms(2.0), now, true, true);
    assert!(first.rto() >= FIRST_RTO);
    let (known, _) = healthy(&[2.0]);
    assert!(known.rto() < FIRST_RTO);
}

#[test]
fn the_timeout_is_twice_the_far_tail_at_least() {
    let (mut round_trips, now) = healthy(&[2.0]);
    let far = ms(150.0);
    round_trips.expect_slow(Tail {
        far,
        known: true,
        ..Tail::default()
    });
    round_trips.sample(ms(2.0), now, true, true);
    assert!(round_trips.rto() >= 2 * far, "{:?}", round_trips.rto());
}
