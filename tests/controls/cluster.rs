//! A defect of the cluster's nodes: put in place when it is due and taken away again, through a ledger.

use std::{
    sync::{Arc, Mutex as Lock, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result};
use async_trait::async_trait;
use recoup_clusters::{Cluster, ClusterError, Fixture, Nodes};
use recoup_engine::ledger::Ledger;
use recoup_model::{
    action::{ActionReport, NodeAction, Signal},
    spec::{
        WorkloadSpec,
        control::{ClusterDefect, Deed, Flapping, Onset},
    },
};
use recoup_tests::faulty::Between;
use tokio::{
    sync::Mutex,
    task::AbortHandle,
    time::{Instant, sleep},
};

use crate::deeds::{Deeded, arm, deeds, failed, injects, undo_all, where_done};

/// Static pods' kubelets look for changed manifests every 20 s; then a lease may have to run out that was
/// taken for 60 s, and a container may be backed off.
const SETTLED: Duration = Duration::from_secs(300);
/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// A killed container runs again within this time, back-off included.
const BACK: Duration = Duration::from_secs(60);

/// See the module.
pub struct ClusterControl {
    defect: ClusterDefect,
    ledger: Ledger,
    cluster: Lock<Option<Arc<dyn Cluster>>>,
    state: Mutex<State>,
    flapping: Lock<Option<AbortHandle>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Away,
    InPlace,
    Over,
}

impl ClusterControl {
    /// Nothing is in place yet.
    pub fn new(defect: ClusterDefect, ledger: Ledger) -> ClusterControl {
        ClusterControl {
            defect,
            ledger,
            cluster: Lock::default(),
            state: Mutex::new(State::Away),
            flapping: Lock::default(),
        }
    }

    fn cluster(&self) -> Result<Arc<dyn Cluster>> {
        let known = self.cluster.lock().unwrap_or_else(PoisonError::into_inner);
        known.clone().context("the harness has no cluster yet")
    }

    /// Puts the defect in place, once. Each undo is armed before its deed.
    async fn put(&self, hit: Option<&str>) -> Result<()> {
        let mut state = self.state.lock().await;
        if *state != State::Away {
            return Ok(());
        }
        *state = State::InPlace;
        let cluster = self.cluster()?;
        let deeds = deeds(&*cluster, &self.defect, hit).await?;
        for deed in &deeds {
            arm(&self.ledger, &*cluster, &deed.node, deed.undo.clone())?;
        }
        let done = deeds.iter().map(|deed| cluster.act(&deed.node, &deed.deed));
        futures::future::try_join_all(done).await?;
        self.shown(&*cluster, &deeds).await
    }

    /// A static pod that was killed is gone from the process table a moment later.
    async fn shown(&self, cluster: &dyn Cluster, deeds: &[Deeded]) -> Result<()> {
        let Deed::StaticPodDown(pod) = self.defect.what else { return Ok(()) };
        let look = NodeAction::Inspect { process: pod.process() };
        for node in where_done(deeds) {
            let deadline = Instant::now() + BACK;
            while !cluster.act(&node, &look).await?.processes.is_empty() {
                anyhow::ensure!(Instant::now() < deadline, "{} on {node} does not end", pod.process());
                sleep(LOOK).await;
            }
        }
        Ok(())
    }

    /// Before the harness first looks: puts the defect in place and waits until the cluster runs with it and is
    /// healthy, as a badly configured one is.
    ///
    /// # Errors
    /// Where it does not get there.
    pub async fn start(&self, cluster: &Arc<dyn Cluster>) -> Result<()> {
        if self.defect.from != Onset::Start {
            return Ok(());
        }
        self.obtained(cluster);
        let before = self.running(&**cluster).await?;
        self.put(None).await?;
        self.restarted(&**cluster, &before).await?;
        settled(&**cluster).await
    }

    /// Takes away whatever is in place, and waits until the cluster is healthy again.
    ///
    /// # Errors
    /// Where a node cannot be reached or the cluster stays unhealthy: use it no more.
    pub async fn end(&self) -> Result<()> {
        let Ok(cluster) = self.cluster() else { return Ok(()) };
        let before = self.running(&*cluster).await?;
        let was = self.take_away().await?;
        if was {
            self.restarted(&*cluster, &before).await?;
        }
        settled(&*cluster).await
    }

    async fn take_away(&self) -> Result<bool> {
        let mut state = self.state.lock().await;
        let was = std::mem::replace(&mut *state, State::Over) == State::InPlace;
        if let Some(flapping) = self.flapping.lock().unwrap_or_else(PoisonError::into_inner).take() {
            flapping.abort();
        }
        let cluster = self.cluster()?;
        undo_all(&self.ledger, &*cluster).await?;
        Ok(was)
    }

    /// The processes of a pod whose flags are changed, which restarts it.
    async fn running(&self, cluster: &dyn Cluster) -> Result<Vec<(String, NodeAction, ActionReport)>> {
        let Deed::Flags(flags) = &self.defect.what else { return Ok(Vec::new()) };
        let look = NodeAction::Inspect { process: flags.pod.process() };
        let mut running = Vec::new();
        for deed in deeds(cluster, &self.defect, None).await? {
            let report = cluster.act(&deed.node, &look).await?;
            running.push((deed.node, look.clone(), report));
        }
        Ok(running)
    }

    async fn restarted(
        &self,
        cluster: &dyn Cluster,
        before: &[(String, NodeAction, ActionReport)],
    ) -> Result<()> {
        let deadline = Instant::now() + SETTLED;
        for (node, look, old) in before {
            loop {
                let now = cluster.act(node, look).await?.processes;
                let new = !now.is_empty() && now.iter().all(|p| old.processes.iter().all(|o| o.id != p.id));
                if new {
                    break;
                }
                anyhow::ensure!(Instant::now() < deadline, "{node} does not run with the changed flags");
                sleep(LOOK).await;
            }
        }
        Ok(())
    }

    /// Freezes and thaws the workload's process by turns, from when it is back.
    async fn flap(
        &self,
        nodes: &Arc<dyn Nodes>,
        node: &str,
        pod: &str,
        settings: Flapping,
        old: ActionReport,
    ) {
        let mut state = self.state.lock().await;
        if *state != State::Away {
            return;
        }
        *state = State::InPlace;
        let send = |signal| NodeAction::SignalPod { pod: pod.to_owned(), signal };
        let (stop, thaw) = (send(Signal::Stop), send(Signal::Cont));
        let armed = self.cluster().and_then(|cluster| arm(&self.ledger, &*cluster, node, thaw.clone()));
        if armed.is_err() {
            return;
        }
        let (nodes, node) = (Arc::clone(nodes), node.to_owned());
        let task = tokio::spawn(async move {
            let back = Instant::now() + BACK;
            while Instant::now() < back {
                // A CONT to what runs is a look.
                let seen = nodes.act(&node, &thaw).await.map(|seen| seen.processes).unwrap_or_default();
                if seen.iter().any(|process| old.processes.iter().all(|gone| gone.id != process.id)) {
                    break;
                }
                sleep(LOOK / 5).await;
            }
            let end = Instant::now() + settings.lasts.0;
            while Instant::now() < end {
                sleep(settings.up.0).await;
                // A container that is just restarting has no process to freeze.
                let _ = nodes.act(&node, &stop).await;
                sleep(settings.down.0).await;
                let _ = nodes.act(&node, &thaw).await;
            }
        });
        *self.flapping.lock().unwrap_or_else(PoisonError::into_inner) = Some(task.abort_handle());
    }
}

/// Waits for health.
async fn settled(cluster: &dyn Cluster) -> Result<()> {
    let deadline = Instant::now() + SETTLED;
    loop {
        let problems = cluster.health().await;
        if problems.is_empty() {
            return Ok(());
        }
        anyhow::ensure!(Instant::now() < deadline, "the cluster stays unhealthy: {}", problems.join("; "));
        sleep(LOOK).await;
    }
}

#[async_trait]
impl Between for ClusterControl {
    fn obtained(&self, cluster: &Arc<dyn Cluster>) {
        *self.cluster.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(cluster));
    }

    async fn fixture(
        &self,
        cluster: &Arc<dyn Cluster>,
        workload: &WorkloadSpec,
    ) -> Result<Fixture, ClusterError> {
        if self.defect.from == Onset::Workload {
            self.put(None).await.map_err(|error| failed(&error))?;
        }
        cluster.fixture(workload).await
    }

    async fn act(
        &self,
        nodes: &Arc<dyn Nodes>,
        node: &str,
        action: &NodeAction,
    ) -> Result<ActionReport, ClusterError> {
        if self.defect.from != Onset::Fault || !injects(action) {
            return nodes.act(node, action).await;
        }
        match (&self.defect.what, action) {
            (Deed::Flapping(settings), NodeAction::SignalPod { pod, .. }) => {
                let report = nodes.act(node, action).await?;
                self.flap(nodes, node, pod, *settings, report.clone()).await;
                Ok(report)
            }
            (Deed::Flapping(_), _) => nodes.act(node, action).await,
            _ => {
                self.put(Some(node)).await.map_err(|error| failed(&error))?;
                nodes.act(node, action).await
            }
        }
    }

    /// What began with the fault ends with the experiment: the harness would take it for its own residue.
    async fn health(&self, cluster: &Arc<dyn Cluster>) -> Vec<String> {
        let in_place = *self.state.lock().await == State::InPlace;
        if self.defect.from == Onset::Fault
            && in_place
            && let Err(error) = self.take_away().await
        {
            return vec![format!("the defect could not be taken away: {error:#}")];
        }
        cluster.health().await
    }
}
