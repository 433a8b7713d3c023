//! Wiring: from a configuration to a running daemon, and to its end.

mod descriptors;
pub mod once;
mod paths;
mod signals;
mod survival;
mod watch;
pub mod worker;

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::watch as stopping;
use tracing::warn;

use crate::admin;
use crate::clock::Clock;
use crate::config::{Config, UpstreamTransport, bounds};
use crate::net::path::Path;
use crate::net::{Manner, Sockets, Way};
use crate::observe::metrics::{Metrics, WorkerMetrics};
use crate::resolve::{Core, Shared};
use crate::route::Route;
use crate::serve::{BindError, Connections, Front, Listeners};
use crate::sys;
use paths::{Fate, Paths};
use survival::Keeper;
use worker::Worker;

/// Why the daemon did not start. Each is one line with what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address for queries cannot be listened on.
    #[error(transparent)]
    Listen(#[from] BindError),
    /// The address for metrics and health cannot be listened on.
    #[error(
        "cannot serve metrics on {address}: {cause}; choose another with `--admin` or `[admin] listen`, or turn it off with \"off\""
    )]
    Admin {
        /// The address.
        address: SocketAddr,
        /// What the kernel said.
        cause: io::Error,
    },
    /// A path cannot be used for want of a privilege.
    #[error("{0}")]
    Path(String),
    /// No source of unpredictable numbers.
    #[error("the system has no random numbers to give: {0}")]
    Random(String),
    /// A thread or descriptor could not be had.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
    /// The question cannot be asked (`byway query`).
    #[error("only questions of class IN for data can be asked, not ANY or zone transfers")]
    Question,
    /// Metrics would not be told apart.
    #[error("{0}; every listener, path and route must have a name of its own")]
    Names(String),
}

/// Runs the daemon until it is told to stop. `origin` says where the configuration came from.
///
/// # Errors
/// [`StartError`], before any query was answered.
pub fn run(config: &Config, origin: &str) -> Result<(), StartError> {
    let clock = Clock::start();
    let signals = signals::Signals::catch()?;
    let may_open = sys::raise_open_files();
    let share = descriptors::share(config, may_open, descriptors::open());
    if let Some(warning) = share.warning {
        warn!("{warning}");
    }
    let config = &Config {
        limits: share.limits,
        ..config.clone()
    };
    let listeners = Listeners::bind(&config.listen, &config.limits)?;
    let admin = config.admin.map(admin_socket).transpose()?;
    let mut rng = entropy()?;

    let shared = Arc::new(Shared::new(config, rng.next_u64(), clock.now()));
    let routes: Vec<Route> = shared.engine().routes().to_vec();
    let mut paths = Paths::new(config, &routes);
    paths.check(config, &routes, &shared, clock, &mut rng)?;
    let keeper = Keeper::open(&config.cache, &shared, clock);
    let metrics = watch::metrics(
        config,
        &listeners.listen(),
        &routes,
        &shared,
        &keeper,
        clock,
    )
    .map_err(|error| StartError::Names(error.to_string()))?;
    let metrics = Arc::new(metrics);

    let connections = Connections::new(&config.limits);
    let listen = listeners.listen();
    let short_buffer = listeners.short_buffer();
    let (stop, stopped) = stopping::channel(false);
    let mut sockets = (1..config.workers)
        .map(|_| listeners.another(&config.limits))
        .collect::<Result<Vec<_>, _>>()?;
    sockets.insert(0, listeners);
    let workers = sockets
        .into_iter()
        .enumerate()
        .map(|(number, listeners)| {
            let seat = Seat {
                number: number as u16,
                config: config.clone(),
                listeners,
                connections: Arc::clone(&connections),
                shared: Arc::clone(&shared),
                metrics: Arc::clone(&metrics),
                rngs: [entropy()?, entropy()?],
                clock,
                fate: paths.fate(),
                stopped: stopped.clone(),
            };
            let name = format!("byway-{number}");
            Ok(std::thread::Builder::new()
                .name(name)
                .spawn(move || seat.work())?)
        })
        .collect::<Result<Vec<JoinHandle<io::Result<()>>>, StartError>>()?;

    let admin_at = admin.as_ref().and_then(|socket| socket.local_addr().ok());
    if let Some(socket) = admin {
        admin::spawn(socket, watch::state(&metrics, &shared, clock), share.watch)?;
    }
    announce(
        config,
        origin,
        &listen,
        &routes,
        admin_at,
        keeper.as_deref(),
    );
    paths.confess();
    paths.run(Arc::clone(&shared), clock)?;
    if let Some(granted) = short_buffer {
        warn!(
            "the kernel grants {granted} bytes of UDP buffer, less than `limits.udp-buffer`; raise net.core.rmem_max to keep more of a burst"
        );
    }

    let writing = match &keeper {
        Some(keeper) => Some(keeper.run(config.cache.snapshot_every)?),
        None => None,
    };

    signals.wait();
    let _ = stop.send(true);
    for worker in workers {
        match worker.join() {
            Ok(ended) => ended?,
            Err(_) => warn!("a worker had ended before"),
        }
    }
    if let Some(writing) = writing {
        writing.finish();
    }
    Ok(())
}

/// A generator that nobody can predict (RFC 5452 section 10), seeded by the system.
fn entropy() -> Result<StdRng, StartError> {
    StdRng::try_from_rng(&mut rand::rngs::SysRng)
        .map_err(|error| StartError::Random(error.to_string()))
}

