//! Two runs beside each other: is a difference one?

mod warnings;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    repetition::{ALPHA, Distribution, Verdicts, by_id, distribution, milestones, value},
    spec::When,
    stats::{Value, adjust::holm, fisher::fisher, rank_sum, rank_sum::rank_sum, shift},
    verdict::{ExperimentResult, Interval, RunResult},
};
use warnings::{asks_otherwise, differences, one_sided, predicted_otherwise, simulated};

/// What two runs say about each other. All lengths are in seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Comparison {
    /// The run that the other is held against.
    pub before: String,
    /// The other.
    pub after: String,
    /// A part of either comes from a model: proves nothing about a cluster.
    pub simulated: bool,
    /// What else differs than what was to be compared, each in a sentence.
    pub warnings: Vec<String>,
    /// How many tests were made: their probabilities are corrected for so many (Holm).
    pub tests: u32,
    /// The experiments that both have, in the first one's order.
    pub experiments: Vec<Pair>,
}

/// An experiment in both runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Pair {
    /// The experiment's id.
    pub id: String,
    /// What its trials came to.
    pub verdicts: VerdictChange,
    /// The milestones that both have.
    pub milestones: Vec<Change>,
}

/// How often an experiment passed and failed, in both runs. Others are not counted for or against the cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VerdictChange {
    /// In the first run.
    pub before: Verdicts,
    /// In the second.
    pub after: Verdicts,
    /// Fisher's exact test of passes against fails, corrected; none where either run has neither.
    pub p: Option<f64>,
    /// What follows.
    pub finding: Finding,
}

/// What follows from a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Finding {
    /// The second run took longer, or failed more often.
    Slower,
    /// The second run took less long, or failed less often.
    Quicker,
    /// None was shown.
    NotShown,
    /// There are too few trials for any difference to be shown, however large.
    TooFew,
}

/// The test that a probability is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Test {
    /// All measured, no ties.
    #[serde(rename = "Mann–Whitney, exact")]
    MannWhitney,
    /// All measured, with ties, over all ways to deal them out.
    #[serde(rename = "Mann–Whitney with ties, by all permutations")]
    MannWhitneyTies,
    /// All measured, many.
    #[serde(rename = "Mann–Whitney with ties, by the normal distribution")]
    MannWhitneyNormal,
    /// Some known on one side only, over all ways to deal them out.
    #[serde(rename = "Gehan, by all permutations")]
    Gehan,
    /// Some known on one side only, many.
    #[serde(rename = "Gehan, by the normal distribution")]
    GehanNormal,
}

impl Test {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Test::MannWhitney => "Mann–Whitney, exact",
            Test::MannWhitneyTies => "Mann–Whitney with ties, by all permutations",
            Test::MannWhitneyNormal => "Mann–Whitney with ties, by the normal distribution",
            Test::Gehan => "Gehan, by all permutations",
            Test::GehanNormal => "Gehan, by the normal distribution",
        }
    }
}

impl From<rank_sum::Method> for Test {
    fn from(method: rank_sum::Method) -> Test {
        match method {
            rank_sum::Method::MannWhitney => Test::MannWhitney,
            rank_sum::Method::MannWhitneyTies => Test::MannWhitneyTies,
            rank_sum::Method::MannWhitneyNormal => Test::MannWhitneyNormal,
            rank_sum::Method::Gehan => Test::Gehan,
            rank_sum::Method::GehanNormal => Test::GehanNormal,
        }
    }
}

/// A shift in seconds between two numbers; none stands for no bound.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Range {
    /// No less than this.
    pub low: Option<f64>,
    /// No more than this.
    pub high: Option<f64>,
}

impl Range {
    fn of((low, high): (f64, f64)) -> Range {
        let bound = |x: f64| x.is_finite().then_some(x);
        Range { low: bound(low), high: bound(high) }
    }
}

