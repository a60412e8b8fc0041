//! `holdsUpTo:` up to which rate of requests everything is as it should be: the knee of a ramp.
//!
//! A stage of a ramp ceases to hold where a changed Deployment does not converge within its budget, where a Lease
//! changes its holder or is not renewed in time, or where requests of the load are refused or fail. What begins in
//! one stage and is missed in a later one ceased somewhere between them: surely by the later one, and of the earlier
//! ones it is not known that they held.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    assertion::Came,
    load::{LoadStage, ON_TIME, results},
    observation::{Observation, Observed},
    quantity::Frequency,
    spec::{Assertion, HoldsUpTo, Step},
    time::{Offset, Span},
    timeline::{Attempt, Outcome, Series, Timeline},
    verdict::Verdict,
};

/// Where fewer of the due requests left on time, the generator gave out, and nothing is said of the cluster.
pub(crate) const KEPT: f64 = 0.99;
/// Where more requests were refused or failed, the rate is more than the API servers bear.
const ERRORS: f64 = 0.01;
/// A Lease that is not renewed for so long was not renewed in time, where the record does not say how long its holder
/// may go without: client-go's default `LeaseDuration`.
const LEASE: Span = Span::seconds(15);

/// How a stage of a load ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum StageState {
    /// Everything was as it should be.
    Held,
    /// It is not known: something that began in it was missed in a later one, or nothing was measured.
    Unclear,
    /// Something was not as it should be.
    Ceased,
    /// The generator could not send the requests when they were due.
    GaveOut,
}

/// The knee of a load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Capacity {
    /// The highest rate, as offered, up to which everything held; none where not even the first one did.
    pub holds: Option<Frequency>,
    /// The lowest rate at which something surely did not; none where none was found.
    pub ceases: Option<Frequency>,
    /// In words, with the reason.
    pub words: String,
}

/// Something that was missed: it began at `from`, and by `sure` it was.
struct Breach {
    from: Offset,
    sure: Offset,
    why: String,
}

/// Weighs each stage; gives the knee, unless another fault was there to blame.
pub(crate) fn weigh(timeline: &Timeline, stages: &mut [LoadStage]) -> Option<Capacity> {
    let budget = timeline.plan.assertions.iter().find_map(|one| match one {
        Assertion::HoldsUpTo(settings) => Some(settings.convergence),
        _ => None,
    });
    let converge = timeline.series.iter().find(|s| matches!(s.stream.observation, Observation::Converge));
    for stage in stages.iter_mut() {
        let attempts = converge.into_iter().flat_map(|series| &series.attempts);
        let begun =
            attempts.filter(|a| a.due >= stage.from && a.due < stage.to && a.outcome != Outcome::Lost);
        let told: Vec<&Attempt> = begun.collect();
        stage.converged = told.len() as u64;
        let ended = told.iter().filter(|attempt| attempt.told().is_some());
        stage.slowest = ended.map(|attempt| Span(attempt.done.since(attempt.due))).max();
    }
    let breaches = breaches(timeline, budget, converge);
    for n in 0..stages.len() {
        (stages[n].state, stages[n].because) = state(stages, n, budget.is_some(), &breaches);
    }
    let others = timeline.plan.steps.iter().any(|step| step.is_fault() && !matches!(step, Step::Load(_)));
    (!others).then(|| knee(stages))
}

fn state(stages: &[LoadStage], n: usize, converges: bool, breaches: &[Breach]) -> (StageState, String) {
    let stage = &stages[n];
    #[expect(clippy::cast_precision_loss, reason = "counts of requests fit 52 bits")]
    let share = |count: u64, of: u64| if of == 0 { 0.0 } else { count as f64 / of as f64 };
    if share(stage.on_time, stage.due) < KEPT {
        let why = format!(
            "only {} of {} requests left within {} of when they were due",
            stage.on_time,
            stage.due,
            Span(ON_TIME)
        );
        return (StageState::GaveOut, why);
    }
    // Missed after the load's end: it can only be this load's doing, at its last rate or before.
    let last = n + 1 == stages.len();
    let inside = |at: Offset| at >= stage.from && (at < stage.to || last);
    let exposed = |breach: &&Breach| breach.from < stage.to && breach.sure >= stage.from;
    let mut sure: Vec<String> = breaches
        .iter()
        .filter(exposed)
        .filter(|breach| inside(breach.sure))
        .map(|breach| breach.why.clone())
        .collect();
    let failures = stage.failures();
    if share(stage.throttled + failures, stage.sent) > ERRORS {
        let mut parts = vec![format!("{} of {} requests were refused (429)", stage.throttled, stage.sent)];
        parts.extend(stage.failed.iter().map(|(class, count)| format!("{count} failed ({class})")));
        sure.push(parts.into_iter().skip(usize::from(stage.throttled == 0)).collect::<Vec<_>>().join(", "));
    }
    if !sure.is_empty() {
        return (StageState::Ceased, sure.join("; "));
    }
    if let Some(breach) = breaches.iter().find(exposed) {
        return (StageState::Unclear, format!("{}, but only in a later step of the ramp", breach.why));
    }
    if converges && stage.converged == 0 {
        return (StageState::Unclear, "no attempt at convergence began in it".into());
    }
    (StageState::Held, String::new())
}

