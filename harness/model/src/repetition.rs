//! Several trials of one experiment: what they came to together, how surely, and whether they drift.

use std::{collections::BTreeMap, fmt};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    machine::MachineUse,
    stats::{
        Value,
        percentile::{enough, interleaved, percentile},
        trend,
    },
    time::Span,
    verdict::{ExperimentResult, Interval, Measure, Verdict},
};

/// One minus the confidence of every interval: 95 %.
pub const ALPHA: f64 = 0.05;
/// Drift is flagged where chance alone would show as much less often than this.
pub const DRIFT: f64 = 0.01;
/// The percentiles that are told.
const PERCENTS: [u8; 3] = [50, 90, 99];

/// A length as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "is")]
pub enum Length {
    /// Shorter than this: no probe saw it.
    LessThan {
        /// The bound.
        value: Span,
    },
    /// Measured.
    Exactly {
        /// The length.
        value: Span,
    },
    /// Longer than this: it never came.
    MoreThan {
        /// The bound.
        value: Span,
    },
}

impl Length {
    /// The number that it is known by.
    #[must_use]
    pub fn span(self) -> Span {
        match self {
            Length::LessThan { value } | Length::Exactly { value } | Length::MoreThan { value } => value,
        }
    }
}

impl From<Value> for Length {
    fn from(value: Value) -> Length {
        let span = span(value.known());
        match value {
            Value::LessThan(_) => Length::LessThan { value: span },
            Value::Exactly(_) => Length::Exactly { value: span },
            Value::MoreThan(_) => Length::MoreThan { value: span },
        }
    }
}

/// Seconds to a span, to the microsecond.
pub(crate) fn span(seconds: f64) -> Span {
    Span(std::time::Duration::from_micros((seconds.max(0.0) * 1e6).round() as u64))
}

/// How often trials came to what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Verdicts {
    /// Passed.
    pub pass: u32,
    /// Failed.
    pub fail: u32,
    /// Without a verdict on the cluster.
    pub inconclusive: u32,
    /// Not run.
    pub skipped: u32,
}

impl Verdicts {
    /// Counts them.
    #[must_use]
    pub fn of<'a>(trials: impl IntoIterator<Item = &'a ExperimentResult>) -> Verdicts {
        let mut counts = Verdicts::default();
        for trial in trials {
            *match trial.verdict {
                Verdict::Pass => &mut counts.pass,
                Verdict::Fail => &mut counts.fail,
                Verdict::Inconclusive => &mut counts.inconclusive,
                Verdict::Skipped => &mut counts.skipped,
            } += 1;
        }
        counts
    }
}

impl fmt::Display for Verdicts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = [
            (self.pass, "passed"),
            (self.fail, "failed"),
            (self.inconclusive, "inconclusive"),
            (self.skipped, "skipped"),
        ];
        let told: Vec<String> = all
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        f.write_str(if told.is_empty() { "none".to_owned() } else { told.join(", ") }.as_str())
    }
}

/// A percentile of trials, or of attempts, with its 95 % confidence interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Percentile {
    /// Which: 50, 90 or 99.
    pub percent: u8,
    /// The estimate.
    pub estimate: Length,
    /// The interval's lower end; none where there are too few of them for one.
    pub low: Option<Length>,
    /// The interval's upper end; likewise.
    pub high: Option<Length>,
    /// How many of them an interval with both ends takes.
    pub needs: u32,
}

/// Do later trials take longer, or less long?
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Drift {
    /// Kendall's S: pairs of trials in which the later one took longer, less those in which it took less long.
    pub score: i64,
    /// How probable such a score is where the order of the trials means nothing (Mann and Kendall).
    pub p: f64,
    /// Seconds per trial (Theil and Sen); none where no pair of trials tells.
    pub slope: Option<f64>,
    /// `p` is below 0.01.
    pub flagged: bool,
    /// Too few trials for any order of them to be flagged: so many are needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needs: Option<u32>,
}

/// How percentiles and their intervals were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Method {
    /// By rank, with order statistics chosen by the binomial distribution.
    OrderStatistics,
    /// Kaplan–Meier with Greenwood's variance on the log-log scale: some were watched for less long than others
    /// took.
    KaplanMeier,
}

