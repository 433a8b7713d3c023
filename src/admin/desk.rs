//! What the watch asks the rest of the daemon, and what it may tell it to do.

use tokio::sync::oneshot;

use super::api;

/// Why a request came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It makes no sense, and why: answered 400.
    Wrong(String),
    /// What it names is not there: answered 404.
    Unknown(String),
    /// Not now: answered 503.
    Busy(String),
    /// It could not be done: answered 500.
    Failed(String),
}

/// What comes of an order that takes its time: what was done, or why it was not.
pub type Later = tokio::sync::oneshot::Receiver<Result<String, String>>;

/// The daemon as the watch sees it. Nothing here waits for the network.
pub trait Desk: Send + Sync {
    /// How everything is.
    fn status(&self) -> api::Status;

    /// What would be done for a question of this name and type now, and why.
    ///
    /// # Errors
    /// [`Refused::Wrong`] if that is no name or no type.
    fn why(&self, name: &str, record_type: &str) -> Result<api::Why, Refused>;

    /// What the cache holds for the name.
    ///
    /// # Errors
    /// [`Refused::Wrong`] if that is no name.
    fn cache(&self, name: &str) -> Result<api::CacheLook, Refused>;

    /// The events behind number `after`, at most `most` of them; `details` too, if wanted.
    fn events(&self, after: u64, most: usize, details: bool) -> api::Events;

    /// The `most` names that are asked for most, and the clients that ask most.
    fn top(&self, most: usize) -> api::Top;

    /// Takes something out of use. `by` says who wants it.
    ///
    /// # Errors
    /// [`Refused::Unknown`] if nothing bears the name.
    fn drain(&self, order: &api::DrainOrder, by: &str) -> Result<api::Done, Refused>;

    /// Puts it back.
    ///
    /// # Errors
    /// [`Refused::Unknown`] if nothing bears the name.
    fn restore(&self, order: &api::RestoreOrder, by: &str) -> Result<api::Done, Refused>;

    /// Forgets answers.
    ///
    /// # Errors
    /// [`Refused::Wrong`] if that is no name.
    fn flush(&self, order: &api::FlushOrder, by: &str) -> Result<api::Done, Refused>;

    /// Names under guard, and which of them have vanished.
    fn guard(&self) -> api::Guard;

    /// Lets a name under guard go: what upstreams say of it counts from now on.
    ///
    /// # Errors
    /// [`Refused::Wrong`] if that is no name, [`Refused::Unknown`] if nothing is kept of it.
    fn release(&self, order: &api::ReleaseOrder, by: &str) -> Result<api::Done, Refused>;

    /// Hands over what it listens on to the process that waits for that, and ends when that one has started.
    ///
    /// # Errors
    /// [`Refused::Failed`] if it cannot be begun.
    fn takeover(&self, order: &api::TakeoverOrder, by: &str) -> Result<api::Done, Refused>;

    /// Begins to tell everything that is decided about the questions for a name.
    ///
    /// # Errors
    /// [`Refused::Wrong`] if that is no name or no type, [`Refused::Failed`] if too many look at something already.
    fn trace(&self, order: &api::TraceOrder, by: &str) -> Result<api::TraceBegun, Refused>;

    /// What is new in a trace.
    ///
    /// # Errors
    /// [`Refused::Unknown`] if it is over, or was given up.
    fn trace_lines(&self, order: &api::TraceLinesOrder) -> Result<api::TraceLines, Refused>;

    /// Logs more or less from now on.
    ///
    /// # Errors
    /// [`Refused::Wrong`] if there is no such level.
    fn log(&self, order: &api::LogOrder, by: &str) -> Result<api::Done, Refused>;

    /// Has the cache's file written now. What comes of it, in a sentence, comes later.
    ///
    /// # Errors
    /// [`Refused::Failed`] if none is kept.
    fn snapshot(&self, by: &str) -> Result<Later, Refused>;

    /// What the flight recorder keeps in memory for want of a file: frames, as they would stand in the file.
    fn record(&self) -> Vec<u8>;

    /// Reads the flight recorder, on a thread of its own.
    ///
    /// # Errors
    /// [`Refused::Wrong`] if that is no span of time, [`Refused::Unknown`] if nothing is recorded,
    /// [`Refused::Busy`] if it is being read already.
    fn history(
        &self,
        order: &api::HistoryOrder,
    ) -> Result<oneshot::Receiver<Result<api::History, Refused>>, Refused>;

    /// Has the configuration read anew. What came of it comes later, from a thread that may take its time.
    fn reload(&self, by: &str) -> oneshot::Receiver<Result<String, String>>;

    /// Once a second: what the watch looks after itself. False if there was nothing to look after: the next time may be
    /// later.
    fn second(&self) -> bool;
}
