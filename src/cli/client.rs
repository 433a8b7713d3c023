//! The way to a running daemon: HTTP over its control socket.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::HOST;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use super::{exit, fail, print};
use crate::admin::api;
use crate::config::host::{Host, control_sockets};
use crate::config::{self, Loaded, Overrides};

/// How long an answer may take: the watch answers in milliseconds, under load too.
const PATIENCE: Duration = Duration::from_secs(5);
/// The largest answer that is read.
const ANSWER_MOST: usize = 16 << 20;

/// How a running daemon is found, and how what it says is shown.
#[derive(Args, Debug, Default)]
pub struct Reach {
    /// The daemon's control socket [default: where a daemon of this host keeps it]
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// The daemon's configuration file, whose `[admin] control` says where the socket is [default:
    /// /etc/byway/byway.toml, if it exists]
    #[arg(long, short, value_name = "FILE", conflicts_with = "socket")]
    pub config: Option<PathBuf>,
    /// Print the daemon's answer as JSON
    #[arg(long)]
    pub json: bool,
}

/// Why nothing came of it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unanswered {
    /// There is none.
    #[error("no byway runs here: nobody answers at {}", places(.0))]
    NoDaemon(Vec<PathBuf>),
    /// It is not to be reached.
    #[error("the configuration says that there is no control socket (`[admin] control = \"off\"`)")]
    Off,
    /// There is one, but not for this user.
    #[error("you may not give orders to the byway at {}: become root, or a member of the socket's group", .0.display())]
    Forbidden(PathBuf),
    /// It did not answer as it should.
    #[error("the byway at {} does not answer: {why}", .path.display())]
    Broken {
        /// The socket.
        path: PathBuf,
        /// What went wrong.
        why: String,
    },
    /// It says no.
    #[error("{0}")]
    Refused(String),
}

fn broken(socket: &Path, why: String) -> Unanswered {
    Unanswered::Broken {
        path: socket.to_owned(),
        why,
    }
}

fn places(paths: &[PathBuf]) -> String {
    let all: Vec<String> = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    all.join(" or ")
}

/// The daemon's answer: the document, and its very text.
pub(super) struct Answered<T> {
    pub(super) document: T,
    pub(super) text: String,
}

impl Reach {
    /// Reads `path`, an address of the API with its parameters.
    pub(super) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<Answered<T>, Unanswered> {
        self.ask(Method::GET, path, Vec::new(), PATIENCE)
    }

