//! Watchers, kubelets' renewals, and the log of what components wrote.

use std::sync::{Arc, Mutex};

use recoup_model::{action::Unit, event::WatchNews};
use tokio::task::JoinHandle;

use super::*;
use crate::Acted;

const MANAGER: &str = "kube-controller-manager";

/// A watcher in the background.
struct Watcher {
    told: Arc<Mutex<Vec<WatchNews>>>,
    task: JoinHandle<Result<(), Failure>>,
}

impl Watcher {
    fn new(cluster: &Arc<SimCluster>, through: Endpoint, after: Option<u64>) -> Watcher {
        let (cluster, told) = (Arc::clone(cluster), Arc::new(Mutex::new(Vec::new())));
        let news = Arc::clone(&told);
        let task = tokio::spawn(async move {
            cluster.watch(&through, after, &|told| news.lock().expect("unpoisoned").push(told)).await
        });
        Watcher { told, task }
    }

    fn news(&self) -> Vec<WatchNews> {
        self.told.lock().expect("unpoisoned").clone()
    }

    fn revisions(&self) -> Vec<u64> {
        let of = |news: &WatchNews| match news {
            WatchNews::Changed { revisions } => revisions.clone(),
            _ => Vec::new(),
        };
        self.news().iter().flat_map(of).collect()
    }

    async fn opened(&self) {
        while !self.news().iter().any(|news| matches!(news, WatchNews::Opened { .. })) {
            sleep(secs(0.05)).await;
        }
    }

    async fn ended(self) -> (Vec<WatchNews>, Result<(), Failure>) {
        let ended = self.task.await.expect("no panic");
        (self.told.lock().expect("unpoisoned").clone(), ended)
    }
}

fn lab() -> (Lab, Arc<SimCluster>) {
    let cluster = Arc::new(SimCluster::new(&wanted("ha", 5)));
    (Lab::around(Arc::clone(&cluster)), cluster)
}

/// Writes ten times a second; the revisions of what was acknowledged.
async fn write_for(lab: &Lab, via: &Endpoint, seconds: f64) -> Vec<u64> {
    let mut revisions = Vec::new();
    for number in 0.. {
        if f64::from(u32::try_from(number).expect("few")) * 0.1 >= seconds {
            break;
        }
        let told = lab.observe(&write(via.clone()), number, 1.0).await;
        if let Ok(Observed::Acknowledged { revision, .. }) = told {
            revisions.push(revision.expect("the model knows it"));
        }
        sleep(secs(0.1)).await;
    }
    revisions
}

#[tokio::test(start_paused = true)]
async fn a_watch_ends_with_its_server_and_goes_on_through_another() {
    let (lab, cluster) = lab();
    let [first, other, ..] = CONTROL_PLANES;
    let watcher = Watcher::new(&cluster, at(first), None);
    watcher.opened().await;
    let before = write_for(&lab, &at(other), 2.0).await;
    assert_eq!(watcher.revisions(), before);
    lab.signal(first, Process::KubeApiserver, Signal::Kill).await;
    let meanwhile = write_for(&lab, &at(other), 2.0).await;
    assert!(!meanwhile.is_empty());
    let (_, ended) = watcher.ended().await;
    assert_eq!(ended.expect_err("killed").class, FailureClass::Reset);

    let last = before.last().copied();
    let refused = Watcher::new(&cluster, at(first), last).ended().await;
    assert_eq!(refused.1.expect_err("it starts").class, FailureClass::Refused);
    let on = Watcher::new(&cluster, at(other), last);
    sleep(secs(1.0)).await;
    assert_eq!(on.revisions(), meanwhile, "the others have it in their caches");

    lab.until_works(&read(at(first), Conn::New), 30.0).await;
    let (news, ended) = Watcher::new(&cluster, at(first), last).ended().await;
    assert_eq!((news, ended), (vec![WatchNews::Expired], Ok(())), "a new cache knows only what came since");
}

#[tokio::test(start_paused = true)]
async fn a_watch_through_a_frozen_server_hangs_and_goes_on_or_is_given_up() {
    let (lab, cluster) = lab();
    let [first, other, ..] = CONTROL_PLANES;
    let watcher = Watcher::new(&cluster, at(first), None);
    watcher.opened().await;
    let mut all = write_for(&lab, &at(other), 1.0).await;
    lab.signal(first, Process::KubeApiserver, Signal::Stop).await;
    sleep(secs(1.0)).await;
    let known = watcher.revisions();
    all.extend(write_for(&lab, &at(other), 20.0).await);
    assert_eq!(watcher.revisions(), known, "nothing is told by what does not move");
    lab.signal(first, Process::KubeApiserver, Signal::Cont).await;
    sleep(secs(1.0)).await;
    assert_eq!(watcher.revisions(), all);
    lab.signal(first, Process::KubeApiserver, Signal::Stop).await;
    let frozen = lab.now();
    let (_, ended) = watcher.ended().await;
    assert_eq!(ended.expect_err("given up").class, FailureClass::Reset);
    let after = (lab.now() - frozen).as_secs_f64();
    assert!((44.0..=46.0).contains(&after), "an unanswered ping, after {after} s");
}

