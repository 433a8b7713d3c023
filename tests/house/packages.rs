//! What Cargo.toml says that packages hold: that it is there, and that both hold the same.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use toml::{Table, Value};

fn metadata(kind: &str) -> Table {
    let text = fs::read_to_string("Cargo.toml").expect("a readable file");
    let whole: Table = text.parse().expect("TOML");
    let all = whole["package"]["metadata"][kind].as_table();
    all.expect("a table").clone()
}

/// From where to where.
fn assets(kind: &str) -> Vec<(String, String)> {
    let metadata = metadata(kind);
    let all = metadata["assets"].as_array().expect("a list");
    let text = |value: &Value| value.as_str().expect("a string").to_owned();
    let pair = |asset: &Value| match asset {
        Value::Array(parts) => (text(&parts[0]), text(&parts[1])),
        asset => (text(&asset["source"]), text(&asset["dest"])),
    };
    all.iter().map(pair).collect()
}

#[test]
fn what_packages_hold_is_there() {
    for kind in ["deb", "generate-rpm"] {
        // What is below target/ `packages/build` makes.
        let own = assets(kind).into_iter().map(|(source, _)| source);
        for source in own.filter(|it| !it.starts_with("target/")) {
            let path = source.trim_end_matches("*.md");
            assert!(Path::new(path).exists(), "{kind}: {source}");
        }
    }
    let rpm = metadata("generate-rpm");
    let scripts = [
        "pre_install",
        "post_install",
        "pre_uninstall",
        "post_uninstall",
    ];
    for script in scripts.map(|it| format!("{it}_script")) {
        let path = rpm[&script].as_str().expect("a path");
        assert!(Path::new(path).exists(), "{script}: {path}");
    }
    let scripts = metadata("deb")["maintainer-scripts"]
        .as_str()
        .map(str::to_owned);
    for script in ["postinst", "prerm", "postrm"] {
        let path = Path::new(scripts.as_deref().expect("a folder")).join(script);
        assert!(path.exists(), "{}", path.display());
    }
}

#[test]
fn both_packages_put_the_same_into_place() {
    let places = |kind: &str| -> BTreeSet<String> {
        let doc = |to: &str| to.contains("/doc/") || to.contains("/licenses/");
        let all = assets(kind).into_iter().filter(|(_, to)| !doc(to));
        // Each has its own way to name a folder, and zsh's differs.
        all.map(|(from, to)| format!("{from} in {}", to.contains("zsh") || to.contains("etc/")))
            .collect()
    };
    assert_eq!(places("deb"), places("generate-rpm"));
}
