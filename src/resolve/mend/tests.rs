//! Panics wherever a question leaves the core's hands: nothing else is lost by them.

use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;
use crate::config::Config;
use crate::net::{Claimed, Handle, Outgoing, Tag};
use crate::observe::metrics::{CacheSample, EngineSample, Metrics, Roster, RouteNames, Sources};
use crate::resolve::Shared;
use crate::resolve::front::{Asker, Replies, Turn, Waiting, Way};
use crate::resolve::mailbox::Handoff;
use crate::route::{Outcome, RouteId, StreamFacts};
use crate::sys::Origin;
use crate::wire::{Inspected, OwnedAsked, Query, QueryFlags, QuestionKey, Sent};

/// Where the next panic is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// When anything is sent upstream.
    Send,
    /// When this client is answered.
    Reply(u16),
}

type Faults = Rc<RefCell<Option<Fault>>>;

/// Panics if that is the fault.
fn pass(faults: &Faults, here: Fault) {
    let fault = *faults.borrow();
    assert!(fault != Some(here), "a panic that the test wants");
}

struct Wire {
    faults: Faults,
    sent: Vec<(Tag, Vec<u8>)>,
    listening: usize,
}

impl Exchanges for Wire {
    fn send(
        &mut self,
        tag: Tag,
        _route: RouteId,
        _stream: bool,
        query: &Outgoing<'_>,
        _now: Time,
    ) -> Result<Handle, Outcome> {
        pass(&self.faults, Fault::Send);
        self.sent.push((tag, query.question.to_vec()));
        self.listening += 1;
        Ok(Handle::Udp { socket: 0, id: 0 })
    }

    fn forget(&mut self, _: Handle, _: Tag) -> bool {
        self.listening -= 1;
        false
    }

    fn stream_facts(&mut self, _: Handle, _: Tag, _: Time) -> Option<StreamFacts> {
        None
    }

    fn flush(&mut self, _: Time, _: &mut Vec<(Tag, Outcome)>) {}
}

/// Rcodes by client, the client being its port.
struct Answers {
    faults: Faults,
    told: RefCell<Vec<(u16, u8)>>,
}

impl Replies for Answers {
    fn reply(
        &self,
        asker: Asker,
        _: QueryResult,
        _: Time,
        write: &mut dyn FnMut(&mut [u8], usize) -> usize,
    ) {
        let Way::Datagram { origin, .. } = asker.way else {
            unreachable!("only datagrams here");
        };
        let client = origin.peer().expect("made here").port();
        pass(&self.faults, Fault::Reply(client));
        let mut out = [0; 4096];
        assert!(write(&mut out, 512) > 0);
        self.told.borrow_mut().push((client, out[3] & 15));
    }

    fn flush(&self) {}
}

struct World {
    core: Core<Wire>,
    shared: Arc<Shared>,
    answers: Rc<Answers>,
    faults: Faults,
    clients: Arc<Waiting>,
    now: Time,
}

fn question(name: &str) -> QuestionKey {
    let name = wire::name_from_text(name).expect("a name");
    QuestionKey::new(&name, wire::RecordType(1), wire::CLASS_IN, false, false).expect("a question")
}

fn packet(name: &str) -> Vec<u8> {
    let mut packet = [0; 512];
    let flags = QueryFlags {
        rd: true,
        cd: false,
        ad: false,
    };
    let length = wire::write_query(&mut packet, 7, flags, question(name).question(), None);
    packet[..length].to_vec()
}

fn with_query<R>(packet: &[u8], work: impl FnOnce(&Query<'_>) -> R) -> R {
    let Inspected::Query(query) = wire::inspect(packet) else {
        unreachable!("a plain question");
    };
    work(&query)
}

impl World {
    /// One worker, one upstream, room for two questions and three clients.
    fn new() -> World {
        let mut config = Config::default_with_upstreams(&[([192, 0, 2, 1], 53).into()]);
        config.workers = 1;
        (config.limits.questions, config.limits.waiting) = (2, 3);
        let now = Time::START + Duration::from_secs(10);
        let shared = Arc::new(Shared::new(&config, 1, now));
        let roster = Roster {
            routes: vec![RouteNames {
                upstream: "u".into(),
                path: "p".into(),
            }],
            ..Roster::default()
        };
        let sources = Sources {
            cache: Box::new(CacheSample::default),
            guard: Box::new(|| None),
            engine: Box::new(EngineSample::default),
            snapshot: None,
            recorder: None,
            query_log: None,
        };
        let metrics = Metrics::new(roster, &config.limits, sources).expect("names of their own");
        let faults = Faults::default();
        let answers = Rc::new(Answers {
            faults: Rc::clone(&faults),
            told: RefCell::default(),
        });
        let wire = Wire {
            faults: Rc::clone(&faults),
            sent: Vec::new(),
            listening: 0,
        };
        let core = Core::new(
            wire,
            Arc::clone(&shared),
            Rc::clone(&answers) as Rc<dyn Replies>,
            Rc::new(metrics.worker()),
            0,
            StdRng::seed_from_u64(1),
            now,
        );
        World {
            core,
            shared,
            answers,
            faults,
            clients: Arc::default(),
            now,
        }
    }

    fn asker(&self, client: u16) -> Asker {
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, client));
        Asker {
            listener: 0,
            limit: 512,
            client: None,
            since: self.now,
            way: Way::Datagram {
                origin: Origin::new(peer, None),
                ticket: self.clients.ticket(),
            },
        }
    }

    /// A turn of the worker.
    fn turn<R>(&mut self, work: impl FnOnce(&mut Core<Wire>) -> R) -> Option<R> {
        let now = self.now;
        self.core.shielded(|| now, work)
    }

    fn ask(&mut self, name: &str, client: u16) -> Option<Turn> {
        let (packet, asker, now) = (packet(name), self.asker(client), self.now);
        let mut out = [0; 4096];
        self.turn(|core| {
            with_query(&packet, |query| {
                core.ask(query, || asker, now, 512, &mut out)
            })
        })
    }

    /// Answers everything that was sent.
    fn answer_all(&mut self) {
        for (tag, question) in std::mem::take(&mut self.core.exchanges.sent) {
            self.core.exchanges.listening -= 1;
            let mut packet = vec![0, 9, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
            packet.extend_from_slice(&question);
            packet.extend_from_slice(b"\xc0\x0c\0\x01\0\x01\0\0\x0e\x10\0\x04\xc0\0\x02\x01");
            let sent = Sent {
                id: 9,
                question: &question,
                exact_case: false,
            };
            let now = self.now;
            self.turn(|core| {
                let response = wire::examine(&packet, &sent).expect("a response");
                let claimed = Claimed::Response {
                    tag,
                    response,
                    case: None,
                };
                core.claimed(&claimed, now, now);
            });
        }
    }

    fn fault(&self, fault: impl Into<Option<Fault>>) {
        *self.faults.borrow_mut() = fault.into();
    }

    /// Who was told what since the last time.
    fn told(&self) -> Vec<(u16, u8)> {
        let mut told = self.answers.told.take();
        told.sort_unstable();
        told
    }

    /// Nothing is held by anybody.
    #[track_caller]
    fn assert_empty(&self) {
        let inflight = &self.shared.inflight;
        assert_eq!(
            (inflight.questions().held(), inflight.waiting().held()),
            (0, 0),
            "questions in flight, clients waiting"
        );
        assert_eq!(self.clients.clients(), 0, "clients that the front knows of");
        assert_eq!(self.core.questions(), 0);
        assert_eq!(self.core.exchanges.listening, 0);
        let routes = self.shared.engine().report(self.now).routes;
        assert_eq!(routes[0].in_flight, 0);
    }
}

