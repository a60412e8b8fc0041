//! The wording that all reports share: lengths of time, measures, budgets, and the one-sentence answer.

use std::{fmt, time::Duration};

use recoup_model::{
    spec::{Since, When, Within},
    time::{Offset, Span},
    verdict::{Checked, ExperimentResult, Interval, Measure, Outage, RunResult, StreamResult, Verdict},
};

/// What every report of a simulated run says.
pub(crate) const SIMULATED: &str =
    "SIMULATED: these figures come from a model, not from a cluster. They are evidence of nothing.";

/// True where any part of the run comes from a model: one simulated experiment taints the page it stands on.
pub(crate) fn simulated(run: &RunResult) -> bool {
    run.simulated
        || run.experiments.iter().any(|e| e.simulated)
        || run.clusters.iter().any(recoup_model::topology::Fingerprint::simulated)
}

/// When the first fault took effect; a load only counts where nothing else was broken.
pub(crate) fn fault(experiment: &ExperimentResult) -> Offset {
    let bands = &experiment.bands;
    let first = bands.iter().find(|band| band.key != "load").or(bands.first());
    first.map_or(experiment.started, |band| band.from)
}

/// A length of time to two or three digits, as people say it: `95 ms`, `1.4 s`, `131 s`, `12 min 5 s`.
pub(crate) fn seconds(length: Duration) -> String {
    let s = length.as_secs_f64();
    match s {
        0.0 => "0 s".into(),
        _ if s < 0.0005 => "under 1 ms".into(),
        _ if s < 0.9995 => format!("{:.0} ms", s * 1000.0),
        _ if s < 99.95 => format!("{s:.1} s"),
        _ if s < 599.5 => format!("{s:.0} s"),
        _ => {
            let whole = s.round() as u64;
            format!("{} min {} s", whole / 60, whole % 60)
        }
    }
}

/// The same with a digit more below ten seconds, for error bounds.
pub(crate) fn fine(length: Duration) -> String {
    let s = length.as_secs_f64();
    if (0.9995..9.995).contains(&s) { format!("{s:.2} s") } else { seconds(length) }
}

/// A length that somebody chose: no digits that were not written.
pub(crate) fn chosen(span: Span) -> String {
    seconds(span.0).replace(".0 s", " s")
}

/// A measure in a table's cell.
pub(crate) fn short(measure: &Measure) -> String {
    match measure {
        Measure::Measured { value, .. } => seconds(value.0),
        Measure::NotSeen { .. } => "nothing failed".into(),
        Measure::Censored { more_than } => format!("more than {}", chosen(*more_than)),
        Measure::Unknown => "unknown".into(),
    }
}

/// A measure with its error bound.
pub(crate) fn long(measure: &Measure) -> String {
    match measure {
        Measure::Measured { value, low, high } => {
            format!("{} ({} to {})", fine(value.0), fine(low.0), fine(high.0))
        }
        Measure::NotSeen { resolution } => {
            format!("nothing failed: an outage was shorter than {}, or there was none", seconds(resolution.0))
        }
        Measure::Censored { more_than } => {
            format!("more than {}: still missing when observation ended", chosen(*more_than))
        }
        Measure::Unknown => "could not be measured".into(),
    }
}

/// What a milestone was allowed: `budget 10 s`, `not before 8 s`, or both.
pub(crate) fn budget(interval: &Interval) -> Option<String> {
    let milestone = &interval.milestone;
    if let (Some(Within::Predicted), Some(prediction)) = (milestone.within, &interval.prediction) {
        let least = milestone.at_least.map(|least| format!(", not before {}", chosen(least)));
        let (low, high) = (chosen(prediction.low), chosen(prediction.high));
        return Some(format!("predicted {low} to {high}{}", least.unwrap_or_default()));
    }
    match (milestone.at_least, interval.budget()) {
        (None, None) if milestone.decides() => Some("nothing predicted".into()),
        (None, None) => None,
        (None, Some(within)) => Some(format!("budget {}", chosen(within))),
        (Some(least), None) => Some(format!("not before {}", chosen(least))),
        (Some(least), Some(within)) => Some(format!("allowed {} to {}", chosen(least), chosen(within))),
    }
}

