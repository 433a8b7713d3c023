//! Wiring: from a configuration to a running daemon, and to its end.

mod capability;
mod certificates;
mod crew;
mod descriptors;
mod desk;
mod drains;
pub mod examine;
mod files;
mod follow;
mod hosts;
pub mod once;
mod paths;
mod proof;
mod query_log;
mod reload;
mod service;
mod signals;
mod survival;
mod takeover;
mod tape;
mod teller;
mod vital;
mod watch;
mod worker;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::watch as stopping;
use tracing::{error, info, warn};

use crate::admin::{self, ControlSocket, Doors};
use crate::clock::Clock;
use crate::config::lineup::Lineup;
use crate::config::live::Span;
use crate::config::{Config, Loaded, Sources, bounds};
use crate::net::path::Path;
use crate::net::{Manner, Way};
use crate::observe::log;
use crate::observe::metrics::WorkerMetrics;
use crate::observe::query_log::{GoesTo, QueryLog};
use crate::observe::top::Top;
use crate::resolve::Shared;
use crate::route::{Route, UpstreamId};
pub use crate::serve::Passed;
use crate::serve::{BindError, Connections, Listeners, Proofs};
use crate::sys;
use crate::tls::{self, TlsError};
pub use capability::take_up_capabilities;
use certificates::Shop;
use crew::{Crew, Ending, Means};
use desk::Counter;
use follow::Follower;
use paths::Paths;
use proof::Proof;
use reload::{Record, Reloader, Wish};
use signals::Signals;
pub use signals::outlive_signals;
use survival::{Keeper, Writing};
use takeover::Holder;
pub use takeover::{Takeover, Waiting};
use tape::Tape;
use teller::Teller;
use vital::{News, Pulses};

