use proptest::prelude::*;

use super::*;

/// `seconds` of health with `rate` primaries each.
fn healthy(rate: u32, seconds: u64) -> (Budgets, Time) {
    let mut now = Time::START;
    let mut budgets = Budgets::new(0.05, 1.3, now);
    for _ in 0..seconds {
        for _ in 0..rate {
            now = now + Duration::from_secs(1) / rate;
            budgets.asked(now);
            budgets.pay(Charge::Primary, now);
            budgets.earn(now);
        }
        budgets.turn(now, true);
    }
    (budgets, now)
}

#[test]
fn hours_of_health_bank_no_more_than_seconds_of_it() {
    let count = |seconds| {
        let (mut budgets, now) = healthy(100, seconds);
        (0..100_000)
            .take_while(|_| budgets.pay(Charge::Urgent, now))
            .count()
    };
    assert_eq!(count(600), count(3_600));
    assert!(count(600) <= (0.05 * 5.0 * 100.0 + 16.0) as usize + 1);
}

#[test]
fn an_extra_that_is_not_urgent_leaves_the_burst_alone() {
    let (mut budgets, now) = healthy(1_000, 60);
    let lazy = (0..10_000)
        .take_while(|_| budgets.pay(Charge::Extra, now))
        .count();
    let urgent = (0..10_000)
        .take_while(|_| budgets.pay(Charge::Urgent, now))
        .count();
    assert!((245..=250).contains(&lazy), "{lazy}");
    assert!(
        (95..=101).contains(&urgent),
        "a tenth of a second: {urgent}"
    );
}

#[test]
fn the_ceiling_keeps_room_for_first_tries() {
    let (mut budgets, now) = healthy(100, 60);
    let retries = (0..1_000)
        .take_while(|_| budgets.pay(Charge::AfterSilence, now))
        .count();
    let first = (0..1_000)
        .take_while(|_| budgets.pay(Charge::First, now))
        .count();
    assert!(first >= 3 && retries >= 2 * first, "{retries} and {first}");
}

#[test]
fn few_questions_may_come_in_a_bunch_and_a_useless_answer_is_as_good_a_reason_as_the_first() {
    let (mut budgets, now) = healthy(10, 60);
    let retries = (0..1_000)
        .take_while(|_| budgets.pay(Charge::AfterSilence, now))
        .count();
    let after_useless = (0..1_000)
        .take_while(|_| budgets.pay(Charge::AfterUseless, now))
        .count();
    let most = CEILING_BURST_MIN as usize;
    assert_eq!(retries + after_useless, most, "{retries}, {after_useless}");
    assert!(after_useless >= 2);
}

#[test]
fn trouble_does_not_teach_what_health_is() {
    let (mut budgets, mut now) = healthy(100, 60);
    let rate = budgets.healthy_rate();
    for _ in 0..60 {
        now = now + Duration::from_secs(1);
        budgets.turn(now, false);
    }
    assert_eq!(budgets.healthy_rate(), rate);
    assert!((budgets.ceiling_rate() - 1.3 * rate).abs() < 1e-9);
}

/// `count` questions within a tenth of a second.
fn ask_at_once(budgets: &mut Budgets, count: u32, now: &mut Time) {
    for _ in 0..count {
        *now = *now + Duration::from_millis(100) / count;
        budgets.asked(*now);
    }
}

#[test]
fn a_start_in_the_middle_of_an_outage_can_work() {
    let mut now = Time::START;
    let mut budgets = Budgets::new(0.05, 1.3, now);
    assert!(budgets.pay(Charge::First, now));
    ask_at_once(&mut budgets, 50, &mut now);
    assert!(budgets.ceiling_rate() >= 50.0, "{}", budgets.ceiling_rate());
}

#[test]
fn who_asks_little_has_no_right_to_much_more() {
    for rate in [1, 2, 10] {
        let (mut budgets, now) = healthy(rate, 60);
        let own = f64::from(rate);
        let most = (1.3 * own).max(own + 0.5) * 1.1;
        assert!(budgets.ceiling_rate() <= most, "{}", budgets.ceiling_rate());
        let minute = Duration::from_secs(60);
        let probes =
            (0..6_000).filter(|&step| budgets.pay(Charge::Probe, now + minute / 6_000 * step));
        let probes = probes.count() as f64;
        assert!(
            probes <= 0.3 * most * 60.0 + PROBES_BURST,
            "{probes} at {rate}/s"
        );
    }
}

