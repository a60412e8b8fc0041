//! Who used the machine that the cluster's nodes run on: what others starved was not slow by itself.

use std::{fmt, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    assertion::Came,
    spec::Assertion,
    time::{Offset, Span},
    timeline::Timeline,
    verdict::{Interval, Measure, Verdict},
};

/// Processor time on the machine of the cluster's nodes, all processors together, in milliseconds: counters that
/// only grow, so that two readings tell what was between them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Processors {
    /// Logical processors.
    pub count: u32,
    /// They ran something.
    pub busy_ms: u64,
    /// They had nothing to run, waiting for disks included.
    pub idle_ms: u64,
    /// They had something to run, and a hypervisor gave the time to another machine.
    pub stolen_ms: u64,
    /// Of `busyMs`: the cluster's nodes and its load balancer.
    pub cluster_ms: u64,
    /// Of `busyMs`: recoup itself.
    pub harness_ms: u64,
}

impl Processors {
    /// From `earlier` to this reading; none where a counter began anew in between.
    fn since(&self, earlier: &Processors) -> Option<Processors> {
        Some(Processors {
            count: self.count,
            busy_ms: self.busy_ms.checked_sub(earlier.busy_ms)?,
            idle_ms: self.idle_ms.checked_sub(earlier.idle_ms)?,
            stolen_ms: self.stolen_ms.checked_sub(earlier.stolen_ms)?,
            cluster_ms: self.cluster_ms.checked_sub(earlier.cluster_ms)?,
            harness_ms: self.harness_ms.checked_sub(earlier.harness_ms)?,
        })
    }

    fn plus(&self, other: &Processors) -> Processors {
        Processors {
            count: self.count.max(other.count),
            busy_ms: self.busy_ms + other.busy_ms,
            idle_ms: self.idle_ms + other.idle_ms,
            stolen_ms: self.stolen_ms + other.stolen_ms,
            cluster_ms: self.cluster_ms + other.cluster_ms,
            harness_ms: self.harness_ms + other.harness_ms,
        }
    }

    fn all_ms(&self) -> u64 {
        self.busy_ms + self.idle_ms + self.stolen_ms
    }

    /// Neither the cluster's nor recoup's.
    fn others_ms(&self) -> u64 {
        self.busy_ms.saturating_sub(self.cluster_ms + self.harness_ms) + self.stolen_ms
    }

    fn permille(&self, ms: u64) -> u32 {
        u32::try_from((ms * 1000).checked_div(self.all_ms()).unwrap_or_default()).unwrap_or(u32::MAX)
    }

    /// Less than one processor was idle on average.
    fn full(&self) -> bool {
        self.idle_ms * u64::from(self.count) < self.all_ms()
    }

    /// Others used more than [`OTHERS`] of it, while it was full.
    fn crowded(&self) -> bool {
        self.permille(self.others_ms()) > OTHERS && self.full()
    }
}

/// On a quiet machine with a cluster of five nodes, others use 0 to 30 thousandths (the engine, the kernel's own work);
/// one compiler on two processors uses 500.
const OTHERS: u32 = 200;

/// Who used the machine from the first fault to the end of observation, in thousandths of all its processors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MachineUse {
    /// Logical processors.
    pub processors: u32,
    /// The cluster's nodes and its load balancer.
    pub cluster_permille: u32,
    /// recoup itself.
    pub harness_permille: u32,
    /// Anything else on this machine, and what a hypervisor gave to other machines.
    pub others_permille: u32,
    /// Nobody.
    pub idle_permille: u32,
    /// For how long others crowded it: they used more than a fifth, and less than one processor was idle.
    pub crowded: Span,
    /// What others used in that time.
    pub crowd_permille: u32,
}

impl MachineUse {
    /// Others than the cluster and recoup crowded the machine for a part of the time.
    #[must_use]
    pub fn was_crowded(&self) -> bool {
        self.crowded > Span::default()
    }
}

impl fmt::Display for MachineUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |permille: u32| (permille + 5) / 10;
        write!(
            f,
            "{} processors: cluster {} %, recoup {} %, others {} %, idle {} %",
            self.processors,
            percent(self.cluster_permille),
            percent(self.harness_permille),
            percent(self.others_permille),
            percent(self.idle_permille)
        )
    }
}

/// What was used between two readings, and when these were: those that have to do with the time from `from` to `to`.
fn readings(
    timeline: &Timeline,
    from: Offset,
    to: Offset,
) -> impl Iterator<Item = (Processors, Offset, Offset)> {
    let pairs = timeline.processors.windows(2).filter_map(|pair| match pair {
        [(began, earlier), (ended, later)] => Some((later.since(earlier)?, *began, *ended)),
        _ => None,
    });
    pairs.filter(move |(_, began, ended)| *ended > from && *began < to)
}

/// From `from` to `to`, less than one processor was idle by every reading. False where nothing is known of it.
pub(crate) fn starved(timeline: &Timeline, from: Offset, to: Offset) -> bool {
    let mut known = readings(timeline, from, to).peekable();
    known.peek().is_some() && known.all(|(between, ..)| between.full())
}

