//! From the file as written to the configuration as meant: defaults, names, and what no single key can
//! get wrong by itself.
//!
//! Everything that is wrong is reported in one go. What depends on a part that is itself wrong is not
//! checked, so that one slip gives one error.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::PathBuf;

use ipnet::IpNet;

use super::address::Endpoint;
use super::host::Host;
use super::links::{self, Learnt};
use super::paths::Paths;
use super::report::{Place, Report, Severity, Written, quoted};
use super::spec::{AdminListen, IdentitySpec, Key, ListenSpec, SnapshotSpec, Spec, UpstreamSpec};
use super::{
    Config, DNS_PORT, Listen, Policy, UpstreamConfig, UpstreamTransport, address_name,
    allowed_by_default, bounds, certificates, dns64, encryption, guards, records, settings, system,
    zones,
};

/// What a file means.
pub(super) struct Meant {
    pub(super) config: Config,
    /// Which resolv.conf the upstreams come from, if they come from one.
    pub(super) found: Option<Found>,
    /// How much of what the links' files say could not be used.
    pub(super) links_left_out: usize,
}

/// Upstreams of a resolv.conf.
pub(super) struct Found {
    /// The file that they come from.
    pub(super) from: PathBuf,
    /// The files that are to be looked at for others.
    pub(super) files: Vec<PathBuf>,
    /// Where they stand among the configuration's.
    pub(super) at: Range<usize>,
}

/// Makes the configuration of `spec`. `None` if `reports` holds an error, from here or from before. A resolv.conf named
/// the upstreams that are `known` before.
pub(super) fn config(
    spec: &Spec,
    host: &Host,
    known: &[UpstreamConfig],
    reports: &mut Vec<Report>,
) -> Option<Meant> {
    let whole = !any_error(reports);
    let listen = listeners(&spec.listen, &spec.passed, host, reports);
    let certificates = certificates::certificates(&spec.certificates, reports);
    if whole {
        certificates::check(&spec.listen, &spec.certificates, reports);
    }
    let admin = admin(spec, &listen, host, reports);
    let control = match &spec.control {
        None => host.control_socket.clone(),
        Some(written) => match &written.value {
            SnapshotSpec::Off => None,
            SnapshotSpec::At(path) => Some(path.clone()),
        },
    };
    let mut paths = Paths::read(&spec.paths, whole, reports);
    let mut routing = settings::routing(spec);
    let mut in_resolv_conf = None;
    let cache = settings::cache(spec, host);
    let recorder = settings::recorder(spec, host);
    let limits = settings::limits(spec, reports);
    let allow = allow(spec, &listen, reports);
    if whole {
        // A value that could not be read would be judged by its default here.
        settings::check_order(spec, &routing, &cache, &limits, reports);
    }
    let query_log = settings::query_log(spec, reports);
    let records = records::records(&spec.records, reports);
    let guards = guards::guards(&spec.guards, reports);
    let hosts = match spec.host.hosts.as_ref().map(|it| &it.value) {
        Some(SnapshotSpec::Off) => None,
        Some(SnapshotSpec::At(path)) => Some(path.clone()),
        None => host.hosts.clone(),
    };
    let mut upstreams = upstreams(&spec.upstreams, &mut paths, &listen, host, reports);
    let mut zones = zones::zones(&spec.zones, &upstreams, whole, reports);
    // What resolv.conf would give depends on listeners that may be wrong.
    let asks_hosts_own = zones::leave_nobody(&zones, &upstreams) && !any_error(reports);
    let link_domains = value_or(&spec.host.link_domains, asks_hosts_own);
    let mut links = match link_domains && !any_error(reports) {
        true => links::read(host, &listen, reports),
        false => Learnt::default(),
    };
    if asks_hosts_own {
        let default = paths.kernels_choice();
        let named = spec.host.resolv_conf.as_ref();
        let (mut found, from) = system::upstreams(named, host, &listen, known, reports);
        found.retain(|it| zones::is_new(it, &upstreams, reports));
        // The list of systemd-resolved has the servers of all links; but somebody must be asked for all other names.
        let for_all = found.iter().any(|it| !links.is_for_few(it));
        found.retain(|it| !for_all || !links.is_for_few(it));
        found.iter_mut().for_each(|it| it.paths = vec![default]);
        in_resolv_conf = Some(Found {
            from,
            files: system::files(named, host),
            at: upstreams.len()..upstreams.len() + found.len(),
        });
        upstreams.append(&mut found);
        if spec.routing.policy.is_none() {
            // The order of a resolv.conf says who is asked first (resolv.conf(5)): the second may not know what
            // the first does. It says nothing of those that zones name.
            for zone in zones.iter_mut().filter(|zone| !zone.upstreams.is_empty()) {
                zone.policy.get_or_insert(routing.policy);
            }
            routing.policy = Policy::Ordered;
        }
    }
    if !links.is_empty() {
        let default = paths.kernels_choice();
        links.add_to(&mut zones, &mut upstreams, default, reports);
    }
    if !spec.upstreams_replaced {
        paths.note_idle(&upstreams, reports);
    }
    if any_error(reports) {
        return None;
    }
    let config = Config {
        workers: value_or(&spec.workers, host.cores),
        listen,
        certificates,
        paths: paths.finish(),
        upstreams,
        zones,
        special: settings::special(spec),
        records,
        guards,
        dns64: dns64::dns64(&spec.dns64),
        hosts,
        hosts_ttl: value_or(&spec.host.hosts_ttl, bounds::HOSTS_TTL.default),
        link_domains,
        identity: match spec.host.identity.as_ref().map(|it| &it.value) {
            None | Some(IdentitySpec::Off) => None,
            Some(IdentitySpec::Hostname) => (host.name)(),
            Some(IdentitySpec::Named(name)) => Some(name.clone()),
        },
        routing,
        cache,
        recorder,
        top: settings::top(spec),
        query_log,
        admin,
        control,
        limits,
        allow,
    };
    Some(Meant {
        config,
        found: in_resolv_conf,
        links_left_out: links.left_out(),
    })
}

