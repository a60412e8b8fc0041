//! A cluster's defect as actions on its nodes, each with its undo.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, Result, bail};
use recoup_clusters::{Attempt, Cluster, ClusterError};
use recoup_engine::ledger::Ledger;
use recoup_model::{
    action::{DropRule, NodeAction, Signal},
    observation::{Observation, Observed},
    spec::control::{ClusterDefect, Deed, Where},
    topology::NodeRole,
};

/// An action on a node, with what undoes it.
pub struct Deeded {
    pub node: String,
    pub deed: NodeAction,
    pub undo: NodeAction,
}

/// An action that breaks something: what a fault begins with. Looks, undos and preparations are none.
pub fn injects(action: &NodeAction) -> bool {
    match action {
        NodeAction::Signal { signal, .. } | NodeAction::SignalPod { signal, .. } => *signal != Signal::Cont,
        NodeAction::StaticPodHold { .. }
        | NodeAction::UnitStop { .. }
        | NodeAction::Pause
        | NodeAction::DropAdd { .. }
        | NodeAction::SlowAdd { .. }
        | NodeAction::LimitSet { .. }
        | NodeAction::EtcdFill => true,
        _ => false,
    }
}

/// What undoes an injected action; none where nothing does.
pub fn undo_of(action: &NodeAction) -> Option<NodeAction> {
    match action {
        NodeAction::Signal { process, signal: Signal::Stop, only } => {
            Some(NodeAction::Signal { process: *process, signal: Signal::Cont, only: only.clone() })
        }
        NodeAction::StaticPodHold { pod, .. } => Some(NodeAction::StaticPodRestore { pod: *pod }),
        NodeAction::UnitStop { unit } => Some(NodeAction::UnitStart { unit: *unit }),
        NodeAction::Pause => Some(NodeAction::Unpause),
        NodeAction::DropAdd { rule } => Some(NodeAction::DropRemove { tag: rule.tag.clone() }),
        NodeAction::SlowAdd { rule, .. } => Some(NodeAction::SlowRemove { tag: rule.tag.clone() }),
        NodeAction::LimitSet { process, .. } => Some(NodeAction::LimitClear { process: *process }),
        NodeAction::EtcdFill => Some(NodeAction::EtcdFree),
        _ => None,
    }
}

/// An action that ends what a fault began. A CONT to a pod is the engine's look at it.
pub fn undoes(action: &NodeAction) -> bool {
    matches!(
        action,
        NodeAction::Signal { signal: Signal::Cont, .. }
            | NodeAction::StaticPodRestore { .. }
            | NodeAction::UnitStart { .. }
            | NodeAction::Unpause
            | NodeAction::DropRemove { .. }
            | NodeAction::SlowRemove { .. }
            | NodeAction::LimitClear { .. }
            | NodeAction::EtcdFree
            | NodeAction::LoadClear
    )
}

/// The node whose component holds a Lease.
pub async fn holder(cluster: &dyn Cluster, lease: &str) -> Result<String> {
    let observation = Observation::Lease { name: lease.to_owned() };
    let mut last = None;
    // Each attempt asks another API server.
    for number in 0..6 {
        match cluster.observe(&observation, Attempt { number, timeout: Duration::from_secs(2) }).await {
            Ok(Observed::Lease { holder, .. }) if !holder.is_empty() => {
                return Ok(holder.split('_').next().unwrap_or_default().to_owned());
            }
            other => last = Some(other),
        }
    }
    bail!("nobody holds {lease}: {last:?}")
}

