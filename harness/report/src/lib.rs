//! The readable forms of a run's results: JSON, JUnit, Markdown, HTML and plain text.
//!
//! Every form is a pure function of [`recoup_model::verdict::RunResult`]: nothing here waits, prints or
//! reaches a cluster. Only [`write_all`] touches the disk. What comes from a model says SIMULATED in each form.

mod comparison;
mod distributions;
mod figures;
mod files;
mod html;
mod json;
mod junit;
mod load;
mod metrics;
mod predicted;
mod repetition;
mod sections;
mod summary;
mod terminal;
mod tradeoff;

pub use comparison::{comparison_json, comparison_markdown, comparison_terminal};
pub use files::{FILES, ReportError, write_all};
pub use html::html;
pub use json::{json, schema};
pub use junit::junit;
pub use summary::summary;
pub use terminal::terminal;
