//! One request, one response: what each address of the watch answers.

use std::str::FromStr;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderValue,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::{HeaderMap, Method, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::desk::{Desk, Refused};
use super::{AdminState, Check, api};
use crate::observe::metrics;

/// What a request came over, and so what it may do.
#[derive(Clone, Debug)]
pub(super) enum Door {
    /// The network: for reading only. `loopback`: only this host reaches it, so a `Host` header that names
    /// another one is a page's attempt to reach what its own host cannot (DNS rebinding).
    Network {
        /// It listens on a loopback address.
        loopback: bool,
    },
    /// The control socket; `by` says who is at its other end.
    Control {
        /// `uid 0 (pid 4711)`.
        by: String,
    },
}

/// Everything of a request that matters, its body read.
pub(super) struct Wanted<'a> {
    pub(super) method: &'a Method,
    pub(super) path: &'a str,
    pub(super) query: &'a str,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a [u8],
}

pub(super) type Answer = Response<Full<Bytes>>;

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const OCTETS: &str = "application/octet-stream";

/// The most events told at once, and how many if the request does not say.
const EVENTS_MOST: usize = 1000;
const EVENTS_USUAL: usize = 100;

/// The most names and clients told at once, and how many if the request does not say.
const TOP_MOST: usize = 1000;
const TOP_USUAL: usize = 10;

/// What the API says, for programs. A test compares it with real answers.
const OPENAPI: &str = include_str!("../../docs/openapi.json");

const INDEX: &str = "\
byway, read-only:
  /metrics         counters and gauges, Prometheus text format
  /healthz         200 while everything that answers queries turns over
  /readyz          200 while queries can be answered
  /api/v1/status   how everything is: state, paths, upstreams, routes, cache
  /api/v1/routes   every route and what its verdict rests on
  /api/v1/events   what happened, oldest first; ?after=NUMBER, ?most=NUMBER, ?details=true
  /api/v1/why      what would be done for a question now; ?name=NAME&type=TYPE
  /api/v1/cache    what is held for a name; ?name=NAME
  /api/v1/top      what is asked for most and who asks most; ?most=NUMBER; from this host only
  /api/v1/history  what clients felt and how each route fared; ?from=TIME&to=TIME&step=SECONDS
  /api/v1/guard    names under guard, and which of them have vanished
  /api/v1/openapi.json   the same for programs: every request and every field
  /api/v1/record   what the flight recorder keeps in memory for want of a file
";

/// What a request is answered.
pub(super) fn respond(wanted: &Wanted<'_>, door: &Door, state: &AdminState) -> Answer {
    if let Some(refusal) = turn_away(wanted, door) {
        return refusal;
    }
    match (wanted.method, door) {
        (&Method::GET | &Method::HEAD, _) if wanted.body.is_empty() => read(wanted, door, state),
        (&Method::GET | &Method::HEAD, _) => {
            refuse(StatusCode::PAYLOAD_TOO_LARGE, "such a request has no body")
        }
        (&Method::POST, Door::Control { by }) => change(wanted, by, &*state.desk),
        _ => {
            let mut refusal = refuse(
                StatusCode::METHOD_NOT_ALLOWED,
                "for reading only: GET or HEAD; what changes something goes over the control socket",
            );
            let headers = refusal.headers_mut();
            headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            refusal
        }
    }
}

/// What a request gets that came by a name that is not this host's.
pub(super) fn turn_away(wanted: &Wanted<'_>, door: &Door) -> Option<Answer> {
    let foreign =
        matches!(door, Door::Network { loopback: true }) && !is_local_host(wanted.headers);
    foreign.then(|| {
        refuse(
            StatusCode::FORBIDDEN,
            "this address is for this host only: ask it by its IP address or as localhost",
        )
    })
}

