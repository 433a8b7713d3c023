//! The plan of the house, checked: which module may import which (see ARCHITECTURE.md).

#[path = "house/length.rs"]
mod length;
#[path = "house/packages.rs"]
mod packages;
#[path = "house/room.rs"]
mod room;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Each module and what it may import besides itself. `clock` is open to all.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("clock", &["sys"]),
    ("sys", &[]),
    ("wire", &[]),
    ("observe", &["wire", "config"]),
    ("config", &["wire"]),
    ("record", &["observe", "config"]),
    ("route", &["wire", "observe", "config"]),
    ("net", &["wire", "observe", "config", "route", "sys", "tls"]),
    ("cache", &["wire", "observe", "config"]),
    ("names", &["wire", "observe", "config"]),
    (
        "resolve",
        &[
            "cache", "names", "route", "net", "wire", "observe", "config", "sys",
        ],
    ),
    ("tls", &["config", "observe"]),
    (
        "serve",
        &["resolve", "wire", "observe", "config", "sys", "tls"],
    ),
    ("admin", &["observe", "config"]),
    (
        "daemon",
        &[
            "admin", "cache", "config", "names", "net", "observe", "record", "resolve", "route",
            "serve", "sys", "tls", "wire",
        ],
    ),
    (
        "cli",
        &[
            "admin", "config", "daemon", "observe", "record", "resolve", "route", "wire",
        ],
    ),
];

/// The only module that may contain `unsafe`.
const UNSAFE_MODULE: &str = "sys";

/// The only modules that may read a clock of the machine.
const MAY_READ_CLOCKS: &[&str] = &["clock", "daemon", "cli"];

/// Files of Rust below `dir`, with their text.
fn sources(dir: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a readable file");
            found.push((path, text));
        }
    }
    found
}

/// The module a file of `src` stands in; `None` for `lib.rs` and `main.rs`.
fn module_of(path: &Path) -> Option<String> {
    let inside = path.strip_prefix("src").ok()?;
    let first = inside.components().next()?.as_os_str().to_str()?;
    let module = first.strip_suffix(".rs").unwrap_or(first);
    (module != "lib" && module != "main").then(|| module.to_string())
}

/// Every module that a line of code names as `crate::module`.
fn imports(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        for part in code.split("crate::").skip(1) {
            let module: String = part
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                .collect();
            found.push((number + 1, module));
        }
    }
    found
}

/// The code of a file without its trailing unit tests.
fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or(text)
}

fn wrong_imports(files: &[(PathBuf, String)]) -> Vec<String> {
    let allowed: BTreeMap<_, _> = MAY_IMPORT.iter().copied().collect();
    let mut wrong = Vec::new();
    for (path, text) in files {
        let Some(module) = module_of(path) else {
            continue;
        };
        let Some(may) = allowed.get(module.as_str()) else {
            wrong.push(format!(
                "{}: module {module} is not in the plan",
                path.display()
            ));
            continue;
        };
        for (line, other) in imports(without_tests(text)) {
            let fine = other == module || other == "clock" || may.contains(&other.as_str());
            if !fine && allowed.contains_key(other.as_str()) {
                wrong.push(format!(
                    "{}:{line}: {module} may not import {other}",
                    path.display()
                ));
            }
        }
    }
    wrong
}

