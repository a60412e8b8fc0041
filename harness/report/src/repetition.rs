//! The words and figures of repeated experiments that all reports share.

use recoup_model::{
    repetition::{Distribution, Drift, Length, Method, Percentile, Repetition},
    verdict::{ExperimentResult, RunResult, Verdict},
};

use crate::figures::{chosen, fine};

/// What every table of percentiles needs beside it.
pub(crate) const NOTE: &str = "In brackets are 95 % confidence intervals, by order statistics. “≥” or “≤” stands \
    for an interval with one end, because there are too few trials for the other: with both ends a p50 takes 6 \
    trials, a p90 36 and a p99 368. What never came is “more than”, and what no probe saw is “less than” its \
    resolution; neither is ever taken as a value.";

/// Beside percentiles for which ranks are not known.
pub(crate) const CENSORED: &str = "Some trials were watched for less long than others took: percentiles are \
    Kaplan–Meier's, with Greenwood's variance.";

/// What drift is.
pub(crate) const DRIFT: &str = "Drift is Mann and Kendall's test over the trials in their order, flagged at p < \
    0.01, with Theil and Sen's slope. Of a hundred milestones without drift, one is flagged by chance.";

/// A length as far as it is known.
pub(crate) fn length(length: Length) -> String {
    match length {
        Length::Exactly { value } => fine(value.0),
        Length::LessThan { value } => format!("less than {}", fine(value.0)),
        Length::MoreThan { value } => format!("more than {}", chosen(value)),
    }
}

/// A percentile with its interval, as in `1.40 s (1.31 s to 1.52 s)`.
pub(crate) fn percentile(found: &Percentile) -> String {
    let estimate = length(found.estimate);
    // The ends of an interval that say no more than the estimate.
    let same = |end: Option<Length>| end.is_none_or(|end| end == found.estimate);
    if !matches!(found.estimate, Length::Exactly { .. }) && same(found.low) && same(found.high) {
        return estimate;
    }
    match (found.low, found.high) {
        (Some(low), Some(high)) => format!("{estimate} ({} to {})", length(low), length(high)),
        (Some(Length::LessThan { .. }), None) => estimate,
        (Some(low), None) => format!("{estimate} (≥ {})", length(low)),
        (None, Some(high)) => format!("{estimate} (≤ {})", length(high)),
        (None, None) => format!("{estimate} (too few trials)"),
    }
}

/// One of the percentiles of a milestone; a dash where nothing counts.
pub(crate) fn of_percent(found: &Distribution, percent: u8) -> String {
    found.percentiles.iter().find(|p| p.percent == percent).map_or_else(|| "–".into(), percentile)
}

/// How many trials count, and what became of the others.
pub(crate) fn counted(found: &Distribution) -> String {
    let parts: Vec<String> =
        [(found.not_seen, "not seen"), (found.censored, "never came"), (found.unknown, "unknown")]
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
    if parts.is_empty() { found.n.to_string() } else { format!("{} ({})", found.n, parts.join(", ")) }
}

/// Drift in words.
pub(crate) fn drift(found: Option<&Drift>, n: u32) -> String {
    let Some(drift) = found else { return "–".into() };
    let way = if drift.score > 0 { "rises" } else { "falls" };
    let pairs = i64::from(n) * (i64::from(n) - 1) / 2;
    match (drift.flagged, drift.needs, drift.slope) {
        (true, _, Some(slope)) => format!("{way} by {} per trial ({})", size(slope), chance(drift.p)),
        (true, _, None) => format!("{way} ({})", chance(drift.p)),
        (false, Some(needs), _) if drift.score.abs() == pairs => {
            let each = if drift.score > 0 { "longer" } else { "shorter" };
            format!("each {each} than the one before; {needs} trials are needed to tell")
        }
        (false, Some(needs), _) => format!("too few trials to tell ({needs} needed)"),
        (false, None, _) => format!("none shown ({})", chance(drift.p)),
    }
}

