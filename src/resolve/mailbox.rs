//! A client that asks one worker what another worker is already asking waits with that other worker.

use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use crate::clock::Time;
use crate::resolve::clients::Seat;
use crate::resolve::front::Asker;
use crate::resolve::inflight::Room;
use crate::wire::{KeptKey, OwnedAsked};

/// A client on its way to the worker that leads its question.
#[derive(Debug)]
pub struct Handoff {
    /// What it asks.
    pub key: KeptKey,
    /// The key's hash.
    pub hash: u64,
    /// What its answer must match.
    pub asked: OwnedAsked,
    /// Where its answer goes.
    pub asker: Asker,
    /// When a stale answer is good enough for it.
    pub stale_at: Time,
    /// Its room among those who wait.
    pub room: Room,
    /// Its client's share of that.
    pub seat: Option<Seat>,
}

/// A worker's mailbox. Its bound is that of the clients waiting, whose places the handed-over hold.
#[derive(Debug, Default)]
pub struct Mailbox {
    letters: Mutex<Vec<Handoff>>,
    arrived: Notify,
}

impl Mailbox {
    /// Hands a client over.
    pub fn post(&self, handoff: Handoff) {
        self.letters
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(handoff);
        self.arrived.notify_one();
    }

    /// Everything that has been handed over.
    pub fn collect(&self) -> Vec<Handoff> {
        std::mem::take(&mut *self.letters.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until something may have been handed over.
    pub async fn wait(&self) {
        self.arrived.notified().await;
    }
}
