//! Requests that take longer than a look: who asks waits for them, and nobody else does.

use std::time::Duration;

use hyper::Method;
use tokio::time::timeout;

use super::answer::{Answer, Door, Wanted, parameter, told, turn_away};
use super::desk::Refused;
use super::{AdminState, SNAPSHOT_PATIENCE, api};

/// How long reading the record may take. A connection for reading lives two seconds longer.
const HISTORY_PATIENCE: Duration = Duration::from_secs(8);

/// The longest step of a history, in seconds.
const DAY: u64 = 86_400;

/// Something that takes its time.
#[derive(Debug)]
pub(super) enum Errand {
    /// The cache is to be written, by whose order.
    Snapshot(String),
    /// The configuration is to be read anew, by whose order.
    Reload(String),
    /// The record is to be read.
    History(Result<api::HistoryOrder, Refused>),
}

impl Errand {
    /// What the request wants, if that is one.
    pub(super) fn of(wanted: &Wanted<'_>, door: &Door) -> Option<Errand> {
        let is_read = wanted.method == Method::GET || wanted.method == Method::HEAD;
        match (wanted.path, door) {
            ("/api/v1/snapshot", Door::Control { by }) if wanted.method == Method::POST => {
                Some(Errand::Snapshot(by.clone()))
            }
            ("/api/v1/reload", Door::Control { by }) if wanted.method == Method::POST => {
                Some(Errand::Reload(by.clone()))
            }
            ("/api/v1/history", _) if is_read && wanted.body.is_empty() => {
                // Who may not ask is told so with everybody else.
                let admitted = turn_away(wanted, door).is_none();
                admitted.then(|| Errand::History(history_order(wanted.query)))
            }
            _ => None,
        }
    }

    /// Does it, and waits for what comes of it.
    pub(super) async fn run(self, state: &AdminState) -> Answer {
        match self {
            Errand::Snapshot(by) => told(snapshot(&by, state).await),
            Errand::Reload(by) => told(match state.desk.reload(&by).await {
                Ok(Ok(done)) => Ok(api::Done { done }),
                Ok(Err(why)) => Err(Refused::Failed(why)),
                Err(_) => Err(Refused::Failed("byway is about to end".into())),
            }),
            Errand::History(order) => told(match order {
                Ok(order) => history(&order, state).await,
                Err(refused) => Err(refused),
            }),
        }
    }
}

async fn snapshot(by: &str, state: &AdminState) -> Result<api::Done, Refused> {
    let later = state.desk.snapshot(by)?;
    match timeout(SNAPSHOT_PATIENCE, later).await {
        Ok(Ok(Ok(done))) => Ok(api::Done { done }),
        Ok(Ok(Err(why))) => Err(Refused::Failed(why)),
        Ok(Err(_)) => Err(Refused::Failed(
            "nobody writes it any more: byway stops".into(),
        )),
        Err(_) => Err(Refused::Failed(format!(
            "not written within {} s; it goes on",
            SNAPSHOT_PATIENCE.as_secs()
        ))),
    }
}

async fn history(order: &api::HistoryOrder, state: &AdminState) -> Result<api::History, Refused> {
    let later = state.desk.history(order)?;
    match timeout(HISTORY_PATIENCE, later).await {
        Ok(Ok(read)) => read,
        Ok(Err(_)) => Err(Refused::Failed("the record could not be read".into())),
        Err(_) => Err(Refused::Busy(format!(
            "the record was not read within {} s: `byway history` reads it without byway",
            HISTORY_PATIENCE.as_secs()
        ))),
    }
}

fn history_order(query: &str) -> Result<api::HistoryOrder, Refused> {
    let step = match parameter(query, "step") {
        None => None,
        Some(text) => match text.parse() {
            Ok(step @ 1..=DAY) => Some(step),
            _ => {
                let why = "`step` is a whole number of seconds, 1 to 86400";
                return Err(Refused::Wrong(why.into()));
            }
        },
    };
    Ok(api::HistoryOrder {
        from: parameter(query, "from").unwrap_or_else(|| "-15m".into()),
        to: parameter(query, "to").unwrap_or_else(|| "now".into()),
        step,
    })
}
