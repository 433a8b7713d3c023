//! The watch: metrics, liveness, readiness and the API, read over HTTP; and the operator's hand.
//!
//! It runs on a thread of its own, so a flood of queries cannot blind the operator, and it is
//! bounded so that a careless or hostile client of its own cannot either. A connection carries one
//! request and lives ten seconds at most, whatever it does (one that has the cache written a minute longer); when too many are open the oldest
//! makes room, because an honest request is over in milliseconds. Over the network it is for reading only:
//! anybody on the host may connect. What changes something comes over the [`control`] socket, a Unix socket
//! that its file mode guards; each has places of its own, so that a crowd at the one does not shut the other.

mod answer;
pub mod api;
pub mod control;
pub mod desk;
mod later;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::Request;
use hyper::StatusCode;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

use crate::observe::metrics::{Metrics, Visit};
use answer::{Answer, Door, Wanted, refuse, respond};
pub use control::ControlSocket;
pub use desk::Desk;
use later::Errand;

/// A question that the rest of the daemon answers: `Ok`, perhaps with a line about what else is worth knowing,
/// or one line that says what is wrong.
pub type Check = Box<dyn Fn() -> Result<Option<String>, String> + Send + Sync>;

/// What the watch shows.
pub struct AdminState {
    /// What `/metrics` prints.
    pub metrics: Arc<Metrics>,
    /// `/healthz`: whether the process is alive, that is, everything it cannot do without turns over. A
    /// supervisor may restart it when not, so a sick network is no reason.
    pub health: Check,
    /// `/readyz`: whether queries can be answered: it is alive and not about to stop, and some route is
    /// not dead or the cache has something to serve.
    pub readiness: Check,
    /// What the API shows, and what carries out orders.
    pub desk: Arc<dyn Desk>,
}

impl fmt::Debug for AdminState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminState").finish_non_exhaustive()
    }
}

/// What a client may take.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// Connections open at once at each door. One more closes the oldest.
    connections: usize,
    /// Time for the request's header to arrive.
    header: Duration,
    /// Time for the whole connection, from accepting it to the last byte taken.
    lifetime: Duration,
}

impl Bounds {
    /// Room for a few scrapers, probes and people; times that only a broken client on the same
    /// host can exceed.
    const DEFAULT: Bounds = Bounds {
        connections: 64,
        header: Duration::from_secs(5),
        lifetime: Duration::from_secs(10),
    };
}

/// The most bytes and fields that a request's header may have; more is answered 431. The bytes are the
/// least that hyper takes.
const HEADER_BYTES_MAX: usize = 8192;
const HEADER_FIELDS_MAX: usize = 64;

/// The most bytes of an order. A name has 255 octets, a thousand as text at most.
const BODY_BYTES_MAX: usize = 4096;

/// How long an order to write the cache to its file may take: gigabytes, to a slow disk.
pub const SNAPSHOT_PATIENCE: Duration = Duration::from_secs(60);

/// How long to wait after the kernel refused to accept a connection, file descriptors being short
/// most likely, before asking again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How often the watch looks after what is its own, and how often while nobody asks for anything.
const SECOND: Duration = Duration::from_secs(1);
const SECOND_RESTING: Duration = Duration::from_secs(5);

/// The ways to the watch.
#[derive(Debug, Default)]
pub struct Doors {
    /// For reading, over HTTP.
    pub network: Option<std::net::TcpListener>,
    /// For the operator's commands.
    pub control: Option<ControlSocket>,
}

