//! The wording that all reports share for loads: a table with a row per rate, and the knee in a sentence.

use recoup_model::{
    capacity::StageState,
    load::{LoadResult, LoadStage, VerbTimes},
    time::Offset,
    verdict::ExperimentResult,
};

use crate::figures;

/// What the columns of [`row`] are.
pub(crate) const COLUMNS: [&str; 7] =
    ["offered", "answered", "429", "failed", "p50", "p99", "slowest convergence"];

/// What the figures of a load are.
pub(crate) const NOTE: &str = "Times count from when a request was due, whenever it left. p50 and p99 are those of the \
                               slowest kind of request, which is named.";

/// A number of requests within a time, as a rate.
pub(crate) fn rate(count: u64, from: Offset, to: Offset) -> f64 {
    let seconds = to.since(from).as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "counts of requests fit 52 bits")]
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}

/// The kind of request that had the longest time of that sort.
fn slowest(stage: &LoadStage, of: fn(&VerbTimes) -> recoup_model::time::Span) -> String {
    let slowest = stage.verbs.iter().max_by_key(|(_, times)| of(times));
    slowest.map_or_else(
        || "–".into(),
        |(verb, times)| format!("{} ({})", figures::seconds(of(times).0), verb.name()),
    )
}

/// One rate of a load.
pub(crate) fn row(stage: &LoadStage) -> [String; 7] {
    let count = |count: u64| if count == 0 { "–".to_owned() } else { count.to_string() };
    [
        stage.rate.to_string(),
        format!("{:.0}/s", rate(stage.answered, stage.from, stage.to)),
        count(stage.throttled),
        count(stage.failures()),
        slowest(stage, |times| times.p50),
        slowest(stage, |times| times.p99),
        stage.slowest.map_or_else(|| "–".into(), |span| figures::seconds(span.0)),
    ]
}

/// What a stage came to, with a sign.
pub(crate) fn state(stage: &LoadStage) -> &'static str {
    match stage.state {
        StageState::Held => "✓ held",
        StageState::Unclear => "? not clear",
        StageState::Ceased => "✗ ceased",
        StageState::GaveOut => "? generator gave out",
    }
}

/// The knee in a sentence; what was under way where there is none.
pub(crate) fn knee(load: &LoadResult) -> String {
    match &load.capacity {
        Some(capacity) => figures::sentence(&capacity.words),
        None => "The load beside another fault.".into(),
    }
}

/// The loads whose table is worth its room: those of more than one rate, and of all others but a pass.
pub(crate) fn told(experiment: &ExperimentResult) -> impl Iterator<Item = &LoadResult> {
    experiment.loads.iter().filter(|load| !load.stages.is_empty())
}