#[tokio::test(start_paused = true)]
async fn a_watch_sends_bookmarks_and_ends_in_order() {
    let (_lab, cluster) = lab();
    let (news, ended) = Watcher::new(&cluster, Endpoint::Lb, None).ended().await;
    assert_eq!(ended, Ok(()));
    let bookmarks = news.iter().filter(|news| matches!(news, WatchNews::Bookmark { .. })).count();
    assert!((55..=60).contains(&bookmarks), "one a minute: {bookmarks}");
}

async fn renewed(lab: &Lab, node: &str) -> u64 {
    match lab.works(&Observation::NodeLease { node: node.into() }).await {
        Observed::Renewed { revision } => revision,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_kubelet_that_is_down_or_frozen_or_cut_off_does_not_renew() {
    let unit = Unit::Kubelet;
    let freeze = |signal| NodeAction::Signal { process: Process::Kubelet, signal, only: None };
    let rule = recoup_model::action::DropRule { tag: "t".into(), peers: vec![], ports: vec![6443] };
    let cut = (NodeAction::DropAdd { rule }, NodeAction::DropRemove { tag: "t".into() });
    let faults = [
        (NodeAction::UnitStop { unit }, NodeAction::UnitStart { unit }),
        (freeze(Signal::Stop), freeze(Signal::Cont)),
        (NodeAction::Pause, NodeAction::Unpause),
        cut,
    ];
    for (fault, undo) in faults {
        let lab = Lab::ha(3);
        let node = WORKERS[0];
        let first = renewed(&lab, node).await;
        sleep(secs(11.0)).await;
        assert!(renewed(&lab, node).await > first, "a renewal every 10 s");
        lab.act(node, fault.clone()).await;
        let (at_fault, elsewhere) = (renewed(&lab, node).await, renewed(&lab, WORKERS[1]).await);
        sleep(secs(30.0)).await;
        assert_eq!(renewed(&lab, node).await, at_fault, "{fault:?}");
        assert!(renewed(&lab, WORKERS[1]).await > elsewhere, "{fault:?}");
        lab.act(node, undo).await;
        sleep(secs(30.0)).await;
        assert!(renewed(&lab, node).await > at_fault, "{fault:?}");
    }
}

async fn acts(lab: &Lab, lease: &str, last: f64) -> Vec<Acted> {
    let acts = lab.cluster.acts(secs(last)).await.expect("the log is read");
    acts.into_iter().filter(|act| act.lease == lease).collect()
}

/// The holder is frozen until another has taken its lease, and then thawed; workers go and come meanwhile, so
/// that there is something to do. Who acted in which order.
async fn thawed(writes: bool) -> (String, Vec<Acted>) {
    let lab = Lab::ha(9);
    lab.workload(Some(5)).await;
    if writes {
        lab.cluster.let_thawed_holders_write();
    }
    let old = lab.holder(MANAGER).await;
    let from = lab.now();
    lab.signal(&old, Process::KubeControllerManager, Signal::Stop).await;
    sleep(secs(30.0)).await;
    assert_ne!(lab.holder(MANAGER).await, old);
    let pods: Vec<String> = lab.pods().await.into_iter().map(|pod| pod.name).collect();
    lab.cluster.delete_pods(&pods[..1], secs(2.0)).await.expect("deleted");
    sleep(secs(10.0)).await;
    lab.signal(&old, Process::KubeControllerManager, Signal::Cont).await;
    sleep(secs(10.0)).await;
    let last = (lab.now() - from).as_secs_f64();
    (old, acts(&lab, MANAGER, last).await)
}

#[tokio::test(start_paused = true)]
async fn what_a_component_wrote_is_logged_with_its_instance() {
    let (old, acts) = thawed(false).await;
    assert!(
        acts.iter().any(|act| act.verb == "create" && act.object.starts_with("pods recoup/workload-")),
        "{acts:#?}"
    );
    assert!(acts.iter().all(|act| act.node != old), "a thawed holder does not act: {acts:#?}");
    assert!(acts.is_sorted_by(|a, b| a.ago >= b.ago));
}

#[tokio::test(start_paused = true)]
async fn a_thawed_holder_that_writes_is_in_the_log_once() {
    let (old, acts) = thawed(true).await;
    let strays: Vec<_> = acts.iter().filter(|act| act.node == old).collect();
    assert_eq!(strays.len(), 1, "{acts:#?}");
    let create = acts.iter().position(|act| act.verb == "create").expect("a replacement");
    assert!(acts[create].ago > strays[0].ago, "after the new holder had acted");
}

#[tokio::test(start_paused = true)]
async fn a_paused_node_hides_its_log() {
    let lab = Lab::ha(1);
    lab.act(CONTROL_PLANES[1], NodeAction::Pause).await;
    let failure = lab.cluster.acts(secs(5.0)).await.expect_err("a part is not all");
    assert_eq!(failure.class, FailureClass::Observer, "{failure}");
    assert!(failure.message.contains(CONTROL_PLANES[1]), "{failure}");
}
