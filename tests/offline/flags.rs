//! Flags that an experiment changes are in place while it lasts, one node after the other, and taken back whatever
//! happens.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use recoup_clusters::{Cluster, ClusterError, Nodes};
use recoup_engine::{
    EngineError, FLAGS_LIFE,
    ledger::{peek, unhealed},
};
use recoup_model::{
    action::{ActionReport, NodeAction, StaticPod},
    event::Event,
    plan::Plan,
    spec::Step,
    time::Span,
    verdict::Verdict,
};
use recoup_tests::{
    faulty::{Between, FaultyProvider},
    offline::{Lab, Ran, plan},
};

const CLUSTER: &str = "recoup-ha";

/// Looks at what surrounds each change of flags.
struct Changes {
    runs: PathBuf,
    cluster: Mutex<Option<Arc<dyn Cluster>>>,
    seen: Arc<Mutex<Vec<(String, &'static str)>>>,
    /// Refuses the change on the node whose name ends so.
    refuses: Option<&'static str>,
}

#[async_trait]
impl Between for Changes {
    fn obtained(&self, cluster: &Arc<dyn Cluster>) {
        *self.cluster.lock().unwrap() = Some(Arc::clone(cluster));
    }

    async fn act(
        &self,
        nodes: &Arc<dyn Nodes>,
        node: &str,
        action: &NodeAction,
    ) -> Result<ActionReport, ClusterError> {
        let what = match action {
            NodeAction::ManifestArgs { .. } => "set",
            NodeAction::ManifestRestore { .. } => "taken back",
            _ => return nodes.act(node, action).await,
        };
        self.seen.lock().unwrap().push((node.to_owned(), what));
        let cluster = self.cluster.lock().unwrap().clone().unwrap();
        let problems = cluster.health().await;
        assert_eq!(problems, [""; 0], "{what} on {node} while another is not back");
        if let NodeAction::ManifestArgs { pod, .. } = action {
            let dirs = std::fs::read_dir(&self.runs).unwrap();
            let pending: Vec<_> = dirs.flat_map(|dir| peek(&dir.unwrap().path()).unwrap()).collect();
            let undo = NodeAction::ManifestRestore { pod: *pod };
            assert!(pending.iter().any(|one| one.node == node && one.undo == undo), "not in the ledger");
            if self.refuses.is_some_and(|name| node.ends_with(name)) {
                return Err(ClusterError::NoSuchNode(node.to_owned()));
            }
        }
        nodes.act(node, action).await
    }
}

struct Bed {
    lab: Lab,
    seen: Arc<Mutex<Vec<(String, &'static str)>>>,
}

impl Bed {
    fn new(refuses: Option<&'static str>) -> Bed {
        let mut lab = Lab::new().unwrap();
        let seen = Arc::default();
        let between = Changes {
            runs: lab.runs().to_owned(),
            cluster: Mutex::default(),
            seen: Arc::clone(&seen),
            refuses,
        };
        lab.provider = Some(FaultyProvider::with(lab.sim.clone(), Arc::new(between)));
        Bed { lab, seen }
    }

    fn count(&self, what: &str) -> usize {
        self.seen.lock().unwrap().iter().filter(|(_, seen)| *seen == what).count()
    }

    async fn run(&self, plan: &Plan, cancels: fn(&Event) -> bool) -> Ran {
        let cancel = self.lab.cancel.clone();
        let telling = move |record: &recoup_model::event::Record| {
            if cancels(&record.event) {
                cancel.cancel();
            }
        };
        self.lab.run_telling(std::slice::from_ref(plan), 1, telling).await.unwrap()
    }

