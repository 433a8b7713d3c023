use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// Upstreams by the last octet of their addresses, each over those paths of `a` to `d`.
fn config(upstreams: &[(u8, &[usize])], paths: &[&str]) -> Config {
    let mut config = Config::default_with_upstreams(&[]);
    config.paths = paths
        .iter()
        .map(|name| PathConfig {
            name: (*name).into(),
            interface: Some(format!("eth-{name}")),
            ..PathConfig::kernels_choice()
        })
        .collect();
    config.upstreams = upstreams
        .iter()
        .map(|(octet, paths)| UpstreamConfig {
            paths: paths.to_vec(),
            ..UpstreamConfig::at(([192, 0, 2, *octet], 53).into())
        })
        .collect();
    config
}

/// The routes that take part by name, with number and tenant, in the order of the file.
fn routes(lineup: &Lineup) -> Vec<(String, usize, u32)> {
    let all = lineup.in_order().into_iter();
    all.map(|(number, ends)| (lineup.name(ends), number, lineup.routes[number].tenant))
        .collect()
}

fn at(secs: u64) -> Time {
    Time::START + Duration::from_secs(secs)
}

#[test]
fn a_start_numbers_in_the_order_of_the_file() {
    let lineup = Lineup::new(&config(&[(1, &[0, 1]), (2, &[1])], &["a", "b"]));
    let names: Vec<_> = routes(&lineup)
        .into_iter()
        .map(|(name, number, _)| (name, number))
        .collect();
    assert_eq!(
        names,
        [
            ("192.0.2.1@a".into(), 0),
            ("192.0.2.1@b".into(), 1),
            ("192.0.2.2@b".into(), 2)
        ]
    );
}

#[test]
fn pools_keep_their_numbers_by_the_zone_that_they_are_named_by() {
    let zones = |zones: &[(&str, &[usize])]| {
        let mut config = config(&[(1, &[0]), (2, &[0]), (3, &[0])], &["a"]);
        config.zones = zones
            .iter()
            .map(|(name, upstreams)| {
                let name = crate::wire::name_from_text(name).expect("a name");
                crate::config::ZoneConfig::new(vec![name], upstreams.to_vec())
            })
            .collect();
        config
    };
    let names = |lineup: &Lineup| -> Vec<(Option<String>, Vec<usize>)> {
        let all = lineup.pools.iter();
        all.map(|it| (it.is.name.clone(), it.is.upstreams.clone()))
            .collect()
    };
    let named = |name: &str| Some(name.to_owned());
    let first = Lineup::new(&zones(&[("a.example", &[1]), ("b.example", &[2])]));
    assert_eq!(first.zones, [1, 2]);
    // The first goes, another one comes, and what stays is asked of somebody else.
    let next = zones(&[
        ("c.example", &[1]),
        ("b.example", &[1, 2]),
        ("d.example", &[1]),
    ]);
    let next = first.succeed(&next, at(5)).expect("room");
    assert_eq!(
        next.zones,
        [3, 2, 3],
        "the third is asked of whom the first is"
    );
    let expected = [
        (None, vec![0]),
        (named("a.example"), vec![]),
        (named("b.example"), vec![1, 2]),
        (named("c.example"), vec![1]),
    ];
    assert_eq!(names(&next), expected);
    assert_eq!(next.pools[2].tenant, first.pools[2].tenant);
    // Who comes back is who it was; a number that has rested is another's.
    let back = next
        .succeed(&zones(&[("a.example", &[1])]), at(6))
        .expect("room");
    assert_eq!(
        (&back.zones[..], back.pools[1].tenant),
        (&[1][..], first.pools[1].tenant)
    );
    let late = at(6) + REST;
    let other = back
        .succeed(&zones(&[("e.example", &[1])]), late)
        .expect("room");
    assert_eq!(other.zones, [2]);
    assert_ne!(other.pools[2].tenant, back.pools[2].tenant);
}

#[test]
fn what_stays_keeps_its_number_wherever_it_moves_in_the_file() {
    let first = Lineup::new(&config(&[(1, &[0]), (2, &[0]), (3, &[0])], &["a", "b"]));
    let before = routes(&first);
    // The first has gone, another one has come in before all others, and the paths have changed places.
    let next = config(&[(9, &[1]), (3, &[1]), (2, &[1, 0])], &["b", "a"]);
    let next = first.succeed(&next, at(1)).expect("room");
    let after = routes(&next);
    let names: Vec<&str> = after.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(
        names,
        ["192.0.2.9@a", "192.0.2.3@a", "192.0.2.2@a", "192.0.2.2@b"]
    );
    for stays in ["192.0.2.3@a", "192.0.2.2@a"] {
        let of = |all: &[(String, usize, u32)]| {
            all.iter()
                .find(|(name, ..)| name == stays)
                .cloned()
                .expect("it is there")
        };
        assert_eq!(of(&before), of(&after));
    }
    assert_eq!(next.upstreams[0].place, None, "its number is nobody's");
    assert!(after.iter().all(|(_, number, _)| *number != 0));
}

