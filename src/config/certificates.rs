//! `[[certificate]]`, and what of a listener has to do with it.

use std::collections::HashMap;
use std::path::PathBuf;

use super::meaning::{at_most, first_time};
use super::report::{Place, Report, quoted};
use super::spec::{CertificateSpec, ListenSpec, ListenTransport, absolute};
use super::value::{Read, Value};
use super::{CertificateConfig, bounds};

/// The place of a file in PEM.
pub(super) fn pem(value: &Value<'_>, what: &str) -> Read<PathBuf> {
    let text = value.string("the path of a file in quotes")?;
    if text.contains("-----BEGIN") {
        let message = format!("`{}` names a file and does not hold it", value.key);
        let report = value.error(message, "expected the absolute path of a file");
        return Err(report.help("write it to a file that byway alone can read"));
    }
    absolute(text).ok_or_else(|| {
        let message = format!("{} cannot be the place of {what}", quoted(text));
        value.error(message, "expected the absolute path of a file")
    })
}

/// Makes the certificates of what is written.
pub(super) fn certificates(
    written: &[CertificateSpec],
    reports: &mut Vec<Report>,
) -> Vec<CertificateConfig> {
    let most = bounds::MOST_CERTIFICATES;
    let place = |it| chain_place(it);
    let written = at_most(written, most, "certificates", place, reports);
    let mut seen = HashMap::new();
    let mut certificates = Vec::new();
    for it in written {
        let (Some(chain), Some(key)) = (&it.chain, &it.key) else {
            continue;
        };
        let message = || format!("the certificate {} twice", chain.value.display());
        first_time(&mut seen, &chain.value, &chain.place, message, reports);
        certificates.push(CertificateConfig {
            chain: chain.value.clone(),
            key: key.value.clone(),
        });
    }
    certificates
}

fn chain_place(certificate: &CertificateSpec) -> Option<&Place> {
    certificate.chain.as_ref().map(|it| &it.place)
}

/// What a listener takes: UDP, TCP, TLS.
pub(super) fn transports(listen: &ListenSpec, reports: &mut Vec<Report>) -> [bool; 3] {
    let Some(written) = &listen.transports else {
        return [true, true, false];
    };
    let mut seen = HashMap::new();
    for it in &written.value {
        let message = || "a transport is named twice".to_owned();
        first_time(&mut seen, it.value, &it.place, message, reports);
    }
    if written.value.is_empty() {
        let label = "expected `\"udp\"`, `\"tcp\"` or both, or `\"tls\"`";
        let report = Report::error("a listener without a transport", &written.place, label);
        reports.push(report.help("leave `transports` out for UDP and TCP"));
    }
    if let Some(tls) = seen.get(&ListenTransport::Tls) {
        if seen.len() > 1 {
            let message = "a listener with TLS takes nothing else";
            let report = Report::error(message, tls, "expected `\"tls\"` alone");
            let help = "give TLS a table of its own, with a port of its own: 853 is the usual one";
            reports.push(report.help(help));
        }
        if cfg!(not(feature = "tls")) {
            let message = "this byway speaks no TLS";
            let report = Report::error(message, tls, "expected `\"udp\"`, `\"tcp\"` or both");
            reports.push(report.help("it was built without the feature `tls`"));
        }
    }
    [
        ListenTransport::Udp,
        ListenTransport::Tcp,
        ListenTransport::Tls,
    ]
    .map(|it| seen.contains_key(&it))
}

/// Reports listeners that have nothing to show.
pub(super) fn check(
    listen: &[ListenSpec],
    certificates: &[CertificateSpec],
    reports: &mut Vec<Report>,
) {
    let speaks_tls = |it: &&ListenSpec| {
        let transports = it.transports.iter().flat_map(|it| &it.value);
        transports
            .map(|it| it.value)
            .any(|it| it == ListenTransport::Tls)
    };
    if let (Some(listen), true) = (listen.iter().find(speaks_tls), certificates.is_empty())
        && let Some(transports) = &listen.transports
    {
        let message = "a listener with TLS has no certificate to show";
        let report = Report::error(message, &transports.place, "expected a `[[certificate]]`");
        reports.push(report.help("add a table `[[certificate]]` with `chain` and `key`"));
    }
}
