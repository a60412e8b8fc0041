//! The files on disk: whole, replaced, and in the shape that the schema promises.

mod fixtures;

use std::{collections::BTreeSet, fs, path::Path};

use recoup_model::verdict::RunResult;
use recoup_report::{FILES, html, json, schema, write_all};
use serde_json::Value;

const SCHEMA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/results.schema.json");

fn directory(name: &str) -> std::path::PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&dir);
    dir
}

#[test]
fn all_four_are_written_and_replaced_and_nothing_else_is_left() {
    let dir = directory("reports-mixed");
    write_all(&dir, &fixtures::simulated()).expect("they are written");
    let run = fixtures::mixed();
    let paths = write_all(&dir, &run).expect("they are written");
    assert_eq!(paths, FILES.map(|name| dir.join(name)));
    let found: BTreeSet<String> = fs::read_dir(&dir)
        .expect("it is there")
        .flatten()
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(found, FILES.map(str::to_owned).into());
    assert_eq!(fs::read_to_string(dir.join("report.html")).expect("it is there"), html(&run));
    assert_eq!(
        fs::read_to_string(dir.join("results.json")).expect("it is there"),
        json(&run).expect("it is made")
    );
}

#[test]
fn a_simulated_run_can_be_looked_at() {
    let dir = directory("reports-simulated");
    let paths = write_all(&dir, &fixtures::simulated()).expect("they are written");
    for path in paths {
        let text = fs::read_to_string(&path).expect("it is there");
        let marked = text.contains("SIMULATED") || text.contains("\"simulated\": true");
        assert!(marked, "{} does not say that it is simulated", path.display());
    }
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let dir = directory("reports-blocked");
    fs::create_dir_all(&dir).expect("it is made");
    let file = dir.join("file");
    fs::write(&file, "").expect("it is written");
    let error = write_all(&file.join("run"), &fixtures::mixed()).expect_err("a file is in the way");
    assert!(error.to_string().contains("reports-blocked"), "{error}");
}

#[test]
fn results_read_back_as_they_were() {
    let run = fixtures::mixed();
    let read: RunResult = serde_json::from_str(&json(&run).expect("it is made")).expect("it is JSON");
    assert_eq!(read, run);
}

/// With `UPDATE_SCHEMA=1` the file is written anew.
#[test]
fn the_committed_schema_is_the_code_s() {
    let generated = schema().expect("it is made");
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        fs::write(SCHEMA, &generated).expect("it is written");
    }
    let committed = fs::read_to_string(SCHEMA).expect("it is there");
    assert_eq!(committed, generated, "run the tests once with UPDATE_SCHEMA=1");
}

#[test]
fn results_have_the_shape_that_the_schema_promises() {
    let schema: Value = serde_json::from_str(&schema().expect("it is made")).expect("it is JSON");
    for run in [fixtures::mixed(), fixtures::simulated()] {
        let results: Value = serde_json::from_str(&json(&run).expect("it is made")).expect("it is JSON");
        let problem = problem(&schema, &schema, &results, "results");
        assert_eq!(problem, None);
    }
    let mut wrong: Value =
        serde_json::from_str(&json(&fixtures::mixed()).expect("it is made")).expect("it is JSON");
    wrong["experiments"][0]["verdict"] = "perhaps".into();
    assert!(problem(&schema, &schema, &wrong, "results").is_some(), "the check checks nothing");
}

/// The first place where a value leaves its schema: the part of JSON schema that ours uses.
fn problem(root: &Value, schema: &Value, value: &Value, place: &str) -> Option<String> {
    if let Some(name) = schema["$ref"].as_str() {
        return problem(root, &root["$defs"][name.rsplit('/').next().unwrap_or_default()], value, place);
    }
    for key in ["oneOf", "anyOf"] {
        if let Some(choices) = schema[key].as_array() {
            let fitting =
                choices.iter().filter(|choice| problem(root, choice, value, place).is_none()).count();
            return (fitting == 0).then(|| format!("{place}: {value} fits no choice"));
        }
    }
    if !schema["const"].is_null() && schema["const"] != *value {
        return Some(format!("{place}: {value} is not {}", schema["const"]));
    }
    if schema["enum"].as_array().is_some_and(|values| !values.contains(value)) {
        return Some(format!("{place}: {value} is not one of {}", schema["enum"]));
    }
    let is = |kind: &str| match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("the schema has an unknown type {other}"),
    };
    let fits = match &schema["type"] {
        Value::String(kind) => is(kind),
        Value::Array(kinds) => kinds.iter().any(|kind| is(kind.as_str().unwrap_or_default())),
        _ => true,
    };
    if !fits {
        return Some(format!("{place}: {value} is no {}", schema["type"]));
    }
    if let Some(object) = value.as_object() {
        for name in schema["required"].as_array().into_iter().flatten() {
            if !object.contains_key(name.as_str().unwrap_or_default()) {
                return Some(format!("{place}: {name} is missing"));
            }
        }
        for (name, inner) in object {
            let place = format!("{place}.{name}");
            match schema["properties"].get(name) {
                Some(known) => {
                    if let Some(found) = problem(root, known, inner, &place) {
                        return Some(found);
                    }
                }
                None if schema["additionalProperties"] == Value::Bool(false) => {
                    return Some(format!("{place}: unknown"));
                }
                None => {}
            }
        }
    }
    let items = value.as_array().into_iter().flatten().enumerate();
    let single = schema["items"].is_object();
    let mut wrong = items.filter_map(|(n, item)| {
        let wanted = if single { &schema["items"] } else { schema["prefixItems"].get(n)? };
        problem(root, wanted, item, &format!("{place}[{n}]"))
    });
    wrong.next()
}
