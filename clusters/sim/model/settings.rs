//! What faults change of a node's settings (drop-ins of units, flags of static pods), deadlines, and the
//! kubelet's memory of containers that ended.

use std::{collections::BTreeMap, time::Duration};

use recoup_model::{
    action::{NodeAction, Process},
    configuration::names::flags,
    time::Span,
};

use super::{Event, World, dice::Dice, lease::ELECTED, limits::Limiting, space::QUOTA, timing};
use crate::LeaderElection;

/// A node's settings, where they are not what they were at first.
#[derive(Debug, Default)]
pub(crate) struct Changed {
    /// Drop-ins of units by their process.
    pub(crate) units: BTreeMap<Process, BTreeMap<String, String>>,
    /// Flags of static pods by their process.
    pub(crate) flags: BTreeMap<Process, BTreeMap<String, String>>,
    /// Undos that the node carries out by itself, by name.
    pub(crate) deadlines: BTreeMap<String, (Duration, NodeAction)>,
    /// Limits by process.
    pub(crate) limits: BTreeMap<Process, Limiting>,
}

impl World {
    /// When systemd starts a unit again that ended at `exited`; none where it is told not to.
    pub(crate) fn unit_returns(&self, node: usize, process: Process, exited: Duration) -> Option<Duration> {
        let settings = self.nodes[node].changed.units.get(&process);
        let set = |name: &str| settings.and_then(|settings| settings.get(name));
        if set("Restart").is_some_and(|value| value == "no") {
            return None;
        }
        let pause = set("RestartSec").and_then(|value| seconds(value)).unwrap_or(timing::RESTART_SEC);
        Some(exited + pause)
    }

    /// The leader election's times of the component on that node.
    pub(crate) fn election_of(&self, component: usize, node: usize) -> LeaderElection {
        let mut times = self.election;
        let (process, _) = ELECTED[component];
        let flags = self.nodes[node].changed.flags.get(&process);
        let set = |name: &str| flags?.get(name)?.parse::<Span>().ok();
        times.lease_duration = set(flags::LEASE_DURATION).unwrap_or(times.lease_duration);
        times.renew_deadline = set(flags::RENEW_DEADLINE).unwrap_or(times.renew_deadline);
        times.retry_period = set(flags::RETRY_PERIOD).unwrap_or(times.retry_period);
        times
    }

    /// Gives a static pod's process other flags; none puts them back. The kubelet then makes it anew.
    ///
    /// # Errors
    /// A flag that the model does not know: it would change nothing and seem to.
    pub(crate) fn set_flags(
        &mut self,
        node: usize,
        process: Process,
        flags: Option<&BTreeMap<String, String>>,
    ) -> Result<bool, String> {
        let elected = ELECTED.iter().any(|(known, _)| *known == process);
        for (flag, value) in flags.into_iter().flatten() {
            let election =
                [flags::LEASE_DURATION, flags::RENEW_DEADLINE, flags::RETRY_PERIOD].contains(&flag.as_str());
            let election = elected && election && value.parse::<Span>().is_ok();
            let quota = process == Process::Etcd && flag == QUOTA && value.parse::<u64>().is_ok();
            if !election && !quota {
                return Err(format!("the simulation does not model --{flag}={value} of {process}"));
            }
        }
        let all = &mut self.nodes[node].changed.flags;
        let changed = match flags {
            Some(flags) => {
                all.entry(process).or_default().extend(flags.clone());
                true
            }
            None => all.remove(&process).is_some(),
        };
        let now = self.now;
        let notice = Dice::branch(1, process.program(), u64::try_from(now.as_micros()).unwrap_or(0))
            .between(timing::MANIFEST);
        if changed && let Some(slot) = self.nodes[node].slots.get_mut(&process) {
            // Another manifest makes another pod, which knows no back-off.
            slot.fresh = true;
            slot.start_at = None;
            slot.replace_at = slot.running.is_some().then_some(now + notice);
        }
        Ok(changed)
    }

    /// A static pod's process runs, and with these flags.
    pub(crate) fn runs_with(&self, node: usize, process: Process, args: &BTreeMap<String, String>) -> bool {
        let machine = &self.nodes[node];
        let flags = machine.changed.flags.get(&process);
        let set = |(flag, value): (&String, &String)| flags.is_some_and(|all| all.get(flag) == Some(value));
        let replaced = machine.slots.get(&process).is_some_and(|slot| slot.replace_at.is_none());
        replaced && self.running(node, process).is_some() && args.iter().all(set)
    }

    /// Has a node carry out an undo by itself.
    pub(crate) fn set_deadline(&mut self, node: usize, id: &str, after: Duration, undo: NodeAction) {
        let due = self.now + after;
        self.nodes[node].changed.deadlines.insert(id.to_owned(), (due, undo));
        self.push(due, Event::Deadline { node, id: id.to_owned(), due });
    }

    /// A deadline has come: gives the undo, once the node can carry it out.
    pub(crate) fn deadline_due(&mut self, node: usize, id: &str, due: Duration) -> Option<NodeAction> {
        let set = self.nodes[node].changed.deadlines.get(id).filter(|(at, _)| *at == due)?;
        // On a frozen node nothing runs; what thaws it is outside.
        if self.nodes[node].paused && set.1 != NodeAction::Unpause {
            self.push(self.now + timing::POLL, Event::Deadline { node, id: id.to_owned(), due });
            return None;
        }
        self.nodes[node].changed.deadlines.remove(id).map(|(_, undo)| undo)
    }

    /// A kubelet that begins knows nothing of its containers' ends.
    pub(crate) fn forget_back_off(&mut self, node: usize) {
        for slot in self.nodes[node].slots.values_mut() {
            if slot.back_off.forget() {
                slot.start_at = None;
            }
        }
        self.forget_pods_back_off(node);
    }

    /// Each container on a node that ended so lately that its kubelet would delay the next start, with how long ago.
    pub(crate) fn delayed(&self, node: usize) -> Vec<(String, Duration)> {
        let slots = self.nodes[node]
            .slots
            .iter()
            .filter_map(|(process, slot)| Some((process.to_string(), slot.back_off.ended(self.now)?)));
        let pods = self.delayed_pods(node);
        slots.chain(pods).map(|(name, ended)| (name, self.now.saturating_sub(ended))).collect()
    }
}

/// systemd's time spans, of which a bare number is seconds.
fn seconds(value: &str) -> Option<Duration> {
    match value.parse::<u64>() {
        Ok(seconds) => Some(timing::secs(seconds)),
        Err(_) => value.parse::<Span>().ok().map(|span| span.0),
    }
}
