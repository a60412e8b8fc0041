//! Puts the workload in place and brings it back to a known state, whatever an earlier experiment left.

use std::{
    collections::BTreeMap,
    fmt::Display,
    net::{IpAddr, SocketAddr},
    sync::{Arc, PoisonError},
    time::Duration,
};

use futures::future::{join_all, try_join_all};
use recoup_model::{
    observation::{Conn, Failure, PodState},
    spec::WorkloadSpec,
    topology::NodeRole,
};
use tokio::time::{Instant, sleep};

use super::{
    KindCluster,
    api::{APPLY, Call},
    cluster::{PATIENCE, Placed},
    failure::while_doing,
    manifests::{self, CONVERGE, Manifest, PORT, SCHEDULE, VANTAGE, WORKLOAD, apps, core},
    objects::{DaemonSet, Deployment, List, Pod, Service},
    writes,
};
use crate::{ClusterError, Fixture};

/// All of it, as [`crate::Cluster::fixture`] promises.
const DEADLINE: Duration = Duration::from_secs(120);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(200);
/// A pod that is marked for deletion for this long is removed by force: its kubelet was away, or still is.
const STUCK: Duration = Duration::from_secs(10);
/// How often a pod is deleted so that its replacement may land on a worker without one.
const REBALANCES: u32 = 4;

/// Waiting for something until a deadline.
pub(super) struct Waiting {
    what: String,
    began: Instant,
    deadline: Instant,
}

impl Waiting {
    pub fn new(what: impl Into<String>, deadline: Instant) -> Waiting {
        Waiting { what: what.into(), began: Instant::now(), deadline }
    }

    /// Pauses before the next look; past the deadline the last look tells what is missing.
    pub async fn again(&self, last: impl Display) -> Result<(), ClusterError> {
        if Instant::now() >= self.deadline {
            return Err(ClusterError::TimedOut {
                waited: self.began.elapsed(),
                what: self.what.clone(),
                last: last.to_string(),
            });
        }
        sleep(LOOK).await;
        Ok(())
    }
}

