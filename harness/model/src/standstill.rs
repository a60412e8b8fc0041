//! Nodes that stood still as a whole: not even recoup's own prober on them answered. That a pod there did not answer
//! either says nothing of a fault which that node was not hit by; on a machine that all nodes share, they are starved
//! for a second at times.

use std::collections::BTreeMap;

use crate::{
    observation::Observation,
    time::Offset,
    timeline::{Outcome, Timeline},
    verdict::Outage,
};

/// One or two attempts may be lost on their way to a prober; so many are the prober's.
const LOST: usize = 3;

/// The node on which attempts of the prober were lost throughout, from the sending of an outage's first failed attempt
/// to that of its last, in words. None where there is no such node but those that were hit.
pub(crate) fn beside(timeline: &Timeline, outage: &Outage) -> Option<String> {
    let hit = timeline.targets();
    let mut lost: BTreeMap<&str, Vec<(Offset, Offset)>> = BTreeMap::new();
    for series in &timeline.series {
        let Some(node) = prober(&series.stream.observation) else { continue };
        let attempts = series.attempts.iter().filter(|attempt| attempt.outcome == Outcome::Lost);
        let meanwhile = attempts.filter(|a| a.sent <= outage.end_low && a.done >= outage.from);
        lost.entry(node).or_default().extend(meanwhile.map(|attempt| (attempt.sent, attempt.done)));
    }
    lost.retain(|node, spans| spans.len() >= LOST && !hit.iter().any(|hit| hit == node));
    let (node, spans) = lost.into_iter().find(|(_, spans)| covered(spans, outage.from, outage.end_low))?;
    Some(format!(
        "{node} as a whole stood still meanwhile, though it was not hit: {} attempts of recoup's own prober there \
         were not answered either",
        spans.len()
    ))
}

/// The node on which a prober asks.
fn prober(observation: &Observation) -> Option<&str> {
    match observation {
        Observation::Workload { from: node, .. } | Observation::Health { node, .. } => Some(node),
        _ => None,
    }
}

/// No moment from `from` to `to` is outside of all the spans.
fn covered(spans: &[(Offset, Offset)], from: Offset, to: Offset) -> bool {
    let mut spans = spans.to_vec();
    spans.sort_unstable();
    let reached = spans.iter().fold(None, |reached: Option<Offset>, (began, ended)| {
        let joins = *began <= reached.unwrap_or(from);
        if joins { reached.max(Some(*ended)) } else { reached }
    });
    reached.is_some_and(|reached| reached >= to)
}
