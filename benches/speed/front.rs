//! byway's front end with a service that answers without looking: what is between it and the bare loop is
//! the front end's, what is between it and the daemon is cache and core.

use std::rc::Rc;

use byway::clock::{Clock, Time};
use byway::config::{CacheConfig, Config, Limits, Listen, Routing};
use byway::observe::metrics::{CacheSample, EngineSample, Metrics, QueryResult, Roster, Sources};
use byway::observe::top::Top;
use byway::resolve::front::{Asker, Service, Turn};
use byway::serve::{Connections, Front, Listeners, Proofs};
use byway::wire::Query;

use super::bare;

/// Serves on a new port of loopback, for ever. Prints the address.
pub fn serve() {
    let limits = Limits::default();
    let listen = vec![Listen {
        address: ([127, 0, 0, 1], 0).into(),
        udp: true,
        tcp: true,
        tls: false,
    }];
    let listeners = Listeners::bind(&listen, &limits).expect("a port");
    let address = listeners.listen()[0].address;
    let config = Config {
        workers: 1,
        listen,
        certificates: Vec::new(),
        paths: Vec::new(),
        upstreams: Vec::new(),
        guards: Vec::new(),
        dns64: None,
        zones: Vec::new(),
        special: byway::config::SpecialNames::default(),
        records: Vec::new(),
        hosts: None,
        hosts_ttl: std::time::Duration::from_secs(10),
        link_domains: false,
        identity: None,
        routing: Routing::default(),
        cache: CacheConfig::default(),
        recorder: byway::config::RecorderConfig::default(),
        top: byway::config::TopConfig::default(),
        query_log: byway::config::QueryLogConfig::default(),
        admin: None,
        control: None,
        limits,
        allow: vec!["127.0.0.0/8".parse().expect("a prefix")],
    };
    let roster = Roster {
        listeners: vec![address.to_string()],
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
    let metrics = Metrics::new(roster, &config.limits, sources).expect("one listener");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime");
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let clock = Clock::start();
        let worker = Rc::new(metrics.worker());
        let connections = Connections::new(&config.limits);
        let top = Top::new(&config.top, 1, clock.now());
        let front = Front::new(
            listeners,
            &config,
            (connections, Proofs::new([0; 16])),
            worker,
            top.sampler(1),
            None,
            clock,
        );
        front
            .open(&Rc::new(Blind), |_, task| {
                tokio::task::spawn_local(task).abort_handle()
            })
            .expect("a runtime that watches sockets");
        println!("{address}");
        std::future::pending::<()>().await;
    });
}

/// Answers without looking.
struct Blind;

impl Service for Blind {
    fn ask(
        &self,
        query: &Query<'_>,
        _: impl FnOnce() -> Asker,
        _: Time,
        _: usize,
        out: &mut [u8],
    ) -> Turn {
        let mut bytes = [0; 512];
        let question = query.asked.question;
        bytes[..2].copy_from_slice(&query.asked.id.to_be_bytes());
        bytes[5] = 1;
        bytes[12..12 + question.len()].copy_from_slice(question);
        let length = bare::answer(&bytes[..12 + question.len()], out);
        Turn::Answer {
            length,
            result: QueryResult::Hit,
        }
    }

    fn end_of_turn(&self, _: Time) {}
}
