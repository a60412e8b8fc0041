//! Limits hold a component back and are lifted again; an etcd that is full refuses writes until it is freed.

use std::{collections::BTreeMap, time::Duration};

use recoup_clusters::{Attempt, Cluster};
use recoup_model::{
    action::{Capability, NodeAction, Process, StaticPod},
    degrade::{EtcdSpace, Limit, Limited},
    observation::{FailureClass, Observation},
    quantity::Millicores,
};

use crate::{actions::Hand, healthy, until};

const ETCD: Process = Process::Etcd;
/// A full database of this size is filled within seconds.
const QUOTA: u64 = 64 << 20;

impl Hand {
    async fn limited(&self) -> Option<Limited> {
        self.act(NodeAction::LimitCount { process: ETCD }).await.limited
    }

    async fn space(&self) -> EtcdSpace {
        self.act(NodeAction::EtcdLook).await.space.expect("its size")
    }
}

pub async fn limits(hand: &Hand, capabilities: &[Capability]) {
    let clear = NodeAction::LimitClear { process: ETCD };
    let cpu = Limit { cpu: Some(Millicores(50)), ..Limit::default() };
    let disk = Limit { write_iops: Some(20), ..Limit::default() };
    assert_eq!(hand.limited().await, None, "nothing is limited");
    assert!(!hand.act(clear.clone()).await.changed, "there is nothing to lift");
    let before = hand.act(NodeAction::Survey).await.survey;
    for (needed, limit) in [(Capability::CpuLimit, cpu), (Capability::IoLimit, disk)] {
        if !capabilities.contains(&needed) {
            eprintln!("left out: the nodes cannot do {needed:?}");
            continue;
        }
        // In place of one that is there already: what was there before both is put back.
        let generous = Limit { cpu: Some(Millicores(900)), ..Limit::default() };
        let set = |limit| NodeAction::LimitSet { process: ETCD, limit };
        if needed == Capability::CpuLimit {
            hand.act(set(generous)).await;
        }
        assert_eq!(hand.act(set(limit)).await.processes.len(), 1);
        let first = hand.limited().await.expect("it is limited");
        assert!(first.in_force && !first.cgroup.is_empty(), "{first:?}");
        let held = |now: &Option<Limited>| {
            now.as_ref().is_some_and(|now| {
                now.throttled > first.throttled && now.throttled_for > first.throttled_for
                    || now.writes > first.writes
            })
        };
        until("the limit to show in its counters", || hand.limited(), held).await;
        assert_ne!(hand.act(NodeAction::Survey).await.survey, before, "the limit does not show");
        assert!(hand.act(clear.clone()).await.changed);
        assert!(!hand.act(clear.clone()).await.changed, "lifted twice");
        assert_eq!(hand.limited().await, None);
        assert_eq!(hand.act(NodeAction::Survey).await.survey, before, "something is left of the limit");
    }
}

pub async fn a_full_etcd(hand: &Hand, cluster: &dyn Cluster) {
    let first = hand.space().await;
    assert!(first.alarms.is_empty() && first.quota > first.size && first.in_use <= first.size, "{first:?}");
    assert!(!hand.act(NodeAction::EtcdFree).await.changed, "there is nothing to free");
    if first.size + first.size / 4 > QUOTA {
        eprintln!("left out: etcd's database of {} bytes does not fit into {QUOTA}", first.size);
        return;
    }
    if first.quota >= 1 << 30 {
        let refused = hand.try_act(NodeAction::EtcdFill).await;
        assert!(refused.unwrap_err().contains("quota-backend-bytes"), "gigabytes would be written");
    }
    let pod = StaticPod::Etcd;
    let args = BTreeMap::from([("quota-backend-bytes".to_owned(), QUOTA.to_string())]);
    let runs_with = NodeAction::RunsWith { pod, args: args.clone() };
    assert_eq!(hand.act(runs_with.clone()).await.processes, [], "it has not been given that quota yet");
    let before = hand.runs(ETCD).await;
    hand.act(NodeAction::ManifestArgs { pod, args }).await;
    let look = || hand.act(runs_with.clone());
    let found = until("etcd with a small quota", look, |found| !found.processes.is_empty()).await;
    assert!(found.processes.iter().all(|process| !before.contains(&process.id)), "{found:?}");
    healthy(cluster).await;
    assert_eq!(hand.space().await.quota, QUOTA);

    let survey = hand.act(NodeAction::Survey).await.survey;
    assert!(hand.act(NodeAction::EtcdFill).await.changed);
    assert_eq!(hand.space().await.alarms, ["NOSPACE"]);
    assert_ne!(hand.act(NodeAction::Survey).await.survey, survey, "a full etcd does not show");
    assert!(hand.try_act(NodeAction::EtcdFill).await.is_err(), "an alarm is raised already");
    let put = Observation::EtcdPut { member: hand.node.clone() };
    let write = |number| cluster.observe(&put, Attempt { number, timeout: Duration::from_secs(5) });
    let refusal = write(900_001).await.unwrap_err();
    assert_eq!(refusal.class, FailureClass::Rejected, "{refusal:?}");
    assert!(hand.act(NodeAction::EtcdFree).await.changed);
    assert!(!hand.act(NodeAction::EtcdFree).await.changed, "freed twice");
    let freed = hand.space().await;
    assert!(freed.alarms.is_empty() && freed.size < QUOTA / 2, "{freed:?}");
    write(900_002).await.unwrap();
    assert_eq!(hand.act(NodeAction::Survey).await.survey, survey, "something is left of what was filled in");

    assert!(hand.act(NodeAction::ManifestRestore { pod }).await.changed);
    let quota = || async { hand.act(runs_with.clone()).await.processes.is_empty() };
    until("etcd with its own quota", quota, |gone| *gone).await;
    hand.runs(ETCD).await;
    healthy(cluster).await;
}