/// Says what is listened on, who is asked and where the metrics are.
fn announce(
    config: &Config,
    origin: &str,
    listen: &[crate::config::Listen],
    routes: &[Route],
    admin: Option<SocketAddr>,
    keeper: Option<&Keeper>,
) {
    let mut text = format!("byway {} ({origin})\n", env!("CARGO_PKG_VERSION"));
    for listener in listen {
        let transports = match (listener.udp, listener.tcp) {
            (true, true) => "udp, tcp",
            (true, false) => "udp",
            _ => "tcp",
        };
        text += &format!("  listening on  {} ({transports})\n", listener.address);
    }
    for route in routes {
        let upstream = &config.upstreams[usize::from(route.upstream.0)];
        let transport = match upstream.transport {
            UpstreamTransport::Udp => "udp",
            UpstreamTransport::Tcp => "tcp",
        };
        text += &format!(
            "  forwarding to {} = {} ({transport})\n",
            route.name, upstream.address
        );
    }
    match admin {
        Some(address) => text += &format!("  metrics at    http://{address}/metrics\n"),
        None => text += "  metrics       off\n",
    }
    if let Some(keeper) = keeper {
        text += &format!("  snapshot in   {}\n", keeper.path().display());
    }
    // A closed stderr is no reason not to serve.
    let _ = io::stderr().write_all(text.as_bytes());
}

/// The socket for metrics and health. Nobody should do without DNS because the default port is taken: one of those after
/// it is taken then, and that is said.
fn admin_socket(address: SocketAddr) -> Result<TcpListener, StartError> {
    let others = match address == bounds::ADMIN {
        true => bounds::ADMIN_OTHERS,
        false => 0,
    };
    let bind = |port: u16| {
        let socket = TcpListener::bind(SocketAddr::new(address.ip(), port))?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    };
    let taken = |error: &io::Error| error.kind() == io::ErrorKind::AddrInUse;
    match bind(address.port()) {
        Err(error) if taken(&error) && others > 0 => {
            let next = (1..=others).map(|step| address.port() + step);
            let Some((port, socket)) = next
                .into_iter()
                .find_map(|port| Some((port, bind(port).ok()?)))
            else {
                let cause = error;
                return Err(StartError::Admin { address, cause });
            };
            warn!(
                "metrics are at port {port}, for {} is taken; `--admin` or `[admin] listen` name another",
                address.port()
            );
            Ok(socket)
        }
        bound => bound.map_err(|cause| StartError::Admin { address, cause }),
    }
}

/// Everything one worker is given.
struct Seat {
    number: u16,
    config: Config,
    listeners: Listeners,
    connections: Arc<Connections>,
    shared: Arc<Shared>,
    metrics: Arc<Metrics>,
    rngs: [StdRng; 2],
    clock: Clock,
    fate: Fate,
    stopped: stopping::Receiver<bool>,
}

impl Seat {
    /// A worker's life.
    fn work(self) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, self.serve())
    }

    async fn serve(self) -> io::Result<()> {
        let Seat {
            number,
            config,
            listeners,
            connections,
            shared,
            clock,
            fate,
            mut stopped,
            ..
        } = self;
        let metrics = Rc::new(self.metrics.worker(clock.now()));
        let manner = manner(&config, &shared, &metrics);
        let [for_sockets, for_core] = self.rngs;
        let sockets = Sockets::new(ways(&config, &shared), manner, &config.limits, for_sockets)?;
        let front = Front::new(listeners, &config, connections, Rc::clone(&metrics), clock);
        let core = Core::new(
            sockets,
            Arc::clone(&shared),
            Rc::clone(&front) as Rc<_>,
            Rc::clone(&metrics),
            number,
            for_core,
            clock.now(),
        );
        let worker = Worker::new(core, clock, metrics);
        worker.drive(Arc::clone(&shared), number)?;
        let routes = shared.engine().routes().to_vec();
        tokio::task::spawn_local(fate.follow(Rc::clone(&worker), routes));
        if number == 0 {
            let tick = watch::tick(Rc::clone(&worker), shared, self.metrics, clock);
            tokio::task::spawn_local(tick);
        }
        front.open(&worker)?;

        let _ = stopped.wait_for(|stop| *stop).await;
        front.stop();
        // Every question ends by its deadline; the margin is for the kernel's queues.
        let patience = config.routing.deadline + Duration::from_millis(500);
        let _ = tokio::time::timeout(patience, front.drained()).await;
        Ok(())
    }
}

/// How attempts are made.
fn manner(config: &Config, shared: &Shared, metrics: &Rc<WorkerMetrics>) -> Manner {
    Manner {
        payload: config.limits.udp_payload,
        randomize_case: config.routing.randomize_case,
        peers: Arc::clone(&shared.peers),
        metrics: Rc::clone(metrics),
    }
}

/// Every route as `net` needs it.
fn ways(config: &Config, shared: &Shared) -> Rc<[Way]> {
    let paths: Vec<Rc<Path>> = config
        .paths
        .iter()
        .map(|path| Rc::new(Path::new(path.clone())))
        .collect();
    let engine = shared.engine();
    engine
        .routes()
        .iter()
        .map(|route| {
            let upstream = &config.upstreams[usize::from(route.upstream.0)];
            Way {
                upstream: route.upstream,
                address: upstream.address,
                path: Rc::clone(&paths[usize::from(route.path.0)]),
                stream: upstream.transport == UpstreamTransport::Tcp,
            }
        })
        .collect()
}
