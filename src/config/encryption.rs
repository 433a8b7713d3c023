//! `tls-name`, `tls-ca` and `tls-pins`: how an upstream proves who it is.

use std::net::IpAddr;
use std::path::PathBuf;

use data_encoding::BASE64;

use super::report::{Report, Written, quoted};
use super::spec::{Key, UpstreamSpec};
use super::table::Table;
use super::value::{Read, Value};
use super::{UpstreamTls, UpstreamTransport, certificates};

/// As written.
#[derive(Debug, Default)]
pub(super) struct EncryptionSpec {
    name: Key<String>,
    ca: Key<PathBuf>,
    pins: Key<Vec<Written<[u8; 32]>>>,
}

impl EncryptionSpec {
    pub(super) fn read(t: &mut Table<'_, '_>) -> EncryptionSpec {
        EncryptionSpec {
            name: t.read("tls-name", server_name),
            ca: t.read("tls-ca", |it| certificates::pem(it, "a certificate")),
            pins: match t.is_string("tls-pins") {
                true => t.read("tls-pins", pin).map(|it| Written {
                    place: it.place.clone(),
                    value: vec![it],
                }),
                false => t.list("tls-pins", pin),
            },
        }
    }
}

/// How the upstream is told from others, where it is asked over TLS.
pub(super) fn tls(written: &UpstreamSpec, reports: &mut Vec<Report>) -> Option<UpstreamTls> {
    let EncryptionSpec { name, ca, pins } = &written.encryption;
    let transport = written.transport.as_ref();
    if transport.is_none_or(|it| it.value != UpstreamTransport::Tls) {
        let names = [
            name.as_ref().map(|it| ("tls-name", &it.place)),
            ca.as_ref().map(|it| ("tls-ca", &it.place)),
            pins.as_ref().map(|it| ("tls-pins", &it.place)),
        ];
        for (key, place) in names.into_iter().flatten() {
            let message = format!("`{key}` for an upstream that is not asked over TLS");
            let report = Report::error(message, place, "expected `transport = \"tls\"` too");
            reports.push(report.help("nothing is encrypted unless `transport` says so"));
        }
        return None;
    }
    if let Some(transport) = transport
        && cfg!(not(feature = "tls"))
    {
        let message = "this byway speaks no TLS";
        let report = Report::error(message, &transport.place, "expected `\"udp\"` or `\"tcp\"`");
        reports.push(report.help("it was built without the feature `tls`"));
    }
    if let Some(pins) = pins.as_ref().filter(|it| it.value.is_empty()) {
        let report = Report::error("no key will do", &pins.place, "expected at least one");
        reports.push(report.help("leave `tls-pins` out to go by the certificate alone"));
    }
    let pins = pins.iter().flat_map(|it| &it.value);
    Some(UpstreamTls {
        name: name.as_ref().map(|it| it.value.clone()),
        ca: ca.as_ref().map(|it| it.value.clone()),
        pins: pins.map(|it| it.value).collect(),
    })
}

/// What a server's certificate must be made for.
fn server_name(value: &Value<'_>) -> Read<String> {
    let text = value.string("a name in quotes, such as `\"dns.example\"`")?;
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|it| it.is_ascii_alphanumeric() || matches!(it, b'-' | b'_'))
    };
    let last = text.rsplit('.').next().unwrap_or_default();
    let is_name = text.len() <= 253
        && text.split('.').all(is_label)
        && !last.bytes().all(|it| it.is_ascii_digit());
    if is_name || text.parse::<IpAddr>().is_ok() {
        return Ok(text.to_owned());
    }
    let message = format!("{} cannot be the name of a server", quoted(text));
    let label = "expected a host name in ASCII, or an IP address";
    Err(value.error(message, label))
}

fn pin(value: &Value<'_>) -> Read<[u8; 32]> {
    let text = value.string("the SHA-256 of a public key in base64, in quotes")?;
    let digits = text.strip_prefix("sha256/").unwrap_or(text);
    let pin = BASE64.decode(digits.as_bytes()).ok();
    let pin = pin.and_then(|octets| <[u8; 32]>::try_from(octets).ok());
    pin.ok_or_else(|| {
        let message = format!("{} is no pin", quoted(text));
        let label = "expected 44 characters of base64: the SHA-256 of the key (SPKI) in DER";
        let help = "`openssl x509 -in CERT -pubkey -noout | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | base64` prints it";
        value.error(message, label).help(help)
    })
}