fn read(wanted: &Wanted<'_>, door: &Door, state: &AdminState) -> Answer {
    let desk = &state.desk;
    match wanted.path {
        "/" => text(StatusCode::OK, INDEX),
        "/metrics" => {
            let mut page = text(StatusCode::OK, state.metrics.text());
            let media_type = HeaderValue::from_static(metrics::CONTENT_TYPE);
            page.headers_mut().insert(CONTENT_TYPE, media_type);
            page
        }
        "/healthz" => verdict(&state.health),
        "/readyz" => verdict(&state.readiness),
        "/api/v1/status" => json(StatusCode::OK, &desk.status()),
        "/api/v1/routes" => {
            let routes = desk.status().routes;
            json(StatusCode::OK, &api::Routes { routes })
        }
        "/api/v1/events" => events(wanted.query, &**desk),
        "/api/v1/why" => {
            let name = parameter(wanted.query, "name").unwrap_or_default();
            let record_type = parameter(wanted.query, "type");
            told(desk.why(&name, record_type.as_deref().unwrap_or("A")))
        }
        "/api/v1/cache" => {
            let name = parameter(wanted.query, "name").unwrap_or_default();
            told(desk.cache(&name))
        }
        "/api/v1/top" => match door {
            Door::Network { loopback: false } => refuse(
                StatusCode::FORBIDDEN,
                "what clients ask is for this host alone: ask over the control socket (`byway top`)",
            ),
            _ => told(
                number(wanted.query, "most", TOP_USUAL).map(|most| desk.top(most.min(TOP_MOST))),
            ),
        },
        "/api/v1/guard" => json(StatusCode::OK, &desk.guard()),
        "/api/v1/openapi.json" => {
            let mut document = text(StatusCode::OK, OPENAPI);
            let media_type = HeaderValue::from_static(JSON);
            document.headers_mut().insert(CONTENT_TYPE, media_type);
            document
        }
        "/api/v1/record" => {
            let mut record = text(StatusCode::OK, desk.record());
            let media_type = HeaderValue::from_static(OCTETS);
            record.headers_mut().insert(CONTENT_TYPE, media_type);
            record
        }
        _ => refuse(StatusCode::NOT_FOUND, "not here; / lists what is"),
    }
}

fn events(query: &str, desk: &dyn Desk) -> Answer {
    let told_events = || {
        let after = number(query, "after", 0)?;
        let most = number(query, "most", EVENTS_USUAL)?.min(EVENTS_MOST);
        let details = match parameter(query, "details").as_deref() {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => return Err(Refused::Wrong("`details` is true or false".into())),
        };
        Ok(desk.events(after, most, details))
    };
    told(told_events())
}

/// A whole number that a parameter gives; `usual` if it is not given.
fn number<T: FromStr>(query: &str, key: &str, usual: T) -> Result<T, Refused> {
    match parameter(query, key) {
        None => Ok(usual),
        Some(text) => text
            .parse()
            .map_err(|_| Refused::Wrong(format!("`{key}` is a whole number"))),
    }
}

fn change(wanted: &Wanted<'_>, by: &str, desk: &dyn Desk) -> Answer {
    let body = wanted.body;
    match wanted.path {
        "/api/v1/drain" => ordered(body, |order| desk.drain(order, by)),
        "/api/v1/restore" => ordered(body, |order| desk.restore(order, by)),
        "/api/v1/flush" => ordered(body, |order| desk.flush(order, by)),
        "/api/v1/guard/release" => ordered(body, |order| desk.release(order, by)),
        "/api/v1/takeover" => ordered(body, |order| desk.takeover(order, by)),
        "/api/v1/trace" => ordered(body, |order| desk.trace(order, by)),
        "/api/v1/trace/lines" => ordered(body, |order| desk.trace_lines(order)),
        "/api/v1/log" => ordered(body, |order| desk.log(order, by)),
        _ => refuse(
            StatusCode::NOT_FOUND,
            "no such order; there are drain, restore, flush, guard/release, trace, trace/lines, log, snapshot, reload and takeover",
        ),
    }
}