/// A probability with two digits that say something.
pub(crate) fn chance(p: f64) -> String {
    match p {
        _ if p < 0.0001 => "p < 0.0001".into(),
        _ if p < 0.001 => format!("p = {p:.5}"),
        _ if p < 0.01 => format!("p = {p:.4}"),
        _ if p < 0.1 => format!("p = {p:.3}"),
        _ => format!("p = {p:.2}"),
    }
}

/// Seconds without their sign.
pub(crate) fn size(seconds: f64) -> String {
    fine(std::time::Duration::try_from_secs_f64(seconds.abs()).unwrap_or(std::time::Duration::MAX))
}

/// What was repeated, in a sentence's beginning: `20 trials, 19 passed, 1 failed`.
pub(crate) fn trials(found: &Repetition) -> String {
    format!("{} trials: {}", found.trials, found.verdicts)
}

/// Trials that count nowhere, in a sentence; none where all do.
pub(crate) fn left_out(found: &Repetition) -> Option<String> {
    let numbers: Vec<String> = found.left_out.iter().map(u32::to_string).collect();
    let trials = if numbers.len() == 1 { "Trial" } else { "Trials" };
    (!numbers.is_empty()).then(|| {
        format!(
            "{trials} {} left out of the figures: not run, broken off, without evidence that the fault took effect, or inconclusive on a machine that others crowded.",
            numbers.join(", ")
        )
    })
}

/// True where a percentile of it is Kaplan and Meier's.
pub(crate) fn by_survival(found: &Repetition) -> bool {
    found.milestones.iter().any(|m| m.method == Method::KaplanMeier)
}

/// An experiment that was run once, or all trials of one that was repeated.
pub(crate) struct Group<'a> {
    /// Its trials, in order, with their places in the run's list.
    pub(crate) trials: Vec<(usize, &'a ExperimentResult)>,
    /// What they came to together, where there are several.
    pub(crate) repetition: Option<&'a Repetition>,
}

impl<'a> Group<'a> {
    /// The experiments of a run, in the order of their first trials.
    pub(crate) fn all(run: &'a RunResult) -> Vec<Group<'a>> {
        let mut groups: Vec<Group> = Vec::new();
        for (place, experiment) in run.experiments.iter().enumerate() {
            let repetition = run.repetitions.iter().find(|r| r.id == experiment.id);
            match groups.iter_mut().find(|group| {
                repetition.is_some() && group.repetition.is_some_and(|known| known.id == experiment.id)
            }) {
                Some(group) => group.trials.push((place, experiment)),
                None => groups.push(Group { trials: vec![(place, experiment)], repetition }),
            }
        }
        groups
    }

    /// The worst trial, the first of its kind: it stands for all.
    pub(crate) fn worst(&self) -> Option<&'a ExperimentResult> {
        let worst =
            self.trials.iter().map(|(_, trial)| trial.verdict).filter(|v| *v != Verdict::Skipped).max();
        let worst = worst.unwrap_or(Verdict::Skipped);
        self.trials.iter().map(|(_, trial)| *trial).find(|trial| trial.verdict == worst)
    }

    /// The trials that are told in full: the first one that ran, and all that did not pass.
    pub(crate) fn told(&self) -> impl Iterator<Item = (usize, &'a ExperimentResult)> {
        let first = self.trials.iter().position(|(_, trial)| trial.verdict != Verdict::Skipped).unwrap_or(0);
        let told = move |(n, (_, trial)): &(usize, &(usize, &ExperimentResult))| {
            *n == first || matches!(trial.verdict, Verdict::Fail | Verdict::Inconclusive)
        };
        self.trials.iter().enumerate().filter(told).map(|(_, trial)| *trial)
    }
}

/// `, trial 3`, where an experiment was repeated.
pub(crate) fn mark(run: &RunResult, experiment: &ExperimentResult) -> String {
    match run.repetitions.iter().find(|repetition| repetition.id == experiment.id) {
        Some(repetition) => format!(", trial {} of {}", experiment.trial, repetition.trials),
        None => String::new(),
    }
}

/// Shortest and longest.
pub(crate) fn extremes(found: &Distribution) -> String {
    match (found.least, found.most) {
        (Some(least), Some(most)) => format!("{} to {}", length(least), length(most)),
        _ => "–".into(),
    }
}
