//! A harness that dies, nodes that go away, a Docker that restarts: what is left is put right, by whoever is left.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use recoup_clusters::{ClusterError, Nodes, Profile, Provider, Wanted};
use recoup_engine::{
    ledger::{Ledger, peek},
    reaper::reap,
};
use recoup_model::{
    action::{ActionReport, NodeAction},
    event::Event,
    plan::Plan,
    topology::ProviderKind,
    verdict::Verdict,
};
use recoup_tests::{
    faulty::{Between, FaultyProvider},
    offline::{Lab, plan, plans},
};
use tokio::time::{Instant, sleep};

const CLUSTER: &str = "recoup-ha";

/// Holds a static pod down on two nodes.
fn two_held() -> Plan {
    plans(&["etcd/quorum-loss"]).unwrap().remove(0)
}

fn breaks(action: &NodeAction) -> bool {
    matches!(action, NodeAction::StaticPodHold { .. } | NodeAction::DropAdd { .. } | NodeAction::Pause)
}

async fn surveys(lab: &Lab) -> Vec<Vec<String>> {
    let cluster = lab.sim.cluster(CLUSTER).unwrap();
    let fingerprint = recoup_clusters::Cluster::fingerprint(&*cluster).clone();
    let mut found = Vec::new();
    for node in &fingerprint.nodes {
        found.push(cluster.act(&node.name, &NodeAction::Survey).await.unwrap().survey);
    }
    found
}

/// A run that is killed as soon as `dies` says so of a record; gives its directory.
async fn killed(lab: &Lab, plan: &Plan, dies: fn(&Event) -> bool) -> std::path::PathBuf {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let telling = move |record: &recoup_model::event::Record| {
        if dies(&record.event) {
            let _ = tell.send(());
        }
    };
    let mut session = lab.session(std::slice::from_ref(plan), 1, telling).unwrap();
    let dir = session.dir().to_owned();
    let plan = plan.clone();
    let dying = tokio::spawn(async move { session.experiment(&plan).await.map(drop) });
    told.recv().await.unwrap();
    dying.abort();
    assert!(dying.await.unwrap_err().is_cancelled());
    // Every task of its gets a turn to end.
    sleep(Duration::from_millis(1)).await;
    dir
}

/// The provider that the reaper of a lab's run would make.
fn provider(lab: &Lab) -> Arc<dyn Provider> {
    lab.provider.clone().unwrap_or_else(|| lab.sim.clone())
}

async fn reaped(lab: &Lab, dir: &std::path::Path) -> (usize, Vec<String>) {
    let said = Mutex::new(Vec::new());
    let provider = provider(lab);
    let left =
        reap(dir, move |_| Arc::clone(&provider), &|line| said.lock().unwrap().push(line)).await.unwrap();
    (left, said.into_inner().unwrap())
}

