//! `byway query`.

use std::path::PathBuf;

use clap::Args;

use super::run::{ConfigArgs, upstream};
use super::{exit, fail, load, print};
use crate::config::address::Endpoint;
use crate::daemon::once;
use crate::wire::{self, CLASS_IN, Ede, Lines, QuestionKey, RecordType, Response, Sent};

/// Ask one question through the routing engine and print the answer, the route and the time it took
#[derive(Args, Debug)]
pub struct QueryArgs {
    /// The name, as in a zone file; the final dot may be left out
    pub name: String,
    /// The type of record: a mnemonic, or TYPE and a number
    #[arg(value_name = "TYPE", default_value = "A")]
    pub record_type: RecordType,
    /// Configuration file, `-` for standard input [default: /etc/byway/byway.toml, if it exists]
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Ask this resolver, in place of the file's upstreams; may be given several times
    #[arg(long, short, value_name = "ADDR", value_parser = upstream)]
    pub upstream: Vec<Endpoint>,
}

/// Asks one question and prints what came of it.
pub(super) fn query(args: &QueryArgs) -> u8 {
    let key = wire::name_from_text(&args.name)
        .map_err(|error| error.to_string())
        .and_then(|name| {
            QuestionKey::new(&name, args.record_type, CLASS_IN, false, false)
                .ok_or_else(|| "not a name".to_string())
        });
    let key = match key {
        Ok(key) => key,
        Err(error) => {
            fail(&format!("cannot ask for {}: {error}", args.name));
            return exit::USAGE;
        }
    };
    let loaded = match load(&args.config_args()) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    let once = match once::ask(&loaded.config, &key) {
        Ok(once) => once,
        Err(error) => return fail(&error.to_string()),
    };
    let sent = Sent {
        id: once::ID,
        question: key.question(),
        exact_case: false,
    };
    match wire::examine(&once.response, &sent) {
        Ok(response) => {
            let served = once.route.is_some();
            let code = print(describe(&key, &response, &once).as_bytes());
            if served { code } else { exit::FAILED }
        }
        Err(error) => fail(&format!("the answer cannot be read: {error}")),
    }
}

/// The answer in the words of a zone file, under a line that says how it went.
fn describe(key: &QuestionKey, response: &Response<'_>, once: &once::Once) -> String {
    let route = match &once.route {
        Some(route) => format!("over {route}"),
        None => "no route brought an answer".to_string(),
    };
    let took = once.took.as_secs_f64() * 1e3;
    let rcode = response.rcode();
    let mut text = format!(";; {key}: {rcode}, {route}, in {took:.1} ms\n");
    let lines = Lines::of(&once.response);
    let sections = [lines.answers, lines.authorities, lines.additionals];
    for (name, records) in ["answer", "authority", "additional"].iter().zip(sections) {
        if !records.is_empty() {
            text += &format!(";; {name}\n");
        }
        for record in records {
            text += &format!("{record}\n");
        }
    }
    text.extend(response.edes().map(|ede| extended_error(&ede)));
    text
}

/// An extended error's code, what it stands for, and its text, which a stranger may have written.
fn extended_error(ede: &Ede<'_>) -> String {
    let purpose = wire::ede_purpose(ede.code);
    let purpose = purpose.map_or(String::new(), |purpose| format!(" ({purpose})"));
    let text = match ede.text {
        "" => String::new(),
        text => format!(": {}", text.escape_debug()),
    };
    format!(";; extended error {}{purpose}{text}\n", ede.code)
}

impl QueryArgs {
    /// Where the configuration comes from: as for `byway run`, but nothing is listened on.
    pub fn config_args(&self) -> ConfigArgs {
        ConfigArgs {
            config: self.config.clone(),
            listen: Vec::new(),
            upstream: self.upstream.clone(),
            admin: None,
        }
    }
}
