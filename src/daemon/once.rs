//! Questions asked through the same engine as the daemon's, for `byway query`.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::paths::Paths;
use super::vital::{self, Roll};
use super::worker::Worker;
use super::{StartError, entropy, manner, watch, ways};
use crate::clock::{Clock, Time};
use crate::config::Config;
use crate::config::lineup::Lineup;
use crate::net::Sockets;
use crate::observe::metrics::QueryResult;
use crate::resolve::front::{Asker, Connection, Replies, Return, Service, Turn, Way};
use crate::resolve::{Core, Shared};
use crate::tls;
use crate::wire::{self, Inspected, OutgoingEdns, QueryFlags, QuestionKey};

/// The ID of the response.
pub const ID: u16 = 1;

/// What came of a question.
#[derive(Clone, Debug)]
pub struct Once {
    /// The response, as a client would have got it.
    pub response: Vec<u8>,
    /// The name of the route that brought it, if one did.
    pub route: Option<String>,
    /// The answer was held already: the same had been asked before.
    pub known: bool,
    /// How long it took.
    pub took: Duration,
}

/// The desk that the answer is handed over at.
#[derive(Default)]
struct Desk {
    answer: Mutex<Option<Vec<u8>>>,
    come: Notify,
}

impl Connection for Desk {
    fn peer(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 0))
    }

    fn is_open(&self) -> bool {
        true
    }

    fn settle(&self, answer: Option<&[u8]>) {
        let answer = answer.unwrap_or_default().to_vec();
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
        self.come.notify_one();
    }
}

struct Messenger;

impl Replies for Messenger {
    fn reply(
        &self,
        asker: Asker,
        _result: QueryResult,
        _now: Time,
        write: &mut dyn FnMut(&mut [u8], usize) -> usize,
    ) {
        let mut letter = vec![0; usize::from(u16::MAX)];
        let length = write(&mut letter, usize::from(asker.limit));
        if let Way::Stream(back) = asker.way {
            back.settle(&letter[..length]);
        }
    }

    fn flush(&self) {}
}

/// Asks `keys` one after the other as a client would, with the routes of `config`, and tells `each` what came of it.
///
/// # Errors
/// [`StartError`], if nothing can be asked.
pub fn ask(
    config: &Config,
    keys: &[QuestionKey],
    mut each: impl FnMut(&QuestionKey, Once),
) -> Result<(), StartError> {
    let clock = Clock::start();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let shared = Arc::new(Shared::new(config, 0, clock.now()));
        let lineup = Lineup::new(config);
        let ports = &config.limits.source_ports;
        Paths::new(&lineup).check(ports, &shared, clock, &mut entropy()?)?;
        let routes = shared.engine().routes().to_vec();
        let metrics = watch::metrics(config, &lineup, &[], &shared, &None, (None, None), clock)
            .map_err(|error| StartError::Names(error.to_string()))?;
        let metrics = Rc::new(metrics.worker());
        let manner = manner(config, &shared, &metrics);
        let ways = ways(&lineup, config, &tls::Clients::open(config)?);
        let sockets = Sockets::new(ways, manner, &config.limits, entropy()?)?;
        let core = Core::new(
            sockets,
            Arc::clone(&shared),
            Rc::new(Messenger),
            metrics,
            0,
            entropy()?,
            clock.now(),
        );
        let worker = Worker::new(core, clock);
        let (alarm, _news) = vital::alarm();
        let roll = Roll::new(0, &Arc::default(), alarm, clock);
        worker.drive(Arc::clone(&shared), 0, &roll)?;
        // Only a defect keeps an answer from coming by then.
        let patience = config.routing.deadline + Duration::from_secs(1);
        for key in keys {
            let asked = clock.now();
            let (response, known) = ask_one(&worker, key, asked, patience).await?;
            let took = clock.now().since(asked);
            let route = worker.take_last_route();
            let route = route.map(|route| routes[usize::from(route.0)].name.to_string());
            let once = Once {
                response,
                route,
                known,
                took,
            };
            each(key, once);
        }
        Ok(())
    })
}

/// The response to one question, and whether it was held already.
async fn ask_one(
    worker: &Rc<Worker>,
    key: &QuestionKey,
    asked: Time,
    patience: Duration,
) -> Result<(Vec<u8>, bool), StartError> {
    let mut packet = [0; 512];
    let flags = QueryFlags {
        rd: true,
        cd: false,
        ad: true,
    };
    let edns = OutgoingEdns {
        payload: u16::MAX,
        dnssec_ok: false,
    };
    let length = wire::write_query(&mut packet, ID, flags, key.question(), Some(edns));
    let Inspected::Query(query) = wire::inspect(&packet[..length]) else {
        return Err(StartError::Question);
    };
    let desk = Arc::new(Desk::default());
    let asker = || Asker {
        listener: 0,
        limit: u16::MAX,
        client: None,
        since: asked,
        way: Way::Stream(Return::new(desk.clone())),
    };
    let mut response = vec![0; usize::from(u16::MAX)];
    let turn = worker.ask(&query, asker, asked, usize::from(u16::MAX), &mut response);
    worker.end_of_turn(asked);
    let known = matches!(
        turn,
        Turn::Answer {
            result: QueryResult::Hit,
            ..
        }
    );
    match turn {
        Turn::Answer { length, .. } | Turn::Limited { length, .. } => response.truncate(length),
        Turn::Pending | Turn::Drop => {
            let _ = tokio::time::timeout(patience, desk.come.notified()).await;
            let mut answer = desk.answer.lock().unwrap_or_else(PoisonError::into_inner);
            response = answer.take().unwrap_or_default();
        }
    }
    Ok((response, known))
}