    /// Gives an order that is answered with a document.
    pub(super) fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        order: &impl Serialize,
    ) -> Result<T, Unanswered> {
        self.post_within(path, order, PATIENCE)
    }

    /// The same for one that may take so long.
    pub(super) fn post_within<T: DeserializeOwned>(
        &self,
        path: &str,
        order: &impl Serialize,
        patience: Duration,
    ) -> Result<T, Unanswered> {
        let body = serde_json::to_vec(order);
        let body = body.map_err(|error| Unanswered::Refused(error.to_string()))?;
        Ok(self.ask(Method::POST, path, body, patience)?.document)
    }

    /// Gives an order.
    pub(super) fn order(&self, path: &str, order: &impl Serialize) -> u8 {
        self.order_within(path, order, PATIENCE)
    }

    /// Gives one that may take so long.
    pub(super) fn order_within(
        &self,
        path: &str,
        order: &impl Serialize,
        patience: Duration,
    ) -> u8 {
        let body = match serde_json::to_vec(order) {
            Ok(body) => body,
            Err(error) => return fail(&error.to_string()),
        };
        match self.ask::<api::Done>(Method::POST, path, body, patience) {
            Ok(Answered { text, .. }) if self.json => print(format!("{text}\n").as_bytes()),
            Ok(Answered { document, .. }) => print(format!("{}\n", document.done).as_bytes()),
            Err(error) => fail(&error.to_string()),
        }
    }

    /// Reads `path` and prints it: as it came with `--json`, otherwise as `show` has it.
    pub(super) fn show<T: DeserializeOwned>(
        &self,
        path: &str,
        show: impl FnOnce(&T) -> String,
    ) -> Result<T, u8> {
        match self.get::<T>(path) {
            Ok(answered) => {
                let text = match self.json {
                    true => answered.text + "\n",
                    false => show(&answered.document),
                };
                match print(text.as_bytes()) {
                    exit::OK => Ok(answered.document),
                    code => Err(code),
                }
            }
            Err(error) => Err(fail(&error.to_string())),
        }
    }

    /// Reads `path`, which is no document.
    pub(super) fn octets(&self, path: &str) -> Result<Vec<u8>, Unanswered> {
        let (octets, _) = self.talk(Method::GET, path, Vec::new(), PATIENCE)?;
        Ok(octets.into())
    }

    fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
        patience: Duration,
    ) -> Result<Answered<T>, Unanswered> {
        let (octets, socket) = self.talk(method, path, body, patience)?;
        let text = String::from_utf8_lossy(&octets).into_owned();
        match serde_json::from_str(&text) {
            Ok(document) => Ok(Answered { document, text }),
            Err(error) => Err(broken(&socket, format!("{error} (another version?)"))),
        }
    }

    /// The daemon's answer, and which socket it came over.
    fn talk(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
        patience: Duration,
    ) -> Result<(Bytes, PathBuf), Unanswered> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| broken(Path::new("-"), error.to_string()))?;
        runtime.block_on(async {
            let (stream, socket) = self.connect().await?;
            let talk = talk(stream, method, path, body);
            let (status, bytes) = match tokio::time::timeout(patience, talk).await {
                Ok(answer) => answer.map_err(|why| broken(&socket, why))?,
                Err(_) => {
                    let why = format!("not within {} s", patience.as_secs());
                    return Err(broken(&socket, why));
                }
            };
            if status != StatusCode::OK {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                let refusal: Result<api::Refusal, _> = serde_json::from_str(&text);
                let why = refusal.map_or(text, |refusal| refusal.error);
                return Err(Unanswered::Refused(why));
            }
            Ok((bytes, socket))
        })
    }

    /// Where the socket may be.
    fn places(&self) -> Result<Vec<PathBuf>, Unanswered> {
        if let Some(path) = &self.socket {
            return Ok(vec![path.clone()]);
        }
        let host = Host::this();
        let loaded = config::load(self.config.as_deref(), &Overrides::default(), &host);
        match (loaded, &self.config) {
            (Ok(Loaded { config, .. }), _) if config.control != host.control_socket => {
                match config.control {
                    Some(path) => Ok(vec![path]),
                    None => Err(Unanswered::Off),
                }
            }
            (Err(error), Some(_)) => {
                let why = error.to_string();
                // Whoever prints it begins so too.
                let why = why.strip_prefix("error: ").unwrap_or(&why);
                Err(Unanswered::Refused(why.to_owned()))
            }
            // Whether the default file is right is not the question here.
            _ => Ok(control_sockets()),
        }
    }

    /// The first of the likely sockets that somebody answers at.
    async fn connect(&self) -> Result<(UnixStream, PathBuf), Unanswered> {
        let places = self.places()?;
        for path in &places {
            match UnixStream::connect(path).await {
                Ok(stream) => return Ok((stream, path.clone())),
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    return Err(Unanswered::Forbidden(path.clone()));
                }
                Err(_) => {}
            }
        }
        Err(Unanswered::NoDaemon(places))
    }
}

async fn talk(
    stream: UnixStream,
    method: Method,
    path: &str,
    body: Vec<u8>,
) -> Result<(StatusCode, Bytes), String> {
    let text = |error: hyper::Error| error.to_string();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(text)?;
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, "byway")
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| error.to_string())?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(text)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_MOST);
        let body = body.collect().await.map_err(|error| error.to_string())?;
        Ok((status, body.to_bytes()))
    };
    tokio::select! {
        answer = answer => answer,
        Err(error) = connection => Err(error.to_string()),
    }
}

/// A parameter's value as it may stand in an address.
pub(super) fn encoded(text: &str) -> String {
    let mut out = String::new();
    for octet in text.bytes() {
        if octet.is_ascii_alphanumeric() || b"-._~".contains(&octet) {
            out.push(char::from(octet));
        } else {
            out += &format!("%{octet:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_asked_for_stays_one_parameter() {
        assert_eq!(encoded("www.example."), "www.example.");
        assert_eq!(encoded("a&b=c d\\.é"), "a%26b%3Dc%20d%5C.%C3%A9");
    }

    #[test]
    fn with_no_daemon_it_says_where_it_looked() {
        let reach = Reach {
            socket: Some("/nonexistent/control.sock".into()),
            ..Reach::default()
        };
        let error = reach.get::<api::Status>("/api/v1/status").err();
        let told = error.expect("nobody is there").to_string();
        assert_eq!(
            told,
            "no byway runs here: nobody answers at /nonexistent/control.sock"
        );
    }

    #[test]
    fn the_configuration_says_where_the_socket_is() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let places = |admin: &str| {
            let upstream = "[[upstream]]\naddress = \"10.0.0.2\"\n";
            std::fs::write(file.path(), format!("version = 1\n{admin}{upstream}")).unwrap();
            let config = Some(file.path().to_owned());
            let reach = Reach {
                config,
                ..Reach::default()
            };
            reach.places().map_err(|error| error.to_string())
        };
        let named = places("[admin]\ncontrol = \"/srv/byway.sock\"\n");
        assert_eq!(named, Ok(vec!["/srv/byway.sock".into()]));
        assert_eq!(places(""), Ok(control_sockets()));
        let wrong = places("wrong = 1\n").unwrap_err();
        assert!(wrong.contains("unknown key"), "{wrong}");
    }
}
