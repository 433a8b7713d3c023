//! Zones: whom a trouble is about, and who is asked instead.

use super::*;

#[test]
fn a_zone_whose_servers_are_dead_is_named_and_is_nobody_elses_outage() {
    let mut world = with_a_zone();
    let pool: Option<Arc<str>> = Some("corp.example".into());
    let corp = || Subject::Upstream("corp".into());
    world.verdict(corp(), Verdict::Dead, lost());
    world.hear(Event::Outage { pool: pool.clone() });
    world.pass(5.0);
    assert!(!world.troubles.is_outage());
    let after = Duration::ZERO;
    world.verdict(corp(), Verdict::Clear, lost());
    world.hear(Event::OutageOver {
        pool: pool.clone(),
        after,
    });
    world.hear(Event::ClearAgain { pool, after });
    world.pass(60.0);
    assert_eq!(
        world.take(),
        [
            "! no name in corp.example can be resolved: upstream corp (no answer); clients notice nothing",
            "  names in corp.example resolve again after 5.4 s: clients noticed nothing"
        ]
    );
}

#[test]
fn when_the_only_path_dies_its_zones_are_no_news_of_their_own() {
    let mut world = with_a_zone();
    world.failing = 100;
    world.path("a", Verdict::Dead);
    for pool in [None, Some("corp.example".into())] {
        world.hear(Event::Outage { pool });
    }
    world.pass(10.0);
    let told = world.take();
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(
        told[0].starts_with("! no name can be resolved: path a (no answer)"),
        "{told:#?}"
    );
}

#[test]
fn who_is_asked_instead_is_whom_the_same_names_may_be_asked_of() {
    let mut world = with_a_zone();
    world.verdict(Subject::Upstream("dc1".into()), Verdict::Dead, lost());
    world.pass(2.0);
    let told = world.take();
    assert!(told[0].contains("; dc2 is asked instead; "), "{told:#?}");
}
