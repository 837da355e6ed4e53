//! The published schema of each event is that of the type, and of what the golden file has of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use aseptic_model::{Entry, Event};
use serde_json::{Value, json};

fn formats(name: &str) -> Value {
    // The directory at run time: an archive of tests runs elsewhere than where it was built.
    let root = std::env::var_os("CARGO_MANIFEST_DIR").unwrap();
    let path = PathBuf::from(root).join("../../docs/formats").join(name);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap()
}

/// The words in backticks of a message, after the first, which is the one that was not expected.
fn expected(message: &str) -> BTreeSet<String> {
    message.split('`').skip(3).step_by(2).map(str::to_owned).collect()
}

/// What the parser itself says that it knows: a list that no one has to keep.
fn known_types() -> BTreeSet<String> {
    let error = serde_json::from_value::<Event>(json!({ "type": "?", "body": {} })).unwrap_err();
    expected(&error.to_string())
}

fn known_fields(kind: &str) -> BTreeSet<String> {
    let error = serde_json::from_value::<Event>(json!({ "type": kind, "body": { "?": 1 } })).unwrap_err();
    expected(&error.to_string())
}

fn golden() -> BTreeMap<String, Vec<Value>> {
    let mut bodies: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for line in include_str!("../golden/entries-v1.jsonl").lines() {
        let entry: Value = serde_json::from_str(line).unwrap();
        let kind = entry["event"]["type"].as_str().unwrap().to_owned();
        bodies.entry(kind).or_default().push(entry["event"]["body"].clone());
    }
    bodies
}

fn texts(list: &Value) -> BTreeSet<String> {
    list.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

fn keys(object: &Value) -> BTreeSet<String> {
    object.as_object().unwrap().keys().cloned().collect()
}

/// Checks the few keywords of JSON Schema that these schemas have.
///
/// Source: JSON Schema draft 2020-12. `pattern`, `format` and the bounds are left to other validators.
fn check(schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    let object = schema.as_object().unwrap();
    let wrong = |what: &str| Err(format!("{at}: {value} is not {what}"));
    for (keyword, wanted) in object {
        match keyword.as_str() {
            "$ref" => {
                let (file, pointer) =
                    wanted.as_str().unwrap().split_once('#').unwrap_or((wanted.as_str().unwrap(), ""));
                let file = if file.is_empty() { "entry.json" } else { file.trim_start_matches("../") };
                check(formats(file).pointer(pointer).unwrap(), value, at)?;
            }
            "type" => {
                let fits = match wanted.as_str().unwrap() {
                    "object" => value.is_object(),
                    "array" => value.is_array(),
                    "string" => value.is_string(),
                    "integer" => value.is_u64() || value.is_i64(),
                    "null" => value.is_null(),
                    other => panic!("the type {other}"),
                };
                if !fits {
                    return wrong(&wanted.to_string());
                }
            }
            "const" if wanted != value => return wrong(&wanted.to_string()),
            "enum" if !wanted.as_array().unwrap().contains(value) => return wrong(&wanted.to_string()),
            "anyOf" | "oneOf" => {
                let fitting =
                    wanted.as_array().unwrap().iter().filter(|schema| check(schema, value, at).is_ok());
                let count = fitting.count();
                if count == 0 || (keyword == "oneOf" && count > 1) {
                    return wrong(&format!("{keyword}, {count} fit"));
                }
            }
            "items" => {
                for item in value.as_array().unwrap() {
                    check(wanted, item, at)?;
                }
            }
            "required" if value.is_object() => {
                if let Some(missing) = texts(wanted).difference(&keys(value)).next() {
                    return wrong(&format!("whole: {missing}"));
                }
            }
            "properties" if value.is_object() => {
                for (name, schema) in wanted.as_object().unwrap() {
                    if let Some(value) = value.get(name) {
                        check(schema, value, &format!("{at}.{name}"))?;
                    }
                }
            }
            "additionalProperties" if value.is_object() => {
                let named = object.get("properties").map(keys).unwrap_or_default();
                for (name, value) in
                    value.as_object().unwrap().iter().filter(|(name, _)| !named.contains(*name))
                {
                    match wanted {
                        Value::Bool(false) => return Err(format!("{at}: {name} is not known")),
                        schema => check(schema, value, &format!("{at}.{name}"))?,
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

#[test]
fn every_event_has_a_schema_and_a_golden_entry() {
    let types = known_types();
    assert!(types.len() >= 26, "{types:?}");
    assert_eq!(golden().into_keys().collect::<BTreeSet<_>>(), types, "golden entries");
    let entry = formats("entry.json");
    assert_eq!(texts(&entry["properties"]["event"]["properties"]["type"]["enum"]), types, "entry.json");
    for choice in entry["properties"]["event"]["oneOf"].as_array().unwrap() {
        let kind = choice["properties"]["type"]["const"].as_str().unwrap();
        assert_eq!(choice["properties"]["body"]["$ref"], format!("events/{kind}.json"));
    }
    let fields = serde_json::from_value::<Entry>(json!({ "?": 1 })).unwrap_err();
    assert_eq!(keys(&entry["properties"]), expected(&fields.to_string()));
    assert_eq!(entry["additionalProperties"], false);
}

#[test]
fn the_schema_of_an_event_is_that_of_its_type() {
    for (kind, bodies) in golden() {
        let schema = formats(&format!("events/{kind}.json"));
        assert_eq!(schema["title"], *kind);
        assert_eq!(schema["additionalProperties"], false, "{kind}");
        let known = known_fields(&kind);
        assert_eq!(keys(&schema["properties"]), known, "{kind}: properties");
        let always =
            bodies.iter().map(keys).reduce(|all, body| all.intersection(&body).cloned().collect()).unwrap();
        assert_eq!(texts(&schema["required"]), always, "{kind}: required is what every golden entry has");
        let ever: BTreeSet<_> = bodies.iter().flat_map(keys).collect();
        assert_eq!(ever, known, "{kind}: a golden entry has each field");
    }
}

#[test]
fn golden_entries_fit_the_schema_and_changed_ones_do_not() {
    let schema = formats("entry.json");
    for line in include_str!("../golden/entries-v1.jsonl").lines() {
        let entry: Value = serde_json::from_str(line).unwrap();
        check(&schema, &entry, "entry").unwrap();
        for field in keys(&entry["event"]["body"]) {
            let mut other = entry.clone();
            other["event"]["body"][&field] = json!([{ "?": 1 }]);
            assert!(check(&schema, &other, "entry").is_err(), "{field} of {line}");
        }
        let mut other = entry.clone();
        other["event"]["body"]["?"] = json!(1);
        assert!(check(&schema, &other, "entry").is_err(), "{line}");
    }
}
