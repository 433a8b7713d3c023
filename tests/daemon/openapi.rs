//! `docs/openapi.json` against the answers of a running daemon: every path, every field.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;

use byway::record::Log;
use serde_json::{Map, Value, json};

use crate::kit::*;

const FILE: &str = include_str!("../../docs/openapi.json");
const SCHEMAS: &str = "#/components/schemas/";

fn file() -> Value {
    serde_json::from_str(FILE).expect("JSON")
}

/// Holds values against the file's schemas, strictly: what a schema does not name is wrong. Knows no more of JSON
/// Schema than the file uses, and says so if it uses more.
struct Judge {
    schemas: Map<String, Value>,
    /// Every field that was seen, `Status.state`.
    seen: BTreeSet<String>,
    faults: Vec<String>,
}

impl Judge {
    fn new(file: &Value) -> Judge {
        let schemas = file["components"]["schemas"].as_object();
        Judge {
            schemas: schemas.expect("schemas").clone(),
            seen: BTreeSet::new(),
            faults: Vec::new(),
        }
    }

    fn check(&mut self, value: &Value, schema: &Value, place: &str) {
        let keywords = schema.as_object().expect("a schema");
        let known = [
            "$ref",
            "description",
            "type",
            "minimum",
            "enum",
            "items",
            "properties",
            "required",
            "additionalProperties",
            "anyOf",
        ];
        for keyword in keywords.keys().filter(|it| !known.contains(&it.as_str())) {
            self.faults
                .push(format!("{place}: {keyword} is not known to this test"));
        }
        if let Some(name) = schema["$ref"].as_str() {
            let name = name.strip_prefix(SCHEMAS).expect("a schema of this file");
            let schema = self.schemas[name].clone();
            return self.check(value, &schema, name);
        }
        if let Some(either) = schema["anyOf"].as_array() {
            let some = either
                .iter()
                .find(|it| (it["type"] == "null") == value.is_null());
            return match some {
                Some(schema) => self.check(value, &schema.clone(), place),
                None => self.faults.push(format!("{place}: {value}")),
            };
        }
        let types: Vec<&str> = match &schema["type"] {
            Value::String(one) => vec![one],
            Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
            other => panic!("{place}: type {other}"),
        };
        let fits = |kind: &&str| match *kind {
            "null" => value.is_null(),
            "boolean" => value.is_boolean(),
            "string" => value.is_string(),
            "number" => value.is_number(),
            "integer" => value.is_u64() || value.is_i64(),
            "array" => value.is_array(),
            "object" => value.is_object(),
            other => panic!("{place}: type {other}"),
        };
        if !types.iter().any(fits) {
            self.faults
                .push(format!("{place}: {value} is none of {types:?}"));
        }
        if schema["minimum"] == 0 && value.as_i64().is_some_and(|it| it < 0) {
            self.faults.push(format!("{place}: {value} is below 0"));
        }
        if let Some(values) = schema["enum"].as_array().filter(|it| !it.contains(value)) {
            self.faults
                .push(format!("{place}: {value} is none of {values:?}"));
        }
        for item in value.as_array().into_iter().flatten() {
            self.check(item, &schema["items"], place);
        }
        if let (Some(fields), Some(properties)) =
            (value.as_object(), schema["properties"].as_object())
        {
            self.fields(fields, properties, &schema["required"], place);
        }
    }

    fn fields(
        &mut self,
        fields: &Map<String, Value>,
        properties: &Map<String, Value>,
        required: &Value,
        place: &str,
    ) {
        for (name, value) in fields {
            let place = format!("{place}.{name}");
            match properties.get(name) {
                Some(schema) => {
                    self.seen.insert(place.clone());
                    self.check(value, schema, &place);
                }
                None => self.faults.push(format!("{place} is not in the file")),
            }
        }
        for name in required.as_array().into_iter().flatten() {
            if !fields.contains_key(name.as_str().expect("a name")) {
                self.faults.push(format!("{place}.{name} is missing"));
            }
        }
    }
}

/// An order over the control socket: status and body.
fn order(socket: &Path, path: &str, body: &str) -> (u16, String) {
    let mut stream = UnixStream::connect(socket).expect("the control socket");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: byway\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).expect("asked");
    let mut response = String::new();
    stream.read_to_string(&mut response).expect("a response");
    let (head, body) = response.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).and_then(|it| it.parse().ok());
    (status.expect("a status"), body.to_owned())
}

