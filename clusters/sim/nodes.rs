//! Actions on simulated nodes, with the reports that a kind node's scripts give.

use std::{cell::Cell, time::Duration};

use async_trait::async_trait;
use recoup_model::action::{ActionReport, NodeAction, Process, ProcessId, ProcessState, Signal, StaticPod};
use tokio::time::sleep;

use super::{
    SimCluster,
    model::{World, dice::Dice, network::Filter, timing},
    survey::survey,
};
use crate::{Cluster, ClusterError, Nodes};

/// Half of a `docker exec`'s round trip (0.1 s, measured).
const HALF_EXEC: Duration = timing::ms(50);

#[async_trait]
impl Nodes for SimCluster {
    async fn act(&self, node: &str, action: &NodeAction) -> Result<ActionReport, ClusterError> {
        let names = &self.fingerprint().nodes;
        let Some(index) = names.iter().position(|known| known.name == node) else {
            return Err(ClusterError::NoSuchNode(node.to_owned()));
        };
        sleep(HALF_EXEC).await;
        let report = {
            let mut world = self.look();
            let report = act(&mut world, index, action);
            world.take_note();
            report
        };
        // Handshakes are made one after the other.
        let took = report.iter().flat_map(|report| &report.round_trips).map(|one| one.0).sum::<Duration>();
        sleep(HALF_EXEC + took).await;
        report.map_err(|output| ClusterError::Command {
            command: format!("{} on {node}", action.name()),
            status: "not carried out".into(),
            output,
        })
    }
}

pub(super) fn state(world: &World, node: usize, process: Process) -> Vec<ProcessState> {
    let seen = world.running(node, process);
    seen.map(|run| ProcessState { id: run.id.clone(), state: if run.stopped { 'T' } else { 'S' } })
        .into_iter()
        .collect()
}

fn act(world: &mut World, node: usize, action: &NodeAction) -> Result<ActionReport, String> {
    let mut report = ActionReport::default();
    if world.nodes[node].paused && !from_outside(action) {
        let name = &world.nodes[node].name;
        return Err(format!("container {name} is paused, unpause the container before exec"));
    }
    match action {
        NodeAction::Pause => report.changed = world.pause(node, true),
        NodeAction::Unpause => report.changed = world.pause(node, false),
        NodeAction::InspectNode => {}
        NodeAction::Signal { process, signal, only } => {
            report.processes = state(world, node, *process);
            report.processes.retain(|seen| only.as_ref().is_none_or(|only| seen.id == *only));
            report.changed = !report.processes.is_empty() && world.signal(node, *process, *signal);
        }
        NodeAction::StaticPodHold { pod, kill } => hold(world, node, *pod, *kill, &mut report)?,
        NodeAction::StaticPodRestore { pod } => {
            let slot = world.nodes[node].slots.get_mut(&pod.process());
            let slot = slot.ok_or_else(|| no_pod(*pod))?;
            report.changed = std::mem::take(&mut slot.held);
            slot.remove_at = None;
            // Its container is made anew at once: the one that ended has been cleared away, and nothing is left to
            // count a back-off from. The kubelet's memory of it stays.
            slot.fresh |= report.changed && slot.running.is_none();
        }
        NodeAction::UnitStop { .. }
        | NodeAction::UnitStart { .. }
        | NodeAction::UnitRestart { .. }
        | NodeAction::UnitOverride { .. }
        | NodeAction::UnitOverrideRemove { .. } => act_on_unit(world, node, action, &mut report),
        NodeAction::DropAdd { rule } => {
            let filters = &mut world.nodes[node].filters;
            // In place of those that bear the tag already.
            filters.retain(|filter| filter.rule.tag != rule.tag);
            filters.push(Filter { rule: rule.clone(), packets: Cell::new(0) });
            report.changed = true;
        }
        NodeAction::DropRemove { tag } => {
            let before = world.nodes[node].filters.len();
            world.nodes[node].filters.retain(|filter| filter.rule.tag != *tag);
            report.changed = world.nodes[node].filters.len() != before;
        }
        NodeAction::DropCount { tag } => {
            let filters = world.nodes[node].filters.iter().filter(|filter| filter.rule.tag == *tag);
            report.packets = filters.map(|filter| filter.packets.get()).sum();
        }
        NodeAction::SignalPod { pod, signal } => signal_pod(world, node, pod, *signal, &mut report)?,
        NodeAction::ManifestArgs { pod, args } => {
            if world.nodes[node].slots.get(&pod.process()).is_none_or(|slot| slot.held) {
                return Err(no_pod(*pod));
            }
            report.changed = world.set_flags(node, pod.process(), Some(args))?;
        }
        NodeAction::ManifestRestore { pod } => {
            report.changed = world.set_flags(node, pod.process(), None)?;
        }
        NodeAction::DeadlineSet { id, after, undo } => {
            world.set_deadline(node, id, after.0, (**undo).clone());
            report.changed = true;
            report.how = Some("SIMULATED".into());
        }
        NodeAction::DeadlineClear { id } => {
            report.changed = world.nodes[node].changed.deadlines.remove(id).is_some();
        }
        NodeAction::SlowAdd { .. }
        | NodeAction::SlowRemove { .. }
        | NodeAction::SlowCount { .. }
        | NodeAction::RoundTrips { .. } => super::slow::act(world, node, action, &mut report)?,
        NodeAction::LimitSet { .. } | NodeAction::LimitClear { .. } | NodeAction::LimitCount { .. } => {
            super::limits::act(world, node, action, &mut report)?;
        }
        NodeAction::EtcdFill | NodeAction::EtcdFree | NodeAction::EtcdLook => {
            super::etcd_space::act(world, node, action, &mut report)?;
        }
        NodeAction::LoadClear => report.changed = std::mem::take(&mut world.load_objects) > 0,
        NodeAction::RunsWith { pod, args } => {
            if world.runs_with(node, pod.process(), args) {
                report.processes = state(world, node, pod.process());
            }
        }
        NodeAction::Survey => report.survey = survey(world, node),
        NodeAction::Inspect { process } => report.processes = state(world, node, *process),
    }
    report.paused = world.nodes[node].paused;
    Ok(report)
}