/// A milestone in both runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Change {
    /// The milestone's name.
    pub name: String,
    /// In the first run.
    pub before: Distribution,
    /// In the second.
    pub after: Distribution,
    /// By how much the second is longer (Hodges and Lehmann): a single number where both ends are the same, a
    /// range where values are known on one side only.
    pub shift: Range,
    /// Its 95 % confidence interval; none where there are too few trials.
    pub interval: Option<Range>,
    /// The test.
    pub test: Test,
    /// The probability of as much where nothing differs, corrected for all tests.
    pub p: f64,
    /// What follows from it at 0.05.
    pub finding: Finding,
    /// Longer is worse here. Not so where the milestone is that something fails.
    pub slower_is_worse: bool,
    /// A difference of more than this would have been shown by so many trials that spread so much; none where
    /// nobody can say, or where there are too few for any.
    pub would_have_shown: Option<f64>,
    /// So many trials in each run are needed before a difference, however large, can be shown among so many tests.
    pub needs: u32,
}

impl Comparison {
    /// True where something takes longer for worse, or fails more often.
    #[must_use]
    pub fn slower(&self) -> bool {
        self.experiments.iter().any(|pair| {
            pair.verdicts.finding == Finding::Slower
                || pair.milestones.iter().any(|m| m.finding == Finding::Slower && m.slower_is_worse)
        })
    }
}

/// Compares `after` with `before`: every experiment, and every milestone of it, that both have.
#[must_use]
pub fn compare(before: &RunResult, after: &RunResult) -> Comparison {
    let (old, new) = (by_id(&before.experiments), by_id(&after.experiments));
    let both: Vec<(&str, &[&ExperimentResult], &[&ExperimentResult])> = (old.iter())
        .filter_map(|(id, a)| new.iter().find(|(other, _)| other == id).map(|(_, b)| (*id, &**a, &**b)))
        .collect();
    let mut warnings = differences(before, after);
    let only =
        |one: &[(&str, Vec<&ExperimentResult>)], other: &[(&str, Vec<&ExperimentResult>)], run: &str| {
            let alone: Vec<&str> = (one.iter().map(|(id, _)| *id))
                .filter(|id| !other.iter().any(|(known, _)| known == id))
                .collect();
            (!alone.is_empty()).then(|| format!("only {run} has {}", alone.join(", ")))
        };
    warnings.extend(only(&old, &new, &before.run));
    warnings.extend(only(&new, &old, &after.run));

    let mut found: Vec<Found> = Vec::new();
    for (n, (id, a, b)) in both.iter().enumerate() {
        let (ours, theirs) = (milestones(a), milestones(b));
        let unknown = theirs.iter().filter(|(name, _)| !ours.iter().any(|(other, _)| other == name));
        warnings.extend(unknown.map(|(name, _)| one_sided(id, name)));
        for (name, a) in ours {
            let theirs = theirs.iter().find(|(other, _)| *other == name);
            if let Some(warning) = theirs.and_then(|(_, b)| asks_otherwise(id, name, &a, b)) {
                warnings.push(warning);
                continue;
            }
            warnings.extend(theirs.and_then(|(_, b)| predicted_otherwise(id, name, &a, b)));
            match theirs.and_then(|(_, b)| Found::of(n, name, a, b.clone())) {
                Some(one) => found.push(one),
                None => warnings.push(one_sided(id, name)),
            }
        }
    }
    let verdicts: Vec<(Verdicts, Verdicts, Option<f64>)> =
        both.iter().map(|(_, a, b)| passes(a, b)).collect();
    let raw: Vec<f64> = found.iter().map(|f| f.p).chain(verdicts.iter().filter_map(|(_, _, p)| *p)).collect();
    let mut corrected = holm(&raw).into_iter();
    let tests = raw.len();
    let mut changes: Vec<Vec<Change>> = both.iter().map(|_| Vec::new()).collect();
    for one in found {
        let (pair, p) = (one.pair, corrected.next().unwrap_or(1.0));
        if let Some(list) = changes.get_mut(pair) {
            list.push(one.change(p, tests));
        }
    }
    let experiments = both.iter().zip(changes).zip(verdicts);
    let experiments = experiments.map(|(((id, ..), milestones), (before, after, raw))| {
        let p = raw.and_then(|_| corrected.next());
        let verdicts = VerdictChange { before, after, p, finding: more_fails(before, after, p) };
        Pair { id: (*id).to_owned(), verdicts, milestones }
    });
    Comparison {
        before: before.run.clone(),
        after: after.run.clone(),
        simulated: simulated(before) || simulated(after),
        warnings,
        tests: u32::try_from(tests).unwrap_or(u32::MAX),
        experiments: experiments.collect(),
    }
}