fn any_error(reports: &[Report]) -> bool {
    reports.iter().any(|it| it.severity() == Severity::Error)
}

pub(super) fn value_or<T: Clone>(key: &Key<T>, default: T) -> T {
    key.as_ref().map_or(default, |it| it.value.clone())
}

/// Reports what is written more than once. Returns false then.
pub(super) fn first_time<'a, K: Eq + std::hash::Hash>(
    seen: &mut HashMap<K, &'a Place>,
    key: K,
    place: &'a Place,
    message: impl FnOnce() -> String,
    reports: &mut Vec<Report>,
) -> bool {
    match seen.get(&key) {
        None => {
            seen.insert(key, place);
            true
        }
        Some(first) => {
            let report = Report::error(message(), place, "given a second time");
            reports.push(report.related(first, "it is given first here"));
            false
        }
    }
}

/// At most `most` of `all`; the rest is reported, not read.
pub(super) fn at_most<'a, T>(
    all: &'a [T],
    most: usize,
    what: &str,
    place: impl Fn(&'a T) -> Option<&'a Place>,
    reports: &mut Vec<Report>,
) -> &'a [T] {
    let Some(beyond) = all.get(most) else {
        return all;
    };
    let nowhere = Place::Whole(what.to_owned());
    reports.push(Report::error(
        format!("{} {what} are too many", all.len()),
        place(beyond).unwrap_or(&nowhere),
        format!("expected at most {most}; this is the first beyond them"),
    ));
    &all[..most]
}

/// The socket address of an endpoint, or a report that its interface is not there.
fn resolve(
    endpoint: &Written<Endpoint>,
    default_port: u16,
    host: &Host,
    reports: &mut Vec<Report>,
) -> Option<SocketAddr> {
    match endpoint.value.resolve(default_port, host) {
        Ok(address) => Some(address),
        Err(error) => {
            let message = format!(
                "{} cannot be used here",
                quoted(&endpoint.value.to_string())
            );
            reports.push(Report::error(message, &endpoint.place, error.to_string()));
            None
        }
    }
}

fn listeners(
    written: &[ListenSpec],
    passed: &[Listen],
    host: &Host,
    reports: &mut Vec<Report>,
) -> Vec<Listen> {
    if written.is_empty() {
        return match passed {
            [] => vec![Listen::default()],
            passed => passed.to_vec(),
        };
    }
    let written = at_most(
        written,
        bounds::MOST_LISTENERS,
        "listeners",
        |it| it.address.as_ref().map(|it| &it.place),
        reports,
    );
    let mut seen = HashMap::new();
    let (mut listeners, mut places) = (Vec::new(), Vec::new());
    for it in written {
        let [udp, tcp, tls] = certificates::transports(it, reports);
        let Some(endpoint) = &it.address else {
            continue;
        };
        let Some(address) = resolve(endpoint, DNS_PORT, host, reports) else {
            continue;
        };
        let message = || format!("two listeners on {address}");
        // Port 0 is another port each time.
        let fresh = address.port() == 0
            || [(udp, "udp"), (tcp || tls, "tcp")]
                .into_iter()
                .filter(|(wanted, _)| *wanted)
                .all(|(_, name)| {
                    first_time(
                        &mut seen,
                        (address, name),
                        &endpoint.place,
                        message,
                        reports,
                    )
                });
        if fresh {
            listeners.push(Listen {
                address,
                udp,
                tcp,
                tls,
            });
            places.push(&endpoint.place);
        }
    }
    covered(&listeners, &places, reports);
    for it in passed {
        match listeners
            .iter_mut()
            .find(|known| known.address == it.address)
        {
            Some(known) => {
                known.udp |= it.udp;
                known.tcp |= it.tcp && !known.tls;
            }
            None => listeners.push(it.clone()),
        }
    }
    listeners
}

