//! Random operations in simulated time, against a model that forgets nothing.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

const NAMES: u32 = 600;

/// Something that happens to the cache.
#[derive(Clone, Debug)]
enum Op {
    /// An upstream answers: with an address, or that there is none.
    Store {
        name: u32,
        ttl: u32,
        padding: usize,
        positive: bool,
        trusted: bool,
    },
    Read(u32),
    RefreshFailed(u32),
    Flush(u32),
    /// A scan of names nobody asks for.
    Scan(u32),
    /// Milliseconds go by.
    Wait(u64),
}

fn op() -> impl Strategy<Value = Op> {
    // Few names are asked for often, many seldom.
    let name = || prop_oneof![0..8u32, 0..60u32, 0..NAMES];
    let ttl = prop_oneof![0..12u32, 0..4_000u32, Just(u32::MAX >> 1)];
    let padding = prop_oneof![4 => Just(0), 2 => 0..400usize, 1 => 0..40_000usize];
    let wait = prop_oneof![8 => 0..2_000u64, 2 => 0..400_000u64, 1 => 0..100_000_000u64];
    prop_oneof![
        8 => (name(), ttl, padding, any::<bool>(), any::<bool>()).prop_map(
            |(name, ttl, padding, positive, trusted)| Op::Store { name, ttl, padding, positive, trusted }
        ),
        12 => name().prop_map(Op::Read),
        1 => name().prop_map(Op::RefreshFailed),
        1 => name().prop_map(Op::Flush),
        1 => (1..200u32).prop_map(Op::Scan),
        3 => wait.prop_map(Op::Wait),
    ]
}

/// What was last stored for a name.
struct Known {
    at: Life,
    ttl: u32,
    serial: Option<u32>,
    /// What was left of its TTL when it was last read.
    left: Option<u32>,
    /// A reader was told to refresh it.
    reported: bool,
}

struct World {
    cache: Cache,
    config: CacheConfig,
    now: Life,
    known: HashMap<u32, Known>,
    serial: u32,
    scanned: u32,
}