/// Does what the order in the body says, if it can be read.
fn ordered<T: DeserializeOwned, R: Serialize>(
    body: &[u8],
    carry_out: impl FnOnce(&T) -> Result<R, Refused>,
) -> Answer {
    match serde_json::from_slice(body) {
        Ok(order) => told(carry_out(&order)),
        Err(error) => refuse(
            StatusCode::BAD_REQUEST,
            &format!("the order cannot be read: {error}"),
        ),
    }
}

/// A document, or why there is none.
pub(super) fn told<T: Serialize>(result: Result<T, Refused>) -> Answer {
    match result {
        Ok(document) => json(StatusCode::OK, &document),
        Err(Refused::Wrong(why)) => refuse(StatusCode::BAD_REQUEST, &why),
        Err(Refused::Unknown(why)) => refuse(StatusCode::NOT_FOUND, &why),
        Err(Refused::Busy(why)) => refuse(StatusCode::SERVICE_UNAVAILABLE, &why),
        Err(Refused::Failed(why)) => refuse(StatusCode::INTERNAL_SERVER_ERROR, &why),
    }
}

/// The value of a parameter, percent-decoded. One that cannot be decoded is as good as none.
pub(super) fn parameter(query: &str, key: &str) -> Option<String> {
    let found = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(name, _)| *name == key);
    let (_, value) = found?;
    let mut octets = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(octet) = rest.next() {
        octets.push(match octet {
            b'+' => b' ',
            b'%' => {
                let high = char::from(rest.next()?).to_digit(16)?;
                let low = char::from(rest.next()?).to_digit(16)?;
                u8::try_from(high * 16 + low).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(octets).ok()
}

/// Whether the request names this host as a program on it would: by address, or as localhost. One without the
/// header is not from a browser.
fn is_local_host(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(HOST) else {
        return true;
    };
    let Ok(authority) = host
        .to_str()
        .unwrap_or_default()
        .parse::<hyper::http::uri::Authority>()
    else {
        return false;
    };
    let host = authority.host();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.parse::<std::net::IpAddr>().is_ok() || host.eq_ignore_ascii_case("localhost")
}

fn verdict(check: &Check) -> Answer {
    match check() {
        Ok(None) => text(StatusCode::OK, "ok\n"),
        Ok(Some(remark)) => text(StatusCode::OK, format!("ok\n{remark}\n")),
        Err(why) => text(StatusCode::SERVICE_UNAVAILABLE, why + "\n"),
    }
}

fn json(status: StatusCode, document: &impl Serialize) -> Answer {
    let body = match serde_json::to_vec(document) {
        Ok(body) => body,
        // Maps with keys that are no strings are all that could fail; there are none.
        Err(error) => return text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    };
    let mut response = text(status, body);
    let media_type = HeaderValue::from_static(JSON);
    response.headers_mut().insert(CONTENT_TYPE, media_type);
    response
}

/// An answer that says no.
pub(super) fn refuse(status: StatusCode, why: &str) -> Answer {
    json(status, &api::Refusal { error: why.into() })
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, TEXT),
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded() {
        let query = "name=a%2Eb&type=AAAA&odd=%zz&last=x+y";
        assert_eq!(parameter(query, "name").as_deref(), Some("a.b"));
        assert_eq!(parameter(query, "type").as_deref(), Some("AAAA"));
        assert_eq!(parameter(query, "last").as_deref(), Some("x y"));
        assert_eq!(parameter(query, "odd"), None);
        assert_eq!(parameter(query, "missing"), None);
        assert_eq!(parameter("name=%4", "name"), None);
    }

    #[test]
    fn only_this_host_by_address_or_as_localhost() {
        let named = |host: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_str(host).expect("a header"));
            is_local_host(&headers)
        };
        for host in [
            "127.0.0.1:9453",
            "localhost",
            "LocalHost:1",
            "[::1]:9453",
            "10.1.2.3",
        ] {
            assert!(named(host), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example:9453",
            "",
            "a b",
            "127.0.0.1.evil.example",
        ] {
            assert!(!named(host), "{host}");
        }
        assert!(is_local_host(&HeaderMap::new()));
    }
}