/// A daemon of which there is something to tell of everything.
fn daemon(folder: &Path) -> (Daemon, [Upstream; 3]) {
    let upstreams = [Upstream::good(), Upstream::silent(), Upstream::good()];
    let daemon = Setup::to(&[&upstreams[0], &upstreams[1], &upstreams[2]])
        .tables(&format!(
            "[cache]\nsnapshot = \"{}\"\n\n[[guard]]\nzones = [\"svc.internal\"]\nafter = \"0 s\"",
            folder.join("cache").display()
        ))
        .start();
    let socket = daemon.folder().join("control.sock");
    eventually("the silent one is a trouble", || {
        Stub::new(daemon.dns()).ask(&Build::query(
            &format!("n{}.known.test", rand::random::<u32>()),
            A,
        ));
        let status: Value = serde_json::from_str(&daemon.http("/api/v1/status").1).expect("JSON");
        status["troubles"]
            .as_array()
            .is_some_and(|it| !it.is_empty())
    });
    assert_eq!(
        order(
            &socket,
            "/api/v1/drain",
            r#"{"name": "u2", "seconds": 1800}"#
        )
        .0,
        200
    );
    let stub = Stub::new(daemon.dns());
    stub.ask(&Build::query("www.example.com", A));
    let guarded = Build::query("db.svc.internal", A).edns(Edns::new(1232));
    stub.ask(&guarded);
    upstreams[0].now(|asked| match asked.lower().starts_with("db.svc") {
        true => vec![Act::Send(asked.reply().rcode(NXDOMAIN).bytes())],
        false => vec![Act::Send(asked.good())],
    });
    order(&socket, "/api/v1/flush", r#"{"name": "db.svc.internal"}"#);
    eventually("a name has vanished", || stub.ask(&guarded).edes() == [0]);
    (daemon, upstreams)
}

#[test]
fn every_documented_request_is_answered_as_documented() {
    let folder = tempfile::tempdir().expect("a folder");
    let (daemon, _upstreams) = daemon(folder.path());
    let socket = daemon.folder().join("control.sock");
    let file = file();
    let mut judge = Judge::new(&file);
    let answers = |operation: &Value, status: &str| {
        operation["responses"][status]["content"]["application/json"]["schema"].clone()
    };
    // One that takes over, and ends before it has started.
    let taker = folder.path().join("taker.sock");
    let _taker = std::os::unix::net::UnixListener::bind(&taker).expect("a socket");
    // A trace that has something to tell.
    let begun = order(
        &socket,
        "/api/v1/trace",
        r#"{"name": "www.example.com", "seconds": 60}"#,
    );
    assert_eq!(begun.0, 200, "{}", begun.1);
    Stub::new(daemon.dns()).ask(&Build::query("www.example.com", A));
    Stub::new(daemon.dns()).ask(&Build::query("www.example.com", AAAA));
    for (path, operations) in file["paths"].as_object().expect("paths") {
        for (method, operation) in operations.as_object().expect("operations") {
            let (status, body) = if method == "get" {
                let parameters = operation["parameters"].as_array().into_iter().flatten();
                let given = parameters.filter_map(|it| {
                    let name = it["name"].as_str()?;
                    Some(format!("{name}={}", it["example"].as_str()?))
                });
                let given: Vec<String> = given.collect();
                // What is unknown of AAAA is known of A.
                let query = given.join("&").replace("type=AAAA", "type=A");
                daemon_get(&daemon, &format!("{path}?{query}"), operation)
            } else {
                let content = &operation["requestBody"]["content"]["application/json"];
                let example = &content["example"];
                if !example.is_null() {
                    judge.check(example, &content["schema"], path);
                }
                // What the examples name is not there; this is.
                let body = match path.as_str() {
                    "/api/v1/drain" => json!({ "name": "u2", "seconds": 1800 }),
                    "/api/v1/restore" => json!({ "name": "u0" }),
                    "/api/v1/flush" => json!({ "name": "nothing.example", "subtree": true }),
                    "/api/v1/log" => json!({ "level": "info" }),
                    "/api/v1/takeover" => json!({ "socket": taker }),
                    _ => example.clone(),
                };
                order(&socket, path, &body.to_string())
            };
            assert_eq!(status, 200, "{method} {path}: {body}");
            let schema = answers(operation, "200");
            if !schema.is_null() {
                let body: Value = serde_json::from_str(&body).expect("JSON");
                judge.check(&body, &schema, path);
            }
            if let (true, Some(odd)) = (method == "post", operation.get("requestBody")) {
                assert_eq!(odd["required"], true);
                let (status, body) = order(&socket, path, r#"{"nonsense": 1}"#);
                assert_eq!(status, 400, "{path}: {body}");
                let body: Value = serde_json::from_str(&body).expect("JSON");
                judge.check(&body, &answers(operation, "400"), path);
            }
        }
    }
    assert_eq!(judge.faults, Vec::<String>::new());
    let all: BTreeSet<String> = judge
        .schemas
        .iter()
        .flat_map(|(name, schema)| {
            let properties = schema["properties"].as_object().into_iter().flatten();
            properties.map(move |(field, _)| format!("{name}.{field}"))
        })
        .collect();
    let unseen: Vec<&String> = all.difference(&judge.seen).collect();
    assert_eq!(unseen, Vec::<&String>::new(), "fields that no answer had");
}

/// What a reader gets: status, media type, body.
fn read(daemon: &Daemon, path: &str) -> (u16, String, Vec<u8>) {
    let admin = daemon.admin.expect("an admin endpoint");
    let mut stream = TcpStream::connect(admin).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("asked");
    let mut response = Vec::new();
    stream.read_to_end(&mut response).expect("a response");
    let end = response.windows(4).position(|it| it == b"\r\n\r\n");
    let body = response.split_off(end.expect("a head") + 4);
    let head = String::from_utf8(response).expect("text");
    let status = head.split(' ').nth(1).and_then(|it| it.parse().ok());
    let media_type = head
        .lines()
        .find_map(|line| line.strip_prefix("content-type: "));
    let media_type = media_type.expect("a media type").to_owned();
    (status.expect("a status"), media_type, body)
}

/// What a GET is answered, once it is sure to be what the file says: the media type, and of octets what they hold.
fn daemon_get(daemon: &Daemon, path: &str, operation: &Value) -> (u16, String) {
    let (status, media_type, body) = read(daemon, path);
    let content = operation["responses"][status.to_string()]["content"].as_object();
    let documented: Vec<&String> = content.into_iter().flatten().map(|(it, _)| it).collect();
    assert_eq!(documented, [&media_type], "{path}");
    if media_type == "application/octet-stream" {
        let size = body.len() as u64;
        let mut log = Log::default();
        log.add(Box::new(body), size).expect("frames");
        assert!(
            !log.frames().is_empty() && !log.told().is_empty(),
            "{log:?}"
        );
        return (status, String::new());
    }
    (status, String::from_utf8(body).expect("text"))
}

#[test]
fn what_is_served_is_documented_and_the_file_is_served() {
    let upstream = Upstream::good();
    let daemon = Daemon::to(&[&upstream]);
    let (status, served) = daemon.http("/api/v1/openapi.json");
    assert_eq!((status, served.as_str()), (200, FILE));
    let sources = [
        include_str!("../../src/admin/answer.rs"),
        include_str!("../../src/admin/later.rs"),
    ];
    let paths = sources.iter().flat_map(|it| it.split('"'));
    let in_code: BTreeSet<&str> = paths.filter(|it| it.starts_with("/api/v1/")).collect();
    let file = file();
    let documented = file["paths"].as_object().expect("paths");
    let in_file: BTreeSet<&str> = documented
        .keys()
        .map(String::as_str)
        .filter(|it| it.starts_with("/api/"))
        .collect();
    assert_eq!(in_code, in_file);
    let index = daemon.http("/").1;
    for path in documented
        .keys()
        .filter(|it| documented[*it].get("get").is_some())
    {
        // What only a command reads is not for people.
        assert!(
            index.contains(path) || path == "/api/v1/record",
            "{path} in {index}"
        );
    }
}

#[test]
fn the_judge_finds_what_differs() {
    let file = file();
    let faults = |value: Value, name: &str| {
        let mut judge = Judge::new(&file);
        judge.check(&value, &json!({ "$ref": format!("{SCHEMAS}{name}") }), "it");
        judge.faults
    };
    assert_eq!(faults(json!({ "done": "well" }), "Done"), [""; 0]);
    assert_eq!(faults(json!({}), "Done"), ["Done.\"done\" is missing"]);
    let odd = faults(json!({ "done": 1, "more": 2 }), "Done");
    assert_eq!(
        odd,
        [
            "Done.done: 1 is none of [\"string\"]",
            "Done.more is not in the file"
        ]
    );
    assert_eq!(faults(json!("odd"), "State").len(), 1);
    let cache = json!({ "entries": -1, "bytes": 0, "capacity": 0 });
    assert_eq!(faults(cache, "Cache").len(), 1);
}
