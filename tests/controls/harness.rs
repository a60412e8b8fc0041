//! Defects of the harness: what it does or sees is tampered with on the way.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::anyhow;
use async_trait::async_trait;
use recoup_clusters::{
    Acted, Attempt, Cluster, ClusterError, LoadRequest, LoadTarget, LoadWanted, Nodes, ReadBack, Tell,
};
use recoup_engine::ledger::Ledger;
use recoup_model::{
    action::{ActionReport, NodeAction, Process, Signal},
    event::WatchNews,
    machine::Processors,
    observation::{Endpoint, Failure, FailureClass, Observation, Observed, SLOTS},
    spec::control::HarnessDefect,
    topology::Fingerprint,
};
use recoup_tests::faulty::Between;
use tokio::time::{Instant, sleep};

use crate::deeds::{arm, failed, holder, injects, undo_all, undo_of, undoes};

/// The old holder writes this long after another was first seen in its place: more than clocks may differ by.
const LATE: Duration = Duration::from_millis(1500);

/// See the module.
pub struct HarnessControl {
    defect: HarnessDefect,
    /// What undoes what was done in another's place.
    ledger: Ledger,
    cluster: Mutex<Option<Arc<dyn Cluster>>>,
    made: Instant,
    /// Something was injected.
    begun: AtomicBool,
    /// Nodes that were hit.
    hit: Mutex<BTreeSet<String>>,
    /// The first write of each kind that was acknowledged after the injection: its stream and number.
    written: Mutex<BTreeMap<&'static str, (String, u64)>>,
    /// Watchers that have been lied to.
    told: Mutex<BTreeSet<String>>,
    /// The lease holder when something was injected, and when another was first seen in its place.
    holder: Mutex<Option<String>>,
    replaced: Mutex<Option<Instant>>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl HarnessControl {
    pub fn new(defect: HarnessDefect, ledger: Ledger) -> HarnessControl {
        HarnessControl {
            defect,
            ledger,
            cluster: Mutex::default(),
            made: Instant::now(),
            begun: AtomicBool::new(false),
            hit: Mutex::default(),
            written: Mutex::default(),
            told: Mutex::default(),
            holder: Mutex::default(),
            replaced: Mutex::default(),
        }
    }

    async fn begin(&self, node: &str) {
        lock(&self.hit).insert(node.to_owned());
        if self.begun.swap(true, Ordering::Relaxed) {
            return;
        }
        if let HarnessDefect::LateWrite(lease) = &self.defect {
            let cluster = lock(&self.cluster).clone();
            if let Some(cluster) = cluster {
                *lock(&self.holder) = holder(&*cluster, lease).await.ok();
            }
        }
    }

    /// Before something is done in another's place, whose undo the harness knows nothing of.
    fn arm(&self, node: &str, undo: NodeAction) -> Result<(), ClusterError> {
        let cluster = lock(&self.cluster).clone();
        let armed = match cluster {
            Some(cluster) => arm(&self.ledger, &*cluster, node, undo),
            None => Err(anyhow!("the harness has no cluster yet")),
        };
        armed.map_err(|error| failed(&error))
    }

    fn begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    /// The same signal to another component, each of its processes by itself where the one meant was.
    async fn elsewhere(
        &self,
        nodes: &Arc<dyn Nodes>,
        node: &str,
        process: Process,
        signal: Signal,
    ) -> Result<ActionReport, ClusterError> {
        if signal == Signal::Stop {
            self.arm(node, NodeAction::Signal { process, signal: Signal::Cont, only: None })?;
        }
        nodes.act(node, &NodeAction::Signal { process, signal, only: None }).await
    }

    async fn inject(
        &self,
        nodes: &Arc<dyn Nodes>,
        node: &str,
        action: &NodeAction,
    ) -> Result<ActionReport, ClusterError> {
        self.begin(node).await;
        match (&self.defect, action) {
            (HarnessDefect::OtherProcess(other), NodeAction::Signal { signal, .. }) => {
                self.elsewhere(nodes, node, *other, *signal).await
            }
            (HarnessDefect::OtherPort(port), NodeAction::DropAdd { rule }) => {
                let mut rule = rule.clone();
                rule.ports = vec![*port];
                nodes.act(node, &NodeAction::DropAdd { rule }).await
            }
            (HarnessDefect::OtherPort(port), NodeAction::SlowAdd { rule, life, seed, by }) => {
                let mut rule = rule.clone();
                rule.ports = vec![*port];
                let add = NodeAction::SlowAdd { rule, life: *life, seed: *seed, by: *by };
                nodes.act(node, &add).await
            }
            (HarnessDefect::OtherCgroup(other), NodeAction::LimitSet { limit, .. }) => {
                let (process, limit) = (*other, *limit);
                self.arm(node, NodeAction::LimitClear { process })?;
                nodes.act(node, &NodeAction::LimitSet { process, limit }).await
            }
            (HarnessDefect::EndsEarly(after), _) => {
                let report = nodes.act(node, action).await?;
                if let Some(undo) = undo_of(action) {
                    let (nodes, node, after) = (Arc::clone(nodes), node.to_owned(), after.0);
                    tokio::spawn(async move {
                        sleep(after).await;
                        let _ = nodes.act(&node, &undo).await;
                    });
                }
                Ok(report)
            }
            _ => nodes.act(node, action).await,
        }
    }

    /// The node's own address, one number further.
    fn moved(&self, node: &str, lines: &[String]) -> Vec<String> {
        let address = lock(&self.cluster).as_ref().and_then(|cluster| address(cluster.fingerprint(), node));
        let Some(address) = address else { return lines.to_vec() };
        lines.iter().map(|line| line.replace(&address, &format!("{address}9"))).collect()
    }

    fn note(&self, kind: &'static str, observation: &Observation, told: &Result<Observed, Failure>) {
        if let Ok(Observed::Acknowledged { number, .. }) = told
            && self.begun()
        {
            lock(&self.written).entry(kind).or_insert_with(|| (observation.stream(), *number));
        }
    }

    fn note_holder(&self, lease: &str, told: &Result<Observed, Failure>) {
        let wanted = matches!(&self.defect, HarnessDefect::LateWrite(of) if of == lease);
        if let (true, Ok(Observed::Lease { holder, .. }), Some(old)) = (wanted, told, &*lock(&self.holder))
            && !holder.is_empty()
            && holder.split('_').next() != Some(old)
        {
            lock(&self.replaced).get_or_insert_with(Instant::now);
        }
    }

    fn lose(&self, kind: &'static str, slot: impl Fn(u64) -> u64, found: &mut ReadBack) {
        if let Some((stream, number)) = lock(&self.written).get(kind)
            && let Some(slots) = found.get_mut(stream)
        {
            slots.remove(&slot(*number));
        }
    }
}

fn address(fingerprint: &Fingerprint, node: &str) -> Option<String> {
    fingerprint.nodes.iter().find(|known| known.name == node).map(|node| node.address.to_string())
}

/// Lets every so manieth request leave.
struct ThrottledLoad {
    target: Arc<dyn LoadTarget>,
    every: u64,
}

#[async_trait]
impl LoadTarget for ThrottledLoad {
    async fn send(&self, request: LoadRequest) -> Result<(), Failure> {
        if request.number.is_multiple_of(self.every) {
            return self.target.send(request).await;
        }
        Err(Failure::new(FailureClass::Observer, "the generator was throttled"))
    }

