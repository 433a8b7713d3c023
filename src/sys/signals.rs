//! Signals that nobody sends to end a daemon, and that would.

/// Every signal whose default ends or stops a process and that is neither a request to end it (TERM, INT, QUIT,
/// KILL), nor to stop it (STOP, TSTP), nor the report of a fault of its own (ABRT, SEGV and their like).
/// Real-time signals are added to these. (signal(7))
const STRAY: &[libc::c_int] = &[
    libc::SIGHUP,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGPIPE,
    libc::SIGALRM,
    libc::SIGVTALRM,
    libc::SIGPROF,
    libc::SIGIO,
    libc::SIGPWR,
    // Limits on CPU time and on the size of files: the write of a file that is too large fails instead.
    libc::SIGXCPU,
    libc::SIGXFSZ,
    // Sent to who writes to its terminal, or reads from it, from the background.
    libc::SIGTTOU,
    libc::SIGTTIN,
];

/// Has the process ignore them. A handler may take the place of that later.
pub fn ignore_stray_signals() {
    for signal in STRAY
        .iter()
        .copied()
        .chain(libc::SIGRTMIN()..=libc::SIGRTMAX())
    {
        // SAFETY: to ignore a signal runs no code of anybody's. One that cannot be ignored stays as it is.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}
