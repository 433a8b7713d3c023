//! `[[record]]`: records that are answered here.

use hickory_proto::rr::{RData, RecordType as Type};
use hickory_proto::serialize::binary::BinEncodable;

use super::RecordConfig;
use super::bounds;
use super::meaning::{at_most, value_or};
use super::report::{Place, Report, quoted};
use super::spec::RecordSpec;
use super::value::{Read, Value};
use crate::wire::{RecordType, name_from_text};

/// Types that make sense here, as people write them.
const TYPES: [RecordType; 12] = [
    RecordType::A,
    RecordType::AAAA,
    RecordType::CNAME,
    RecordType::PTR,
    RecordType::TXT,
    RecordType::SRV,
    RecordType::MX,
    RecordType::HTTPS,
    RecordType::SVCB,
    RecordType::CAA,
    RecordType::NS,
    RecordType::TLSA,
];

/// Makes the records of what is written.
pub(super) fn records(written: &[RecordSpec], reports: &mut Vec<Report>) -> Vec<RecordConfig> {
    let place = |it| record_place(it);
    let written = at_most(written, bounds::MOST_RECORDS, "records", place, reports);
    let mut records: Vec<RecordConfig> = Vec::new();
    for it in written {
        let (Some(name), Some(record_type), Some(data)) = (&it.name, &it.record_type, &it.data)
        else {
            continue;
        };
        let mut wire = Vec::new();
        for text in &data.value {
            match parse(record_type.value, &text.value) {
                Ok(data) => wire.push(data),
                Err(error) => {
                    let message = format!(
                        "{} is no data of type {}",
                        quoted(&text.value),
                        record_type.value
                    );
                    let report = Report::error(message, &text.place, error);
                    reports.push(
                        report.help(
                            "write it as in a zone file (RFC 1035 section 5.1), names in full",
                        ),
                    );
                }
            }
        }
        if data.value.is_empty() {
            let label = "expected the data of at least one record";
            reports.push(Report::error("a record without data", &data.place, label));
        }
        let is_alias = |it: &RecordConfig| it.record_type == RecordType::CNAME;
        let of_name = records.iter().filter(|it| it.name == name.value);
        let alias = record_type.value == RecordType::CNAME;
        if (alias && data.value.len() > 1) || of_name.clone().any(|it| alias || is_alias(it)) {
            let message = "an alias with other records beside it";
            let label = "a name that has a CNAME has nothing else (RFC 1034 section 3.6.2)";
            reports.push(Report::error(message, &name.place, label));
        }
        records.push(RecordConfig {
            name: name.value.clone(),
            record_type: record_type.value,
            text: data.value.iter().map(|it| it.value.clone()).collect(),
            data: wire,
            ttl: value_or(&it.ttl, bounds::RECORD_TTL.default),
        });
    }
    records
}

fn record_place(record: &RecordSpec) -> Option<&Place> {
    record.name.as_ref().map(|it| &it.place)
}

fn parse(record_type: RecordType, text: &str) -> Result<Vec<u8>, String> {
    let data = RData::try_from_str(Type::from(record_type.0), text);
    let data = data.map_err(|error| error.to_string())?;
    data.to_bytes().map_err(|error| error.to_string())
}

/// The name of a record; it may begin with `*.`.
pub(super) fn record_name(value: &Value<'_>) -> Read<Vec<u8>> {
    let text = value.string("a name in quotes, such as `\"db.corp.example\"`")?;
    name_from_text(text)
        .map(|name| name.to_ascii_lowercase())
        .map_err(|error| {
            let message = format!("{} is not a domain name", quoted(text));
            value.error(message, error.to_string())
        })
}

pub(super) fn record_type(value: &Value<'_>) -> Read<RecordType> {
    let choices: Vec<(&'static str, RecordType)> = TYPES
        .iter()
        .filter_map(|it| Some((it.mnemonic()?, *it)))
        .collect();
    value.choice(&choices)
}
