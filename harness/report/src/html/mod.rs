//! `report.html`: one file with everything in it, for people who were not there.

mod distributions;
mod lanes;
mod load;
mod metrics;
mod oracles;
mod page;
mod predictions;
mod repetition;
mod scale;
mod svg;
mod tables;
mod timeline;
mod tradeoff;
mod waterfall;

use recoup_model::verdict::RunResult;

/// A self-contained page: styles, drawings and the few lines of script are inside, nothing is fetched.
/// It reads and prints without the script, which only shows the time under the pointer.
#[must_use]
pub fn html(run: &RunResult) -> String {
    page::page(run).into_string()
}
