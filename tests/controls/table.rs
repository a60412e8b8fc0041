//! What was caught and what was not, as a table and for the documentation.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result};
use recoup_model::{spec::control::Control, topology::ProviderKind, verdict::Verdict};

use crate::run::Outcome;

/// One line.
pub struct Row {
    name: String,
    why: String,
    experiment: String,
    provider: ProviderKind,
    due: Verdict,
    got: Option<Verdict>,
    caught: bool,
    kubernetes: String,
}

impl Row {
    /// A control that came to something; none where it could not be carried out.
    pub fn new(control: &Control, provider: ProviderKind, outcome: Option<&Outcome>) -> Row {
        Row {
            name: control.name.clone(),
            why: control.spec.why.clone(),
            experiment: control.plan.id.clone(),
            provider,
            due: control.spec.expect.with(provider),
            got: outcome.map(|outcome| outcome.got),
            caught: outcome.is_some_and(|outcome| outcome.caught),
            kubernetes: outcome.map(|outcome| outcome.kubernetes.clone()).unwrap_or_default(),
        }
    }
}

/// As Markdown, in the order in which they ran.
pub fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "| control | what must be noticed | experiment | on | verdict due | verdict got | caught |\n\
         | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for row in rows {
        let got = row.got.map_or("none".to_owned(), |got| got.to_string());
        let caught = if row.caught { "yes" } else { "**no**" };
        let Row { name, why, experiment, provider, due, .. } = row;
        text += &format!("| {name} | {why} | {experiment} | {provider} | {due} | {got} | {caught} |\n");
    }
    let caught = rows.iter().filter(|row| row.caught).count();
    text + &format!("\n{caught} of {} caught\n", rows.len())
}

/// Keeps for the documentation what real clusters said: by control, the Kubernetes version and whether it was caught.
///
/// # Errors
/// Where the file cannot be read or written.
pub fn keep(rows: &[Row], file: &Path) -> Result<()> {
    let text = fs::read_to_string(file).unwrap_or_else(|_| "{}".into());
    let mut kept: BTreeMap<String, BTreeMap<String, bool>> =
        serde_json::from_str(&text).with_context(|| file.display().to_string())?;
    for row in rows.iter().filter(|row| row.provider == ProviderKind::Kind && row.got.is_some()) {
        kept.entry(row.name.clone()).or_default().insert(row.kubernetes.clone(), row.caught);
    }
    let text = serde_json::to_string_pretty(&kept)? + "\n";
    fs::write(file, text).with_context(|| file.display().to_string())
}
