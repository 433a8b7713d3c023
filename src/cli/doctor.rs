//! `byway doctor`: what on this host and on its ways keeps byway from doing its work, one line each with what to do.

mod host;
mod upstreams;

use std::fmt;

use clap::Args;
use serde_json::json;

use super::client::{Reach, Unanswered};
use super::run::ConfigArgs;
use super::{exit, load_quietly, print};
use crate::admin::api;
use crate::config::Loaded;

#[derive(Args)]
pub(super) struct DoctorArgs {
    /// How the daemon is found, and the configuration that is examined [default: /etc/byway/byway.toml, if it exists]
    #[command(flatten)]
    reach: Reach,
    /// Leave out what sends questions to upstreams
    #[arg(long)]
    offline: bool,
}

/// How grave a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Gravity {
    /// As it should be.
    Fine,
    /// It works, and could be better or will fail some day.
    Odd,
    /// Names do not resolve for it, or byway does not start.
    Bad,
}

impl fmt::Display for Gravity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Gravity::Fine => "ok",
            Gravity::Odd => "odd",
            Gravity::Bad => "BAD",
        })
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    /// What: `port 53`, `upstream dc1@eth0`.
    subject: String,
    gravity: Gravity,
    text: String,
    /// What to do about it.
    help: Option<String>,
}

impl Finding {
    fn new(subject: impl Into<String>, gravity: Gravity, text: impl Into<String>) -> Finding {
        Finding {
            subject: subject.into(),
            gravity,
            text: text.into(),
            help: None,
        }
    }

    fn fine(subject: impl Into<String>, text: impl Into<String>) -> Finding {
        Finding::new(subject, Gravity::Fine, text)
    }

    fn help(self, help: impl Into<String>) -> Finding {
        let help = Some(help.into());
        Finding { help, ..self }
    }

    fn line(&self) -> String {
        let help = self.help.as_ref();
        let help = help.map_or(String::new(), |it| format!("; {it}"));
        // What a server says of itself may hold anything.
        let text: String = format!("{}{help}", self.text)
            .chars()
            .map(|it| if it.is_control() { ' ' } else { it })
            .collect();
        format!("{:<4} {}: {text}\n", self.gravity, self.subject)
    }
}

/// Looks at everything; says the worst by its exit status.
pub(super) fn doctor(args: &DoctorArgs) -> u8 {
    let loaded = load_quietly(&ConfigArgs {
        config: args.reach.config.clone(),
        ..ConfigArgs::default()
    });
    let mut findings = Vec::new();
    match loaded {
        Ok(loaded) => examine(args, &loaded, &mut findings),
        Err(error) => findings.push(
            Finding::new(
                "configuration",
                Gravity::Bad,
                first_line(&error.to_string()),
            )
            .help("`byway check` shows where"),
        ),
    }
    let worst = findings.iter().map(|it| it.gravity).max();
    let printed = print(
        match args.reach.json {
            true => document(&findings),
            false => findings.iter().map(Finding::line).collect(),
        }
        .as_bytes(),
    );
    match (printed, worst) {
        (exit::OK, Some(Gravity::Bad)) => exit::FAILED,
        (exit::OK, Some(Gravity::Odd)) => exit::TROUBLE,
        (printed, _) => printed,
    }
}

fn examine(args: &DoctorArgs, loaded: &Loaded, findings: &mut Vec<Finding>) {
    findings.push(match loaded.reports.as_slice() {
        [] => Finding::fine("configuration", loaded.describe()),
        all => {
            let messages: Vec<&str> = all.iter().map(|it| it.message.as_str()).collect();
            let gravity = match loaded.has_nobody() {
                true => Gravity::Bad,
                false => Gravity::Odd,
            };
            Finding::new("configuration", gravity, messages.join("; "))
                .help("`byway check` says more")
        }
    });
    let status = args.reach.get::<api::Status>("/api/v1/status");
    let running = status.as_ref().ok().map(|it| &it.document);
    findings.push(match &status {
        Ok(status) => {
            let gravity = match status.document.state {
                api::State::Well => Gravity::Fine,
                api::State::Trouble => Gravity::Odd,
                api::State::Down => Gravity::Bad,
            };
            let finding = Finding::new("daemon", gravity, &status.document.headline);
            match gravity {
                Gravity::Fine => finding,
                _ => finding.help("`byway status` says more"),
            }
        }
        Err(error @ (Unanswered::NoDaemon(_) | Unanswered::Off)) => {
            Finding::fine("daemon", error.to_string())
        }
        Err(error) => Finding::new("daemon", Gravity::Odd, error.to_string()),
    });
    host::listeners(&loaded.config, running, findings);
    host::resolv_conf(&loaded.config, running, findings);
    host::loops(&loaded.config, findings);
    if !args.offline {
        upstreams::examine(&loaded.config, findings);
    }
    host::limits(&loaded.config, findings);
    host::clock(findings);
}

fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

fn document(findings: &[Finding]) -> String {
    let all: Vec<_> = findings
        .iter()
        .map(|it| {
            json!({
                "subject": it.subject,
                "gravity": it.gravity.to_string().to_lowercase(),
                "text": it.text,
                "help": it.help,
            })
        })
        .collect();
    let fine = findings.iter().all(|it| it.gravity == Gravity::Fine);
    format!("{:#}\n", json!({ "fine": fine, "findings": all }))
}
