//! `byway setup`: what the host needs so that byway can do what its configuration says, and so that its programs ask byway.

mod resolv_conf;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::run::ConfigArgs;
use super::{exit, fail, load, print, tell};
use crate::config::Config;

/// Where systemd looks for what is added to the unit (systemd.unit(5)).
const DIRECTORY: &str = "/etc/systemd/system/byway.service.d";

/// The file that is written there.
const DROP_IN: &str = "50-byway-setup.conf";

/// What the unit grants by itself.
const GRANTED: &[&str] = &[BIND];

/// Where the unit lets byway write.
const WRITABLE: &[&str] = &["/var/lib/byway", "/run/byway"];

const BIND: &str = "CAP_NET_BIND_SERVICE";
const RAW: &str = "CAP_NET_RAW";
const ADMIN: &str = "CAP_NET_ADMIN";

#[derive(Args)]
pub(super) struct SetupArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Write the drop-in that gives byway.service the privileges and directories that the configuration needs, and no others
    Systemd(SystemdArgs),
    /// Have the programs of this host ask byway: put it into /etc/resolv.conf, unless something else manages that file
    ResolvConf(resolv_conf::ResolvConfArgs),
}

#[derive(Args)]
struct SystemdArgs {
    /// The configuration file [default: /etc/byway/byway.toml, if it exists]
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where to write it
    #[arg(long, value_name = "DIR", default_value = DIRECTORY)]
    directory: PathBuf,
    /// Print it, and write nothing
    #[arg(long, conflicts_with = "undo")]
    print: bool,
    /// Remove it
    #[arg(long)]
    undo: bool,
}

pub(super) fn setup(args: &SetupArgs) -> u8 {
    match &args.what {
        What::Systemd(args) => systemd(args),
        What::ResolvConf(args) => resolv_conf::resolv_conf(args),
    }
}

fn systemd(args: &SystemdArgs) -> u8 {
    let path = args.directory.join(DROP_IN);
    if args.undo {
        return remove(&path);
    }
    let loaded = match load(&ConfigArgs {
        config: args.config.clone(),
        ..ConfigArgs::default()
    }) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    let needs = Needs::of(&loaded.config, kernel());
    let text = needs.drop_in(&loaded.origin());
    if args.print {
        return print(text.unwrap_or_default().as_bytes());
    }
    let Some(text) = text else {
        tell("byway.service needs nothing beyond what its unit grants");
        return match path.exists() {
            true => remove(&path),
            false => exit::OK,
        };
    };
    match write(&path, &text) {
        Ok(()) => done("written", &path),
        Err(error) => fail(&format!("cannot write {}: {error}", path.display())),
    }
}

fn done(what: &str, path: &Path) -> u8 {
    let path = path.display();
    tell(&format!(
        "{path} is {what}; it holds after `systemctl daemon-reload && systemctl restart byway`"
    ));
    exit::OK
}

fn remove(path: &Path) -> u8 {
    match fs::remove_file(path) {
        Ok(()) => done("removed", path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            tell(&format!("there is no {}", path.display()));
            exit::OK
        }
        Err(error) => fail(&format!("cannot remove {}: {error}", path.display())),
    }
}

/// Whoever reads it meanwhile finds the old or the new one, whole.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder)?;
    let new = folder.join(format!(".{DROP_IN}.new"));
    let mut file = fs::File::create(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)
}

/// Major and minor version of the kernel; 0.0 if it does not say, so that everything is asked for.
fn kernel() -> (u32, u32) {
    let text = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut parts = text.split(|it: char| !it.is_ascii_digit());
    let mut next = || parts.next().and_then(|it| it.parse().ok()).unwrap_or(0);
    (next(), next())
}

/// What a configuration needs of the service manager.
#[derive(Debug, Default, PartialEq, Eq)]
struct Needs {
    /// Capabilities, and what for.
    capabilities: BTreeMap<&'static str, Vec<String>>,
    /// Directories that are written to, and what for.
    directories: BTreeMap<PathBuf, Vec<String>>,
}