/// Everything that was missed, in the order of time.
fn breaches(timeline: &Timeline, budget: Option<Span>, converge: Option<&Series>) -> Vec<Breach> {
    let mut found = Vec::new();
    if let (Some(budget), Some(series)) = (budget, converge) {
        found.extend(series.attempts.iter().filter_map(|attempt| late(attempt, budget)));
    }
    for series in &timeline.series {
        if let Observation::Lease { name } = &series.stream.observation {
            let limit = timeline.grace.get(name).copied().unwrap_or(LEASE);
            leases(series, name, limit, &mut found);
        }
    }
    found.sort_by_key(|breach| breach.sure);
    found
}

/// A change of a Deployment that missed its budget.
fn late(attempt: &Attempt, budget: Span) -> Option<Breach> {
    let (from, took) = (attempt.due, Span(attempt.done.since(attempt.due)));
    let why = match &attempt.outcome {
        Outcome::Lost => return None,
        Outcome::Good(_) | Outcome::Slow(_) if took <= budget => return None,
        Outcome::Good(_) | Outcome::Slow(_) => {
            format!("a changed Deployment took {:.1} s to converge", took.0.as_secs_f64())
        }
        Outcome::Bad(class) => {
            format!("a changed Deployment had not converged after {:.1} s ({class})", took.0.as_secs_f64())
        }
    };
    let sure = attempt.done.min(from.plus(budget.0));
    Some(Breach { from, sure, why: format!("{why}, and at most {budget} is allowed") })
}

/// Changes of a Lease's holder, and times without a renewal.
fn leases(series: &Series, name: &str, limit: Span, found: &mut Vec<Breach>) {
    /// The last word: holder, renewal, when it was first told, and when it was last asked for.
    struct Word<'t> {
        holder: &'t str,
        renewed: &'t str,
        first: Offset,
        last: Offset,
        stale: bool,
    }
    let mut word: Option<Word<'_>> = None;
    for attempt in &series.attempts {
        let Some(Observed::Lease { holder, renewed }) = attempt.told() else { continue };
        match &mut word {
            Some(now) if now.holder == holder && now.renewed == renewed => {
                now.last = now.last.max(attempt.sent);
                if !now.stale && now.last.since(now.first) > limit.0 {
                    now.stale = true;
                    let why = format!("the lease {name} was not renewed for more than {limit}");
                    found.push(Breach { from: now.first, sure: now.first.plus(limit.0), why });
                }
            }
            other => {
                if let Some(before) = other.as_ref().filter(|before| before.holder != holder) {
                    let why = format!("the lease {name} changed its holder");
                    found.push(Breach { from: before.last, sure: attempt.done, why });
                }
                let (first, last) = (attempt.done, attempt.sent);
                *other = Some(Word { holder, renewed, first, last, stale: false });
            }
        }
    }
}

fn knee(stages: &[LoadStage]) -> Capacity {
    let end = stages.iter().position(|stage| stage.state != StageState::Held).unwrap_or(stages.len());
    let holds = end.checked_sub(1).map(|n| stages[n].rate);
    let rest = &stages[end..];
    let decided = rest.iter().find(|stage| stage.state != StageState::Unclear);
    let ceased = decided.filter(|stage| stage.state == StageState::Ceased);
    let held =
        holds.map_or_else(|| "does not hold at the first rate".into(), |rate| format!("holds up to {rate}"));
    let words = match (rest.first(), decided) {
        (None, _) => format!("{held}, the highest rate that was offered"),
        (_, Some(stage)) if stage.state == StageState::Ceased => {
            format!("{held}, ceases at {} because {}", stage.rate, stage.because)
        }
        (_, Some(stage)) => {
            format!("{held}; beyond it nothing is known: at {} {}", stage.rate, stage.because)
        }
        (Some(stage), None) => format!("{held}; at {} it is not clear: {}", stage.rate, stage.because),
    };
    Capacity { holds, ceases: ceased.map(|stage| stage.rate), words }
}

pub(crate) fn holds_up_to(timeline: &Timeline, settings: &HoldsUpTo) -> Came {
    let loads = results(timeline);
    let Some(load) = loads.first() else { return Came::unknown("no request of a load is recorded") };
    let Some(capacity) = &load.capacity else {
        return Came::unknown("another fault was there as well: what ceased may be its doing");
    };
    let wanted = settings.rate;
    let detail = format!("{}; wanted {wanted}", capacity.words);
    let verdict = match (capacity.holds, capacity.ceases) {
        (_, Some(ceases)) if ceases <= wanted => Verdict::Fail,
        (Some(holds), _) if holds >= wanted => Verdict::Pass,
        _ => Verdict::Inconclusive,
    };
    Came::new(verdict, detail)
}