/// From the readings of the record; none where there are too few of them.
pub(crate) fn used(timeline: &Timeline) -> Option<MachineUse> {
    let mut sum = Processors::default();
    let (mut crowd, mut crowded) = (Processors::default(), Span::default());
    for (between, began, ended) in readings(timeline, timeline.fault()?.low, timeline.ended()) {
        sum = sum.plus(&between);
        if between.crowded() {
            crowd = crowd.plus(&between);
            crowded.0 += ended.since(began);
        }
    }
    (sum.all_ms() > 0).then(|| MachineUse {
        processors: sum.count,
        cluster_permille: sum.permille(sum.cluster_ms),
        harness_permille: sum.permille(sum.harness_ms),
        others_permille: sum.permille(sum.others_ms()),
        idle_permille: sum.permille(sum.idle_ms),
        crowded,
        crowd_permille: crowd.permille(crowd.others_ms()),
    })
}

/// Others crowded the machine since the fault: what came late may be late because of them.
pub(crate) struct Crowd {
    /// When: no more than this can be their doing, were the cluster to stand still meanwhile.
    spans: Vec<(Offset, Offset)>,
    /// It lasted for half of the time since the fault or longer.
    most: bool,
    words: String,
}

/// None where others left the cluster alone.
pub(crate) fn crowd(used: Option<&MachineUse>, timeline: &Timeline) -> Option<Crowd> {
    let used = used.filter(|used| used.was_crowded())?;
    let (fault, ended) = (timeline.fault()?.low, timeline.ended());
    let observed = ended.since(fault);
    let words = format!(
        "others than the cluster and recoup used {} % of this machine for {:.0} of the {:.0} s since the fault, and \
         left less than one processor idle: on a quiet machine it may hold",
        (used.crowd_permille + 5) / 10,
        used.crowded.0.as_secs_f64(),
        observed.as_secs_f64(),
    );
    let crowded = readings(timeline, fault, ended).filter(|(between, ..)| between.crowded());
    let spans = crowded.map(|(_, began, ended)| (began, ended)).collect();
    Some(Crowd { spans, most: used.crowded.0 * 2 >= observed, words })
}

impl Crowd {
    /// In words.
    pub(crate) fn words(&self) -> &str {
        &self.words
    }

    /// Can a cluster be unhealthy because of them at the end of all patience? That is minutes long, and makes good
    /// what a shorter crowd has delayed.
    pub(crate) fn lasted(&self) -> bool {
        self.most
    }

    /// For how long, of the time until then: what came later has delayed nothing that was over. A reading that began
    /// before counts in full, since nobody knows in which part of it they were there.
    fn until(&self, then: Offset) -> Duration {
        self.spans.iter().filter(|(began, _)| *began < then).map(|(began, ended)| ended.since(*began)).sum()
    }

    /// Would it have been in time without them? It was over `then`.
    fn explains(&self, measure: Measure, limit: Span, then: Offset) -> bool {
        let time = self.until(then);
        match measure {
            _ if time.is_zero() => false,
            Measure::Measured { low, .. } => low.0.saturating_sub(time) <= limit.0,
            Measure::Censored { more_than } => more_than.0.saturating_sub(time) <= limit.0,
            Measure::NotSeen { .. } | Measure::Unknown => false,
        }
    }
}

/// A milestone that would have come in time without a crowd is no failure of the cluster's; one that came too soon is.
pub(crate) fn excuse_interval(mut interval: Interval, crowd: Option<&Crowd>) -> Interval {
    let sooner = match (interval.measure, interval.milestone.at_least) {
        (Measure::Measured { value, .. }, Some(least)) => value < least,
        _ => false,
    };
    let then = match interval.measure {
        Measure::Measured { value, .. } => interval.from.plus(value.0),
        _ => Offset(u64::MAX),
    };
    if let (Verdict::Fail, Some(crowd), Some(budget), false) =
        (interval.verdict, crowd, interval.budget(), sooner)
        && crowd.explains(interval.measure, budget, then)
    {
        interval.verdict = Verdict::Inconclusive;
        interval.detail = format!("{}; {}", interval.detail, crowd.words);
    }
    interval
}

/// The same for an assertion that a starved cluster breaks by being late. Lost writes, or an old holder that acts, are
/// failures on any machine.
pub(crate) fn excuse(mut came: Came, of: &Assertion, crowd: Option<&Crowd>) -> Came {
    let Some(crowd) = crowd.filter(|_| came.verdict == Verdict::Fail) else { return came };
    let then = came.over.unwrap_or(Offset(u64::MAX));
    let explained = |limit| came.measure.is_some_and(|measure| crowd.explains(measure, limit, then));
    let late = match of {
        Assertion::Gap(gap) => explained(gap.max),
        Assertion::ComesBack(back) => explained(back.within),
        // A moment is enough for these.
        Assertion::Succeeds(_)
        | Assertion::SameLeader(_)
        | Assertion::SameHolder(_)
        | Assertion::OldProcessGone(_)
        | Assertion::Slowdown(_)
        | Assertion::HoldsUpTo(_) => true,
        Assertion::Fails(_)
        | Assertion::NoLostWrites(_)
        | Assertion::OldHolderStaysOut(_)
        | Assertion::NoReplacementDuringFault(_)
        | Assertion::MetricMoves(_) => false,
    };
    if late {
        came.verdict = Verdict::Inconclusive;
        came.detail = format!("{}; {}", came.detail, crowd.words);
    }
    came
}
