//! What the service manager is told: that byway is ready, that it stops, and now and then that it is alive
//! (sd_notify(3)). Without one, nothing.

use std::time::Duration;

use sd_notify::NotifyState;
use tracing::warn;

/// How often the watchdog is fed in the time that it allows.
const SHARE: u32 = 3;

/// How often to look where there is no watchdog.
const SELDOM: Duration = Duration::from_secs(3600);

/// Every worker listens: whoever waits for DNS may go on.
pub(super) fn ready() {
    tell(NotifyState::Ready);
}

/// It reads its configuration anew (`Type=notify-reload`); [`reloaded`] is to follow.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(since) => tell_all(&[NotifyState::Reloading, since]),
        Err(_) => tell(NotifyState::Reloading),
    }
}

/// It has read it, whatever came of it.
pub(super) fn reloaded() {
    tell(NotifyState::Ready);
}

/// It has begun to stop.
pub(super) fn stopping() {
    tell(NotifyState::Stopping);
}

/// Nothing that answers depend on is stuck. A manager that is not told so in time starts byway anew.
pub(super) fn alive() {
    tell(NotifyState::Watchdog);
}

/// How often [`alive`] is to be called.
pub(super) fn watchdog() -> Duration {
    sd_notify::watchdog_enabled().map_or(SELDOM, |allowed| allowed / SHARE)
}

/// Whether a watchdog is to be fed.
pub(super) fn is_watched() -> bool {
    sd_notify::watchdog_enabled().is_some()
}

fn tell(state: NotifyState<'_>) {
    tell_all(&[state]);
}

fn tell_all(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        warn!("the service manager cannot be told how things are: {error}");
    }
}