#[test]
fn modules_only_import_downward() {
    let wrong = wrong_imports(&sources(Path::new("src")));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_check_would_notice() {
    let upward = (
        "src/wire/x.rs".into(),
        "use crate::resolve::Core;\n".to_string(),
    );
    assert_eq!(wrong_imports(&[upward]).len(), 1);
    let inline = (
        "src/route/x.rs".into(),
        "fn f() { crate::net::send() }\n".to_string(),
    );
    assert_eq!(wrong_imports(&[inline]).len(), 1);
    let stranger = ("src/attic/x.rs".into(), String::new());
    assert_eq!(wrong_imports(&[stranger]).len(), 1);
}

#[test]
fn the_plan_has_no_circles() {
    let allowed: BTreeMap<_, _> = MAY_IMPORT.iter().copied().collect();
    fn reaches(from: &str, to: &str, allowed: &BTreeMap<&str, &[&str]>) -> bool {
        allowed[from]
            .iter()
            .any(|next| *next == to || reaches(next, to, allowed))
    }
    for (module, _) in MAY_IMPORT {
        assert!(
            !reaches(module, module, &allowed),
            "{module} would import itself"
        );
    }
}

#[test]
fn unsafe_stays_in_its_module() {
    for (path, text) in sources(Path::new("src")) {
        let uses = without_tests(&text).lines().any(|line| {
            let code = line.split("//").next().unwrap_or_default();
            code.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                .any(|word| word == "unsafe")
        });
        assert!(
            !uses || module_of(&path).as_deref() == Some(UNSAFE_MODULE),
            "{} uses unsafe",
            path.display()
        );
    }
}

#[test]
fn only_the_outer_rooms_read_clocks() {
    for (path, text) in sources(Path::new("src")) {
        let Some(module) = module_of(&path) else {
            continue;
        };
        let reads = ["Instant::now(", "SystemTime::now("]
            .iter()
            .any(|call| without_tests(&text).contains(call));
        assert!(
            !reads || MAY_READ_CLOCKS.contains(&module.as_str()),
            "{} reads a clock; time comes in as an argument",
            path.display()
        );
    }
}

/// The macros panic when nobody reads what they print, and wait for whoever reads slowly.
#[test]
fn nothing_is_printed_past_the_log() {
    for (path, text) in sources(Path::new("src")) {
        let code = without_tests(&text).lines();
        let code: Vec<&str> = code
            .map(|line| line.split("//").next().unwrap_or_default())
            .collect();
        let code = code.join("\n");
        for print in ["println!", "print!(", "dbg!"] {
            assert!(!code.contains(print), "{} uses {print}", path.display());
        }
        let is_the_log = ["src/observe/log", "src/observe/log.rs"]
            .iter()
            .any(|log| path.starts_with(log));
        assert!(
            !code.contains("stderr()") || is_the_log,
            "{} writes to stderr itself",
            path.display()
        );
    }
}

/// A port that is held for a moment at boot must not leave the host without DNS.
#[test]
fn the_service_is_started_again_for_ever_and_has_a_place_for_its_control_socket() {
    let unit = fs::read_to_string("systemd/byway.service").expect("the unit");
    for line in [
        "Type=notify",
        "WatchdogSec=30",
        "StartLimitIntervalSec=0",
        "Restart=always",
        "RestartSec=1",
        "RuntimeDirectory=byway",
    ] {
        assert!(unit.lines().any(|it| it == line), "{line}");
    }
}

/// `systemd-analyze` on the units, as they are for a byway that is `/bin/true`; `None` where there is none.
fn analyze(arguments: &[&str], unit: &str) -> Option<(bool, String)> {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["byway.service", "byway.socket"] {
        let text = fs::read_to_string(format!("systemd/{name}")).expect("the unit");
        let text = text.replace("=/usr/bin/byway", "=/bin/true");
        fs::write(folder.path().join(name), text).expect("written");
    }
    let output = std::process::Command::new("systemd-analyze")
        .args(arguments)
        .arg(folder.path().join(unit))
        .output();
    let Ok(output) = output else {
        eprintln!("skipped: there is no systemd-analyze");
        return None;
    };
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    Some((output.status.success(), said))
}

#[test]
fn the_units_are_right_and_expose_little() {
    for unit in ["byway.service", "byway.socket"] {
        if let Some((fine, said)) = analyze(&["verify", "--man=no"], unit) {
            assert!(fine, "{unit}: {said}");
        }
    }
    let security = ["security", "--offline=true", "--no-pager", "--threshold=15"];
    if let Some((fine, said)) = analyze(&security, "byway.service") {
        assert!(fine, "more than 1.5: {said}");
    }
}

#[test]
fn the_user_and_the_folder_can_be_made() {
    let root = tempfile::tempdir().expect("a folder");
    fs::create_dir(root.path().join("etc")).expect("made");
    let argument = format!("--root={}", root.path().display());
    for (program, conf, made) in [
        ("systemd-sysusers", "byway.sysusers", "etc/passwd"),
        ("systemd-tmpfiles", "byway.tmpfiles", "etc/byway"),
    ] {
        let file = Path::new("systemd").join(conf).canonicalize().expect("it");
        let mut command = std::process::Command::new(program);
        command.arg(&argument);
        if program == "systemd-tmpfiles" {
            command.arg("--create");
        }
        let Ok(output) = command.arg(&file).output() else {
            eprintln!("skipped: there is no {program}");
            continue;
        };
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{program}: {said}");
        assert!(root.path().join(made).exists(), "{program}: {said}");
    }
}
