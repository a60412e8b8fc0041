//! `results.json` and its schema.

use recoup_model::verdict::RunResult;

use crate::ReportError;

/// `results.json`: all that was measured and judged, for other programs. [`schema`] describes it.
///
/// # Errors
/// Where a value cannot be written as JSON.
pub fn json(run: &RunResult) -> Result<String, ReportError> {
    Ok(serde_json::to_string_pretty(run)? + "\n")
}

/// The JSON schema of `results.json`, as committed beside this crate's manifest in `results.schema.json`.
///
/// # Errors
/// Where it cannot be written as JSON.
pub fn schema() -> Result<String, ReportError> {
    Ok(serde_json::to_string_pretty(&schemars::schema_for!(RunResult))? + "\n")
}