impl Needs {
    fn of(config: &Config, kernel: (u32, u32)) -> Needs {
        let mut needs = Needs::default();
        let listen = config.listen.iter().map(|it| it.address);
        for address in listen.chain(config.admin) {
            if (1..1024).contains(&address.port()) {
                needs.capability(BIND, format!("port {}", address.port()));
            }
        }
        for path in &config.paths {
            if let (Some(interface), true) = (&path.interface, kernel < (5, 7)) {
                let what = format!("path {}, bound to {interface}", path.name);
                needs.capability(RAW, what);
            }
            if let Some(mark) = path.mark {
                // Linux 5.17 takes the lesser one too.
                let capability = if kernel < (5, 17) { ADMIN } else { RAW };
                needs.capability(capability, format!("path {}, mark {mark}", path.name));
            }
        }
        let recorder = config.recorder.path.as_ref();
        for (what, file) in [
            ("the cache's snapshot", config.cache.snapshot.as_ref()),
            (
                "the flight recorder",
                recorder.filter(|_| config.recorder.enabled),
            ),
            ("the control socket", config.control.as_ref()),
        ] {
            let folder = file.and_then(|it| it.parent());
            let ours = |it: &&Path| WRITABLE.iter().any(|ours| it.starts_with(ours));
            if let Some(folder) = folder.filter(|it| !ours(it)) {
                let all = needs.directories.entry(folder.to_owned()).or_default();
                all.push(what.to_owned());
            }
        }
        needs
    }

    fn capability(&mut self, name: &'static str, what: String) {
        let all = self.capabilities.entry(name).or_default();
        if !all.contains(&what) {
            all.push(what);
        }
    }

    /// The drop-in; `None` if the unit is right as it is.
    fn drop_in(&self, origin: &str) -> Option<String> {
        let names: Vec<&str> = self.capabilities.keys().copied().collect();
        if names == GRANTED && self.directories.is_empty() {
            return None;
        }
        let mut text = format!(
            "# Written by `byway setup systemd` from {origin}.\n# `byway setup systemd --undo` removes it.\n[Service]\n"
        );
        for (name, what) in &self.capabilities {
            text += &format!("# {name}: {}\n", what.join("; "));
        }
        if names.is_empty() {
            text += "# No capability is needed.\n";
        }
        let names = names.join(" ");
        for setting in ["AmbientCapabilities", "CapabilityBoundingSet"] {
            // An empty one takes back what stands in the unit (systemd.exec(5)).
            text += &format!("{setting}=\n");
            if !names.is_empty() {
                text += &format!("{setting}={names}\n");
            }
        }
        for (folder, what) in &self.directories {
            text += &format!(
                "# {}; the user byway must be able to write there.\nReadWritePaths=-\"{}\"\n",
                what.join("; "),
                folder.display()
            );
        }
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::host::Host;
    use crate::config::{Overrides, parse};

    fn config(tables: &str) -> Config {
        let text = format!("version = 1\n{tables}\n[[upstream]]\naddress = \"192.0.2.53\"\n");
        let loaded = parse(None, &text, &Overrides::default(), &Host::example());
        loaded.expect("a configuration").config
    }

    const PORT_53: &str = "[[listen]]\naddress = \"127.0.0.1:53\"\n";

    #[test]
    fn the_unit_is_right_for_port_53_and_nothing_else() {
        let needs = Needs::of(&config(PORT_53), (6, 1));
        assert_eq!(needs.drop_in("a file"), None);
        let text = Needs::of(&config(""), (6, 1)).drop_in("a file");
        let text = text.expect("a port that needs no privilege");
        assert!(
            text.ends_with("AmbientCapabilities=\nCapabilityBoundingSet=\n"),
            "{text}"
        );
    }

    #[test]
    fn paths_and_places_ask_for_what_they_need() {
        let tables = format!(
            "{PORT_53}[[path]]\nname = \"a\"\ninterface = \"eth0\"\n[[path]]\nname = \"b\"\nmark = 7\n\
             [cache]\nsnapshot = \"/srv/dns/cache\"\n[recorder]\npath = \"/var/lib/byway/x\"\n"
        );
        let capabilities = |kernel| {
            let needs = Needs::of(&config(&tables), kernel);
            needs.capabilities.into_keys().collect::<Vec<_>>()
        };
        assert_eq!(capabilities((4, 19)), [ADMIN, BIND, RAW]);
        assert_eq!(capabilities((5, 10)), [ADMIN, BIND]);
        assert_eq!(capabilities((6, 1)), [BIND, RAW]);
        let text = Needs::of(&config(&tables), (6, 1)).drop_in("a file");
        let text = text.expect("a drop-in");
        for line in [
            "# CAP_NET_RAW: path b, mark 7",
            "CapabilityBoundingSet=CAP_NET_BIND_SERVICE CAP_NET_RAW",
            "ReadWritePaths=-\"/srv/dns\"",
        ] {
            assert!(text.lines().any(|it| it == line), "{line} in {text}");
        }
        assert!(!text.contains("/var/lib/byway"), "{text}");
    }
}
