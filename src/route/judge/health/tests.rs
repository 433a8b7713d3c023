use std::time::Duration;

use super::*;

const STEP: Duration = Duration::from_millis(100);

/// A record and the time, ten outcomes a second.
struct Life {
    health: Health,
    probation: Probation,
    streak: Streak,
    serial: u32,
    now: Time,
}

impl Life {
    fn of(health: Health) -> Life {
        Life {
            health,
            probation: Probation::new(Duration::from_secs(10)),
            streak: Streak::default(),
            serial: 0,
            now: Time::START,
        }
    }

    fn see(&mut self, observation: Observation) -> Verdict {
        self.see_while(observation, false)
    }

    fn see_while(&mut self, observation: Observation, desperate: bool) -> Verdict {
        self.now = self.now + STEP;
        self.serial += 1;
        match observation {
            Observation::Good => self.streak.grow(self.serial, self.now, self.now),
            _ => self.streak = Streak::default(),
        }
        let (streak, now, probation) = (self.streak, self.now, self.probation);
        self.health
            .note(observation, streak, now, now, &probation, desperate);
        self.health.verdict()
    }

    fn see_times(&mut self, observation: Observation, times: usize) -> Verdict {
        (0..times).for_each(|_| {
            self.see(observation);
        });
        self.health.verdict()
    }
}

fn useless(compared: bool) -> Observation {
    Observation::Poor {
        rcode: Some(crate::wire::Rcode::SERVFAIL),
        compared,
    }
}

#[test]
fn a_single_loss_is_nothing_two_make_suspicious_and_three_prove_it() {
    let mut life = Life::of(Health::of_a_way());
    for _ in 0..5 {
        assert_eq!(life.see_times(Observation::Good, 50), Verdict::Clear);
        assert_eq!(life.see(Observation::Lost), Verdict::Clear);
    }
    assert_eq!(life.see(Observation::Lost), Verdict::Suspect);
    assert_eq!(life.see(Observation::Lost), Verdict::Congested);
}

#[test]
fn a_single_late_answer_is_nothing_and_a_row_of_them_is_a_queue() {
    let mut life = Life::of(Health::of_a_way());
    life.see_times(Observation::Good, 20);
    for _ in 0..50 {
        assert_eq!(life.see(Observation::Late), Verdict::Clear);
        assert_eq!(life.see(Observation::Good), Verdict::Clear);
    }
    assert_eq!(life.see_times(Observation::Late, 3), Verdict::Suspect);
    assert_eq!(life.see(Observation::Late), Verdict::Congested);
}

#[test]
fn what_a_hiccup_held_back_is_one_late_answer() {
    let mut life = Life::of(Health::of_a_way());
    life.see_times(Observation::Good, 20);
    let (streak, probation) = (Streak::default(), life.probation);
    for n in 0..50 {
        let now = life.now + STEP + Duration::from_micros(100 * n);
        life.health
            .note(Observation::Late, streak, life.now, now, &probation, false);
    }
    assert_eq!(life.health.verdict(), Verdict::Clear);
}

#[test]
fn a_server_that_is_late_is_sick_and_a_way_congested() {
    for (health, proven) in [
        (Health::of_a_way(), Verdict::Congested),
        (Health::of_a_server(), Verdict::Sick),
    ] {
        let mut life = Life::of(health);
        life.see_times(Observation::Good, 20);
        assert_eq!(life.see_times(Observation::Late, 8), proven);
    }
}

#[test]
fn death_takes_silence_for_longer_than_a_queue_holds() {
    let mut life = Life::of(Health::of_a_way());
    life.see_times(Observation::Good, 20);
    assert_eq!(life.see_times(Observation::Lost, 6), Verdict::Congested);
    assert_eq!(life.see_times(Observation::Lost, 3), Verdict::Dead);
    assert_eq!(
        life.see(Observation::Late),
        Verdict::Congested,
        "it answers"
    );
}