/// A milestone's figures in both runs with its uncorrected probability.
struct Found<'a> {
    /// Which experiment.
    pair: usize,
    name: &'a str,
    before: Vec<(u32, &'a Interval)>,
    after: Vec<(u32, &'a Interval)>,
    p: f64,
    score: i64,
    test: Test,
}

impl<'a> Found<'a> {
    fn of(
        pair: usize,
        name: &'a str,
        before: Vec<(u32, &'a Interval)>,
        after: Vec<(u32, &'a Interval)>,
    ) -> Option<Found<'a>> {
        let found = rank_sum(&values(&before), &values(&after))?;
        Some(Found { pair, name, before, after, p: found.p, score: found.score, test: found.method.into() })
    }

    fn change(&self, p: f64, tests: usize) -> Change {
        let (a, b) = (values(&self.before), values(&self.after));
        // The level at which the most improbable of so many is a difference: Holm's first.
        let level = ALPHA / tests.max(1) as f64;
        let moved = shift::shift(&a, &b, ALPHA);
        let strict = shift::shift(&a, &b, level);
        let finding = match p {
            p if p < ALPHA && self.score > 0 => Finding::Slower,
            p if p < ALPHA => Finding::Quicker,
            _ if shift::least_probability(a.len(), b.len()) > level => Finding::TooFew,
            _ => Finding::NotShown,
        };
        // As far as the interval reaches from the estimate, so far from 0 an estimate must lie.
        let reach = strict.and_then(|s| s.interval.map(|(low, high)| (s.most - low).max(high - s.least)));
        let onset = self
            .after
            .first()
            .is_some_and(|(_, i)| matches!(i.milestone.when, When::Fails(_) | When::NoLeader));
        Change {
            name: self.name.to_owned(),
            before: distribution(self.name, &self.before),
            after: distribution(self.name, &self.after),
            shift: moved.map_or(Range { low: None, high: None }, |s| Range::of((s.least, s.most))),
            interval: moved.and_then(|s| s.interval).map(Range::of),
            test: self.test,
            p,
            finding,
            slower_is_worse: !onset,
            would_have_shown: reach.filter(|x| x.is_finite()),
            needs: u32::try_from(shift::enough(level)).unwrap_or(u32::MAX),
        }
    }
}

fn values(intervals: &[(u32, &Interval)]) -> Vec<Value> {
    intervals.iter().filter_map(|(_, interval)| value(&interval.measure)).collect()
}

fn passes(a: &[&ExperimentResult], b: &[&ExperimentResult]) -> (Verdicts, Verdicts, Option<f64>) {
    let (before, after) = (Verdicts::of(a.iter().copied()), Verdicts::of(b.iter().copied()));
    let decided = |v: Verdicts| v.pass + v.fail > 0;
    let pair = |v: Verdicts| (u64::from(v.pass), u64::from(v.fail));
    let p = (decided(before) && decided(after)).then(|| fisher(pair(before), pair(after)));
    (before, after, p)
}

fn more_fails(before: Verdicts, after: Verdicts, p: Option<f64>) -> Finding {
    let share = |v: Verdicts| f64::from(v.fail) / f64::from((v.pass + v.fail).max(1));
    match p {
        None => Finding::TooFew,
        Some(p) if p < ALPHA && share(after) > share(before) => Finding::Slower,
        Some(p) if p < ALPHA => Finding::Quicker,
        Some(_) => Finding::NotShown,
    }
}