/// One milestone over all trials.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Distribution {
    /// The milestone's name.
    pub name: String,
    /// Trials whose figure counts: `measured`, `notSeen` and `censored` together.
    pub n: u32,
    /// Measured.
    pub measured: u32,
    /// Shorter than the probes' resolution, or nothing failed.
    pub not_seen: u32,
    /// Had not come when observation ended: never taken as a value.
    pub censored: u32,
    /// Could not be measured.
    pub unknown: u32,
    /// The 50th, 90th and 99th; empty where nothing counts.
    pub percentiles: Vec<Percentile>,
    /// How they were found.
    pub method: Method,
    /// The shortest.
    pub least: Option<Length>,
    /// The longest.
    pub most: Option<Length>,
    /// Over the trials in their order; none for fewer than two.
    pub drift: Option<Drift>,
}

/// All trials of one experiment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Repetition {
    /// The experiment's id.
    pub id: String,
    /// From a model: proves nothing about a cluster.
    pub simulated: bool,
    /// How many trials there are.
    pub trials: u32,
    /// What they came to.
    pub verdicts: Verdicts,
    /// Trials whose figures count nowhere: they were not run, broken off, without evidence of the fault, or inconclusive
    /// on a machine that others crowded.
    pub left_out: Vec<u32>,
    /// The milestones, in the plan's order.
    pub milestones: Vec<Distribution>,
}

/// What each experiment with more than one trial came to, in the order of their first trials.
#[must_use]
pub fn repetitions(experiments: &[ExperimentResult]) -> Vec<Repetition> {
    let trials = by_id(experiments);
    trials.into_iter().filter(|(_, trials)| trials.len() > 1).map(|(id, trials)| of(id, &trials)).collect()
}

/// Experiments by id, in the order of their first trials.
#[must_use]
pub fn by_id(experiments: &[ExperimentResult]) -> Vec<(&str, Vec<&ExperimentResult>)> {
    let mut found: Vec<(&str, Vec<&ExperimentResult>)> = Vec::new();
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    for experiment in experiments {
        let place = *places.entry(&experiment.id).or_insert(found.len());
        if place == found.len() {
            found.push((&experiment.id, Vec::new()));
        }
        if let Some((_, trials)) = found.get_mut(place) {
            trials.push(experiment);
        }
    }
    found
}

/// The seed of one trial: from the run's seed, the experiment and the trial's number alone, so that a trial is
/// the same whatever is run beside it.
#[must_use]
pub fn trial_seed(seed: u64, id: &str, trial: u32) -> u64 {
    // FNV-1a over the id, then SplitMix64's mixing: neighbours must not resemble each other.
    let id = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mix = |z: u64| {
        let z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    mix(mix(mix(seed) ^ id) ^ u64::from(trial))
}

/// True where the experiment's figures say something on the cluster. An inconclusive one's do where conditions
/// alone were in doubt (too near to a budget, say), and do not where the experiment itself was, or where others crowded
/// the machine: what was late then may have been late because of them.
#[must_use]
pub fn counts(experiment: &ExperimentResult) -> bool {
    let checked = experiment.assertions.iter().chain(&experiment.oracles);
    let conditions: Vec<String> = (experiment.intervals.iter().map(|i| (&i.milestone.name, &i.detail)))
        .chain(checked.map(|c| (&c.name, &c.detail)))
        .map(|(name, detail)| format!("{name}: {detail}"))
        .collect();
    match experiment.verdict {
        Verdict::Pass | Verdict::Fail => true,
        Verdict::Skipped => false,
        Verdict::Inconclusive => {
            !experiment.machine.as_ref().is_some_and(MachineUse::was_crowded)
                && !experiment.reasons.is_empty()
                && experiment.reasons.iter().all(|r| conditions.contains(r))
        }
    }
}

/// A measure as the statistics take it; none where it was not measured.
#[must_use]
pub fn value(measure: &Measure) -> Option<Value> {
    match measure {
        Measure::Measured { value, .. } => Some(Value::Exactly(value.0.as_secs_f64())),
        Measure::NotSeen { resolution } => Some(Value::LessThan(resolution.0.as_secs_f64())),
        Measure::Censored { more_than } => Some(Value::MoreThan(more_than.0.as_secs_f64())),
        Measure::Unknown => None,
    }
}

/// The milestones of some trials, each with its intervals and their trials' numbers, in the plan's order.
/// Trials that do not count are passed over.
#[must_use]
pub fn milestones<'a>(trials: &[&'a ExperimentResult]) -> Vec<(&'a str, Vec<(u32, &'a Interval)>)> {
    let mut found: Vec<(&str, Vec<(u32, &Interval)>)> = Vec::new();
    for trial in trials.iter().filter(|trial| counts(trial)) {
        for interval in &trial.intervals {
            let name = interval.milestone.name.as_str();
            match found.iter_mut().find(|(known, _)| *known == name) {
                Some((_, intervals)) => intervals.push((trial.trial, interval)),
                None => found.push((name, vec![(trial.trial, interval)])),
            }
        }
    }
    found
}

