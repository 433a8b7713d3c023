//! Finding the flight recorder's file, with byway running, stopped or crashed.

use std::io;
use std::path::{Path, PathBuf};

use clap::Args;

use super::client::Reach;
use super::{exit, fail, tell};
use crate::admin::api;
use crate::config::host::{Host, RECORDER_FILE};
use crate::config::{self, Loaded, Overrides};
use crate::record::when;
use crate::record::{FileError, Log};

/// Where systemd keeps the state of the packaged service.
const STATE_DIRECTORY: &str = "/var/lib/byway";

/// Which record is read.
#[derive(Args, Debug, Default)]
pub(super) struct RecordArgs {
    /// The flight recorder's file [default: what the running daemon or the configuration says, or
    /// /var/lib/byway/flight.record]
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
    /// The configuration file, whose `[recorder] path` says where the file is [default: /etc/byway/byway.toml, if it
    /// exists]
    #[arg(long, short, value_name = "FILE", conflicts_with = "file")]
    config: Option<PathBuf>,
    /// The control socket of the running daemon [default: where a daemon of this host keeps it]
    #[arg(long, value_name = "PATH", conflicts_with_all = ["file", "config"])]
    socket: Option<PathBuf>,
}

impl RecordArgs {
    /// Everything that is recorded. Where that fails, it says why.
    ///
    /// # Errors
    /// What to exit with.
    pub(super) fn open(&self) -> Result<Log, u8> {
        if let Some(file) = &self.file {
            return Log::open(file).map_err(|error| fail(&error.to_string()));
        }
        let reach = Reach {
            socket: self.socket.clone(),
            config: self.config.clone(),
            json: false,
        };
        // With a daemon that runs there is no doubt which file it is, and what it keeps in memory is there too.
        let status = reach.get::<api::Status>("/api/v1/status");
        let places = match (self.socket.is_some(), &status) {
            (true, Err(error)) => return Err(fail(&error.to_string())),
            (true, Ok(_)) => Vec::new(),
            (false, _) => self.places()?,
        };
        if let Ok(status) = status {
            let recorder = status.document.recorder.as_ref();
            let path = recorder.and_then(|it| it.path.as_ref());
            // Of a configuration that was named it may be another one that runs.
            let another = |path: &String| !places.iter().any(|place| place == Path::new(path));
            if self.config.is_none() || !path.is_some_and(another) {
                return running(&reach, recorder);
            }
        }
        for place in &places {
            match Log::open(place) {
                Err(FileError::System { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => {
                }
                opened => return opened.map_err(|error| fail(&error.to_string())),
            }
        }
        let places: Vec<String> = places.iter().map(|it| it.display().to_string()).collect();
        Err(fail(&format!(
            "nothing is recorded here: no byway runs, and there is no {}; `--file` names another place",
            places.join(" or ")
        )))
    }

    fn places(&self) -> Result<Vec<PathBuf>, u8> {
        let host = Host::this();
        match config::load(self.config.as_deref(), &Overrides::default(), &host) {
            Ok(Loaded { config, .. }) => {
                let mut places: Vec<PathBuf> = config.recorder.path.into_iter().collect();
                let usual = Path::new(STATE_DIRECTORY).join(RECORDER_FILE);
                if self.config.is_none() && !places.contains(&usual) {
                    places.push(usual);
                }
                match places.is_empty() {
                    true => Err(fail(
                        "the configuration names no `[recorder] path`; `--file` names the file",
                    )),
                    false => Ok(places),
                }
            }
            Err(error) if self.config.is_some() => {
                tell(&error.to_string());
                Err(exit::USAGE)
            }
            // Whether the default file is right is not the question here.
            Err(_) => Ok(vec![Path::new(STATE_DIRECTORY).join(RECORDER_FILE)]),
        }
    }
}

/// What a running daemon has recorded, in its file and in memory.
fn running(reach: &Reach, recorder: Option<&api::Recorder>) -> Result<Log, u8> {
    let Some(recorder) = recorder else {
        return Err(fail(
            "the running byway records nothing (`[recorder] enabled = false`)",
        ));
    };
    let mut log = match &recorder.path {
        Some(path) => match Log::open(Path::new(path)) {
            Ok(log) => log,
            Err(error) if recorder.on_disk => return Err(fail(&error.to_string())),
            Err(_) => Log::default(),
        },
        None => Log::default(),
    };
    if !recorder.on_disk {
        let memory = reach.octets("/api/v1/record");
        let memory = memory.map_err(|error| fail(&error.to_string()))?;
        let size = memory.len() as u64;
        log.add(Box::new(memory), size)
            .map_err(|error| fail(&error.to_string()))?;
        if let Some(why) = recorder.why.as_ref().filter(|_| recorder.path.is_some()) {
            tell(&format!(
                "the recorder keeps the last hour in memory only: {why}"
            ));
        }
    }
    Ok(log)
}

/// Says that there is nothing for what was asked, and what there is.
pub(super) fn nothing(log: &Log, from: u64, to: u64) -> u8 {
    let reach = match log.reach() {
        Some((first, last)) => format!(
            "the record reaches from {} to {}",
            when::rfc3339(first),
            when::rfc3339(last)
        ),
        None => "the record is empty".into(),
    };
    fail(&format!(
        "nothing is recorded from {} to {}; {reach}",
        when::rfc3339(from),
        when::rfc3339(to)
    ))
}