impl KindCluster {
    /// See [`crate::Cluster::fixture`].
    pub(super) async fn put_in_place(&self, workload: &WorkloadSpec) -> Result<Fixture, ClusterError> {
        let deadline = Instant::now() + DEADLINE;
        self.load_image().await?;
        self.apply(&manifests::namespace(), deadline).await?;
        self.service_account(deadline).await?;
        let manifests = manifests::all(&self.image.name, workload, self.has_workers());
        let applied: Vec<_> = manifests.iter().map(|manifest| self.apply(manifest, deadline)).collect();
        try_join_all(applied).await?;
        self.sweep().await.map_err(while_doing("remove what earlier experiments left"))?;
        let (settled, cleared) = tokio::join!(self.spread(workload, deadline), self.clear(deadline));
        cleared?;
        let placed = Arc::new(self.placement(settled?).await?);
        *self.placed.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&placed));
        self.check_routes(&placed, deadline).await
    }

    async fn load_image(&self) -> Result<(), ClusterError> {
        let load = || async {
            let loads: Vec<_> =
                self.fingerprint.nodes.iter().map(|node| self.image.load(&self.docker, &node.name)).collect();
            try_join_all(loads).await.map(drop)
        };
        self.loaded.get_or_try_init(load).await.map(drop)
    }

    /// Without it no pod is admitted; a controller makes it a moment after the namespace.
    async fn service_account(&self, deadline: Instant) -> Result<(), ClusterError> {
        let path = format!("{}/default", core("serviceaccounts"));
        let waiting = Waiting::new("the namespace's service account", deadline);
        while let Err(failure) = self.api.lb().call(Conn::Reused, Call::get(&path), PATIENCE).await {
            waiting.again(failure).await?;
        }
        Ok(())
    }

    /// Server-side apply, which makes an object, or brings it back to this.
    pub(super) async fn apply(&self, manifest: &Manifest, deadline: Instant) -> Result<(), ClusterError> {
        let path = format!("{}?fieldManager=recoup&force=true", manifest.path);
        let waiting = Waiting::new(format!("{} to be applied", manifest.path), deadline);
        loop {
            let call = Call::patch(&path, APPLY, manifest.object.to_string()).metadata_only();
            match self.api.lb().call(Conn::Reused, call, PATIENCE).await {
                Ok(_) => return Ok(()),
                Err(failure) => waiting.again(failure).await?,
            }
        }
    }

    /// Removes pods of scheduling probes, and pods that would restart with a longer back-off each time.
    async fn sweep(&self) -> Result<(), Failure> {
        let path = core("pods");
        let pods: List<Pod> = self.api.lb().read(Call::get(&path), PATIENCE).await?;
        let removals = pods.items.into_iter().filter_map(|pod| {
            let app = pod.metadata.labels.get("app").map(String::as_str);
            let ended = matches!(pod.status.phase.as_str(), "Failed" | "Succeeded");
            let worn =
                app == Some(WORKLOAD) && pod.status.container_statuses.iter().any(|c| c.restart_count > 0);
            match () {
                () if app == Some(SCHEDULE) || ended => Some((pod.metadata.name, 0)),
                () if worn && !pod.deleting() => Some((pod.metadata.name, 1)),
                () => None,
            }
        });
        let removals: Vec<(String, u32)> = removals.collect();
        let removals: Vec<_> = removals.iter().map(|(name, grace)| self.remove_pod(name, *grace)).collect();
        try_join_all(removals).await.map(drop)
    }

    async fn remove_pod(&self, name: &str, grace: u32) -> Result<(), Failure> {
        let path = format!("{}/{name}?gracePeriodSeconds={grace}", core("pods"));
        match self.api.lb().call(Conn::Reused, Call::delete(&path), PATIENCE).await {
            Err(failure) if !failure.message.starts_with("404") => Err(failure),
            _ => Ok(()),
        }
    }

    /// Empties what write probes wrote.
    async fn clear(&self, deadline: Instant) -> Result<(), ClusterError> {
        let waiting = Waiting::new("the write probes' objects", deadline);
        while let Err(failure) = writes::prepare(&self.api, PATIENCE).await {
            waiting.again(failure).await?;
        }
        let waiting = Waiting::new("the write probes' etcd keys to be removed", deadline);
        for member in self.members.iter().cycle() {
            match member.clear(PATIENCE).await {
                Ok(()) => break,
                Err(failure) => waiting.again(failure).await?,
            }
        }
        Ok(())
    }

    /// Waits until all is ready, and until every worker has a pod where there are enough of them.
    async fn spread(
        &self,
        workload: &WorkloadSpec,
        deadline: Instant,
    ) -> Result<Vec<PodState>, ClusterError> {
        let mut rebalances = 0;
        loop {
            let pods = self.settled(workload.replicas, deadline).await?;
            let mut load: BTreeMap<&str, Vec<&str>> = self
                .fingerprint
                .with_role(NodeRole::Worker)
                .map(|node| (node.name.as_str(), Vec::new()))
                .collect();
            for pod in &pods {
                if let Some(on) = pod.node.as_deref().and_then(|node| load.get_mut(node)) {
                    on.push(&pod.name);
                }
            }
            let fullest = load.values().max_by_key(|pods| pods.len());
            let emptiest = load.values().map(Vec::len).min();
            match (fullest, emptiest) {
                (Some(full), Some(least)) if full.len() > least + 1 && rebalances < REBALANCES => {
                    rebalances += 1;
                    if let Some(pod) = full.first() {
                        self.remove_pod(pod, 1)
                            .await
                            .map_err(while_doing("spread the workload over the workers"))?;
                        // Its Deployment shall have seen it before it is looked at again.
                        sleep(LOOK).await;
                    }
                }
                _ => return Ok(pods),
            }
        }
    }

    /// Waits until every pod of the newest template is ready, and no other is left.
    async fn settled(&self, replicas: u32, deadline: Instant) -> Result<Vec<PodState>, ClusterError> {
        let waiting = Waiting::new("the workload to be ready", deadline);
        let mut forced = false;
        loop {
            let force = !forced && waiting.began.elapsed() > STUCK;
            match self.look(replicas, force).await {
                Ok(pods) => return Ok(pods),
                Err(last) => waiting.again(last).await?,
            }
            forced |= force;
        }
    }

    /// The workload's pods, or what is missing. Pods that are being deleted are removed when they no
    /// longer run, or with `force`.
    async fn look(&self, replicas: u32, force: bool) -> Result<Vec<PodState>, String> {
        let (vantage, workload, converge) = (
            format!("{}/{VANTAGE}", apps("daemonsets")),
            format!("{}/{WORKLOAD}", apps("deployments")),
            format!("{}/{CONVERGE}", apps("deployments")),
        );
        let pods = core("pods");
        let lb = self.api.lb();
        let (probers, deployment, converge, pods) = tokio::try_join!(
            lb.read::<DaemonSet>(Call::get(&vantage), PATIENCE),
            lb.read::<Deployment>(Call::get(&workload), PATIENCE),
            lb.read::<Deployment>(Call::get(&converge), PATIENCE),
            lb.read::<List<Pod>>(Call::get(&pods), PATIENCE),
        )
        .map_err(|failure| failure.to_string())?;
        let leaving: Vec<&Pod> = pods.items.iter().filter(|pod| pod.deleting()).collect();
        if !leaving.is_empty() {
            // An old kubelet needs ten seconds more to remove the object of a pod that it has ended.
            let ended = leaving.iter().filter(|pod| force || pod.idle());
            let removals: Vec<_> = ended.map(|pod| self.remove_pod(&pod.metadata.name, 0)).collect();
            join_all(removals).await;
            let names: Vec<&str> = leaving.iter().map(|pod| pod.metadata.name.as_str()).collect();
            return Err(format!("pods are still being deleted: {}", names.join(", ")));
        }
        let nodes = self.fingerprint.nodes.len();
        if !probers.settled(nodes) {
            return Err(format!("{} of {nodes} probers are ready", probers.status.number_ready));
        }
        if !deployment.settled(0, replicas) {
            return Err(format!(
                "{} of {replicas} pods of the workload are ready",
                deployment.status.ready_replicas
            ));
        }
        if !converge.settled(0, 0) {
            return Err(format!("Deployment {CONVERGE} still has {} pods", converge.status.replicas));
        }
        let ours = |pod: &Pod| pod.metadata.labels.get("app").is_some_and(|app| app == WORKLOAD);
        Ok(pods.items.into_iter().filter(ours).map(PodState::from).collect())
    }

    /// Where the workload is, for as long as the experiment lasts.
    async fn placement(&self, pods: Vec<PodState>) -> Result<Placed, ClusterError> {
        let service = self.service(WORKLOAD).await?;
        let mut by_node = BTreeMap::new();
        for pod in pods {
            let ip = address(pod.ip.as_deref().unwrap_or_default())?;
            if let Some(node) = pod.node {
                by_node.insert(node, (pod.name, SocketAddr::new(ip, PORT)));
            }
        }
        Ok(Placed { pods: by_node, service })
    }

    /// The address of a Service of ours.
    pub(super) async fn service(&self, name: &str) -> Result<SocketAddr, ClusterError> {
        let path = format!("{}/{name}", core("services"));
        let read = self.api.lb().read::<Service>(Call::get(&path), PATIENCE).await;
        let service = read.map_err(while_doing(format!("read the Service {name}")))?;
        Ok(SocketAddr::new(address(&service.spec.cluster_ip)?, PORT))
    }
}

fn address(text: &str) -> Result<IpAddr, ClusterError> {
    text.parse().map_err(|_| ClusterError::Missing {
        missing: format!("an address of the workload ({text:?} is none)"),
        remedy: format!("look at `kubectl -n {} get pods,services -o wide`", manifests::NAMESPACE),
    })
}