fn of(id: &str, trials: &[&ExperimentResult]) -> Repetition {
    Repetition {
        id: id.to_owned(),
        simulated: trials.iter().any(|trial| trial.simulated),
        trials: count(trials.len()),
        verdicts: Verdicts::of(trials.iter().copied()),
        left_out: trials.iter().filter(|trial| !counts(trial)).map(|trial| trial.trial).collect(),
        milestones: milestones(trials)
            .iter()
            .map(|(name, intervals)| distribution(name, intervals))
            .collect(),
    }
}

/// One milestone over trials.
#[must_use]
pub fn distribution(name: &str, intervals: &[(u32, &Interval)]) -> Distribution {
    let series: Vec<(u32, Value)> =
        intervals.iter().filter_map(|(trial, i)| Some((*trial, value(&i.measure)?))).collect();
    let values: Vec<Value> = series.iter().map(|(_, value)| *value).collect();
    let count_of = |wanted: fn(&Value) -> bool| count(values.iter().filter(|value| wanted(value)).count());
    let percentiles = PERCENTS.iter().filter_map(|percent| {
        let p = f64::from(*percent) / 100.0;
        let found = percentile(&values, p, ALPHA)?;
        Some(Percentile {
            percent: *percent,
            estimate: found.estimate.into(),
            low: found.low.map(Length::from),
            high: found.high.map(Length::from),
            needs: enough(p, ALPHA),
        })
    });
    let longest = values.iter().copied().max_by(Value::by_most);
    Distribution {
        name: name.to_owned(),
        n: count(values.len()),
        measured: count_of(|value| value.exact()),
        not_seen: count_of(|value| matches!(value, Value::LessThan(_))),
        censored: count_of(|value| matches!(value, Value::MoreThan(_))),
        unknown: count(intervals.len() - values.len()),
        percentiles: percentiles.collect(),
        method: if interleaved(&values) { Method::KaplanMeier } else { Method::OrderStatistics },
        least: values.iter().copied().min_by(Value::by_least).map(Length::from),
        most: longest.map(Length::from),
        drift: drift(&series),
    }
}

fn drift(series: &[(u32, Value)]) -> Option<Drift> {
    let found = trend::trend(series)?;
    let least = trend::enough(DRIFT);
    Some(Drift {
        score: found.score,
        p: found.p,
        slope: found.slope,
        flagged: found.p < DRIFT,
        needs: (count(series.len()) < least).then_some(least),
    })
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_trials_share_a_seed_and_each_keeps_its_own() {
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..20 {
            for id in ["etcd/leader-loss/kill", "etcd/leader-loss/term", "kubelet/down"] {
                seen.extend((1..=20).map(|trial| trial_seed(seed, id, trial)));
            }
        }
        assert_eq!(seen.len(), 20 * 3 * 20);
        // A recorded seed must give the same run with any later version.
        assert_eq!(trial_seed(7, "etcd/leader-loss/kill", 3), 0x7b32f0d66991c921);
    }

    #[test]
    fn verdicts_are_told_as_far_as_there_are_any() {
        let verdicts = Verdicts { pass: 19, inconclusive: 1, ..Verdicts::default() };
        assert_eq!(verdicts.to_string(), "19 passed, 1 inconclusive");
        assert_eq!(Verdicts::default().to_string(), "none");
    }
}