/// The part of its budget that a milestone used up; more than 1 where it came too late.
fn used(interval: &Interval) -> Option<f64> {
    let within = interval.budget()?.0.as_secs_f64();
    match interval.measure {
        _ if within <= 0.0 => None,
        Measure::Measured { value, .. } => Some(value.0.as_secs_f64() / within),
        Measure::Censored { more_than } => Some(more_than.0.as_secs_f64() / within),
        Measure::NotSeen { .. } | Measure::Unknown => None,
    }
}

/// A milestone as part of a sentence: `new leader after 1.4 s (budget 10 s)`.
pub(crate) fn clause(interval: &Interval) -> String {
    let name = &interval.milestone.name;
    let origin = match interval.since() {
        Since::Fault => "the fault",
        Since::Undo => "the undo",
    };
    let came = match (&interval.measure, interval.since()) {
        (Measure::Measured { value, .. }, Since::Fault) => format!("{name} after {}", seconds(value.0)),
        (Measure::Measured { value, .. }, Since::Undo) => {
            format!("{name} {} after the undo", seconds(value.0))
        }
        (Measure::NotSeen { .. }, _) => format!("{name}: nothing failed"),
        (Measure::Censored { more_than }, _) => {
            format!("{name} still missing {} after {origin}", chosen(*more_than))
        }
        (Measure::Unknown, _) => format!("{name} could not be measured"),
    };
    match budget(interval) {
        Some(budget) => format!("{came} ({budget})"),
        None => came,
    }
}

/// Milestones that tell the story, the most telling first: those that missed their budget, then
/// elections and what nodes and pods did, then first answers. Never the first failure alone.
pub(crate) fn key_intervals(experiment: &ExperimentResult) -> Vec<&Interval> {
    let rank = |interval: &Interval| match interval.milestone.when {
        _ if interval.verdict == Verdict::Fail => 0,
        When::NewLeader | When::NewHolder(_) | When::Replaced | When::CaughtUp => 1,
        When::NotReady | When::Ready | When::StaleGone | When::Deleted => 2,
        When::Stable(_) => 3,
        When::Tainted | When::Evicted | When::Succeeds(_) | When::NoLeader => 4,
        When::Fails(_) => 5,
    };
    let telling = |i: &&Interval| {
        i.verdict == Verdict::Fail || (budget(i).is_some() && matches!(i.measure, Measure::Measured { .. }))
    };
    let mut key: Vec<&Interval> = experiment.intervals.iter().filter(telling).collect();
    key.sort_by_key(|interval| rank(interval));
    key
}

/// How long an outage most likely lasted; to the end of observation where it did not end.
pub(crate) fn length(outage: &Outage, ended: recoup_model::time::Offset) -> Duration {
    outage.length(ended)
}

/// The longest outage of a stream.
pub(crate) fn longest<'a>(stream: &'a StreamResult, experiment: &ExperimentResult) -> Option<&'a Outage> {
    stream.outages.iter().max_by_key(|outage| length(outage, experiment.ended))
}

/// The longest outage that users of the cluster felt, as part of a sentence.
enum Felt {
    Api(String),
    Workload(String),
}

/// What users of the cluster felt, from the outside in: writes, reads, then the workload.
fn felt(experiment: &ExperimentResult) -> Option<Felt> {
    type View = (&'static str, &'static str, fn(String) -> Felt);
    const VIEWS: [View; 4] = [
        ("api/write/lb/", "writes", Felt::Api),
        ("api/read/lb/", "reads", Felt::Api),
        ("workload/service/", "answer through the workload's Service on one node", Felt::Workload),
        ("workload/pod/", "answer from a pod of the workload", Felt::Workload),
    ];
    VIEWS.iter().find_map(|(prefix, what, felt)| {
        let streams = experiment.streams.iter().filter(|s| s.name.starts_with(prefix));
        let fault = fault(experiment);
        // What ended before the fault is the baseline's trouble and not the answer.
        let outages = streams.flat_map(|s| &s.outages).filter(|o| o.to.is_none_or(|to| to >= fault));
        let worst = outages.max_by_key(|outage| length(outage, experiment.ended))?;
        let lasted = seconds(length(worst, experiment.ended));
        Some(felt(match worst.to {
            Some(_) => format!("no {what} for {lasted}"),
            None => format!("no {what} for {lasted}, and it had not ended"),
        }))
    })
}

