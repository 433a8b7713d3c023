//! While nobody asks for anything there is little to be looked after, and a host that does nothing should not be woken for
//! it. Whoever is resting is roused by the first question that goes upstream, at whichever worker.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst, fence};

use tokio::sync::Notify;

/// Whether somebody rests.
#[derive(Debug, Default)]
pub struct Rest {
    resting: AtomicBool,
    rouse: Notify,
}

impl Rest {
    /// Somebody asks. To be called when that can be seen by who would rest.
    #[inline]
    pub fn rouse(&self) {
        fence(SeqCst);
        if self.resting.load(SeqCst) && self.resting.swap(false, SeqCst) {
            self.rouse.notify_one();
        }
    }

    /// Something else is to be looked after than a question: whoever rests, or is about to, does not.
    pub fn wake(&self) {
        self.rouse.notify_one();
    }

    /// Rests until `over`, or until somebody asks, unless `is_busy` sees that somebody has.
    pub async fn rest(&self, over: impl Future<Output = ()>, is_busy: impl Fn() -> bool) {
        self.resting.store(true, SeqCst);
        fence(SeqCst);
        if !is_busy() {
            tokio::select! {
                () = over => {}
                () = self.rouse.notified() => {}
            }
        }
        self.resting.store(false, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test]
    async fn who_rests_is_roused_and_who_sees_work_does_not_rest() {
        let rest = std::sync::Arc::new(Rest::default());
        rest.rest(ready(()), || false).await;
        rest.rest(pending(), || true).await;
        // Nobody rests: nothing is left behind for the next one.
        rest.rouse();
        let resting = tokio::spawn({
            let rest = rest.clone();
            async move { rest.rest(pending(), || false).await }
        });
        tokio::task::yield_now().await;
        assert!(!resting.is_finished());
        rest.rouse();
        resting.await.expect("no panic");
        rest.wake();
        rest.rest(pending(), || false).await;
    }
}