/// Reports listeners whose address a wildcard on the same port takes in: the kernel gives it to one of them.
fn covered(listeners: &[Listen], places: &[&Place], reports: &mut Vec<Report>) {
    let all = || listeners.iter().zip(places);
    for (one, place) in all() {
        let covers = |(other, _): &(&Listen, _)| {
            let (wildcard, address) = (other.address, one.address);
            wildcard.ip().is_unspecified()
                && !address.ip().is_unspecified()
                && wildcard.is_ipv4() == address.is_ipv4()
                && wildcard.port() == address.port()
                && address.port() != 0
                && (one.udp && other.udp || one.takes_connections() && other.takes_connections())
        };
        if let Some((other, wider)) = all().find(covers) {
            let message = format!(
                "a listener on {} that {} covers",
                one.address, other.address
            );
            let label = "the wildcard takes in this address";
            let report = Report::error(message, place, label);
            let report = report.help("leave one of them out");
            reports.push(report.related(wider, "the wildcard is given here"));
        }
    }
}

fn admin(
    spec: &Spec,
    listen: &[Listen],
    host: &Host,
    reports: &mut Vec<Report>,
) -> Option<SocketAddr> {
    let Some(written) = &spec.admin else {
        return Some(bounds::ADMIN);
    };
    let AdminListen::At(endpoint) = &written.value else {
        return None;
    };
    let endpoint = Written {
        value: endpoint.clone(),
        place: written.place.clone(),
    };
    let address = resolve(&endpoint, bounds::ADMIN.port(), host, reports)?;
    let taken = |it: &&Listen| {
        let (a, b) = (it.address.ip(), address.ip());
        let same = a == b || a.is_unspecified() || b.is_unspecified();
        it.takes_connections() && same && address.port() != 0 && it.address.port() == address.port()
    };
    if let Some(listener) = listen.iter().find(taken) {
        let label = format!("the listener on {} takes this port", listener.address);
        let message = "the admin endpoint needs a port of its own";
        reports.push(Report::error(message, &endpoint.place, label));
    }
    Some(address)
}

fn upstreams(
    written: &[UpstreamSpec],
    paths: &mut Paths<'_>,
    listen: &[Listen],
    host: &Host,
    reports: &mut Vec<Report>,
) -> Vec<UpstreamConfig> {
    let written = at_most(
        written,
        bounds::MOST_UPSTREAMS,
        "upstreams",
        |it| it.address.as_ref().map(|it| &it.place),
        reports,
    );
    let mut names = HashMap::new();
    let mut routes = HashMap::new();
    let mut upstreams = Vec::new();
    for it in written {
        let used = paths.of(it, reports);
        let Some(endpoint) = &it.address else {
            continue;
        };
        let transport = value_or(&it.transport, UpstreamTransport::Udp);
        let tls = encryption::tls(it, reports);
        let (address, zone) = endpoint.value.of_upstream(transport.port());
        if system::is_itself(address, listen, host) {
            let message = format!("upstream {address} is byway itself");
            let label = "a question sent there would come back for ever";
            reports.push(Report::error(message, &endpoint.place, label));
        }
        let name = match &it.name {
            Some(name) => name.value.clone(),
            None if endpoint.value.zone.is_some() => endpoint.value.to_string(),
            None => address_name(address),
        };
        let place = it.name.as_ref().map_or(&endpoint.place, |it| &it.place);
        let message = || format!("two upstreams are named `{name}`");
        first_time(&mut names, name.clone(), place, message, reports);
        for (path, place) in &used {
            let place = place.unwrap_or(&endpoint.place);
            let message = || format!("{address} is asked twice over `{}`", paths.name(*path));
            first_time(
                &mut routes,
                (address, zone.clone(), transport, *path),
                place,
                message,
                reports,
            );
            paths.check_family(*path, address.ip(), place, reports);
        }
        upstreams.push(UpstreamConfig {
            name,
            address,
            zone,
            transport,
            tls,
            paths: used.into_iter().map(|(path, _)| path).collect(),
            backup: value_or(&it.backup, false),
            cost: value_or(&it.cost, bounds::COST.default),
            of_link: false,
        });
    }
    upstreams
}

fn allow(spec: &Spec, listen: &[Listen], reports: &mut Vec<Report>) -> Vec<IpNet> {
    let Some(written) = &spec.allow else {
        return allowed_by_default(listen);
    };
    if written.value.is_empty() {
        let message = "nobody may ask";
        let label = "expected at least one prefix";
        let report = Report::error(message, &written.place, label);
        reports.push(report.help("leave `allow` out for this host and its private networks"));
    }
    let reachable = listen.iter().any(|it| !it.address.ip().is_loopback());
    let everybody = written.value.iter().find(|it| it.value.prefix_len() == 0);
    if let (true, Some(everybody)) = (reachable, everybody) {
        let message = "everybody who can reach byway may ask it";
        let label = "an open resolver is used to attack others (RFC 5358)";
        let report = Report::warning(message, &everybody.place, label);
        reports.push(
            report.help("name the networks of your clients, or see to it that a firewall does"),
        );
    }
    written.value.iter().map(|it| it.value).collect()
}
