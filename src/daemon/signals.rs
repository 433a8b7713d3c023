//! SIGTERM and SIGINT: the first asks the daemon to end in order, the second ends it at once.

use std::io;

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Exit status when a second signal cuts the orderly end short: 128 and SIGTERM's number, as shells say it.
const CUT_SHORT: i32 = 143;

/// The signals, caught from the moment this exists.
pub struct Signals {
    runtime: Runtime,
    term: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Catches them.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn catch() -> io::Result<Signals> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()?;
        let _entered = runtime.enter();
        let term = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        drop(_entered);
        Ok(Signals {
            runtime,
            term,
            interrupt,
        })
    }

    /// Blocks until the first signal; from then on a second one ends the process.
    pub fn wait(self) {
        let Signals {
            runtime,
            mut term,
            mut interrupt,
        } = self;
        runtime.block_on(either(&mut term, &mut interrupt));
        let second = std::thread::Builder::new()
            .name("byway-signals".into())
            .spawn(move || {
                runtime.block_on(either(&mut term, &mut interrupt));
                std::process::exit(CUT_SHORT);
            });
        // Without the thread a second signal does nothing; the orderly end is bounded anyway.
        drop(second);
    }
}

async fn either(term: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = term.recv() => {}
        _ = interrupt.recv() => {}
    }
}
