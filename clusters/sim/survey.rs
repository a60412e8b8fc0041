//! What a simulated node says of itself: the lines of a kind node's survey, as far as they are modelled.

use recoup_model::{
    action::{StaticPod, Unit},
    residue::NAMESPACE,
};

use super::model::World;
use crate::cluster::LOAD_NAMESPACE;

const FOLDER: &str = "/etc/kubernetes";

const PODS: [StaticPod; 4] =
    [StaticPod::Etcd, StaticPod::KubeApiserver, StaticPod::KubeControllerManager, StaticPod::KubeScheduler];

/// Everything that a fault may leave behind, a line each, sorted.
pub(super) fn survey(world: &World, node: usize) -> Vec<String> {
    let machine = &world.nodes[node];
    let mut lines = Vec::new();
    let deadlines = machine.changed.deadlines.iter();
    if machine.paused {
        lines.push("the node is paused".to_owned());
        lines.extend(deadlines.map(|(id, _)| format!("deadline on the harness's machine: {id}")));
        return lines;
    }
    lines.push(format!("address {}", machine.address));
    for filter in &machine.filters {
        let rule = &filter.rule;
        lines.push(format!("packet filter: recoup:{} {:?} {:?}", rule.tag, rule.peers, rule.ports));
    }
    for late in &machine.late {
        let rule = &late.rule;
        lines.push(format!("slow network: recoup:{} {:?} {:?}", rule.tag, rule.peers, rule.ports));
    }
    for (process, slot) in &machine.slots {
        if slot.running.as_ref().is_some_and(|run| run.stopped) {
            lines.push(format!("stopped process: {:.15}", process.program()));
        }
    }
    let stopped = world
        .pods
        .iter()
        .filter(|pod| pod.node == Some(node) && pod.process.as_ref().is_some_and(|p| p.stopped));
    lines.extend(stopped.map(|_| "stopped process: recoup-workload".to_owned()));
    for process in PODS.map(StaticPod::process) {
        let Some(slot) = machine.slots.get(&process) else { continue };
        let name = process.program();
        let flags = machine.changed.flags.get(&process);
        if slot.held {
            lines.push(format!("file of ours: {FOLDER}/recoup-held/{name}.yaml"));
        } else {
            lines.push(format!(
                "manifest {name}.yaml: {}",
                if flags.is_some() { "changed" } else { "as made" }
            ));
        }
        if flags.is_some() {
            lines.push(format!("file of ours: {FOLDER}/recoup-original/{name}.yaml"));
        }
    }
    for process in [Unit::Kubelet, Unit::Containerd].map(Unit::process) {
        let runs = world.running(node, process).is_some();
        lines.push(format!("state of {process}.service: {}", if runs { "active" } else { "inactive" }));
        if let Some(settings) = machine.changed.units.get(&process) {
            lines.push(format!(
                "drop-in /run/systemd/system/{process}.service.d/90-recoup.conf: {settings:?}"
            ));
        }
    }
    for (process, limiting) in &machine.changed.limits {
        lines.push(format!("file of ours: /run/recoup/limit-{process}"));
        lines.push(format!("limit of {process}: {}", limiting.limit));
    }
    if world.space.by == Some(node) {
        lines.push("file of ours: /run/recoup/etcd-fill".to_owned());
    }
    if node < world.planes && world.load_objects > 0 {
        lines.push(format!("{NAMESPACE}{LOAD_NAMESPACE}"));
    }
    lines.extend(deadlines.map(|(id, _)| format!("unit of ours: recoup-{id}.timer")));
    lines.sort();
    lines
}
