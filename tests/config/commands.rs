//! The commands that go with a configuration.

use std::process::{Command, Output};

fn byway(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_byway"))
        .args(arguments)
        .env_remove("STATE_DIRECTORY")
        .output()
        .expect("the program runs")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

#[test]
fn config_prints_the_annotated_default() {
    let output = byway(&["config"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(
        text(&output.stdout),
        include_str!("../../config/byway.toml")
    );
}

#[test]
fn check_prints_a_file_that_means_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let first = "version = 1\n[[upstream]]\naddress = \"10.0.0.2\"\n";
    std::fs::write(path("first.toml"), first).unwrap();

    let output = byway(&["check", &path("first.toml")]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text(&output.stderr), "");
    let effective = text(&output.stdout);
    assert!(effective.starts_with(&format!("# OK: {}\n", path("first.toml"))));

    std::fs::write(path("second.toml"), effective).unwrap();
    let output = byway(&["check", &path("second.toml")]);
    assert_eq!(output.status.code(), Some(0));
    let body = |text: &str| text.split_once("\n\n").map(|it| it.1.to_owned());
    assert_eq!(body(text(&output.stdout)), body(effective));
}

#[test]
fn check_refuses_with_2_and_nothing_on_standard_output() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("byway.toml");
    std::fs::write(&path, "version = 1\nworkers = 0\n").unwrap();
    let output = byway(&["check", &path.display().to_string()]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(text(&output.stdout), "");
    let expected = format!(
        "error: `workers` is out of range\n --> {}:2:11\n",
        path.display()
    );
    assert!(text(&output.stderr).starts_with(&expected));
}

#[test]
fn usage_errors_are_2_and_help_is_0() {
    for arguments in [
        &["no-such-command"][..],
        &["check", "--bogus"],
        &["completions", "tcsh"],
    ] {
        let output = byway(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).starts_with("error: "), "{arguments:?}");
    }
    let output = byway(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).contains("Exit status:"));
    let output = byway(&["--version"]);
    let expected = format!("byway {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(text(&output.stdout), expected);
}

#[test]
fn manual_and_completions() {
    let folder = tempfile::tempdir().unwrap();
    let output = byway(&["man", &folder.path().display().to_string()]);
    assert_eq!(output.status.code(), Some(0));
    let page = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    for section in [
        "NAME",
        "SYNOPSIS",
        "SUBCOMMANDS",
        "\"EXIT STATUS\"",
        "FILES",
    ] {
        assert!(
            page("byway.1").contains(&format!("\n.SH {section}\n")),
            "{section}"
        );
    }
    assert!(page("byway-check.1").contains("byway\\-check"));
    assert_eq!(text(&byway(&["man"]).stdout), page("byway.1"));
    for shell in ["bash", "zsh", "fish"] {
        let script = byway(&["completions", shell]);
        assert!(text(&script.stdout).contains("byway"), "{shell}");
    }
}
