//! The ways out of the host and who uses them.

use std::collections::HashMap;
use std::net::IpAddr;

use super::meaning::{at_most, first_time};
use super::report::{Place, Report, Written, nearest, quoted};
use super::spec::{Key, PathSpec, UpstreamSpec};
use super::{DEFAULT_PATH, PathConfig, UpstreamConfig, bounds};

/// The paths of a file while upstreams are connected to them.
pub(super) struct Paths<'s> {
    paths: Vec<PathConfig>,
    /// Where each path's name is written; not for a `default` that is not in the file.
    places: Vec<Option<&'s Place>>,
    by_name: HashMap<String, usize>,
    /// Every path of the file is in `paths`: a name that is not found is a mistake of the one who uses it.
    complete: bool,
}

impl<'s> Paths<'s> {
    /// The paths of the file; what is wrong with them is added to `reports`. Unless the file is `whole`, what
    /// a path lacks may be there and unreadable.
    pub(super) fn read(
        written: &'s [PathSpec],
        whole: bool,
        reports: &mut Vec<Report>,
    ) -> Paths<'s> {
        let mut paths = Paths {
            paths: Vec::new(),
            places: Vec::new(),
            by_name: HashMap::new(),
            complete: written.len() <= bounds::MOST_PATHS,
        };
        let written = at_most(
            written,
            bounds::MOST_PATHS,
            "paths",
            |it| Some(&it.place),
            reports,
        );
        let mut names = HashMap::new();
        let mut ways = HashMap::new();
        for it in written {
            let Some(name) = &it.name else {
                paths.complete = false;
                continue;
            };
            let message = || format!("two paths are named `{}`", name.value);
            if !first_time(
                &mut names,
                name.value.as_str(),
                &name.place,
                message,
                reports,
            ) {
                continue;
            }
            let path = PathConfig {
                name: name.value.clone(),
                interface: it.interface.as_ref().map(|it| it.value.clone()),
                source: sources(&it.source, reports),
                mark: it.mark.as_ref().map(|it| it.value),
                backup: it.backup.as_ref().is_some_and(|it| it.value),
                cost: it.cost.as_ref().map_or(bounds::COST.default, |it| it.value),
                metered: it.metered.as_ref().is_some_and(|it| it.value),
            };
            if whole {
                check_way(it, name, reports);
            }
            if name.value != DEFAULT_PATH {
                let way = (path.interface.clone(), path.source.clone(), path.mark);
                let message = || format!("path `{}` is the same way out as another", name.value);
                let says_something = way != (None, Vec::new(), None);
                if says_something {
                    first_time(&mut ways, way, &it.place, message, reports);
                }
            }
            paths.add(path, Some(&name.place));
        }
        paths
    }

    fn add(&mut self, path: PathConfig, place: Option<&'s Place>) -> usize {
        let index = self.paths.len();
        self.by_name.insert(path.name.clone(), index);
        self.paths.push(path);
        self.places.push(place);
        index
    }

    /// The index of `default`, which is there without being written.
    pub(super) fn kernels_choice(&mut self) -> usize {
        match self.by_name.get(DEFAULT_PATH) {
            Some(index) => *index,
            None => self.add(PathConfig::kernels_choice(), None),
        }
    }

    pub(super) fn name(&self, index: usize) -> &str {
        &self.paths[index].name
    }

    /// The paths of an upstream, each with the place where the upstream names it.
    pub(super) fn of<'u>(
        &mut self,
        upstream: &'u UpstreamSpec,
        reports: &mut Vec<Report>,
    ) -> Vec<(usize, Option<&'u Place>)> {
        let Some(named) = &upstream.paths else {
            return vec![(self.kernels_choice(), None)];
        };
        if named.value.is_empty() {
            let label = "expected at least one path";
            let report = Report::error("an upstream without a path", &named.place, label);
            reports.push(report.help("leave `paths` out for the kernel's own choice"));
        }
        let mut seen = HashMap::new();
        let mut used = Vec::new();
        for it in &named.value {
            let message = || format!("path `{}` is named twice", it.value);
            if !first_time(&mut seen, it.value.as_str(), &it.place, message, reports) {
                continue;
            }
            match self.by_name.get(&it.value) {
                Some(index) => used.push((*index, Some(&it.place))),
                None if it.value == DEFAULT_PATH => {
                    used.push((self.kernels_choice(), Some(&it.place)));
                }
                None if self.complete => reports.push(self.unknown(it)),
                None => {}
            }
        }
        used
    }

    fn unknown(&self, name: &Written<String>) -> Report {
        let known = || {
            let named = self.paths.iter().map(|it| it.name.as_str());
            named.chain([DEFAULT_PATH])
        };
        let label = match self.paths.is_empty() {
            true => "there is no `[[path]]`; expected `default`".to_owned(),
            false => "no `[[path]]` has this name".to_owned(),
        };
        let help = match nearest(&name.value, known()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "each path has a `[[path]]` table with its name".to_owned(),
        };
        Report::error(
            format!("unknown path {}", quoted(&name.value)),
            &name.place,
            label,
        )
        .help(help)
    }

    /// An upstream can be reached only from an address of its own family.
    pub(super) fn check_family(
        &self,
        path: usize,
        upstream: IpAddr,
        place: &Place,
        reports: &mut Vec<Report>,
    ) {
        let source = &self.paths[path].source;
        let fits = |it: &IpAddr| it.is_ipv4() == upstream.is_ipv4();
        if source.is_empty() || source.iter().any(fits) {
            return;
        }
        let (family, name) = (family(&upstream), self.name(path));
        let message = format!("path `{name}` cannot reach {upstream}");
        let label = format!(
            "this path sends from {} only, the upstream speaks {family}",
            source[0]
        );
        let report = Report::error(message, place, label)
            .help(format!("add an {family} address to the path's `source`"));
        reports.push(match self.places[path] {
            Some(written) => report.related(written, "the path is given here"),
            None => report,
        });
    }

    /// A path that no upstream uses is a slip, but harms nobody.
    pub(super) fn note_idle(&self, upstreams: &[UpstreamConfig], reports: &mut Vec<Report>) {
        for (index, (path, place)) in self.paths.iter().zip(&self.places).enumerate() {
            let used = upstreams.iter().any(|it| it.paths.contains(&index));
            if let (false, Some(place)) = (used, place) {
                let message = format!("path `{}` is used by no upstream", path.name);
                let label = "expected its name in the `paths` of an upstream";
                reports.push(Report::warning(message, place, label));
            }
        }
    }

    pub(super) fn finish(self) -> Vec<PathConfig> {
        self.paths
    }
}