/// What systemd does.
fn act_on_unit(world: &mut World, node: usize, action: &NodeAction, report: &mut ActionReport) {
    match action {
        NodeAction::UnitStop { unit } => {
            report.processes = state(world, node, unit.process());
            if let Some(slot) = world.nodes[node].slots.get_mut(&unit.process()) {
                report.changed = !std::mem::replace(&mut slot.held, true);
            }
            // systemctl stop waits, and sends CONT after TERM: a stopped process ends too.
            world.end(node, unit.process());
        }
        NodeAction::UnitStart { unit } => {
            if let Some(slot) = world.nodes[node].slots.get_mut(&unit.process()) {
                slot.held = false;
            }
            if world.running(node, unit.process()).is_none() {
                world.start(node, unit.process());
                report.changed = true;
            }
        }
        NodeAction::UnitRestart { unit } => {
            let process = unit.process();
            if let Some(slot) = world.nodes[node].slots.get_mut(&process) {
                slot.held = false;
            }
            world.end(node, process);
            world.start(node, process);
            report.processes = state(world, node, process);
            report.changed = true;
        }
        NodeAction::UnitOverride { unit, settings } => {
            world.nodes[node].changed.units.insert(unit.process(), settings.clone());
            report.changed = true;
        }
        NodeAction::UnitOverrideRemove { unit } => {
            let process = unit.process();
            report.changed = world.nodes[node].changed.units.remove(&process).is_some();
            if report.changed && world.running(node, process).is_none() {
                world.start(node, process);
            }
        }
        _ => {}
    }
}

/// What a frozen node needs nothing for.
fn from_outside(action: &NodeAction) -> bool {
    match action {
        NodeAction::Pause
        | NodeAction::Unpause
        | NodeAction::InspectNode
        | NodeAction::Survey
        | NodeAction::DeadlineClear { .. } => true,
        NodeAction::DeadlineSet { undo, .. } => **undo == NodeAction::Unpause,
        _ => false,
    }
}

/// What a node does by itself when a deadline has come. An undo that finds nothing to do is none the less done.
pub(super) fn fall_due(world: &mut World, node: usize, undo: &NodeAction) {
    if let Err(why) = act(world, node, undo) {
        tracing::warn!(%why, "a deadline's undo was not carried out");
    }
}

fn no_pod(pod: StaticPod) -> String {
    format!("there is no static pod {} on this node", pod.process())
}

fn hold(
    world: &mut World,
    node: usize,
    pod: StaticPod,
    kill: bool,
    report: &mut ActionReport,
) -> Result<(), String> {
    let process = pod.process();
    report.processes = state(world, node, process);
    let now = world.now;
    // Drawn from the moment rather than the model's dice, so that a deed does not shift what others draw.
    let notice = Dice::branch(0, process.program(), u64::try_from(now.as_micros()).unwrap_or(0))
        .between(timing::MANIFEST);
    let slot = world.nodes[node].slots.get_mut(&process).ok_or_else(|| no_pod(pod))?;
    report.changed = !std::mem::replace(&mut slot.held, true);
    slot.remove_at = Some(now + notice);
    if kill {
        report.changed |= world.signal(node, process, Signal::Kill);
    }
    Ok(())
}

fn signal_pod(
    world: &mut World,
    node: usize,
    pod: &str,
    signal: Signal,
    report: &mut ActionReport,
) -> Result<(), String> {
    let index = world.pods.iter().position(|known| known.name == pod && known.node == Some(node));
    let index = index.ok_or_else(|| format!("there is no pod {pod} on this node"))?;
    if let Some(process) = &world.pods[index].process {
        let id: ProcessId = process.id.clone();
        report.processes = vec![ProcessState { id, state: if process.stopped { 'T' } else { 'S' } }];
    }
    report.changed = world.signal_pod(index, signal);
    Ok(())
}