/// The one-sentence answer to "what happened?".
pub(crate) fn answer(experiment: &ExperimentResult) -> String {
    let first_reason =
        || experiment.reasons.first().cloned().unwrap_or_else(|| "no reason was recorded".into());
    let parts = match experiment.verdict {
        Verdict::Skipped => vec![format!("not run: {}", first_reason())],
        Verdict::Inconclusive => vec![format!("no verdict on the cluster: {}", first_reason())],
        Verdict::Pass | Verdict::Fail => {
            let key = key_intervals(experiment);
            let (missed, kept): (Vec<&Interval>, Vec<&Interval>) =
                key.into_iter().partition(|i| i.verdict == Verdict::Fail);
            // Lost data is worse than lost time.
            let mut parts: Vec<String> = experiment
                .oracles
                .iter()
                .filter(|oracle| oracle.verdict == Verdict::Fail)
                .map(|oracle| oracle.detail.clone())
                .collect();
            parts.extend(missed.into_iter().take(2).map(clause));
            if parts.is_empty() {
                let broken = experiment.assertions.iter().filter(|a| a.verdict == Verdict::Fail);
                parts.extend(broken.take(1).map(|a| a.detail.clone()));
            }
            if parts.is_empty() && experiment.verdict == Verdict::Fail {
                parts.push(first_reason());
            }
            parts.extend(
                experiment.loads.iter().filter_map(|load| Some(load.capacity.as_ref()?.words.clone())),
            );
            match felt(experiment) {
                // An outage of the API is the story; one of the workload is its ending.
                Some(Felt::Api(outage)) => {
                    parts.push(outage);
                    parts.extend(kept.into_iter().take(2).map(clause));
                }
                Some(Felt::Workload(outage)) => {
                    parts.extend(kept.into_iter().take(2).map(clause));
                    parts.push(outage);
                }
                None => {
                    parts.extend(kept.into_iter().take(2).map(clause));
                    if !experiment.streams.is_empty() {
                        parts.push("no API or workload request failed".into());
                    }
                }
            }
            if !experiment.earlier.is_empty() {
                parts.push(format!("it took {} tries to come to a verdict", experiment.earlier.len() + 1));
            }
            parts
        }
    };
    sentence(&parts.join("; "))
}

/// The tries before that came to nothing, a line each.
pub(crate) fn tries(experiment: &ExperimentResult) -> impl Iterator<Item = String> {
    let numbered = (1..).zip(&experiment.earlier);
    numbered.map(|(number, earlier)| {
        format!("try {number} came to no verdict on the cluster: {}", earlier.reasons.join("; "))
    })
}

/// A capital at the start and a full stop at the end.
pub(crate) fn sentence(text: &str) -> String {
    let text = text.trim();
    let mut letters = text.chars();
    let first: String = letters.next().map(|c| c.to_uppercase().collect()).unwrap_or_default();
    let stop = if text.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{first}{}{stop}", letters.as_str())
}

/// What a detail says beyond its measure: that stands beside it already.
pub(crate) fn remark<'a>(detail: &'a str, measure: Option<&Measure>) -> &'a str {
    let rest = measure.and_then(|measure| detail.strip_prefix(&measure.to_string()));
    rest.map_or(detail, |rest| rest.trim_start_matches([';', ',', ' ']))
}

/// Everything that did not hold and that the reasons do not tell already, as `(name, verdict, detail)`:
/// milestones, then assertions and oracles.
pub(crate) fn not_held(experiment: &ExperimentResult) -> Vec<(&str, Verdict, &str)> {
    // A milestone without a budget decides nothing, unless nothing was decided.
    let decisive = |i: &&Interval| budget(i).is_some() || experiment.verdict == Verdict::Inconclusive;
    let intervals = experiment.intervals.iter().filter(decisive);
    let intervals = intervals.map(|i| (i.milestone.name.as_str(), i.verdict, i.detail.as_str()));
    let assertions = experiment
        .assertions
        .iter()
        .map(|Checked { name, verdict, detail, .. }| (&**name, *verdict, &**detail));
    // One that could not look is no reproach.
    let oracles = experiment.oracles.iter().filter(|oracle| oracle.verdict != Verdict::Skipped);
    let oracles = oracles.map(|Checked { name, verdict, detail, .. }| (&**name, *verdict, &**detail));
    let told = |name: &str, detail: &str| {
        experiment.reasons.iter().any(|r| r.starts_with(name) || (!detail.is_empty() && r.contains(detail)))
    };
    let open =
        |(name, verdict, detail): &(&str, Verdict, &str)| *verdict != Verdict::Pass && !told(name, detail);
    intervals.chain(assertions).chain(oracles).filter(open).collect()
}