#[test]
fn what_panics_when_it_is_asked_can_be_asked_again() {
    let mut world = World::new();
    // More often than there is room for.
    for client in 1..=10 {
        world.fault(Fault::Send);
        assert_eq!(world.ask("name.example", client), None);
        assert_eq!(world.told(), [(client, 2)], "SERVFAIL at once");
        world.assert_empty();
    }
    world.fault(None);
    assert_eq!(world.ask("name.example", 1), Some(Turn::Pending));
    assert_eq!(world.ask("name.example", 2), Some(Turn::Pending));
    world.answer_all();
    assert_eq!(world.told(), [(1, 0), (2, 0)]);
    world.assert_empty();
}

#[test]
fn a_panic_while_clients_are_answered_gives_back_what_they_held() {
    let mut world = World::new();
    world.ask("name.example", 1);
    world.ask("other.example", 2);
    world.fault(Fault::Reply(1));
    world.answer_all();
    assert_eq!(world.told(), [(2, 0)], "the other question is answered");
    world.assert_empty();
    // Its name is free, and nothing half done was kept of it.
    world.fault(None);
    world.ask("name.example", 3);
    world.answer_all();
    assert_eq!(world.told(), [(3, 0)]);
}

#[test]
fn what_was_due_with_what_panicked_is_looked_after_next() {
    let mut world = World::new();
    world.ask("name.example", 1);
    world.ask("other.example", 2);
    world.fault(Fault::Reply(1));
    let mut rounds = 0;
    while world.core.questions() > 0 {
        world.now = world
            .core
            .next_wake()
            .expect("somebody waits")
            .max(world.now);
        let now = world.now;
        world.turn(|core| core.wake(now));
        rounds += 1;
        assert!(rounds < 1_000, "it never ends");
    }
    assert_eq!(world.told(), [(2, 2)], "by its deadline");
    assert!(world.core.next_wake().is_none());
    world.assert_empty();
}

#[test]
fn clients_handed_over_behind_one_that_panicked_are_taken_in() {
    let mut world = World::new();
    world.ask("name.example", 1);
    world.answer_all();
    assert_eq!(world.told(), [(1, 0)]);
    // The answer came while they were on their way.
    let key = question("name.example");
    for client in 1..=3 {
        let handoff = with_query(&packet("name.example"), |query| Handoff {
            key: key.by_ref().into(),
            hash: world.shared.cache.hash(&key),
            asked: OwnedAsked::from(query.asked),
            asker: world.asker(client),
            stale_at: Time::NEVER,
            room: world.shared.inflight.waiting().take().expect("room"),
            seat: None,
        });
        world.shared.mailboxes[0].post(handoff);
    }
    world.fault(Fault::Reply(2));
    let now = world.now;
    assert_eq!(world.turn(|core| core.collect_mail(now)), None);
    assert!(!world.core.has_no_mail());
    assert_eq!(world.turn(|core| core.collect_mail(now)), Some(()));
    assert!(world.core.has_no_mail());
    assert_eq!(world.told(), [(1, 0), (3, 0)]);
    world.assert_empty();
}

/// Innocents are those that nothing was being done for.
#[test]
fn a_panic_over_nothing_in_particular_ends_no_question() {
    let mut world = World::new();
    world.ask("name.example", 1);
    assert_eq!(world.turn(|_| -> () { panic!("wanted") }), None);
    world.answer_all();
    assert_eq!(world.told(), [(1, 0)]);
    world.assert_empty();
}