#[test]
fn a_quiet_host_that_wakes_up_is_let_out() {
    let (mut budgets, mut now) = healthy(1, 60);
    budgets.turn(now + Duration::from_secs(600), true);
    now = now + Duration::from_secs(601);
    assert!(budgets.ceiling_rate() <= 1.0, "{}", budgets.ceiling_rate());
    ask_at_once(&mut budgets, 40, &mut now);
    assert_eq!(budgets.ceiling_rate(), CEILING_WAKES);
    now = now + Duration::from_secs(20);
    budgets.turn(now, false);
    assert!(budgets.ceiling_rate() <= 1.0, "{}", budgets.ceiling_rate());
}

#[test]
fn where_nothing_answers_little_is_asked_again() {
    let (mut budgets, now) = healthy(100, 60);
    let step = Duration::from_millis(1);
    let again = (0..60_000).filter(|&steps| budgets.pay(Charge::AfterSilence, now + step * steps));
    let most = (EARNED_SECS * ANSWER_EARNS * 100.0 + EARNED_FREE * 60.0).ceil() as usize;
    let again = again.count();
    assert!(again <= most, "{again} of {most}");
    let (mut budgets, now) = healthy(100, 60);
    let again = (0..60_000).filter(|&steps| {
        if steps % 10 == 0 {
            budgets.earn(now + step * steps);
        }
        budgets.pay(Charge::AfterSilence, now + step * steps)
    });
    let again = again.count();
    assert!(
        again > 20 * most,
        "{again}: what is lost of much is asked again"
    );
}

proptest! {
    /// Whatever is asked for and when, what is given in any window stays within what is promised of it.
    #[test]
    fn no_bucket_gives_more_than_it_says(
        rate in 0.1f64..100.0,
        cap in 1.0f64..50.0,
        gaps in prop::collection::vec(0u64..400, 1..300),
        window in 1u64..3_000,
    ) {
        let mut bucket = Bucket::new(rate, cap, Time::START);
        let (mut now, mut taken) = (Time::START, Vec::new());
        for gap in gaps {
            now = now + Duration::from_millis(gap);
            if bucket.has(1.0, now) {
                bucket.charge(1.0, now);
                taken.push(now);
            }
        }
        let window = Duration::from_millis(window);
        for (index, &from) in taken.iter().enumerate() {
            let within = taken[index..].iter().take_while(|at| at.since(from) <= window).count();
            prop_assert!(within as f64 <= bucket.most_in(window) + 1e-6);
        }
    }
}

#[test]
fn what_is_in_use_is_renewed_whatever_else_is_asked() {
    let (mut budgets, mut now) = healthy(100, 60);
    let (mut renewed, mut others) = (0, 0);
    for _ in 0..20_000 {
        now = now + Duration::from_millis(1);
        // Names that fail are asked first each time, and leave nothing.
        others += (0..5)
            .take_while(|_| budgets.pay(Charge::First, now))
            .count();
        assert_eq!(budgets.may_pay(Charge::Renewal, now), {
            let before = budgets.clone();
            let paid = budgets.pay(Charge::Renewal, now);
            budgets = before;
            paid
        });
        renewed += usize::from(budgets.pay(Charge::Renewal, now));
    }
    let most = budgets
        .purse(Purse::Ceiling)
        .most_in(Duration::from_secs(20));
    assert!(
        (renewed + others) as f64 <= most + 5.0,
        "{renewed} and {others} of {most}"
    );
    assert!(
        renewed as f64 >= 0.2 * most && others as f64 >= 0.6 * most,
        "{renewed} and {others} of {most}"
    );
}

/// How often in a row something can be paid at once.
fn paid(budgets: &mut Budgets, charge: Charge, now: Time) -> usize {
    (0..1_000).take_while(|_| budgets.pay(charge, now)).count()
}

#[test]
fn a_measurement_leaves_the_last_packets_to_questions() {
    let (mut budgets, now) = healthy(10, 60);
    paid(&mut budgets, Charge::Measurement, now);
    assert_eq!(paid(&mut budgets, Charge::Extra, now), STEADY_KEPT as usize);
}

#[test]
fn what_is_asked_again_leaves_a_quarter_of_the_ceiling_to_what_is_not() {
    let (mut budgets, now) = healthy(100, 60);
    let again = paid(&mut budgets, Charge::Again, now);
    assert!(again < 1_000);
    assert!(paid(&mut budgets, Charge::First, now) >= again / 4);
}

#[test]
fn probes_are_few_at_once_whatever_they_are_for() {
    for charge in [Charge::Probe, Charge::ProbeInNeed, Charge::IdleProbe] {
        let (mut budgets, now) = healthy(100, 60);
        assert_eq!(paid(&mut budgets, charge, now), PROBES_BURST as usize);
    }
}

#[test]
fn where_little_is_asked_the_ceiling_is_a_little_more() {
    let (mut budgets, now) = (Budgets::new(0.05, 1.3, Time::START), Time::START);
    budgets.recall_rate(0.5, now);
    assert_eq!(budgets.ceiling_rate(), 0.5 + CEILING_MORE);
}