#[test]
fn two_useless_answers_that_another_server_knew_better_are_a_sick_server() {
    let mut life = Life::of(Health::of_a_server());
    life.see_times(Observation::Good, 20);
    assert_eq!(life.see(useless(true)), Verdict::Clear);
    assert_eq!(life.see(useless(true)), Verdict::Sick);
    assert!(life.health.is_useless());

    // A name that fails everywhere is nobody's fault for long.
    let mut alone = Life::of(Health::of_a_server());
    alone.see_times(Observation::Good, 20);
    assert_eq!(alone.see_times(useless(false), 6), Verdict::Clear);
    for _ in 0..100 {
        alone.see_times(Observation::Good, 5);
        assert_eq!(alone.see(useless(false)), Verdict::Clear);
    }
}

#[test]
fn a_return_is_earned_and_grows_and_the_next_one_takes_longer() {
    let mut life = Life::of(Health::of_a_way());
    life.see_times(Observation::Good, 20);
    life.see_times(Observation::Lost, 6);
    let mut answers = 0;
    while life.health.verdict() == Verdict::Congested {
        life.see(Observation::Good);
        answers += 1;
    }
    assert_eq!(life.health.verdict(), Verdict::Recovering);
    assert!((2..=4).contains(&answers), "{answers} good answers");
    let share = |life: &Life| life.health.share(life.now, &life.probation);
    let first = share(&life);
    assert!(first > 0.0 && first < 0.2);
    for _ in 0..20 {
        life.see(Observation::Good);
        life.health.turn(life.now, &life.probation);
    }
    assert_eq!((life.health.verdict(), share(&life)), (Verdict::Clear, 1.0));
    assert!(life.health.returned_lately(life.now, &life.probation));

    life.see_times(Observation::Lost, 6);
    let mut again = 0;
    while life.health.verdict() == Verdict::Congested {
        life.see(Observation::Good);
        again += 1;
    }
    assert!(
        again > 2 * answers,
        "{again} after a relapse, {answers} before"
    );
}

#[test]
fn while_nothing_is_clear_a_long_row_returns_at_once() {
    let mut life = Life::of(Health::of_a_way());
    life.see_times(Observation::Good, 20);
    life.see_times(Observation::Lost, 6);
    let mut answers = 0;
    while life.see_while(Observation::Good, true) != Verdict::Clear {
        answers += 1;
        assert!(answers < 30);
    }
    assert!(answers >= 8, "after {answers}");
}

#[test]
fn what_was_sent_before_the_relief_is_no_evidence() {
    let mut life = Life::of(Health::of_a_way());
    life.see_times(Observation::Lost, 6);
    let before = life.now;
    while life.health.verdict() != Verdict::Recovering {
        life.see(Observation::Good);
    }
    let (streak, now, probation) = (life.streak, life.now + STEP, life.probation);
    for _ in 0..20 {
        life.health
            .note(Observation::Late, streak, before, now, &probation, false);
    }
    assert_eq!(life.health.verdict(), Verdict::Recovering);
}

#[test]
fn a_queue_that_drains_is_tried_again_soon_and_one_that_stands_is_not() {
    let took = |life: &mut Life, millis: u64| {
        let observed = Observed {
            took: Some(Duration::from_millis(millis)),
            ..Observation::Late.into()
        };
        let now = life.health.trial_due().max(life.now);
        life.now = now;
        life.health.trying(now, &life.probation, 0.5);
        let streak = Streak::default();
        life.health
            .note(observed, streak, now, now, &life.probation, false);
        life.health.trial_due().since(now)
    };
    let mut life = Life::of(Health::of_a_way());
    life.see_times(Observation::Lost, 6);
    for stands in [1000, 1000, 900, 1050] {
        assert!(took(&mut life, stands) > Duration::from_secs(3));
    }
    for drains in [600, 200] {
        assert_eq!(took(&mut life, drains), Duration::from_millis(500));
    }
    assert!(took(&mut life, 190) > Duration::from_secs(3));
}

#[test]
fn trials_come_further_apart_within_the_bound() {
    let mut life = Life::of(Health::of_a_way());
    life.see_times(Observation::Lost, 6);
    let mut last = Duration::ZERO;
    for _ in 0..10 {
        let now = life.health.trial_due().max(life.now);
        life.health.trying(now, &life.probation, 1.0);
        let gap = life.health.trial_due().since(now);
        assert!(gap >= last.min(life.probation.longest));
        assert!(gap <= life.probation.longest.mul_f64(1.11));
        last = gap;
    }
}
