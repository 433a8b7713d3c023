//! The watch: metrics, liveness and readiness over HTTP, for reading only.
//!
//! It runs on a thread of its own, so a flood of queries cannot blind the operator, and it is
//! bounded so that a careless or hostile client of its own cannot either. A connection carries one
//! request and lives ten seconds at most, whatever it does; when too many are open the oldest
//! makes room, because an honest request is over in milliseconds. Whatever changes
//! something has no place here: anybody on the host may connect.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::future::{Future, ready};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

use crate::observe::metrics::{self, Metrics};

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
}

impl fmt::Debug for AdminState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminState").finish_non_exhaustive()
    }
}

/// What a client may take.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// Connections open at once. One more closes the oldest.
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

/// How long to wait after the kernel refused to accept a connection, file descriptors being short
/// most likely, before asking again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const TEXT: &str = "text/plain; charset=utf-8";

const INDEX: &str = "\
byway, read-only:
  /metrics  counters and gauges, Prometheus text format
  /healthz  200 while everything that answers queries turns over
  /readyz   200 while queries can be answered
";

/// Serves the watch on a new thread, for as long as the process lives. It has at most `connections` open at a time.
///
/// # Errors
/// If the thread, its runtime or the listener's registration with it fails.
pub fn spawn(
    listener: std::net::TcpListener,
    state: AdminState,
    connections: usize,
) -> io::Result<()> {
    let bounds = Bounds {
        connections,
        ..Bounds::DEFAULT
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let server = {
        let _entered = runtime.enter();
        Server::new(listener, state, bounds)?
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

/// Serves the watch until the future is dropped. It must be polled by a tokio runtime with time
/// and I/O; one thread is enough.
///
/// # Errors
/// The future ends only if the listener cannot be registered with the runtime.
pub fn serve(
    listener: std::net::TcpListener,
    state: AdminState,
) -> impl Future<Output = io::Result<Infallible>> {
    serve_within(listener, state, Bounds::DEFAULT)
}

async fn serve_within(
    listener: std::net::TcpListener,
    state: AdminState,
    bounds: Bounds,
) -> io::Result<Infallible> {
    let server = Server::new(listener, state, bounds)?;
    Ok(server.run().await)
}

struct Server {
    listener: TcpListener,
    state: Arc<AdminState>,
    bounds: Bounds,
}

impl Server {
    fn new(
        listener: std::net::TcpListener,
        state: AdminState,
        bounds: Bounds,
    ) -> io::Result<Server> {
        listener.set_nonblocking(true)?;
        Ok(Server {
            listener: TcpListener::from_std(listener)?,
            state: Arc::new(state),
            bounds,
        })
    }

    async fn run(&self) -> Infallible {
        let mut connections = JoinSet::new();
        let mut by_age: VecDeque<AbortHandle> = VecDeque::new();
        loop {
            let Ok((stream, _)) = self.listener.accept().await else {
                sleep(ACCEPT_PAUSE).await;
                continue;
            };
            while connections.try_join_next().is_some() {}
            by_age.retain(|connection| !connection.is_finished());
            if by_age.len() >= self.bounds.connections
                && let Some(oldest) = by_age.pop_front()
            {
                oldest.abort();
            }
            let connection = converse(stream, Arc::clone(&self.state), self.bounds);
            by_age.push_back(connections.spawn(connection));
        }
    }
}

/// One connection: one request, one response. How it fails is the client's concern alone.
async fn converse(stream: TcpStream, state: Arc<AdminState>, bounds: Bounds) {
    let service = service_fn(move |request| ready(Ok::<_, Infallible>(respond(&request, &state))));
    let connection = http1::Builder::new()
        .keep_alive(false)
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.header)
        .max_buf_size(HEADER_BYTES_MAX)
        .max_headers(HEADER_FIELDS_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let _ = timeout(bounds.lifetime, connection).await;
}

fn respond(request: &Request<Incoming>, state: &AdminState) -> Response<Full<Bytes>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut refusal = text(StatusCode::METHOD_NOT_ALLOWED, "read-only: GET or HEAD\n");
        refusal
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refusal;
    }
    if !request.body().is_end_stream() {
        return text(
            StatusCode::PAYLOAD_TOO_LARGE,
            "a request here has no body\n",
        );
    }
    match request.uri().path() {
        "/" => text(StatusCode::OK, INDEX),
        "/metrics" => {
            let mut page = text(StatusCode::OK, state.metrics.text());
            let media_type = HeaderValue::from_static(metrics::CONTENT_TYPE);
            page.headers_mut().insert(CONTENT_TYPE, media_type);
            page
        }
        "/healthz" => verdict(&state.health),
        "/readyz" => verdict(&state.readiness),
        _ => text(
            StatusCode::NOT_FOUND,
            "not here; try /metrics, /healthz or /readyz\n",
        ),
    }
}

fn verdict(check: &Check) -> Response<Full<Bytes>> {
    match check() {
        Ok(None) => text(StatusCode::OK, "ok\n"),
        Ok(Some(remark)) => text(StatusCode::OK, format!("ok\n{remark}\n")),
        Err(why) => text(StatusCode::SERVICE_UNAVAILABLE, why + "\n"),
    }
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(TEXT));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