    /// No flag is changed any more, and nobody has to heal anything.
    async fn assert_as_made(&self) {
        assert!(unhealed(self.lab.runs()).unwrap().is_empty());
        let cluster = self.lab.sim.cluster(CLUSTER).unwrap();
        for node in &cluster.fingerprint().nodes {
            let survey = cluster.act(&node.name, &NodeAction::Survey).await.unwrap().survey;
            let odd = |line: &&String| {
                line.contains("ours") || (line.starts_with("manifest") && !line.ends_with("as made"))
            };
            assert_eq!(survey.iter().find(odd), None, "{}", node.name);
        }
    }
}

fn short() -> Plan {
    plan("controller-manager/lease-tuning/short").unwrap()
}

#[tokio::test(start_paused = true)]
async fn flags_are_changed_one_node_after_the_other_predicted_from_and_taken_back() {
    let bed = Bed::new(None);
    let ran = bed.run(&short(), |_| false).await;
    let result = &ran.run.experiments[0];
    assert_eq!(result.verdict, Verdict::Pass, "{:#?}", result.reasons);
    assert_eq!((bed.count("set"), bed.count("taken back")), (3, 3));
    let holder = result.intervals.iter().find(|one| one.milestone.name == "new holder").unwrap();
    let prediction = holder.prediction.as_ref().unwrap();
    assert!(prediction.high.0.as_secs() < 13, "leases of 15 s were predicted from: {prediction:?}");
    bed.assert_as_made().await;
    // The record says which settings counted when.
    let leases: Vec<u64> = bed
        .lab
        .records()
        .iter()
        .filter_map(|record| match &record.event {
            Event::ClusterReady { configuration: Some(all), .. } => {
                Some(all.elections["kube-controller-manager"].lease_duration.value.0.as_secs())
            }
            _ => None,
        })
        .collect();
    assert_eq!(leases, [15, 5, 15]);
}

/// A soak's kill left flags in place for more than half an hour: a node takes its own back within minutes, unless the
/// harness is there to put that off.
#[tokio::test(start_paused = true)]
async fn flags_outlast_their_deadline_for_as_long_as_the_harness_puts_it_off() {
    let bed = Bed::new(None);
    let mut plan = short();
    plan.steps.insert(0, Step::Wait(Span(FLAGS_LIFE * 2)));
    let ran = bed.run(&plan, |_| false).await;
    let result = &ran.run.experiments[0];
    assert_eq!(result.verdict, Verdict::Pass, "{:#?}", result.reasons);
    bed.assert_as_made().await;
    // Nobody puts it off any more: flags that are left are taken back by the node, and that is noticed.
    let cluster = bed.lab.sim.cluster(CLUSTER).unwrap();
    let node = cluster.fingerprint().nodes[0].name.clone();
    let pod = StaticPod::KubeControllerManager;
    let survey = || async { cluster.act(&node, &NodeAction::Survey).await.unwrap().survey };
    let before = survey().await;
    let undo = Box::new(NodeAction::ManifestRestore { pod });
    let set = NodeAction::DeadlineSet { id: "left".into(), after: Span(FLAGS_LIFE), undo };
    cluster.act(&node, &set).await.unwrap();
    let args = plan.flags[&pod].clone();
    cluster.act(&node, &NodeAction::ManifestArgs { pod, args }).await.unwrap();
    assert_ne!(survey().await, before);
    tokio::time::sleep(FLAGS_LIFE).await;
    assert_eq!(survey().await, before);
}

#[tokio::test(start_paused = true)]
async fn a_cancel_takes_flags_back_before_and_during_the_fault() {
    let second = |event: &Event| match event {
        Event::ClusterProgress { message } => {
            message.contains("giving") && message.ends_with("control-plane2")
        }
        _ => false,
    };
    let fault = |event: &Event| matches!(event, Event::Evidence { .. });
    for (cancels, set) in [(second as fn(&Event) -> bool, 1..=2), (fault as fn(&Event) -> bool, 3..=3)] {
        let bed = Bed::new(None);
        let ran = bed.run(&short(), cancels).await;
        assert!(matches!(ran.experiments[0], Err(EngineError::Interrupted)), "{:?}", ran.experiments[0]);
        assert!(set.contains(&bed.count("set")), "{}", bed.count("set"));
        assert!(bed.count("taken back") >= bed.count("set"));
        bed.assert_as_made().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_refuses_flags_breaks_the_experiment_off_and_the_others_get_theirs_back() {
    let bed = Bed::new(Some("control-plane3"));
    let ran = bed.run(&short(), |_| false).await;
    let result = &ran.run.experiments[0];
    assert_eq!(result.verdict, Verdict::Inconclusive, "{:?}", result.reasons);
    assert_eq!((bed.count("set"), bed.count("taken back")), (3, 3));
    bed.assert_as_made().await;
}

#[tokio::test(start_paused = true)]
async fn a_quota_that_is_used_up_already_is_not_set() {
    let bed = Bed::new(None);
    let mut plan = plan("etcd/full-disk").unwrap();
    let quota = plan.flags.get_mut(&StaticPod::Etcd).unwrap().get_mut("quota-backend-bytes").unwrap();
    *quota = "1048576".to_owned();
    let ran = bed.run(&plan, |_| false).await;
    let result = &ran.run.experiments[0];
    assert_eq!(result.verdict, Verdict::Inconclusive);
    assert!(result.reasons[0].contains("a larger quota"), "{:?}", result.reasons);
    assert_eq!(bed.count("set"), 0);
    bed.assert_as_made().await;
}
