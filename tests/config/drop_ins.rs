//! The files of `conf.d` beside the configuration file.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use byway::config::host::Host;
use byway::config::{Loaded, Overrides, Policy, load};

/// A folder with a configuration of these files, the first of them the configuration file.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("conf.d")).expect("a folder");
    for (name, text) in files {
        fs::write(folder.path().join(name), text.trim_start()).expect("a file");
    }
    folder
}

fn file(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("byway.toml")
}

/// What `files` mean, or what is said about them, with their folder left out.
fn read(files: &[(&str, &str)]) -> Result<Loaded, String> {
    let folder = folder(files);
    let host = Host {
        is_local: |ip| ip.is_loopback(),
        ..Host::this()
    };
    let read = load(Some(&file(&folder)), &Overrides::default(), &host);
    read.map_err(|error| without(&error.to_string(), folder.path()))
}

fn without(text: &str, folder: &Path) -> String {
    text.replace(&format!("{}/", folder.display()), "")
}

#[track_caller]
fn mistake(files: &[(&str, &str)], expected: &str) {
    let error = read(files).expect_err("a mistake");
    assert_eq!(error.trim(), expected.trim(), "\n{error}\n");
}

const MAIN: &str = "
version = 1
[[upstream]]
name = \"dc1\"
address = \"10.0.0.2\"
[cache]
size = \"64 MiB\"
max-ttl = \"1 h\"
";

const MORE: &str = "
[[upstream]]
name = \"dc2\"
address = \"10.1.0.2\"
[cache]
size = \"32 MiB\"
[routing]
policy = \"ordered\"
";

#[test]
fn tables_are_one_lists_of_tables_grow_and_the_later_key_holds() {
    let last = "version = 1\ncache = { size = \"16 MiB\" }\nallow = [\"10.0.0.0/8\"]\n";
    let loaded = read(&[
        ("byway.toml", MAIN),
        ("conf.d/20-last.toml", last),
        ("conf.d/10-more.toml", MORE),
        ("conf.d/30-not-read.toml.bak", "nonsense"),
    ]);
    let config = loaded.unwrap_or_else(|error| panic!("{error}")).config;
    let names = config.upstreams.iter().map(|it| it.name.as_str());
    assert_eq!(names.collect::<Vec<_>>(), ["dc1", "dc2"]);
    assert_eq!(config.cache.size, 16 << 20);
    assert_eq!(config.cache.max_ttl.as_secs(), 3600);
    assert_eq!(config.routing.policy, Policy::Ordered);
    assert_eq!(config.allow.len(), 1);
}

#[test]
fn each_mistake_is_told_in_its_own_file_and_what_is_replaced_must_be_right_too() {
    mistake(
        &[
            ("byway.toml", "version = 1\n[cache]\nsize = \"64 MX\"\n"),
            ("conf.d/a.toml", "[cache]\nsize = \"64 MiB\"\n"),
            (
                "conf.d/b.toml",
                "\n# b\n[[upstream]]\nadress = \"10.0.0.2\"\n",
            ),
        ],
        "
error: `64 MX` is not a size
 --> byway.toml:3:8
  |
3 | size = \"64 MX\"
  |        ^^^^^^^ `MX` is not a unit
  |
  = help: write a number and one of B, KiB, MiB, GiB, KB, MB, GB

error: unknown key `adress` in `[[upstream]]`
 --> conf.d/b.toml:3:1
  |
3 | adress = \"10.0.0.2\"
  | ^^^^^^ not a key of this table
  |
  = help: did you mean `address`?
",
    );
}

#[test]
fn what_is_no_toml_is_told_for_every_file() {
    mistake(
        &[
            ("byway.toml", "version = 1\nworkers: 3\n"),
            ("conf.d/a.toml", "[cache]\nrefresh = yes\n"),
        ],
        "
error: a key without a value
 --> byway.toml:2:8
  |
2 | workers: 3
  |        ^ expected `=`
  |
  = help: TOML writes `=`, not `:`

error: `yes` is not a value of TOML
 --> conf.d/a.toml:2:11
  |
2 | refresh = yes
  |           ^^^ expected quotes around it, unless it is a plain number, `true` or `false`
  |
  = help: write `true`
",
    );
}

#[test]
fn a_mistake_between_two_files_shows_both() {
    mistake(
        &[
            ("byway.toml", MAIN),
            (
                "conf.d/a.toml",
                "[[upstream]]\nname = \"dc1\"\naddress = \"10.1.0.2\"\n",
            ),
        ],
        "
error: two upstreams are named `dc1`
 --> conf.d/a.toml:2:8
  |
2 | name = \"dc1\"
  |        ^^^^^ given a second time
note: it is given first here
 --> byway.toml:3:8
  |
3 | name = \"dc1\"
  |        ^^^^^
",
    );
}

