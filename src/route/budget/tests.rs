use proptest::prelude::*;

use super::*;

/// `seconds` of health with `rate` primaries each.
fn healthy(rate: u32, seconds: u64) -> (Budgets, Time) {
    let mut now = Time::START;
    let mut budgets = Budgets::new(0.05, 1.3, now);
    for _ in 0..seconds {
        for _ in 0..rate {
            now = now + Duration::from_secs(1) / rate;
            budgets.primary(now);
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
            .take_while(|_| budgets.extra(true, now))
            .count()
    };
    assert_eq!(count(600), count(3_600));
    assert!(count(600) <= (0.05 * 5.0 * 100.0 + 16.0) as usize + 1);
}

#[test]
fn an_extra_that_is_not_urgent_leaves_the_burst_alone() {
    let (mut budgets, now) = healthy(1_000, 60);
    let lazy = (0..10_000)
        .take_while(|_| budgets.extra(false, now))
        .count();
    let urgent = (0..10_000).take_while(|_| budgets.extra(true, now)).count();
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
        .take_while(|_| budgets.under_ceiling(false, now))
        .count();
    let first = (0..1_000)
        .take_while(|_| budgets.under_ceiling(true, now))
        .count();
    assert!(first >= 3 && retries >= 2 * first, "{retries} and {first}");
}

#[test]
fn few_questions_may_come_in_a_bunch_and_a_useless_answer_is_as_good_a_reason_as_the_first() {
    let (mut budgets, now) = healthy(10, 60);
    let retries = (0..1_000)
        .take_while(|_| budgets.under_ceiling(false, now))
        .count();
    let after_useless = (0..1_000)
        .take_while(|_| budgets.under_ceiling_again(now))
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

#[test]
fn a_start_in_the_middle_of_an_outage_can_work() {
    let mut budgets = Budgets::new(0.05, 1.3, Time::START);
    assert!(budgets.under_ceiling(true, Time::START));
    assert!(budgets.ceiling_rate() >= 10.0);
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
            if bucket.take(1.0, 0.0, now) {
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