    async fn left(&self) -> Result<u64, Failure> {
        self.target.left().await
    }
}

#[async_trait]
impl Between for HarnessControl {
    fn obtained(&self, cluster: &Arc<dyn Cluster>) {
        *lock(&self.cluster) = Some(Arc::clone(cluster));
    }

    async fn act(
        &self,
        nodes: &Arc<dyn Nodes>,
        node: &str,
        action: &NodeAction,
    ) -> Result<ActionReport, ClusterError> {
        if injects(action) {
            return self.inject(nodes, node, action).await;
        }
        match &self.defect {
            HarnessDefect::UndoSwallowed if undoes(action) => {
                Ok(ActionReport { changed: true, ..ActionReport::default() })
            }
            HarnessDefect::OtherAddress
                if matches!(action, NodeAction::Survey) && lock(&self.hit).contains(node) =>
            {
                let mut report = nodes.act(node, action).await?;
                report.survey = self.moved(node, &report.survey);
                Ok(report)
            }
            _ => nodes.act(node, action).await,
        }
    }

    async fn observe(
        &self,
        cluster: &Arc<dyn Cluster>,
        observation: &Observation,
        attempt: Attempt,
    ) -> Result<Observed, Failure> {
        if let HarnessDefect::Throttled(every) = self.defect
            && !attempt.number.is_multiple_of(every)
        {
            return Err(Failure::new(FailureClass::Observer, "the prober was throttled"));
        }
        if let (HarnessDefect::SilentMetrics(silent), Observation::Metrics { component, .. }) =
            (&self.defect, observation)
            && silent == component
        {
            return Err(Failure::new(FailureClass::Refused, "connection refused"));
        }
        let told = cluster.observe(observation, attempt).await;
        match observation {
            Observation::ApiWrite { .. } => self.note("api", observation, &told),
            Observation::EtcdPut { .. } => self.note("etcd", observation, &told),
            Observation::Lease { name } => self.note_holder(name, &told),
            _ => {}
        }
        told
    }

