//! What a setting buys: variants of one experiment that differ in flags, recovery time against the load of renewals.
//!
//! A shorter lease is taken over sooner and renewed more often. Both are in the results: the time of the milestone, and
//! the rate of Lease writes as the API servers' own metrics tell it.

use std::collections::BTreeSet;

use recoup_model::{
    repetition::{Distribution, by_id, counts, distribution},
    spec::When,
    verdict::{ExperimentResult, Interval, RunResult},
};

/// The metric that tells the load.
const RENEWALS: &str = "leaseRenewals";

/// What both forms of the table say below it.
pub(crate) const NOTE: &str = "Renewals are all writes of Leases that the API servers counted in the baseline, over \
    all of them: leader elections', and the nodes' and API servers' own, which are the same in every variant. Least \
    and most are over trials.";

/// One variant's place.
#[derive(Clone, Debug)]
pub(crate) struct Point<'a> {
    /// The variant.
    pub(crate) variant: &'a str,
    /// Its flags: `lease-duration 5s`, without what all their names begin with.
    pub(crate) flags: Vec<String>,
    /// Its recovery over trials.
    pub(crate) recovery: Distribution,
    /// Lease writes a second, all API servers together: mean, least and most over trials.
    pub(crate) renewals: Option<(f64, f64, f64)>,
}

/// Variants of one experiment beside each other.
#[derive(Clone, Debug)]
pub(crate) struct Tradeoff<'a> {
    /// `area/experiment`.
    pub(crate) experiment: &'a str,
    /// The milestone that is compared.
    pub(crate) milestone: &'a str,
    /// From a model.
    pub(crate) simulated: bool,
    /// The variants, in the run's order.
    pub(crate) points: Vec<Point<'a>>,
}

/// A variant's name and its trials.
type Variant<'a> = (&'a str, Vec<&'a ExperimentResult>);

/// All of a run: experiments of which several variants ran with different flags.
pub(crate) fn tradeoffs(run: &RunResult) -> Vec<Tradeoff<'_>> {
    let mut groups: Vec<(&str, Vec<Variant<'_>>)> = Vec::new();
    for (id, trials) in by_id(&run.experiments) {
        let mut parts = id.rsplitn(2, '/');
        let (Some(variant), Some(experiment)) = (parts.next(), parts.next()) else { continue };
        let trials: Vec<&ExperimentResult> = trials.into_iter().filter(|trial| counts(trial)).collect();
        if trials.is_empty() || !experiment.contains('/') {
            continue;
        }
        match groups.iter_mut().find(|(known, _)| *known == experiment) {
            Some((_, variants)) => variants.push((variant, trials)),
            None => groups.push((experiment, vec![(variant, trials)])),
        }
    }
    groups.iter().filter_map(|(experiment, variants)| of(experiment, variants)).collect()
}

fn of<'a>(experiment: &'a str, variants: &[Variant<'a>]) -> Option<Tradeoff<'a>> {
    let flags: BTreeSet<String> =
        variants.iter().filter_map(|(_, trials)| Some(format!("{:?}", trials.first()?.flags))).collect();
    if flags.len() < 2 {
        return None;
    }
    let all: Vec<&ExperimentResult> =
        variants.iter().flat_map(|(_, trials)| trials.iter().copied()).collect();
    let milestone = telling(&all)?;
    let points = variants.iter().map(|(variant, trials)| {
        let intervals: Vec<(u32, &Interval)> = trials
            .iter()
            .flat_map(|trial| trial.intervals.iter().map(|interval| (trial.trial, interval)))
            .filter(|(_, interval)| interval.milestone.name == milestone)
            .collect();
        Point {
            variant,
            flags: trials.first().map(|trial| words(trial)).unwrap_or_default(),
            recovery: distribution(milestone, &intervals),
            renewals: renewals(trials),
        }
    });
    let points: Vec<Point<'_>> = points.filter(|point| point.recovery.n > 0).collect();
    let simulated = all.iter().any(|trial| trial.simulated);
    (points.len() > 1).then_some(Tradeoff { experiment, milestone, simulated, points })
}

/// The milestone that every trial has: a new holder of a Lease, or else the first one that decides.
fn telling<'a>(trials: &[&'a ExperimentResult]) -> Option<&'a str> {
    let first = trials.first()?;
    let everywhere = |interval: &&Interval| {
        let name = &interval.milestone.name;
        trials.iter().all(|trial| trial.intervals.iter().any(|other| other.milestone.name == *name))
    };
    let shared: Vec<&Interval> = first.intervals.iter().filter(everywhere).collect();
    let holder = shared.iter().find(|i| matches!(i.milestone.when, When::NewHolder(_)));
    let chosen = holder.or_else(|| shared.iter().find(|i| i.milestone.decides())).or(shared.first())?;
    Some(&chosen.milestone.name)
}

/// The flags of a trial: those of several components only once where they are the same.
fn words(trial: &ExperimentResult) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for (flag, value) in trial.flags.values().flatten() {
        let word = format!("{} {value}", flag.trim_start_matches("leader-elect-"));
        if !words.contains(&word) {
            words.push(word);
        }
    }
    words
}

/// Lease writes a second in the baseline, of all API servers that told.
fn renewals(trials: &[&ExperimentResult]) -> Option<(f64, f64, f64)> {
    let of_trial = |trial: &&ExperimentResult| {
        let told = trial.metrics.iter().filter(|one| one.metric == RENEWALS).filter_map(|one| one.before);
        told.reduce(|sum, rate| sum + rate)
    };
    let rates: Vec<f64> = trials.iter().filter_map(of_trial).collect();
    let (least, most) = (rates.iter().copied().reduce(f64::min)?, rates.iter().copied().reduce(f64::max)?);
    Some((rates.iter().sum::<f64>() / rates.len() as f64, least, most))
}

/// A rate with its range: `1.9/s (1.8 to 2.0)`.
pub(crate) fn rate(renewals: Option<(f64, f64, f64)>) -> String {
    match renewals {
        None => "not told".to_owned(),
        Some((mean, least, most)) if most - least < 0.005 => format!("{mean:.2}/s"),
        Some((mean, least, most)) => format!("{mean:.2}/s ({least:.2} to {most:.2})"),
    }
}

/// The flags in one cell.
pub(crate) fn flags(point: &Point<'_>) -> String {
    if point.flags.is_empty() { "the cluster's own".to_owned() } else { point.flags.join(", ") }
}

/// Seconds of the median, with the ends of its interval as far as they are known.
pub(crate) fn median(point: &Point<'_>) -> Option<(f64, Option<f64>, Option<f64>)> {
    let found = point.recovery.percentiles.iter().find(|found| found.percent == 50)?;
    let seconds = |length: recoup_model::repetition::Length| length.span().0.as_secs_f64();
    Some((seconds(found.estimate), found.low.map(seconds), found.high.map(seconds)))
}