#[test]
fn what_no_file_says_is_missing_and_what_one_says_is_not() {
    let prefix = ("conf.d/b.toml", "[dns64]\nprefix = \"64:ff9b::/96\"\n");
    let exclude = ("conf.d/a.toml", "[dns64]\nexclude = [\"::ffff:0:0/96\"]\n");
    let loaded = read(&[("byway.toml", MAIN), exclude, prefix]);
    assert!(loaded.expect("all that is needed").config.dns64.is_some());
    let error = read(&[("byway.toml", MAIN), exclude]).expect_err("no prefix");
    assert!(
        error.starts_with("error: `[dns64]` has no `prefix`\n --> conf.d/a.toml:1:1\n"),
        "{error}"
    );
    let error = read(&[
        ("byway.toml", "workers = 1\n"),
        ("conf.d/a.toml", "version = 1\n"),
    ]);
    let error = error.expect_err("no version");
    assert!(
        error.starts_with("error: the file does not say its version\n --> byway.toml:1:1\n"),
        "{error}"
    );
    let error = read(&[("byway.toml", MAIN), ("conf.d/a.toml", "version = 2\n")]);
    let error = error.expect_err("another version");
    assert!(
        error.starts_with("error: unknown version of the format\n --> conf.d/a.toml:1:11\n"),
        "{error}"
    );
}

#[test]
fn what_cannot_be_read_is_refused_by_name() {
    let files = folder(&[("byway.toml", MAIN)]);
    std::os::unix::fs::symlink("nowhere", files.path().join("conf.d/x.toml")).unwrap();
    let error = load(Some(&file(&files)), &Overrides::default(), &Host::this());
    let error = without(
        &error.expect_err("a dangling link").to_string(),
        files.path(),
    );
    let expected =
        "error: the configuration file cannot be read\n --> conf.d/x.toml\n  = note: No such file";
    assert!(error.starts_with(expected), "{error}");

    let files = folder(&[("byway.toml", MAIN)]);
    for name in ["a", "b"] {
        let text = "#".repeat(600 << 10);
        fs::write(files.path().join(format!("conf.d/{name}.toml")), text).unwrap();
    }
    let error = load(Some(&file(&files)), &Overrides::default(), &Host::this());
    let error = without(&error.expect_err("too much").to_string(), files.path());
    let expected = "error: the configuration file cannot be read\n --> conf.d/b.toml\n  = note: with it the files of \
                    the folder are larger than 1 MiB";
    assert!(error.starts_with(expected), "{error}");
}

fn check(folder: &tempfile::TempDir, arguments: &[&str]) -> Output {
    let mut byway = Command::new(env!("CARGO_BIN_EXE_byway"));
    byway.env_remove("STATE_DIRECTORY").arg("check");
    let output = byway.args(arguments).arg(file(folder)).output();
    output.expect("the program runs")
}

#[test]
fn check_says_what_came_from_where() {
    let files = folder(&[("byway.toml", MAIN), ("conf.d/10-more.toml", MORE)]);
    let output = check(&files, &[]);
    let said = without(std::str::from_utf8(&output.stdout).unwrap(), files.path());
    let expected = "# OK: byway.toml, and conf.d/10-more.toml\n\
                    #   conf.d/10-more.toml:1: [[upstream]]\n\
                    #   conf.d/10-more.toml:5: [cache] size, in place of byway.toml:6\n\
                    #   conf.d/10-more.toml:7: [routing] policy\n\
                    # Upstreams come from the configuration file. In effect is:\n";
    assert!(said.starts_with(expected), "{said}");

    let output = check(&files, &["--json"]);
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let added = &value["added"][1];
    assert_eq!(added["key"], "[cache] size");
    assert_eq!(
        (&added["line"], &added["instead_of"]["line"]),
        (&5.into(), &6.into())
    );
    assert_eq!(value["drop_ins"].as_array().map(Vec::len), Some(1));

    let files = folder(&[
        ("byway.toml", MAIN),
        ("conf.d/a.toml", ""),
        ("conf.d/b.toml", ""),
    ]);
    let output = check(&files, &[]);
    let said = without(std::str::from_utf8(&output.stdout).unwrap(), files.path());
    let expected = "# OK: byway.toml, and 2 files in conf.d\n# Upstreams";
    assert!(said.starts_with(expected), "{said}");
}
