//! All evidence of one record, and what its kinds have in common.

use std::time::Duration;

use super::{load, node_lease, quorum, roles, silence};
use crate::{
    time::Offset,
    timeline::{Timeline, Trace},
};

/// One thing that the record shows, or should show and does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Evidence {
    /// The step.
    pub(crate) step: u32,
    /// The node.
    pub(crate) node: String,
    /// What was looked for.
    pub(crate) check: String,
    /// It is so.
    pub(crate) held: bool,
    /// What was seen.
    pub(crate) seen: String,
}

/// A request that was under way when a fault was injected may still be carried out; so may the next one where
/// the machine is busy.
pub(super) const SETTLES: Duration = Duration::from_secs(2);

/// Everything that the record shows of the faults, in the order of the steps.
pub(crate) fn gather(timeline: &Timeline) -> Vec<Evidence> {
    let mut all = roles::roles(timeline);
    all.extend(silence::silence(timeline));
    let losses = quorum::losses(timeline);
    all.extend(losses.iter().map(|loss| quorum::lost(timeline, loss)));
    all.extend(node_lease::stopped(timeline, &losses));
    all.extend(load::loads(timeline));
    all.sort_by_key(|evidence| evidence.step);
    all
}

/// When a step began to be injected into a node, when that was done, and when its undo began there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) began: Offset,
    pub(super) since: Offset,
    pub(super) until: Option<Offset>,
}

/// How a step held a node; none where it was not injected there.
pub(super) fn held(trace: &Trace, node: &str) -> Option<Held> {
    let mut there = trace.injected.iter().filter(|injection| injection.node == node).peekable();
    let began = there.peek()?.began;
    let since = there.map(|injection| injection.ended).max()?;
    let undone = trace.undone.iter().filter(|(other, ..)| other == node);
    Some(Held { began, since, until: undone.map(|(_, began, _)| *began).min() })
}

/// A length of time in words, to hundredths of a second.
pub(crate) fn length(span: Duration) -> String {
    format!("{:.2} s", span.as_secs_f64())
}