/// Why the daemon did not start, or could not go on. Each is one line with what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address for queries cannot be listened on.
    #[error(transparent)]
    Listen(#[from] BindError),
    /// A certificate, a key or an authority cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
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
    #[error("cannot start: {cause}{advice}", cause = .0, advice = more(.0))]
    System(#[from] io::Error),
    /// A worker could not start.
    #[error("worker {number} did not start: {cause}{}", more(.cause))]
    Worker {
        /// Which one, counted from 0.
        number: u16,
        /// What the system said.
        cause: io::Error,
    },
    /// Something that the daemon cannot do without is gone.
    #[error("{0}; byway could not go on")]
    Lost(String),
    /// The question cannot be asked (`byway query`).
    #[error("only questions of class IN for data can be asked, not ANY or zone transfers")]
    Question,
    /// Metrics would not be told apart.
    #[error("{0}; every listener, path and route must have a name of its own")]
    Names(String),
}

/// What to do about it, if too few descriptors are the reason.
fn more(cause: &io::Error) -> String {
    match (cause.raw_os_error(), sys::raise_open_files()) {
        (Some(libc::EMFILE), Some(most)) => format!(
            "; this process may open {most} files, too few for a single worker: allow it more (LimitNOFILE= in the unit, `ulimit -n`)"
        ),
        _ => String::new(),
    }
}

/// Runs the daemon by `loaded` until it is told to stop, with the sockets that the service manager has `passed`, or with those
/// of the process that it takes over from. A reload reads `sources` anew.
///
/// # Errors
/// [`StartError`]: before any query was answered, unless it is a [`StartError::Lost`].
pub fn run(
    loaded: Loaded,
    sources: Sources,
    mut passed: Vec<Passed>,
    mut takeover: Option<Takeover>,
) -> Result<(), StartError> {
    let (config, origin) = (&loaded.config.clone(), loaded.describe());
    let clock = Clock::start();
    let (alarm, news) = vital::alarm();
    let serving = Arc::new(AtomicBool::new(false));
    let (for_the_end, for_reloads) = (alarm.clone(), alarm.clone());
    let to_main = alarm.clone();
    Signals::catch(clock)?.watch(
        Arc::clone(&serving),
        move |name| for_the_end.tell(News::Stop(name)),
        move |name| {
            for_reloads.tell(News::Reload(Wish::Anew {
                by: name.to_owned(),
                answer: None,
            }));
        },
    )?;
    let descriptors = (sys::raise_open_files(), descriptors::open());
    let share = descriptors::share(config, descriptors.0, descriptors.1);
    if let Some(warning) = share.warning {
        warn!("{warning}");
    }
    let config = &Config {
        // Whoever had more has sockets in which questions wait.
        workers: share
            .workers
            .max(takeover.as_ref().map_or(0, Takeover::depth)),
        limits: share.limits,
        ..config.clone()
    };
    if let Some(takeover) = &mut takeover {
        passed.extend(takeover.sockets(config.admin));
    }
    let (for_admin, passed): (Vec<_>, Vec<_>) = passed.into_iter().partition(Passed::is_admin);
    let tls = tls::Server::open(&config.certificates)?.map(Arc::new);
    let clients = Arc::new(tls::Clients::open(config)?);
    let listeners = match &takeover {
        Some(_) => Listeners::inherit(&config.listen, &config.limits, passed, config.workers)?,
        None => one_each(
            Listeners::take(&config.listen, &config.limits, passed)?,
            config,
        )?,
    };
    let admin = match for_admin.into_iter().next() {
        Some(passed) => Some(TcpListener::from(passed.into_socket())),
        None => config.admin.map(admin_socket).transpose()?,
    };
    let mut rng = entropy()?;
    let mut seed = [0; 16];
    rng.fill_bytes(&mut seed);
    crate::wire::set_identity(config.identity.as_deref());

    let shared = Arc::new(Shared::new(config, rng.next_u64(), clock.now()));
    let lineup = Arc::new(Lineup::new(config));
    let routes: Vec<Route> = shared.engine().routes().to_vec();
    let paths = Paths::new(&lineup);
    let dead = paths.check(&config.limits.source_ports, &shared, clock, &mut rng)?;
    shared.engine().begin_first_round(&dead);
    let keeper = Keeper::open(&config.cache, &shared, clock);
    let hosts = hosts::Reader::open(config, &shared);
    shared.forget_local();
    shared.forget_made_otherwise();
    let listen = listeners[0].listen();
    let tape = Tape::new(&config.recorder, rng.next_u32(), clock);
    let log = QueryLog::new(
        &config.query_log,
        listen.iter().map(|it| it.address).collect(),
    );
    let log = log.map(Arc::new);
    let metrics = watch::metrics(
        config,
        &lineup,
        &listen,
        &shared,
        &keeper,
        (tape.as_ref(), log.as_ref()),
        clock,
    );
    let metrics = Arc::new(metrics.map_err(|error| StartError::Names(error.to_string()))?);
    metrics.configured_at(SystemTime::now());
    let shop = Shop::new(tls.clone(), &metrics);
    metrics.links(reload::links(&loaded));
    let top = Arc::new(Top::new(&config.top, config.workers, clock.now()));
    let teller = Arc::new(Teller::new(config, &lineup, &shared, &metrics, clock));
    let journal = Arc::clone(&teller.journal);
    let short_buffer = listeners[0].short_buffer();
    let holder = Holder::new(&listeners, admin.as_ref(), alarm.clone());
    let pulses = Arc::new(Pulses::default());
    let connections = Connections::new(&config.limits);
    let (orders, followed) = stopping::channel(None);
    let deadline = Arc::new(Span::new(longest(config)));
    let means = Means {
        config: config.clone(),
        lineup: Arc::clone(&lineup),
        deadline: Arc::clone(&deadline),
        connections: Arc::clone(&connections),
        proofs: Proofs::new(seed),
        shared: Arc::clone(&shared),
        metrics: Arc::clone(&metrics),
        top: Arc::clone(&top),
        log: log.clone(),
        tls: tls.clone(),
        clients,
        teller: Arc::clone(&teller),
        clock,
        fate: paths.fate(),
        pulses: Arc::clone(&pulses),
        alarm: alarm.clone(),
        orders: followed,
    };
    let known_clients = tls::Clients::clone(&means.clients);
    let crew = Crew::start(listeners, &means, news)?;

    let stopping = Arc::new(AtomicBool::new(false));
    let admin_at = admin.as_ref().and_then(|socket| socket.local_addr().ok());
    let record = Record::new(&loaded);
    let for_reloads = Arc::clone(&teller);
    let desk = Counter::new(
        Arc::clone(&shared),
        Arc::clone(&metrics),
        keeper.clone(),
        teller,
        tape.as_ref().map(Tape::watcher),
        clock,
        (
            Arc::clone(&record),
            alarm,
            Arc::clone(&top),
            Arc::clone(&holder),
        ),
    );
    let state = watch::state(&metrics, &shared, &pulses, &stopping, desk, clock);
    let writing = keeper.as_ref().map(|keeper| {
        let pulse = pulses.beside("the snapshot writer".into(), clock.now());
        keeper.run(pulse)
    });
    let writing = writing.transpose()?;
    let recording = tape.map(|tape| {
        let pulse = pulses.beside("the flight recorder".into(), clock.now());
        tape.run(Arc::clone(&metrics), journal, &origin, pulse)
    });
    let recording = recording.transpose()?;
    let logging = log.map(|log| {
        let pulse = pulses.beside("the query log".into(), clock.now());
        query_log::run(&log, clock, pulse)
    });
    let logging = logging.transpose()?;
    let pulse = pulses.beside("the reader of the host's files".into(), clock.now());
    let follower = Follower::new()?;
    follower.follow(&loaded, config);
    let certificates = certificates::Reader::new(shop.clone());
    follower.run((hosts, certificates), to_main, clock, pulse)?;
    paths.confess();
    let proof = service::is_watched().then(|| Proof::new(&metrics, &listen));
    let mut reloader = Reloader {
        sources,
        config: loaded.config.clone(),
        loaded,
        descriptors,
        lineup,
        clients: known_clients,
        deadline,
        listen: listen.clone(),
        shared: Arc::clone(&shared),
        connections,
        metrics,
        top,
        keeper: keeper.clone(),
        paths: paths.handle(),
        orders,
        record,
        teller: for_reloads,
        shop,
        follower,
        clock,
        rng,
    };
    let pulse = pulses.join("the path watcher".into(), clock.now());
    paths.run(Arc::clone(&shared), clock, pulse)?;
    // Whoever is taken over from loses its control socket here: nearly nothing can fail any more.
    let doors = Doors {
        network: admin,
        control: control(config, takeover.is_some()),
    };
    let control_at = doors.control.as_ref().map(|it| it.path().to_owned());
    admin::spawn(doors, state, share.watch)?;
    // From here on the first signal is for the main thread.
    serving.store(true, Ordering::Release);
    announce(
        config,
        &origin,
        &listen,
        &routes,
        admin_at,
        control_at.as_deref(),
        keeper.as_deref(),
    );
    service::ready();
    if let Some(takeover) = takeover {
        takeover.done();
    }
    if let Some(granted) = short_buffer {
        warn!(
            "the kernel grants {granted} bytes of UDP buffer, less than `limits.udp-buffer`; raise net.core.rmem_max to keep more of a burst"
        );
    }
    let alive = || {
        let is_alive =
            pulses.health(clock.now()).is_ok() && proof.as_ref().is_none_or(Proof::holds);
        if is_alive {
            service::alive();
        }
        is_alive
    };
    let reload = |wish| reloader.carry_out(wish);
    let ended = work(
        crew,
        &shared,
        (&stopping, &holder),
        writing,
        (alive, reload),
    );
    if let Some(logging) = logging {
        logging.finish();
    }
    if let Some(recording) = recording {
        recording.finish(match &ended {
            Ok(()) => "told to".into(),
            Err(error) => error.to_string(),
        });
    }
    ended
}

/// Lets the crew work until the end, with a look now and then whether it is `alive`, has the configuration read anew
/// whenever that is wished, and ends in order.
fn work(
    mut crew: Crew,
    shared: &Shared,
    (stopping, holder): (&AtomicBool, &Holder),
    writing: Option<Writing>,
    (alive, reload): (impl Fn() -> bool, impl FnMut(Wish)),
) -> Result<(), StartError> {
    let ending = crew.work(service::watchdog(), alive, reload);
    stopping.store(true, Ordering::Relaxed);
    holder.let_go();
    service::stopping();
    let asked = shared.inflight.questions().held();
    match &ending {
        Ending::Told(name) => info!("{name}: stopping: {asked} questions in flight"),
        Ending::Lost(what) => error!(
            "{what}: byway cannot go on and ends, to be started anew: {asked} questions in flight"
        ),
    }
    let ended = crew.end();
    if let Some(writing) = writing {
        writing.finish();
    }
    match ending {
        Ending::Lost(what) => Err(StartError::Lost(what)),
        Ending::Told(_) => ended.inspect(|()| info!("stopped")),
    }
}

/// The longest that a question may take, in whichever zone.
fn longest(config: &Config) -> Duration {
    let of_zones = config.zones.iter().filter_map(|zone| zone.deadline);
    of_zones.fold(config.routing.deadline, Duration::max)
}

/// Listeners for each worker; the first has `first`.
fn one_each(first: Listeners, config: &Config) -> Result<Vec<Listeners>, StartError> {
    let others = (1..config.workers).map(|_| first.another(&config.limits));
    let mut all = others.collect::<Result<Vec<_>, _>>()?;
    all.insert(0, first);
    Ok(all)
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
    control: Option<&std::path::Path>,
    keeper: Option<&Keeper>,
) {
    let mut text = format!("byway {} ({origin})\n", env!("CARGO_PKG_VERSION"));
    for listener in listen {
        let transports = match (listener.udp, listener.tcp) {
            _ if listener.tls => "tls",
            (true, true) => "udp, tcp",
            (true, false) => "udp",
            _ => "tcp",
        };
        text += &format!("  listening on  {} ({transports})\n", listener.address);
    }
    for route in routes {
        let upstream = &config.upstreams[usize::from(route.upstream.0)];
        let transport = upstream.transport.as_str();
        text += &format!(
            "  forwarding to {} = {} ({transport})\n",
            route.name,
            upstream.endpoint()
        );
    }
    for zone in config.zones.iter().filter(|it| !it.upstreams.is_empty()) {
        let upstreams = zone.upstreams.iter();
        let upstreams: Vec<&str> = upstreams
            .map(|it| config.upstreams[*it].name.as_str())
            .collect();
        text += &format!("  zone {} asks {}\n", zone.title(), upstreams.join(", "));
    }
    match admin {
        Some(address) => text += &format!("  metrics at    http://{address}/metrics\n"),
        None => text += "  metrics       off\n",
    }
    if let Some(path) = control {
        text += &format!("  control at    {}\n", path.display());
    }
    if let Some(keeper) = keeper {
        text += &format!("  snapshot in   {}\n", keeper.path().display());
    }
    if let (true, Some(path)) = (config.recorder.enabled, &config.recorder.path) {
        text += &tape::place(path);
    }
    if let Some(goes_to) = GoesTo::by(&config.query_log) {
        text += &query_log::place(goes_to.path());
    }
    log::print(&text);
}

/// The control socket, if it can be had: without it byway answers queries all the same.
fn control(config: &Config, takes_over: bool) -> Option<ControlSocket> {
    let path = config.control.as_deref()?;
    let bound = match takes_over {
        true => ControlSocket::replace(path),
        false => ControlSocket::bind(path),
    };
    match bound {
        Ok(socket) => Some(socket),
        Err(error) => {
            warn!(
                "no control socket, so `byway status` and the like do not work: {error}; set `[admin] control`"
            );
            None
        }
    }
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

/// How attempts are made.
fn manner(config: &Config, shared: &Shared, metrics: &Rc<WorkerMetrics>) -> Manner {
    Manner {
        payload: config.limits.udp_payload,
        randomize_case: config.routing.randomize_case,
        peers: Arc::clone(&shared.peers),
        metrics: Rc::clone(metrics),
    }
}

/// Every route as `net` needs it, those that a reload has taken out too.
fn ways(lineup: &Lineup, config: &Config, clients: &tls::Clients) -> Rc<[Way]> {
    let paths: Vec<Rc<Path>> = lineup
        .paths
        .iter()
        .map(|path| {
            let ports = config.limits.source_ports.clone();
            Rc::new(Path::new(path.is.clone()).with_ports(ports))
        })
        .collect();
    lineup
        .routes
        .iter()
        .map(|route| {
            let upstream = lineup.ends(route.is).0;
            Way {
                upstream: UpstreamId(route.is.upstream),
                address: upstream.address,
                zone: upstream.zone.clone(),
                path: Rc::clone(&paths[usize::from(route.is.path)]),
                stream: upstream.transport.is_stream(),
                encrypted: upstream.tls.is_some(),
                tls: clients.of(upstream),
            }
        })
        .collect()
}