async fn make(lab: &Lab) {
    let wanted = Wanted {
        profile: Profile::load("ha").unwrap(),
        name: CLUSTER.into(),
        image: None,
        version: None,
        adopt: false,
        seed: 1,
        making: recoup_clusters::Making::default(),
    };
    lab.sim.obtain(&wanted, &|_| ()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_reaper_undoes_everything_within_15_s_and_notes_it() {
    let lab = Lab::new().unwrap();
    make(&lab).await;
    let before = surveys(&lab).await;
    let dir = killed(&lab, &two_held(), |event| matches!(event, Event::Evidence { .. })).await;
    let pending = peek(&dir).unwrap();
    assert!(pending.len() >= 2 && pending.iter().all(|entry| entry.deadline.is_some()), "{pending:?}");
    assert_ne!(surveys(&lab).await, before, "a fault that the survey does not see proves nothing");
    let began = Instant::now();
    let (left, said) = reaped(&lab, &dir).await;
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    assert_eq!(left, 0, "{said:?}");
    assert_eq!(said.iter().filter(|line| line.ends_with(": undone")).count(), pending.len(), "{said:?}");
    assert_eq!(surveys(&lab).await, before);
    assert!(peek(&dir).unwrap().is_empty());
    assert_eq!(reaped(&lab, &dir).await, (0, Vec::new()), "nothing is left for another one");
}

/// Notes what puts things right.
#[derive(Default)]
struct Noted(Mutex<Vec<&'static str>>);

#[async_trait]
impl Between for Noted {
    async fn act(
        &self,
        nodes: &Arc<dyn Nodes>,
        node: &str,
        action: &NodeAction,
    ) -> Result<ActionReport, ClusterError> {
        match action {
            NodeAction::EtcdFree => self.0.lock().unwrap().push("freed"),
            NodeAction::ManifestRestore { .. } => self.0.lock().unwrap().push("restored"),
            _ => {}
        }
        nodes.act(node, action).await
    }
}

/// Putting flags back restarts etcd, which must answer for its space to be freed.
#[tokio::test(start_paused = true)]
async fn the_reaper_puts_flags_back_only_when_the_steps_are_undone() {
    let mut lab = Lab::new().unwrap();
    make(&lab).await;
    let before = surveys(&lab).await;
    let plan = plans(&["etcd/full-disk"]).unwrap().remove(0);
    let dir = killed(&lab, &plan, |event| matches!(event, Event::Evidence { .. })).await;
    let noted = Arc::new(Noted::default());
    lab.provider = Some(FaultyProvider::with(lab.sim.clone(), noted.clone()));
    let began = Instant::now();
    let (left, said) = reaped(&lab, &dir).await;
    assert!(left == 0 && began.elapsed() < Duration::from_secs(15), "{:?}: {said:?}", began.elapsed());
    let deeds = std::mem::take(&mut *noted.0.lock().unwrap());
    let first = deeds.iter().position(|deed| *deed == "restored").unwrap();
    assert!(first > 0 && !deeds[first..].contains(&"freed"), "{deeds:?}");
    assert_eq!(surveys(&lab).await, before, "{said:?}");
}

/// As with `docker exec`: what the dead harness has sent is carried out although nobody waits for it any more.
struct Late {
    /// Told when a deed is on its way.
    sent: tokio::sync::mpsc::UnboundedSender<()>,
    /// A deed was carried out.
    landed: Arc<AtomicBool>,
}

#[async_trait]
impl Between for Late {
    async fn act(
        &self,
        nodes: &Arc<dyn Nodes>,
        node: &str,
        action: &NodeAction,
    ) -> Result<ActionReport, ClusterError> {
        if !breaks(action) {
            return nodes.act(node, action).await;
        }
        let (nodes, node, action) = (Arc::clone(nodes), node.to_owned(), action.clone());
        let landed = Arc::clone(&self.landed);
        let sent = tokio::spawn(async move {
            sleep(Duration::from_millis(1500)).await;
            landed.store(true, Ordering::Relaxed);
            nodes.act(&node, &action).await
        });
        let _ = self.sent.send(());
        sent.await.map_err(|_| ClusterError::NoSuchNode("lost".into()))?
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_on_its_way_when_the_harness_died_is_undone_too() {
    let mut lab = Lab::new().unwrap();
    make(&lab).await;
    let before = surveys(&lab).await;
    let (sent, mut on_its_way) = tokio::sync::mpsc::unbounded_channel();
    let landed = Arc::new(AtomicBool::new(false));
    let late = Late { sent, landed: Arc::clone(&landed) };
    lab.provider = Some(FaultyProvider::with(lab.sim.clone(), Arc::new(late)));
    let plan = two_held();
    let mut session = lab.session(std::slice::from_ref(&plan), 1, |_| ()).unwrap();
    let dir = session.dir().to_owned();
    let dying = tokio::spawn(async move { session.experiment(&plan).await.map(drop) });
    on_its_way.recv().await.unwrap();
    dying.abort();
    assert!(dying.await.unwrap_err().is_cancelled());
    sleep(Duration::from_millis(1)).await;
    assert!(!landed.load(Ordering::Relaxed) && !peek(&dir).unwrap().is_empty());
    let (left, said) = reaped(&lab, &dir).await;
    assert_eq!(left, 0, "{said:?}");
    assert!(landed.load(Ordering::Relaxed), "nothing came late: {said:?}");
    sleep(Duration::from_secs(5)).await;
    assert_eq!(surveys(&lab).await, before, "{said:?}");
}

/// Nothing reaches a node for a while.
#[derive(Default)]
struct Restarting {
    until: Mutex<Option<Instant>>,
}

#[async_trait]
impl Between for Restarting {
    async fn act(
        &self,
        nodes: &Arc<dyn Nodes>,
        node: &str,
        action: &NodeAction,
    ) -> Result<ActionReport, ClusterError> {
        if self.until.lock().unwrap().is_some_and(|until| Instant::now() < until) {
            let missing = "docker does not answer".into();
            return Err(ClusterError::Missing { missing, remedy: "start it".into() });
        }
        nodes.act(node, action).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_docker_that_restarts_after_the_death_is_waited_for() {
    let mut lab = Lab::new().unwrap();
    make(&lab).await;
    let before = surveys(&lab).await;
    let restarting = Arc::new(Restarting::default());
    lab.provider = Some(FaultyProvider::with(lab.sim.clone(), restarting.clone()));
    let dir = killed(&lab, &two_held(), |event| matches!(event, Event::Evidence { .. })).await;
    // Shorter than the nodes' own deadlines: it must be the reaper that does it.
    *restarting.until.lock().unwrap() = Some(Instant::now() + Duration::from_secs(12));
    let (left, said) = reaped(&lab, &dir).await;
    assert_eq!(left, 0, "{said:?}");
    assert!(said.iter().any(|line| line.contains("NOT UNDONE: docker does not answer")), "{said:?}");
    assert!(said.iter().any(|line| line.ends_with(": undone")), "{said:?}");
    assert_eq!(surveys(&lab).await, before);
}

#[tokio::test(start_paused = true)]
async fn a_docker_that_restarts_under_a_run_makes_it_inconclusive_and_leaves_nothing() {
    let mut lab = Lab::new().unwrap();
    make(&lab).await;
    let before = surveys(&lab).await;
    let restarting = Arc::new(Restarting::default());
    lab.provider = Some(FaultyProvider::with(lab.sim.clone(), restarting.clone()));
    let down = Arc::clone(&restarting);
    let telling = move |record: &recoup_model::event::Record| {
        if matches!(record.event, Event::Evidence { .. }) {
            let mut until = down.until.lock().unwrap();
            // Beyond the end of the hold, and of the undo that is then due.
            until.get_or_insert_with(|| Instant::now() + Duration::from_secs(40));
        }
    };
    let mut session = lab.session(&[two_held()], 1, telling).unwrap();
    let dir = session.dir().to_owned();
    let result = session.experiment(&two_held()).await.unwrap();
    assert_eq!(result.verdict, Verdict::Inconclusive, "{:?}", result.reasons);
    assert!(
        result.reasons.iter().any(|reason| reason.contains("docker does not answer")),
        "{:?}",
        result.reasons
    );
    let ending = session.ending();
    let finished = session.finish();
    if !peek(&dir).unwrap().is_empty() {
        assert!(matches!(finished, Err(recoup_engine::EngineError::Unhealed { .. })));
    }
    drop(ending);
    sleep(Duration::from_secs(60)).await;
    // Whoever comes next: here the reaper, which was not dismissed.
    assert_eq!(reaped(&lab, &dir).await.0, 0);
    assert_eq!(surveys(&lab).await, before);
}

/// Somebody deletes the container of the first node that is hit.
#[derive(Default)]
struct Deleted {
    gone: Mutex<Option<String>>,
    hold_over: AtomicBool,
}

#[async_trait]
impl Between for Deleted {
    async fn act(
        &self,
        nodes: &Arc<dyn Nodes>,
        node: &str,
        action: &NodeAction,
    ) -> Result<ActionReport, ClusterError> {
        let gone = self.gone.lock().unwrap().clone();
        if gone.as_deref() == Some(node) {
            // The nodes as the experiment knows them still name it, those that are looked for anew do not.
            if self.hold_over.swap(true, Ordering::Relaxed) {
                return Err(ClusterError::NoSuchNode(node.to_owned()));
            }
            let source = format!("No such container: {node}").into();
            return Err(ClusterError::Docker { doing: format!("run a script in {node}"), source });
        }
        let done = nodes.act(node, action).await;
        if breaks(action) {
            self.gone.lock().unwrap().get_or_insert_with(|| node.to_owned());
        }
        done
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_deleted_by_somebody_else_during_a_hold_is_named_and_the_others_are_healed() {
    let mut lab = Lab::new().unwrap();
    make(&lab).await;
    let before = surveys(&lab).await;
    let deleted = Arc::new(Deleted::default());
    lab.provider = Some(FaultyProvider::with(lab.sim.clone(), deleted.clone()));
    let began = Instant::now();
    let ran = lab.run(&[two_held()], 1).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(600), "it hung: {:?}", began.elapsed());
    let gone = deleted.gone.lock().unwrap().clone().unwrap();
    let result = &ran.run.experiments[0];
    assert_eq!(result.verdict, Verdict::Inconclusive, "{:?}", result.reasons);
    assert!(
        result.reasons.iter().any(|reason| reason.contains(&format!("No such container: {gone}"))),
        "{:?}",
        result.reasons
    );
    assert!(peek(&ran.dir).unwrap().is_empty(), "what was on it went with it");
    let after = surveys(&lab).await;
    let cluster = lab.sim.cluster(CLUSTER).unwrap();
    let nodes = &recoup_clusters::Cluster::fingerprint(&*cluster).nodes;
    for (index, node) in nodes.iter().enumerate().filter(|(_, node)| node.name != gone) {
        assert_eq!(after[index], before[index], "{}", node.name);
    }
}

#[tokio::test(start_paused = true)]
async fn the_reaper_deletes_what_was_to_be_deleted_or_is_half_made_and_nothing_else() {
    for (delete, whole, stays) in [(true, true, false), (false, true, true), (false, false, false)] {
        let lab = Lab::new().unwrap();
        make(&lab).await;
        let dir = lab.runs().join("dead");
        std::fs::create_dir(&dir).unwrap();
        let ledger = Ledger::open(&dir).unwrap();
        ledger.making(ProviderKind::Sim, CLUSTER, delete).unwrap();
        if whole {
            ledger.made(CLUSTER).unwrap();
        }
        let node = lab.sim.list().await.unwrap()[0].nodes[0].clone();
        ledger.arm(ProviderKind::Sim, CLUSTER, &node, 1, NodeAction::Unpause, true).unwrap();
        drop(ledger);
        let (left, said) = reaped(&lab, &dir).await;
        assert_eq!(left, 0, "{said:?}");
        assert_eq!(lab.sim.cluster(CLUSTER).is_some(), stays, "delete {delete}, whole {whole}: {said:?}");
        assert!(peek(&dir).unwrap().is_empty());
        assert!(!Ledger::open(&dir).unwrap().owes());
    }
}

#[tokio::test(start_paused = true)]
async fn a_cluster_on_which_a_live_run_has_faults_is_not_used_by_another() {
    let lab = Lab::new().unwrap();
    make(&lab).await;
    let dir = lab.runs().join("alive");
    std::fs::create_dir(&dir).unwrap();
    let ledger = Ledger::open(&dir).unwrap();
    let node = lab.sim.list().await.unwrap()[0].nodes[0].clone();
    let entry = ledger.arm(ProviderKind::Sim, CLUSTER, &node, 1, NodeAction::Unpause, false).unwrap();
    let plan = plan("scheduler/lease-expiry/kill").unwrap();
    let mut session = lab.session(std::slice::from_ref(&plan), 1, |_| ()).unwrap();
    let refused = session.cluster(&plan.profile).await.map(drop).unwrap_err().to_string();
    assert!(refused.contains("its run is still alive"), "{refused}");
    // A reaper that comes to its end in time is only waited for.
    let waiting = tokio::spawn(async move { session.cluster(&plan.profile).await.map(drop) });
    sleep(Duration::from_secs(5)).await;
    ledger.done(entry.id).unwrap();
    drop(ledger);
    waiting.await.unwrap().unwrap();
}
