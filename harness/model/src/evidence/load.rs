//! A load left as it was planned: requests that were not sent when they were due are no load.

use super::gather::Evidence;
use crate::{
    capacity::KEPT,
    load::{ON_TIME, Schedule, results},
    spec::{Assertion, Step},
    time::Span,
    timeline::Timeline,
};

/// Whom the evidence of a load names in place of a node.
const WHOM: &str = "the API servers";

/// Every load kept its schedule and was answered. Beyond the rate that `holdsUpTo` asks for, a generator may give
/// out: the knee then says so.
pub(super) fn loads(timeline: &Timeline) -> Vec<Evidence> {
    let asked = timeline.plan.assertions.iter().find_map(|one| match one {
        Assertion::HoldsUpTo(settings) => Some(settings.rate),
        _ => None,
    });
    let results = results(timeline);
    let mut all = Vec::new();
    for (number, step, trace) in timeline.faults() {
        let (Step::Load(load), Some(_)) = (step, trace) else { continue };
        let evidence = |check: &str, held, seen| Evidence {
            step: number,
            node: WHOM.into(),
            check: check.into(),
            held,
            seen,
        };
        let planned = Schedule::new(load, 0).slices().len();
        let recorded = timeline.loads.get(&number).map_or(0, Vec::len);
        let whole = "all of its requests are accounted for";
        all.push(evidence(
            whole,
            recorded == planned,
            format!("{recorded} of {planned} seconds are recorded"),
        ));
        let Some(result) = results.iter().find(|result| result.step == number) else { continue };
        // The step of the ramp that decides may lie above the rate that is asked for.
        let top = result.stages.iter().map(|stage| stage.rate).find(|rate| asked.is_none_or(|a| *rate >= a));
        let top = top.filter(|_| asked.is_some());
        let counted = || result.stages.iter().filter(move |stage| top.is_none_or(|top| stage.rate <= top));
        let (due, kept): (u64, u64) =
            (counted().map(|stage| stage.due).sum(), counted().map(|stage| stage.on_time).sum());
        #[expect(clippy::cast_precision_loss, reason = "counts of requests fit 52 bits")]
        let share = if due == 0 { 0.0 } else { kept as f64 / due as f64 };
        let seen = format!("{kept} of {due} left within {} of when they were due", Span(ON_TIME));
        all.push(evidence("its requests left on schedule", share >= KEPT, seen));
        let answered: u64 = counted().map(|stage| stage.answered).sum();
        all.push(evidence("they were answered", answered > 0, format!("{answered} good answers")));
    }
    all
}