#[test]
fn another_address_under_the_same_name_is_somebody_else() {
    let named = |octet: u8| {
        let mut config = config(&[(octet, &[0])], &["a"]);
        config.upstreams[0].name = "dc1".into();
        config
    };
    let first = Lineup::new(&named(1));
    let next = first.succeed(&named(2), at(1)).expect("room");
    let ([(name, one, was)], [(same, other, is)]) = (&routes(&first)[..], &routes(&next)[..])
    else {
        panic!("one route each");
    };
    assert_eq!((name, same), (&"dc1@a".to_owned(), &"dc1@a".to_owned()));
    assert!(one != other && was != is);
    // Its price is no part of who it is.
    let mut dearer = named(2);
    dearer.upstreams[0].cost = 9.0;
    let dearer = next.succeed(&dearer, at(2)).expect("room");
    assert_eq!(routes(&dearer), routes(&next));
    assert_eq!(dearer.upstreams[1].is.cost, 9.0);
}

#[test]
fn who_comes_back_soon_is_who_it_was_and_later_somebody_new() {
    let both = config(&[(1, &[0]), (2, &[0])], &["a"]);
    let one = config(&[(1, &[0])], &["a"]);
    let first = Lineup::new(&both);
    let without = first.succeed(&one, at(1)).expect("room");
    let back = without.succeed(&both, at(2)).expect("room");
    assert_eq!(routes(&back), routes(&first));
    let late = without.succeed(&both, at(1) + REST).expect("room");
    assert_ne!(routes(&late)[1].2, routes(&first)[1].2);
}

#[test]
fn numbers_are_given_anew_once_they_have_rested_and_never_before() {
    let mut lineup = Lineup::new(&config(&[(0, &[0])], &["a"]));
    let mut seconds = 0;
    let replaced = loop {
        seconds += 1;
        let octets: Vec<(u8, &[usize])> = (0..64).map(|n| (n, &[0usize][..])).collect();
        let mut next = config(&octets, &["a"]);
        for upstream in &mut next.upstreams {
            upstream.name = format!("{}-{seconds}", upstream.name);
        }
        match lineup.succeed(&next, at(seconds)) {
            Ok(next) => lineup = next,
            Err(full) => break full,
        }
    };
    assert!(replaced.to_string().contains("upstreams"), "{replaced}");
    assert!((3..=4).contains(&seconds), "{seconds}");
    let rested = at(seconds) + REST;
    let next = lineup.succeed(&config(&[(0, &[0])], &["a"]), rested);
    assert!(next.is_ok());
    assert!(lineup.upstreams.len() <= MOST_UPSTREAMS);
}

proptest! {
    /// Whatever follows whatever: a number has one tenant at a time, who stays keeps it, and each route is between
    /// the two that the file names.
    #[test]
    fn no_two_are_ever_mixed(
        steps in proptest::collection::vec(
            (proptest::collection::btree_set(0u8..12, 1..8), proptest::sample::subsequence(vec!["a", "b", "c", "d"], 1..4), 0u64..400),
            1..20,
        )
    ) {
        let mut lineup: Option<Lineup> = None;
        let mut now = 0;
        // Every tenant's route, for good.
        let mut known: BTreeMap<u32, (String, usize)> = BTreeMap::new();
        for (octets, paths, later) in steps {
            now += later;
            let all: Vec<usize> = (0..paths.len()).collect();
            let upstreams: Vec<(u8, &[usize])> = octets.iter().map(|it| (*it, &all[..])).collect();
            let config = config(&upstreams, &paths);
            let next = match &lineup {
                None => Lineup::new(&config),
                Some(lineup) => lineup.succeed(&config, at(now)).expect("there is room for so few"),
            };
            let expected: Vec<String> = config.upstreams.iter().flat_map(|upstream| {
                paths.iter().map(move |path| format!("{}@{path}", upstream.name))
            }).collect();
            let found = routes(&next);
            prop_assert_eq!(found.iter().map(|it| it.0.clone()).collect::<Vec<_>>(), expected);
            for (name, number, tenant) in found {
                let one = known.entry(tenant).or_insert((name.clone(), number)).clone();
                prop_assert_eq!(one, (name.clone(), number));
                if let Some(before) = &lineup
                    && let Some((_, was, who)) = routes(before).into_iter().find(|it| it.0 == name)
                {
                    prop_assert_eq!((was, who), (number, tenant));
                }
            }
            lineup = Some(next);
        }
    }
}
