//! TERM, INT and QUIT: the first asks the daemon to end in order, the second ends it at once. No other signal
//! ends it: HUP has the configuration read anew, USR1 and USR2 get a line in the log, the rest are ignored.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

use crate::clock::Clock;
use crate::observe::log;
use crate::observe::quiet::Quiet;
use crate::sys;

/// What a signal means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    /// End; the number is the signal's, which an exit status tells (128 and that, as shells say it).
    End(i32),
    /// Read the configuration anew.
    Reload,
    /// Nothing, here.
    Nothing,
}

/// The signals that are caught.
const CAUGHT: &[(&str, SignalKind, Meaning)] = &[
    ("SIGTERM", SignalKind::terminate(), Meaning::End(15)),
    ("SIGINT", SignalKind::interrupt(), Meaning::End(2)),
    ("SIGQUIT", SignalKind::quit(), Meaning::End(3)),
    ("SIGHUP", SignalKind::hangup(), Meaning::Reload),
    ("SIGUSR1", SignalKind::user_defined1(), Meaning::Nothing),
    ("SIGUSR2", SignalKind::user_defined2(), Meaning::Nothing),
];

/// How long the end waits for the log when it is to end at once.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Who sends signals in a loop gets no line for each.
static IGNORED: Quiet = Quiet::new("ignored signals", 5, Duration::from_secs(10));

/// No signal but TERM, INT and QUIT ends the process from now on.
pub fn outlive_signals() {
    sys::ignore_stray_signals();
}

/// The signals, caught from the moment this exists.
pub(super) struct Signals {
    runtime: Runtime,
    caught: Vec<Signal>,
    clock: Clock,
}

impl Signals {
    /// Catches them.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn catch(clock: Clock) -> io::Result<Signals> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()?;
        let _entered = runtime.enter();
        let caught = CAUGHT.iter().map(|(_, kind, _)| signal(*kind));
        let caught = caught.collect::<io::Result<_>>()?;
        drop(_entered);
        Ok(Signals {
            runtime,
            caught,
            clock,
        })
    }

    /// Looks after them on a thread of its own for as long as the process lives: the first that asks for the
    /// end is told to `end`, a second one ends the process. So does the first while nothing is `serving` yet:
    /// there is nothing to be put in order, and a start may hang. That the configuration is to be read anew is told to
    /// `reload`.
    ///
    /// # Errors
    /// If there is no thread to be had.
    pub(super) fn watch(
        self,
        serving: Arc<AtomicBool>,
        end: impl Fn(&'static str) + Send + 'static,
        reload: impl Fn(&'static str) + Send + 'static,
    ) -> io::Result<()> {
        let Signals {
            runtime,
            mut caught,
            clock,
        } = self;
        let watch = move || {
            let mut ending = false;
            loop {
                let (name, meaning) = runtime.block_on(next(&mut caught));
                match meaning {
                    Meaning::End(_) if !serving.load(Ordering::Acquire) => {
                        info!("{name} before the start was over: ended");
                        exit(0);
                    }
                    Meaning::End(number) if ending => {
                        warn!("{name}, the second signal to end: ended at once");
                        exit(128 + number);
                    }
                    Meaning::End(_) => {
                        ending = true;
                        end(name);
                    }
                    Meaning::Reload if ending => ignore(name, clock, "byway is about to end"),
                    Meaning::Reload => reload(name),
                    Meaning::Nothing => ignore(name, clock, "it has no meaning here"),
                }
            }
        };
        std::thread::Builder::new()
            .name("byway-signals".into())
            .spawn(watch)?;
        Ok(())
    }
}

fn ignore(name: &str, clock: Clock, why: &str) {
    if let Some(more) = IGNORED.line(clock.now()) {
        info!("{name} ignored: {why}{more}");
    }
}

fn exit(status: i32) -> ! {
    log::flush(LAST_WORDS);
    std::process::exit(status)
}

/// The next signal that comes.
async fn next(caught: &mut [Signal]) -> (&'static str, Meaning) {
    poll_fn(|context| {
        for (signal, (name, _, meaning)) in caught.iter_mut().zip(CAUGHT) {
            if signal.poll_recv(context).is_ready() {
                return Poll::Ready((*name, *meaning));
            }
        }
        Poll::Pending
    })
    .await
}
