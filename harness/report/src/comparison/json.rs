//! A comparison for other programs.

use recoup_model::compare::Comparison;

use crate::ReportError;

/// A comparison as JSON; lengths have their units, shifts are in seconds.
///
/// # Errors
/// Where a value cannot be written as JSON.
pub fn comparison_json(comparison: &Comparison) -> Result<String, ReportError> {
    Ok(serde_json::to_string_pretty(comparison)? + "\n")
}
