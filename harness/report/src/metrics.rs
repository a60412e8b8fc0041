//! What the components said of themselves, in the words that all reports share: would an operator have seen it?

use recoup_model::{
    metrics::{MetricMove, find},
    verdict::ExperimentResult,
};

/// How many are told in a line.
const TOLD: usize = 3;

/// What the table needs beside it.
pub(crate) const NOTE: &str = "A metric moved where it at least doubled while the fault lasted, by more than it \
    varies by itself in the baseline and by more than means nothing. Readings are 5 s apart: what is told of the time \
    of the fault includes up to 5 s on each side.";

/// The metrics that moved, the strongest first.
pub(crate) fn moved(experiment: &ExperimentResult) -> impl Iterator<Item = &MetricMove> {
    experiment.metrics.iter().filter(|one| one.moved)
}

/// The component and its node.
pub(crate) fn whose(one: &MetricMove) -> String {
    format!("{} on {}", one.component.process(), one.node)
}

/// The metric with its statistic, where it has several.
pub(crate) fn name(one: &MetricMove) -> String {
    format!("{} ({})", one.metric, one.statistic.name())
}

/// What it tells.
pub(crate) fn tells(one: &MetricMove) -> &'static str {
    find(one.component, &one.metric).map_or("", |metric| metric.tells)
}

/// A value with its unit; a dash where it was not told.
pub(crate) fn value(one: &MetricMove, value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| one.unit.write(value))
}

/// How many times as much.
pub(crate) fn ratio(one: &MetricMove) -> String {
    match (one.ratio, one.during) {
        (Some(ratio), _) => format!("{ratio:.1}x"),
        (None, Some(during)) if during > 0.0 && one.before.is_some() => "from nothing".to_owned(),
        _ => "–".to_owned(),
    }
}

/// Would an operator have seen it? None where no metrics were read.
pub(crate) fn line(experiment: &ExperimentResult) -> Option<String> {
    if experiment.metrics.is_empty() {
        return None;
    }
    let all = moved(experiment).count();
    if all == 0 {
        return Some("Metrics: none of those that were read moved.".to_owned());
    }
    let told: Vec<String> = moved(experiment)
        .take(TOLD)
        .map(|one| {
            let (before, during) = (value(one, one.before), value(one, one.during));
            format!("{} {} {before} to {during}", whose(one), name(one))
        })
        .collect();
    let more = if all > TOLD { format!("; {} more", all - TOLD) } else { String::new() };
    Some(format!("Metrics that moved: {}{more}.", told.join("; ")))
}
