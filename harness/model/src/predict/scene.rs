//! What an experiment does to whom, as far as a formula can follow from it.

use std::time::Duration;

use super::{allowance::ACT, sum::Sum};
use crate::{
    action::{Process, Signal, Unit},
    configuration::Configuration,
    plan::Plan,
    spec::{Milestone, Since, Step, Target},
    time::Span,
};

/// How a process is hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// SIGKILL.
    Kill,
    /// SIGTERM.
    Term,
    /// SIGSTOP, thawed after that long.
    Stop(Duration),
    /// Its manifest is moved aside or its unit stopped, for that long.
    Held(Duration),
}

/// One fault, seen from the process that it hits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Blow<'a> {
    pub(super) how: How,
    pub(super) on: &'a Target,
    /// How often, and with which pause after each return.
    pub(super) times: u32,
    pub(super) every: Duration,
    /// On how many nodes.
    pub(super) count: u32,
}

impl Blow<'_> {
    /// How long it lasts, where it is undone.
    pub(super) fn hold(&self) -> Option<Duration> {
        match self.how {
            How::Stop(hold) | How::Held(hold) => Some(hold),
            How::Kill | How::Term => None,
        }
    }
}

/// A milestone within its experiment on a cluster.
#[derive(Clone, Copy)]
pub(super) struct Scene<'a> {
    pub(super) plan: &'a Plan,
    pub(super) milestone: &'a Milestone,
    pub(super) config: &'a Configuration,
}

impl<'a> Scene<'a> {
    /// The experiment's only fault on the control plane or the nodes (a killed container of the workload does not
    /// disturb them, and a load beside it is the weather), where it hits that process alone.
    pub(super) fn only(&self, process: Process) -> Option<Blow<'a>> {
        let mut faults = self.plan.steps.iter().filter(|s| breaks(s) && !matches!(s, Step::KillContainer(_)));
        let (first, other) = (faults.next()?, faults.next());
        blow(first).filter(|(hit, _)| *hit == process && other.is_none()).map(|(_, blow)| blow)
    }

    /// Waiting between the first fault and the step of that kind that comes first.
    pub(super) fn waits_before(&self, wanted: fn(&Step) -> bool) -> Option<(Duration, u32)> {
        let steps = &self.plan.steps;
        let first = steps.iter().position(breaks)?;
        let at = steps.iter().position(wanted).filter(|at| *at > first)?;
        let between = &steps[first..at];
        let waited =
            between.iter().map(|step| if let Step::Wait(span) = step { span.0 } else { Duration::ZERO });
        let acts = between.iter().map(|step| match step {
            Step::Wait(_) => 0,
            Step::StaticPod(fault) => fault.count,
            _ => 1,
        });
        Some((waited.sum(), acts.sum()))
    }

    /// True where it is counted from the undo.
    pub(super) fn counts_from_undo(&self) -> bool {
        self.milestone.since == Since::Undo
    }

    /// A sum that begins where the fault is undone, whatever the milestone is counted from.
    pub(super) fn undone(&self, hold: Duration) -> Sum {
        match self.counts_from_undo() {
            true => Sum::new(),
            false => Sum::new().each(hold, "the fault lasts", "`for` of the step").allow(&ACT),
        }
    }
}

/// True for a fault that is no load.
fn breaks(step: &Step) -> bool {
    step.is_fault() && !matches!(step, Step::Load(_))
}

fn blow(step: &Step) -> Option<(Process, Blow<'_>)> {
    let one = |how, on| Blow { how, on, times: 1, every: Duration::ZERO, count: 1 };
    match step {
        Step::Signal(fault) => {
            let how = match fault.signal {
                Signal::Kill => How::Kill,
                Signal::Term => How::Term,
                Signal::Stop => How::Stop(fault.hold.unwrap_or_default().0),
                Signal::Cont => return None,
            };
            let every = fault.every.unwrap_or_default().0;
            Some((fault.process, Blow { times: fault.times, every, ..one(how, &fault.on) }))
        }
        Step::StaticPod(fault) => {
            let blow = one(How::Held(fault.hold.0), &fault.on);
            Some((fault.pod.process(), Blow { count: fault.count, ..blow }))
        }
        Step::Unit(fault) => {
            let process = match fault.unit {
                Unit::Kubelet => Process::Kubelet,
                Unit::Containerd => Process::Containerd,
            };
            Some((process, one(How::Held(fault.hold.0), &fault.on)))
        }
        _ => None,
    }
}

/// Why there is no interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// No formula is known for this milestone of this experiment, whatever the cluster's settings.
    Formula,
    /// The fault ends before the milestone must have come.
    Short {
        /// How long the fault lasts.
        hold: Duration,
        /// When the milestone may come at the latest.
        needed: Duration,
    },
}

impl Missing {
    /// In words.
    pub(super) fn words(&self) -> String {
        match self {
            Missing::Formula => "no formula is known for it".into(),
            Missing::Short { hold, needed } => {
                let (hold, needed) = (Span(*hold), super::sum::seconds(*needed));
                format!(
                    "the fault lasts {hold}, and by this cluster's settings it may take {needed}: it may never come"
                )
            }
        }
    }
}

/// The sum, where the fault lasts until it must have come.
pub(super) fn lasting(sum: Sum, hold: Option<Duration>) -> Result<Sum, Missing> {
    match hold {
        Some(hold) if hold < sum.so_far() => Err(Missing::Short { hold, needed: sum.so_far() }),
        _ => Ok(sum),
    }
}