/// Milestones that did not come as predicted.
pub(crate) fn missed_predictions(experiment: &ExperimentResult) -> impl Iterator<Item = &Interval> {
    let predicted = experiment.intervals.iter().filter(|i| i.milestone.within == Some(Within::Predicted));
    predicted.filter(|i| i.prediction.is_some() && i.verdict != Verdict::Pass)
}

/// How many experiments came to what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Passed.
    pub(crate) passed: usize,
    /// Failed.
    pub(crate) failed: usize,
    /// Without a verdict on the cluster.
    pub(crate) inconclusive: usize,
    /// Not run.
    pub(crate) skipped: usize,
}

impl Counts {
    /// Of a run.
    pub(crate) fn of(run: &RunResult) -> Counts {
        let count = |verdict| run.experiments.iter().filter(|e| e.verdict == verdict).count();
        Counts {
            passed: count(Verdict::Pass),
            failed: count(Verdict::Fail),
            inconclusive: count(Verdict::Inconclusive),
            skipped: count(Verdict::Skipped),
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, ", self.passed, self.failed)?;
        write!(f, "{} inconclusive, {} skipped", self.inconclusive, self.skipped)
    }
}

/// The milestone that came nearest to its budget, or furthest beyond it, with the part of it that was used.
pub(crate) fn tightest(experiment: &ExperimentResult) -> Option<(f64, &Interval)> {
    let used = experiment.intervals.iter().filter_map(|i| Some((used(i)?, i)));
    used.max_by(|a, b| a.0.total_cmp(&b.0))
}

/// A sign for a verdict, always beside its word or a title.
pub(crate) fn sign(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "✓",
        Verdict::Skipped => "–",
        Verdict::Inconclusive => "?",
        Verdict::Fail => "✗",
    }
}

/// A cluster in one line.
pub(crate) fn cluster_line(cluster: &recoup_model::topology::Fingerprint) -> String {
    use recoup_model::topology::NodeRole;
    let count = |role| cluster.with_role(role).count();
    format!(
        "{} {} ({}): Kubernetes {}, etcd {}, {}, load balancer {}; {} control planes, {} workers on {} CPUs, kernel {}",
        cluster.provider,
        cluster.cluster,
        cluster.profile,
        cluster.kubernetes,
        cluster.etcd,
        cluster.runtime,
        cluster.load_balancer,
        count(NodeRole::ControlPlane),
        count(NodeRole::Worker),
        cluster.cpus,
        cluster.kernel,
    )
}

/// What the harness itself cost, in one line.
pub(crate) fn overhead_line(run: &RunResult) -> Option<String> {
    let overhead = run.overhead?;
    let (percent, tenth) = (overhead.cpu_permille / 10, overhead.cpu_permille % 10);
    Some(format!(
        "the harness itself used {percent}.{tenth} % of a core and {} MiB",
        overhead.rss_kib.div_ceil(1024)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_keep_two_or_three_digits() {
        let said = |micros| seconds(Duration::from_micros(micros));
        assert_eq!(said(0), "0 s");
        assert_eq!(said(90), "under 1 ms");
        assert_eq!(said(95_400), "95 ms");
        assert_eq!(said(999_600), "1.0 s");
        assert_eq!(said(1_449_000), "1.4 s");
        assert_eq!(said(99_960_000), "100 s");
        assert_eq!(said(131_200_000), "131 s");
        assert_eq!(said(725_000_000), "12 min 5 s");
        assert_eq!(chosen(Span::seconds(10)), "10 s");
        assert_eq!(chosen(Span::millis(1500)), "1.5 s");
    }

    #[test]
    fn a_sentence_starts_large_and_ends() {
        assert_eq!(sentence("no writes for 1.9 s"), "No writes for 1.9 s.");
        assert_eq!(sentence("Done!"), "Done!");
    }
}