/// Serves the watch on a new thread, for as long as the process lives. It has at most `connections` open at a time at each
/// door.
///
/// # Errors
/// If the thread, its runtime or a listener's registration with it fails.
pub fn spawn(doors: Doors, state: AdminState, connections: usize) -> io::Result<()> {
    let bounds = Bounds {
        connections,
        ..Bounds::DEFAULT
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let server = {
        let _entered = runtime.enter();
        Server::new(doors, state, bounds)?
    };
    let serve = move || {
        loop {
            // It never ends otherwise.
            let run = AssertUnwindSafe(|| match runtime.block_on(server.run()) {});
            if catch_unwind(run).is_err() {
                tracing::error!("the admin endpoint was lost to a panic; it goes on");
            }
            std::thread::sleep(ACCEPT_PAUSE);
        }
    };
    std::thread::Builder::new()
        .name("byway-admin".to_owned())
        .spawn(serve)?;
    Ok(())
}

struct Server {
    network: Option<TcpListener>,
    control: Option<UnixListener>,
    /// Its file goes when the server does.
    _file: Option<control::File>,
    state: Arc<AdminState>,
    bounds: Bounds,
}

impl Server {
    fn new(doors: Doors, state: AdminState, bounds: Bounds) -> io::Result<Server> {
        let network = doors.network.map(|listener| {
            listener.set_nonblocking(true)?;
            TcpListener::from_std(listener)
        });
        let (control, file) = match doors.control {
            Some(socket) => {
                let (listener, file) = socket.into_parts();
                listener.set_nonblocking(true)?;
                (Some(UnixListener::from_std(listener)?), Some(file))
            }
            None => (None, None),
        };
        Ok(Server {
            network: network.transpose()?,
            control,
            _file: file,
            state: Arc::new(state),
            bounds,
        })
    }

    async fn run(&self) -> Infallible {
        let (state, bounds) = (&self.state, self.bounds);
        let network = async {
            let Some(listener) = &self.network else {
                return std::future::pending().await;
            };
            let loopback = listener
                .local_addr()
                .is_ok_and(|address| address.ip().is_loopback());
            let mut places = Places::new(bounds);
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                };
                let door = Door::Network { loopback };
                let visit = converse(stream, door, Arc::clone(state), bounds);
                places.seat(visit, &state.metrics);
            }
        };
        let control = async {
            let Some(listener) = &self.control else {
                return std::future::pending().await;
            };
            let mut places = Places::new(bounds);
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                };
                let by = control::who(&stream);
                let door = Door::Control { by };
                let visit = converse(stream, door, Arc::clone(state), bounds);
                places.seat(visit, &state.metrics);
            }
        };
        let seconds = async {
            loop {
                let pause = match state.desk.second() {
                    true => SECOND,
                    false => SECOND_RESTING,
                };
                sleep(pause).await;
            }
        };
        tokio::select! {
            never = network => never,
            never = control => never,
            never = seconds => never,
        }
    }
}

/// The connections of one door, bounded.
struct Places {
    connections: JoinSet<Visit>,
    by_age: VecDeque<AbortHandle>,
    most: usize,
}

impl Places {
    fn new(bounds: Bounds) -> Places {
        Places {
            connections: JoinSet::new(),
            by_age: VecDeque::new(),
            most: bounds.connections,
        }
    }

    /// Lets a connection begin; the oldest makes room for it.
    fn seat(
        &mut self,
        connection: impl Future<Output = Visit> + Send + 'static,
        metrics: &Metrics,
    ) {
        while let Some(ended) = self.connections.try_join_next() {
            metrics.visited(match ended {
                Ok(end) => end,
                Err(error) if error.is_cancelled() => Visit::Displaced,
                // It panicked, which is told elsewhere.
                Err(_) => Visit::Broken,
            });
        }
        self.by_age.retain(|connection| !connection.is_finished());
        if self.by_age.len() >= self.most
            && let Some(oldest) = self.by_age.pop_front()
        {
            oldest.abort();
        }
        self.by_age.push_back(self.connections.spawn(connection));
    }
}

/// One connection: one request, one response. How it fails is the client's concern alone, and counted.
async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    door: Door,
    state: Arc<AdminState>,
    bounds: Bounds,
) -> Visit {
    // Whoever may give orders may wait for what comes of them.
    let lifetime = match &door {
        Door::Network { .. } => bounds.lifetime,
        Door::Control { .. } => bounds.lifetime + SNAPSHOT_PATIENCE,
    };
    let service = service_fn(move |request| {
        let (door, state) = (door.clone(), Arc::clone(&state));
        async move { Ok::<_, Infallible>(attend(request, &door, &state).await) }
    });
    let connection = http1::Builder::new()
        .keep_alive(false)
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.header)
        .max_buf_size(HEADER_BYTES_MAX)
        .max_headers(HEADER_FIELDS_MAX)
        .serve_connection(TokioIo::new(stream), service);
    match timeout(lifetime, connection).await {
        Ok(Ok(())) => Visit::Answered,
        Ok(Err(error)) if error.is_timeout() => Visit::Stalled,
        Ok(Err(_)) => Visit::Broken,
        Err(_) => Visit::Stalled,
    }
}

/// Reads a request's body, if it is an order, and answers it.
async fn attend(request: Request<Incoming>, door: &Door, state: &AdminState) -> Answer {
    let (head, body) = request.into_parts();
    // Without a body to speak of nothing is read: what a reader sends along is not waited for.
    let body = match door {
        Door::Network { .. } if hyper::body::Body::is_end_stream(&body) => Vec::new(),
        Door::Network { .. } => vec![0],
        Door::Control { .. } => match Limited::new(body, BODY_BYTES_MAX).collect().await {
            Ok(body) => body.to_bytes().to_vec(),
            Err(error) => {
                return refuse(
                    StatusCode::BAD_REQUEST,
                    &format!("the order cannot be read: {error}"),
                );
            }
        },
    };
    let wanted = Wanted {
        method: &head.method,
        path: head.uri.path(),
        query: head.uri.query().unwrap_or_default(),
        headers: &head.headers,
        body: &body,
    };
    match Errand::of(&wanted, door) {
        Some(errand) => errand.run(state).await,
        None => respond(&wanted, door, state),
    }
}
