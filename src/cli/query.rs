//! `byway query`.

mod daemon;
mod words;

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::client::{Reach, Unanswered};
use super::run::{ConfigArgs, upstream};
use super::{exit, fail, load, print, tell};
use crate::admin::api;
use crate::config::address::Endpoint;
use crate::daemon::once;
use crate::wire::{self, Ede, Lines, QuestionKey, Rcode, Response, Sent};
use daemon::Running;
use words::Wanted;

/// Ask questions and print the answers, the route and the time it took
///
/// Asks the byway that runs on this host, as its clients do; where none runs, the same routing engine in this process.
#[derive(Args, Debug)]
pub struct QueryArgs {
    /// Names, types of records (A if none is given) and @SERVER, in any order: each name is asked for with each type
    #[arg(value_name = "NAME|TYPE|@SERVER", required_unless_present = "reverse")]
    pub words: Vec<String>,
    /// Ask for the name of this address; may be given several times
    #[arg(short = 'x', long, value_name = "ADDR")]
    pub reverse: Vec<IpAddr>,
    /// Ask with this process's own engine, past a byway that runs
    #[arg(long)]
    pub direct: bool,
    /// Ask this resolver directly, in place of the file's upstreams, as @SERVER does; may be given several times
    #[arg(long, short, value_name = "ADDR", value_parser = upstream)]
    pub upstream: Vec<Endpoint>,
    /// How a running daemon is found.
    #[command(flatten)]
    pub reach: Reach,
}

/// What was answered, and how.
struct Told {
    response: Vec<u8>,
    /// In words.
    how: String,
    /// The route that the answer came over, if that is known.
    route: Option<String>,
    took: Duration,
}

/// Asks and prints what came of it. The exit status is that of the worst of several questions.
pub(super) fn query(args: &QueryArgs) -> u8 {
    let wanted = match Wanted::read(&args.words, &args.reverse) {
        Ok(wanted) => wanted,
        Err(why) => {
            fail(&why);
            return exit::USAGE;
        }
    };
    let upstreams = [wanted.servers, args.upstream.clone()].concat();
    let asks_others = !upstreams.is_empty() || args.direct;
    // What stands in standard input is for one reader.
    let piped = args.reach.config.as_deref() == Some(Path::new("-"));
    if !(asks_others || piped) {
        match args.reach.get::<api::Status>("/api/v1/status") {
            Ok(status) => match Running::of(&status.document) {
                Some(running) => return through(&running, args, &wanted.questions),
                None => return fail("the byway that runs here does not say where it listens"),
            },
            Err(Unanswered::NoDaemon(_)) if args.reach.socket.is_none() => {}
            Err(Unanswered::Off) => {}
            Err(error @ Unanswered::Forbidden(_)) => {
                tell(&format!("note: not asked through the daemon: {error}"));
            }
            Err(Unanswered::Refused(why)) => {
                fail(&why);
                return exit::USAGE;
            }
            Err(error) => return fail(&error.to_string()),
        }
    }
    directly(args, upstreams, &wanted.questions)
}

/// Asks a running daemon.
fn through(running: &Running, args: &QueryArgs, questions: &[QuestionKey]) -> u8 {
    let mut codes = Codes::default();
    for key in questions {
        codes.add(match running.ask(&args.reach, key) {
            Ok(told) => show(key, &told, args.reach.json),
            Err(why) => fail(&why),
        });
    }
    codes.worst()
}

/// Asks with an engine of this process's own.
fn directly(args: &QueryArgs, upstream: Vec<Endpoint>, questions: &[QuestionKey]) -> u8 {
    let config = ConfigArgs {
        config: args.reach.config.clone(),
        listen: Vec::new(),
        upstream,
        admin: None,
    };
    let loaded = match load(&config) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    if loaded.has_nobody() {
        return fail("there is nobody to ask");
    }
    let mut codes = Codes::default();
    let each = |key: &QuestionKey, once: once::Once| {
        let how = match &once.route {
            Some(route) => format!("over {route}"),
            None if once.known => "as answered before".to_owned(),
            None => "no route brought an answer".to_owned(),
        };
        let told = Told {
            response: once.response,
            how,
            route: once.route,
            took: once.took,
        };
        codes.add(show(key, &told, args.reach.json));
    };
    match once::ask(&loaded.config, questions, each) {
        Ok(()) => codes.worst(),
        Err(error) => fail(&error.to_string()),
    }
}

/// Prints one answer; what to exit with for it.
fn show(key: &QuestionKey, told: &Told, as_json: bool) -> u8 {
    let sent = Sent {
        id: once::ID,
        question: key.question(),
        exact_case: false,
    };
    let response = match wire::examine(&told.response, &sent) {
        Ok(response) => response,
        Err(error) => return fail(&format!("the answer cannot be read: {error}")),
    };
    let text = match as_json {
        true => document(key, &response, told),
        false => describe(key, &response, told),
    };
    match print(text.as_bytes()) {
        exit::OK => code_of(&response, &Lines::of(&told.response)),
        code => code,
    }
}

/// What a script wants to know: there is an answer, there is nothing of the kind, or that is not known.
fn code_of(response: &Response<'_>, lines: &Lines) -> u8 {
    match response.rcode() {
        Rcode::NOERROR if !lines.answers.is_empty() => exit::OK,
        Rcode::NOERROR | Rcode::NXDOMAIN => exit::NOTHING,
        _ => exit::FAILED,
    }
}

/// The exit statuses of several questions.
#[derive(Default)]
struct Codes(Vec<u8>);

impl Codes {
    fn add(&mut self, code: u8) {
        self.0.push(code);
    }

    fn worst(&self) -> u8 {
        let badness = |code: &u8| match *code {
            exit::OK => 0,
            exit::NOTHING => 1,
            _ => 2,
        };
        self.0
            .iter()
            .copied()
            .max_by_key(badness)
            .unwrap_or(exit::OK)
    }
}

/// The answer in the words of a zone file, under a line that says how it went.
fn describe(key: &QuestionKey, response: &Response<'_>, told: &Told) -> String {
    let took = told.took.as_secs_f64() * 1e3;
    let (rcode, how) = (response.rcode(), &told.how);
    let mut text = format!(";; {key}: {rcode}, {how}, in {took:.1} ms\n");
    let lines = Lines::of(&told.response);
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

/// The same for programs, in a line.
fn document(key: &QuestionKey, response: &Response<'_>, told: &Told) -> String {
    let lines = Lines::of(&told.response);
    let errors: Vec<_> = response
        .edes()
        .map(|ede| json!({ "code": ede.code, "purpose": wire::ede_purpose(ede.code), "text": ede.text }))
        .collect();
    let document = json!({
        "name": wire::name_to_text(key.name()),
        "type": key.record_type().to_string(),
        "rcode": response.rcode().to_string(),
        "how": told.how,
        "route": told.route,
        "seconds": told.took.as_secs_f64(),
        "answer": lines.answers,
        "authority": lines.authorities,
        "additional": lines.additionals,
        "extended_errors": errors,
    });
    format!("{document}\n")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_questions_the_worst_counts() {
        let worst = |codes: &[u8]| Codes(codes.to_vec()).worst();
        assert_eq!(worst(&[exit::OK, exit::NOTHING, exit::OK]), exit::NOTHING);
        assert_eq!(
            worst(&[exit::NOTHING, exit::FAILED, exit::OK]),
            exit::FAILED
        );
        assert_eq!(worst(&[exit::OK]), exit::OK);
    }
}
