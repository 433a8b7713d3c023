//! A JSON schema of the configuration file, for editors: the keys that the reader knows, with the comments and the kinds of
//! value of the annotated file. It is no judge: `byway check` is.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::ANNOTATED;
use super::table::SHAPE;

/// What the annotated file says of a key or a table.
#[derive(Default)]
struct Explained {
    comment: String,
    /// The values that stand there, as types of JSON.
    types: Vec<&'static str>,
    /// Whether that is the built-in default.
    default: Option<Value>,
}

/// The schema, in draft 7, which editors know best.
pub fn schema() -> Value {
    let explained = explained();
    let of = |header: &str, key: &str| explained.get(&(header.to_owned(), key.to_owned()));
    let comment = |header: &str, key: &str| of(header, key).map_or("", |it| it.comment.as_str());
    let mut top = Map::new();
    for (header, keys) in SHAPE {
        let mut properties = Map::new();
        for key in *keys {
            let mut property = Map::new();
            if let Some(explained) = of(header, key) {
                property.insert("description".into(), json!(explained.comment));
                if !explained.types.is_empty() {
                    property.insert("type".into(), json!(explained.types));
                }
                if let Some(default) = &explained.default {
                    property.insert("default".into(), default.clone());
                }
            }
            properties.insert((*key).to_owned(), property.into());
        }
        let name = header.trim_matches(['[', ']']);
        if name.is_empty() {
            properties.into_iter().for_each(|(key, property)| {
                // Those of the tables stand below.
                if of(header, &key).is_some() {
                    top.insert(key, property);
                }
            });
            continue;
        }
        let mut table = Map::new();
        table.insert("type".into(), json!("object"));
        table.insert("additionalProperties".into(), json!(false));
        table.insert("properties".into(), properties.into());
        let about = comment(header, "");
        top.insert(
            name.to_owned(),
            match header.starts_with("[[") {
                true => json!({ "description": about, "type": "array", "items": table }),
                false => {
                    table.insert("description".into(), json!(about));
                    table.into()
                }
            },
        );
    }
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "The configuration of byway",
        "type": "object",
        "required": ["version"],
        "additionalProperties": false,
        "properties": top,
    })
}

/// By table and key; the key is empty for the table itself.
fn explained() -> BTreeMap<(String, String), Explained> {
    let mut all: BTreeMap<(String, String), Explained> = BTreeMap::new();
    let (mut header, mut comment) = (String::new(), String::new());
    for line in ANNOTATED.lines() {
        let bare = line.strip_prefix('#').unwrap_or(line);
        if bare.is_empty() {
            comment.clear();
        } else if bare.starts_with('[') {
            header = bare.to_owned();
            all.entry((header.clone(), String::new()))
                .or_default()
                .comment += std::mem::take(&mut comment).trim();
        } else if !line.starts_with("# ")
            && let Some((key, value)) = bare.split_once(" = ")
        {
            let explained = all.entry((header.clone(), key.to_owned())).or_default();
            explained.comment += std::mem::take(&mut comment).trim();
            let value = toml::from_str::<Value>(&format!("it = {value}"));
            let value = value
                .ok()
                .and_then(|mut it| it.get_mut("it").map(Value::take));
            for name in value.iter().flat_map(types_of) {
                if !explained.types.contains(name) {
                    explained.types.push(name);
                }
            }
            if !line.starts_with('#') {
                explained.default = value;
            }
        } else {
            comment += bare;
        }
    }
    all
}

/// What may stand where such a value does: a size may be a number or a text with its unit, one of several may stand alone.
fn types_of(value: &Value) -> &'static [&'static str] {
    match value {
        Value::Bool(_) => &["boolean"],
        Value::Number(_) => &["integer", "number", "string"],
        Value::String(_) => &["string", "integer", "number", "array"],
        Value::Array(_) => &["array", "string"],
        Value::Null | Value::Object(_) => &[],
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// What of a file, as a value, the schema does not allow.
    pub(in crate::config) fn refused(file: &Value) -> Vec<String> {
        let schema = schema();
        let mut refused = Vec::new();
        let mut look = |properties: &Value, table: &Value, place: &str| {
            for (key, value) in table.as_object().into_iter().flatten() {
                let place = format!("{place}{key}");
                let Some(property) = properties.get(key) else {
                    refused.push(format!("{place} is unknown"));
                    continue;
                };
                let name = match value {
                    Value::Bool(_) => "boolean",
                    Value::Number(it) if it.is_i64() || it.is_u64() => "integer",
                    Value::Number(_) => "number",
                    Value::String(_) => "string",
                    Value::Array(_) => "array",
                    Value::Null | Value::Object(_) => "object",
                };
                let types = property.get("type").cloned().unwrap_or(json!([name]));
                let fits = types == name
                    || types
                        .as_array()
                        .is_some_and(|all| all.contains(&json!(name)));
                if !fits {
                    refused.push(format!("{place} is a {name}, and {types} are allowed"));
                }
            }
        };
        let top = &schema["properties"];
        look(top, file, "");
        for (name, table) in file.as_object().into_iter().flatten() {
            match table {
                Value::Object(_) => look(&top[name]["properties"], table, &format!("{name}.")),
                Value::Array(all) => all.iter().filter(|it| it.is_object()).for_each(|it| {
                    look(&top[name]["items"]["properties"], it, &format!("{name}."));
                }),
                _ => {}
            }
        }
        refused
    }

    #[test]
    fn every_key_is_described_and_the_annotated_file_is_right_by_it() {
        let schema = schema();
        for (header, keys) in SHAPE.iter().filter(|(header, _)| !header.is_empty()) {
            let name = header.trim_matches(['[', ']']);
            let table = &schema["properties"][name];
            let properties = match header.starts_with("[[") {
                true => &table["items"]["properties"],
                false => &table["properties"],
            };
            for key in *keys {
                let described = properties[key]["description"].as_str();
                let is_grouped = described == Some("");
                assert!(described.is_some() || is_grouped, "{header} {key}");
            }
        }
        let file = toml::from_str::<Value>(ANNOTATED).expect("a file");
        assert_eq!(refused(&file), [""; 0]);
        let odd = json!({ "version": 1, "cache": { "siz": 1, "rotate": "yes" } });
        assert_eq!(refused(&odd).len(), 2);
    }
}