/// The nodes that have the defect; `hit` is the node of the first fault.
async fn nodes(cluster: &dyn Cluster, on: &Where, hit: Option<&str>) -> Result<Vec<String>> {
    let with = |role| cluster.fingerprint().with_role(role).map(|node| node.name.clone());
    let mut nodes: Vec<String> = match on {
        Where::ControlPlanes => with(NodeRole::ControlPlane).collect(),
        Where::Workers => with(NodeRole::Worker).collect(),
        Where::Worker => with(NodeRole::Worker).take(1).collect(),
        Where::StandbysOf(lease) => {
            let holder = holder(cluster, lease).await?;
            with(NodeRole::ControlPlane).filter(|node| *node != holder).collect()
        }
        Where::Hit => vec![hit.context("nothing was hit yet")?.to_owned()],
        Where::OtherWorkers => with(NodeRole::Worker).filter(|node| hit != Some(node)).collect(),
    };
    nodes.dedup();
    anyhow::ensure!(!nodes.is_empty(), "no node of this cluster can have the defect");
    Ok(nodes)
}

/// What makes the defect. `flapping` is none of these: it is a process of its own.
pub async fn deeds(cluster: &dyn Cluster, defect: &ClusterDefect, hit: Option<&str>) -> Result<Vec<Deeded>> {
    let mut deeds = Vec::new();
    for node in nodes(cluster, &defect.on, hit).await? {
        let mut add = |deed, undo| deeds.push(Deeded { node: node.clone(), deed, undo });
        match &defect.what {
            Deed::Flags(flags) => add(
                NodeAction::ManifestArgs { pod: flags.pod, args: flags.args.clone() },
                NodeAction::ManifestRestore { pod: flags.pod },
            ),
            Deed::UnitSettings(unit) => add(
                NodeAction::UnitOverride { unit: unit.unit, settings: unit.settings.clone() },
                NodeAction::UnitOverrideRemove { unit: unit.unit },
            ),
            Deed::StaticPodDown(pod) => add(
                NodeAction::StaticPodHold { pod: *pod, kill: true },
                NodeAction::StaticPodRestore { pod: *pod },
            ),
            Deed::UnitDown(unit) => {
                add(NodeAction::UnitStop { unit: *unit }, NodeAction::UnitStart { unit: *unit });
            }
            Deed::Frozen(process) => {
                let process = *process;
                let found = cluster.act(&node, &NodeAction::Inspect { process }).await?.processes;
                anyhow::ensure!(!found.is_empty(), "no {process} runs on {node}");
                for one in found {
                    let only = Some(one.id);
                    add(
                        NodeAction::Signal { process, signal: Signal::Stop, only: only.clone() },
                        NodeAction::Signal { process, signal: Signal::Cont, only },
                    );
                }
            }
            Deed::Dropped(ports) => {
                let tag = "control".to_owned();
                let planes = cluster.fingerprint().with_role(NodeRole::ControlPlane);
                let peers = planes.filter(|peer| peer.name != node).map(|peer| peer.address.to_string());
                let rule = DropRule { tag: tag.clone(), peers: peers.collect(), ports: ports.clone() };
                add(NodeAction::DropAdd { rule }, NodeAction::DropRemove { tag });
            }
            Deed::Flapping(_) => {}
        }
    }
    Ok(deeds)
}

/// Writes an undo into the control's own ledger, before what it undoes is done.
pub fn arm(ledger: &Ledger, cluster: &dyn Cluster, node: &str, undo: NodeAction) -> Result<()> {
    let fingerprint = cluster.fingerprint();
    ledger.arm(fingerprint.provider, &fingerprint.cluster, node, 0, undo, false)?;
    Ok(())
}

/// Carries out whatever is in the control's own ledger, latest first.
pub async fn undo_all(ledger: &Ledger, cluster: &dyn Cluster) -> Result<(), ClusterError> {
    for entry in ledger.pending() {
        ledger.undo(&entry, cluster).await?;
    }
    Ok(())
}

/// As the harness is told of it.
pub fn failed(error: &anyhow::Error) -> ClusterError {
    ClusterError::Missing {
        missing: format!("the defect could not be put in place: {error:#}"),
        remedy: "look at the nodes".into(),
    }
}

/// The nodes of some deeds, each once.
pub fn where_done(deeds: &[Deeded]) -> BTreeSet<String> {
    deeds.iter().map(|deed| deed.node.clone()).collect()
}
