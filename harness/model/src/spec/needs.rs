//! What an experiment needs of a cluster, so that a profile can be found lacking before anything is made.

use super::{Assertion, Milestone, Step, Target, When};
use crate::{
    action::{Capability, StaticPod},
    degrade::Limit,
    plan::Plan,
    topology::NodeRole,
};

/// What a plan needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requirements {
    /// What the cluster's nodes must let be done.
    pub capabilities: Vec<Capability>,
    /// Control-plane nodes.
    pub control_planes: usize,
    /// Workers.
    pub workers: usize,
}

impl Requirements {
    /// What a cluster of so many nodes lacks, in words; empty where it has all.
    #[must_use]
    pub fn lacking(&self, count: impl Fn(NodeRole) -> usize) -> Vec<String> {
        let mut lacking = Vec::new();
        for (role, wanted, name) in [
            (NodeRole::ControlPlane, self.control_planes, "control planes"),
            (NodeRole::Worker, self.workers, "workers"),
        ] {
            let have = count(role);
            if have < wanted {
                lacking.push(format!("it needs {wanted} {name} and has {have}"));
            }
        }
        lacking
    }
}

/// The abilities and nodes without which the plan cannot run or cannot be judged.
#[must_use]
pub fn requirements(plan: &Plan) -> Requirements {
    let mut needs = Requirements { capabilities: Vec::new(), control_planes: 1, workers: 1 };
    for step in &plan.steps {
        let (capability, target, count) = match step {
            Step::Signal(fault) => (Some(Capability::Signal), Some(&fault.on), 1),
            Step::StaticPod(fault) => (Some(Capability::StaticPods), Some(&fault.on), fault.count),
            Step::Unit(fault) => (Some(Capability::Systemd), Some(&fault.on), 1),
            Step::Pause(fault) => (Some(Capability::Pause), Some(&fault.on), 1),
            Step::Drop(fault) => (Some(Capability::PacketFilter), Some(&fault.on), 1),
            Step::KillContainer(fault) => (Some(Capability::Signal), Some(&fault.on), 1),
            Step::Slow(fault) => (Some(Capability::SlowNetwork), Some(&fault.on), 1),
            Step::Limit(fault) => {
                let io = Limit { cpu: None, ..fault.to } != Limit::default();
                needs.capabilities.extend(io.then_some(Capability::IoLimit));
                (fault.to.cpu.is_some().then_some(Capability::CpuLimit), Some(&fault.on), 1)
            }
            Step::FillEtcd(fault) => (Some(Capability::EtcdAccess), Some(&fault.on), 1),
            Step::DeletePods(_) | Step::Load(_) | Step::Wait(_) => (None, None, 1),
        };
        needs.capabilities.extend(capability);
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        match target {
            Some(Target::RaftLeader) => needs.capabilities.push(Capability::EtcdAccess),
            Some(Target::RaftFollower) => {
                needs.capabilities.push(Capability::EtcdAccess);
                needs.control_planes = needs.control_planes.max(count.saturating_add(1));
            }
            Some(Target::ControlPlane) => needs.control_planes = needs.control_planes.max(count),
            Some(Target::Worker | Target::WorkloadNode) => needs.workers = needs.workers.max(count),
            _ => {}
        }
    }
    if !plan.flags.is_empty() {
        needs.capabilities.push(Capability::StaticPods);
    }
    if plan.probes.etcd().is_some() {
        needs.capabilities.push(Capability::EtcdAccess);
    }
    for milestone in &plan.milestones {
        match milestone.when {
            // Two of two members are a majority, but a lost one of two leaves none.
            When::NewLeader => needs.control_planes = needs.control_planes.max(3),
            When::NewHolder(_) | When::CaughtUp => needs.control_planes = needs.control_planes.max(2),
            // A replacement needs another worker to run on.
            When::Evicted | When::Replaced if hits_workers(plan) => needs.workers = needs.workers.max(2),
            _ => {}
        }
    }
    let others = |pattern: &str, prefix: &str| pattern.starts_with(prefix) && pattern.contains("@others");
    let milestones = plan.milestones.iter().filter_map(Milestone::pattern);
    for pattern in milestones.chain(plan.assertions.iter().flat_map(Assertion::patterns)) {
        if others(&pattern.0, "workload/") || others(&pattern.0, "health/") {
            needs.workers = needs.workers.max(if hits_workers(plan) { 2 } else { 1 });
        } else if others(&pattern.0, "api/") || others(&pattern.0, "etcd/") {
            needs.control_planes = needs.control_planes.max(2);
        }
    }
    for assertion in &plan.assertions {
        // A member's and an API server's port is open to other nodes anyway.
        if let Assertion::MetricMoves(settings) = assertion
            && matches!(settings.component, StaticPod::KubeControllerManager | StaticPod::KubeScheduler)
        {
            needs.capabilities.push(Capability::Metrics);
        }
    }
    needs.capabilities.sort();
    needs.capabilities.dedup();
    needs
}

fn hits_workers(plan: &Plan) -> bool {
    // A killed container of the workload leaves its node as it is.
    let hits = |step: &&Step| !matches!(step, Step::KillContainer(_));
    let on = |step: &Step| matches!(step.on(), Some(Target::Worker | Target::WorkloadNode));
    plan.steps.iter().filter(hits).any(on)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::builtin;

    fn of(id: &str) -> Requirements {
        let plans = builtin(&["ha"]).unwrap_or_else(|e| panic!("{e}"));
        let plan = plans.iter().find(|plan| plan.id == id).unwrap_or_else(|| panic!("no {id}"));
        requirements(plan)
    }

    #[test]
    fn what_the_steps_and_the_milestones_need_is_found() {
        let quorum = of("etcd/quorum-loss");
        assert_eq!((quorum.control_planes, quorum.workers), (3, 1));
        assert!(quorum.capabilities.contains(&Capability::StaticPods));
        let kubelet = of("kubelet/down");
        assert_eq!((kubelet.control_planes, kubelet.workers), (1, 2));
        assert!(kubelet.capabilities.contains(&Capability::Systemd));
        assert_eq!(of("etcd/leader-loss/kill").control_planes, 3);
    }

    #[test]
    fn a_small_profile_is_told_what_it_lacks() {
        let lacking = of("etcd/quorum-loss").lacking(|_| 1);
        assert_eq!(lacking, ["it needs 3 control planes and has 1"]);
        assert!(of("kubelet/crash-patterns/one").lacking(|_| 1).is_empty());
    }
}