fn family(ip: &IpAddr) -> &'static str {
    if ip.is_ipv4() { "IPv4" } else { "IPv6" }
}

fn sources(written: &Key<Vec<Written<IpAddr>>>, reports: &mut Vec<Report>) -> Vec<IpAddr> {
    let Some(written) = written else {
        return Vec::new();
    };
    let mut seen = HashMap::new();
    for it in &written.value {
        let family = family(&it.value);
        let message = || format!("two {family} addresses in one `source`");
        first_time(&mut seen, family, &it.place, message, reports);
    }
    written.value.iter().map(|it| it.value).collect()
}

/// A path has to differ from the kernel's own choice, and `default` must not.
fn check_way(path: &PathSpec, name: &Written<String>, reports: &mut Vec<Report>) {
    let said = [
        path.interface.as_ref().map(|it| &it.place),
        path.source.as_ref().map(|it| &it.place),
        path.mark.as_ref().map(|it| &it.place),
    ];
    let first = said.into_iter().flatten().next();
    if name.value == DEFAULT_PATH {
        if let Some(place) = first {
            let message = "`default` is the kernel's own choice";
            let label = "expected only `backup`, `cost` and `metered` in the path `default`";
            let report = Report::error(message, place, label);
            reports.push(report.help("give this path another name"));
        }
    } else if first.is_none() {
        let message = format!("path `{}` does not say which way it goes", name.value);
        let label = "expected `interface`, `source` or `mark` in this path";
        let report = Report::error(message, &name.place, label);
        reports.push(report.help("the kernel's own choice is the path `default`"));
    }
}