    async fn load(
        &self,
        cluster: &Arc<dyn Cluster>,
        wanted: &LoadWanted,
    ) -> Result<Arc<dyn LoadTarget>, ClusterError> {
        let target = cluster.load(wanted).await?;
        match self.defect {
            HarnessDefect::ThrottledLoad(every) => {
                Ok(Arc::new(ThrottledLoad { target, every: every.max(1) }))
            }
            _ => Ok(target),
        }
    }

    async fn read_back_api(
        &self,
        cluster: &Arc<dyn Cluster>,
        through: &Endpoint,
    ) -> Result<ReadBack, Failure> {
        let mut found = cluster.read_back_api(through).await?;
        if self.defect == HarnessDefect::LostApiWrite {
            self.lose("api", |number| number % SLOTS, &mut found);
        }
        Ok(found)
    }

    async fn read_back_etcd(&self, cluster: &Arc<dyn Cluster>, member: &str) -> Result<ReadBack, Failure> {
        let mut found = cluster.read_back_etcd(member).await?;
        if self.defect == HarnessDefect::LostEtcdWrite {
            self.lose("etcd", |number| number, &mut found);
        }
        Ok(found)
    }

    async fn watch(
        &self,
        cluster: &Arc<dyn Cluster>,
        through: &Endpoint,
        after: Option<u64>,
        tell: Tell<'_>,
    ) -> Result<(), Failure> {
        let lying = matches!(self.defect, HarnessDefect::MissedChange | HarnessDefect::RepeatedChange);
        let name = through.to_string();
        let tell = move |news| match news {
            WatchNews::Changed { mut revisions } if lying && self.begun() && !revisions.is_empty() => {
                if lock(&self.told).insert(name.clone()) {
                    let last = revisions.pop().unwrap_or_default();
                    if self.defect == HarnessDefect::RepeatedChange {
                        revisions.extend([last, last]);
                    }
                }
                if !revisions.is_empty() {
                    tell(WatchNews::Changed { revisions });
                }
            }
            other => tell(other),
        };
        cluster.watch(through, after, &tell).await
    }

    async fn acts(&self, cluster: &Arc<dyn Cluster>, last: Duration) -> Result<Vec<Acted>, Failure> {
        let mut acts = cluster.acts(last).await?;
        let old = lock(&self.holder).clone();
        let replaced = *lock(&self.replaced);
        if let (HarnessDefect::LateWrite(lease), Some(node), Some(replaced)) = (&self.defect, old, replaced) {
            let ago = replaced.elapsed().saturating_sub(LATE);
            let (verb, object) = ("patch".into(), "deployments default/late".into());
            acts.push(Acted { lease: lease.clone(), node, ago, verb, object });
        }
        Ok(acts)
    }

    /// Two processors that have been busy with other things for as long as this control runs.
    async fn processors(&self, cluster: &Arc<dyn Cluster>) -> Result<Option<Processors>, ClusterError> {
        if self.defect != HarnessDefect::CrowdedMachine {
            return cluster.processors().await;
        }
        let busy_ms = u64::try_from(self.made.elapsed().as_millis()).unwrap_or(u64::MAX / 4) * 2;
        Ok(Some(Processors { count: 2, busy_ms, cluster_ms: busy_ms / 4, ..Processors::default() }))
    }

    /// What was frozen or limited in another's place is set free when the experiment is over.
    async fn health(&self, cluster: &Arc<dyn Cluster>) -> Vec<String> {
        if let Err(error) = undo_all(&self.ledger, &**cluster).await {
            return vec![format!("what was hit on purpose is not set free: {error}")];
        }
        cluster.health().await
    }
}