impl World {
    fn new(config: CacheConfig) -> World {
        World {
            cache: Cache::new(&config, 11),
            config,
            now: Life::START,
            known: HashMap::new(),
            serial: 0,
            scanned: 0,
        }
    }

    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Store {
                name,
                ttl,
                padding,
                positive,
                trusted,
            } => {
                self.store(name, ttl, padding, positive, trusted);
            }
            Op::Read(name) => self.read(name),
            Op::RefreshFailed(name) => {
                let key = key(&text(name));
                self.cache
                    .refresh_failed(&key, self.cache.hash(&key), self.now);
                self.known
                    .entry(name)
                    .and_modify(|known| known.reported = false);
            }
            Op::Flush(name) => {
                self.cache.flush_name(&testing::wire_name(&text(name)));
                self.known.remove(&name);
            }
            Op::Scan(count) => {
                for _ in 0..count {
                    self.scanned += 1;
                    self.cache.keep(
                        positive(&format!("scan-{}.example", self.scanned), 60, 0),
                        self.now,
                    );
                }
            }
            Op::Wait(millis) => self.now = self.now + Duration::from_millis(millis),
        }
        self.cache.audit();
    }

    fn store(&mut self, name: u32, ttl: u32, padding: usize, positive: bool, trusted: bool) {
        self.serial += 1;
        let (key, serial) = (key(&text(name)), self.serial);
        let answer = match positive {
            true => response(&key)
                .address(ttl, serial)
                .padding(padding)
                .answer(),
            false => response(&key)
                .padding(padding)
                .soa(ttl, ttl)
                .rcode(3)
                .answer(),
        };
        let origin = if trusted { WELL } else { SICK };
        let most = if positive {
            self.config.max_ttl
        } else {
            self.config.negative_max_ttl
        };
        let ttl = ttl.min(most.as_secs() as u32);
        match self
            .cache
            .store(&key, self.cache.hash(&key), answer, origin, self.now)
        {
            Stored::New | Stored::Replaced => {
                assert!(ttl > 0);
                let serial = positive.then_some(serial);
                let known = Known {
                    at: self.now,
                    ttl,
                    serial,
                    left: None,
                    reported: false,
                };
                self.known.insert(name, known);
            }
            Stored::Not(NotKept::NoLifetime) => assert_eq!(ttl, 0),
            Stored::Not(NotKept::TooBig) => assert!(padding > 20_000),
            Stored::Not(NotKept::Shadows) => {
                assert!(!positive && !trusted && self.known[&name].serial.is_some());
            }
            Stored::Not(why) => panic!("{why:?}"),
        }
    }

    fn read(&mut self, name: u32) {
        let key = key(&text(name));
        let found = self
            .cache
            .read(&key, self.cache.hash(&key), self.now, |hit| {
                (testing::serial(hit.answer), hit.age, hit.freshness)
            });
        let Some((serial, age, freshness)) = found else {
            return;
        };
        let known = self
            .known
            .get_mut(&name)
            .expect("only what was stored is found");
        assert_eq!(
            serial, known.serial,
            "an answer that was replaced came back"
        );
        let true_age = self.now.since(known.at);
        let slack = Duration::from_nanos(1 << 28);
        let shown = Duration::from_secs(age.into());
        assert!(shown <= true_age + slack && shown + Duration::from_secs(1) > true_age);
        let ttl = Duration::from_secs(known.ttl.into());
        match freshness {
            Freshness::Fresh { left, refresh_due } => {
                assert!(true_age < ttl, "fresh past its TTL");
                assert!((1..=known.ttl).contains(&left) && left == known.ttl - age);
                assert!(
                    known.left.is_none_or(|before| left <= before),
                    "a TTL went up"
                );
                assert!(!(refresh_due && known.reported), "two readers refresh it");
                known.left = Some(left);
                known.reported |= refresh_due;
            }
            Freshness::Stale { .. } => {
                assert!(true_age + slack >= ttl, "stale before its time");
                assert!(
                    true_age < ttl + self.config.stale_max,
                    "served past stale-max"
                );
                known.left = Some(0);
            }
        }
    }

    /// With room for everything, whatever may still be used is found.
    fn nothing_is_missing(&mut self) {
        let slack = Duration::from_nanos(1 << 28);
        for (name, known) in &self.known {
            let lasts = Duration::from_secs(known.ttl.into()) + self.config.stale_max;
            let usable = self.now.since(known.at) + slack < lasts;
            let found = self.cache.ask(&text(*name), self.now).is_some();
            assert!(found || !usable, "{name} is missing");
        }
    }
}

fn text(name: u32) -> String {
    format!("n{name}.example")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_tight_cache_never_lies_and_never_outgrows_its_bound(
        ops in prop::collection::vec(op(), 1..400),
        size in 20_000..400_000usize,
        stale_max in prop_oneof![Just(0u64), 1..100_000u64],
    ) {
        let mut world = World::new(CacheConfig {
            stale_max: Duration::from_secs(stale_max),
            ..testing::config(size)
        });
        // What is too large here may be small elsewhere.
        let fits = |op: &&Op| !matches!(op, Op::Store { padding, .. } if *padding > 0 && size < 256 << 10);
        ops.iter().filter(fits).for_each(|op| world.apply(op));
    }

    #[test]
    fn a_roomy_cache_forgets_nothing_before_its_time(
        ops in prop::collection::vec(op(), 1..300),
        stale_max in prop_oneof![Just(0u64), 1..100_000u64],
    ) {
        let mut world = World::new(CacheConfig {
            stale_max: Duration::from_secs(stale_max),
            ..testing::config(256 << 20)
        });
        let small = |op: &&Op| !matches!(op, Op::Scan(_));
        ops.iter().filter(small).for_each(|op| {
            world.apply(op);
        });
        world.nothing_is_missing();
    }
}
