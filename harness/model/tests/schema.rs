//! suites/schema.json is made from the types that read suites, and must not differ from them.

use recoup_model::spec::ExperimentFile;
use serde_json::Value;

/// `UPDATE_SCHEMA=1 cargo test -p recoup-model --test schema` writes it anew.
#[test]
fn the_schema_of_suites_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../suites/schema.json");
    let mut wanted = schemars::schema_for!(ExperimentFile).to_value();
    // Whether a map keeps its order depends on what else is built along with this.
    wanted.sort_all_objects();
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        let text = serde_json::to_string_pretty(&wanted).expect("a schema is JSON") + "\n";
        std::fs::write(path, text).expect("suites/schema.json can be written");
    }
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let found: Value = serde_json::from_str(&text).unwrap_or_default();
    assert!(
        found == wanted,
        "suites/schema.json differs from the types: run with UPDATE_SCHEMA=1 to write it anew"
    );
}

#[test]
fn the_schema_knows_every_step() {
    let schema = serde_json::to_string(&schemars::schema_for!(ExperimentFile)).expect("a schema is JSON");
    for key in ["signal", "staticPod", "unit", "pause", "drop", "killContainer", "deletePods", "wait"] {
        assert!(schema.contains(&format!("\"{key}\"")), "{key} is missing");
    }
}
