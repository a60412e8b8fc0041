//! One attempt at one observation: no retries, except where an observation is a wait by its nature.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use recoup_model::observation::{
    Conn, Endpoint, Failure, FailureClass, Freshness, NodeState, Observation, Observed, PodState, Route,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{
    KindCluster,
    api::{Api, Call, MERGE},
    cluster::{observer, out_of_time},
    manifests::{CONVERGE, PROBE, SCHEDULE, WORKLOAD, apps, core, schedule_pod},
    objects::{Deployment, Lease, List, Node, Pod},
    writes,
};
use crate::Attempt;

/// Between two looks at something that is being waited for.
const LOOK: Duration = Duration::from_millis(75);
/// One look, or one try at a change, takes at most this long: another API server is asked then.
const TRY: Duration = Duration::from_secs(1);

impl KindCluster {
    pub(super) async fn ask(&self, observation: &Observation, attempt: Attempt) -> Result<Observed, Failure> {
        let Attempt { number, timeout } = attempt;
        match observation {
            Observation::ApiRead { via, conn, from } => self.read(via, *conn, *from, timeout).await,
            Observation::ApiWrite { via, conn } => {
                writes::write(self.api.at(via)?, *conn, number, timeout).await
            }
            Observation::EtcdStatus { member } => {
                self.member(member)?.status(timeout).await.map(|status| status.observed())
            }
            Observation::EtcdPut { member } => {
                let revision = self.member(member)?.put(number, timeout).await?;
                Ok(Observed::Acknowledged { number, revision })
            }
            Observation::Lease { name } => self.lease(name, attempt).await,
            Observation::Nodes => {
                let call = Call::get("/api/v1/nodes");
                let nodes: List<Node> = self.api.in_turn(number).read(call, timeout).await?;
                Ok(Observed::Nodes(nodes.items.into_iter().map(NodeState::from).collect()))
            }
            Observation::Pods => {
                let path = format!("{}?labelSelector=app%3D{WORKLOAD}", core("pods"));
                let pods: List<Pod> = self.api.in_turn(number).read(Call::get(&path), timeout).await?;
                Ok(Observed::Pods(pods.items.into_iter().map(PodState::from).collect()))
            }
            Observation::Converge => self.converge(attempt).await,
            Observation::Schedule => self.schedule(attempt).await,
            Observation::NodeLease { node } => {
                self.node(node)?;
                let revision = self.member_in_turn(number)?.node_lease(node, timeout).await?;
                Ok(Observed::Renewed { revision })
            }
            Observation::Workload { from, to } => self.workload(from, *to, timeout).await,
            Observation::Metrics { component, node } => self.metrics(*component, node, timeout).await,
            Observation::Health { node, component } => {
                let target = SocketAddr::from(([127, 0, 0, 1], component.port()));
                self.vantage.fetch(self.node(node)?.address, target, "/healthz", timeout).await?;
                Ok(Observed::Answered)
            }
        }
    }

    async fn read(
        &self,
        via: &Endpoint,
        conn: Conn,
        from: Freshness,
        timeout: Duration,
    ) -> Result<Observed, Failure> {
        let query = match from {
            Freshness::Linearizable => "",
            Freshness::Cache => "?resourceVersion=0",
        };
        let path = format!("{}/{PROBE}{query}", core("configmaps"));
        self.api.at(via)?.call(conn, Call::get(&path), timeout).await?;
        Ok(Observed::Answered)
    }

    async fn lease(&self, name: &str, attempt: Attempt) -> Result<Observed, Failure> {
        let path = format!("/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/{name}");
        let lease: Lease = self.api.in_turn(attempt.number).read(Call::get(&path), attempt.timeout).await?;
        Ok(Observed::Lease {
            holder: lease.spec.holder_identity.unwrap_or_default(),
            renewed: lease.spec.renew_time.unwrap_or_default(),
        })
    }

    async fn workload(&self, from: &str, to: Route, timeout: Duration) -> Result<Observed, Failure> {
        let placed = self.placed().ok_or_else(|| observer("the workload is not in place"))?;
        let node = self.node(from)?;
        let (target, asked) = match to {
            Route::Service => (placed.service, None),
            Route::Pod => {
                let (pod, address) = placed
                    .pods
                    .get(from)
                    .ok_or_else(|| observer(format!("no pod of the workload ran on {from}")))?;
                (*address, Some(pod))
            }
        };
        let identity = self.vantage.identify(node.address, target, timeout).await?;
        let right = identity.app == WORKLOAD && asked.is_none_or(|pod| *pod == identity.pod);
        if right {
            Ok(Observed::Served { pod: identity.pod })
        } else {
            let asked = asked.map_or(WORKLOAD, String::as_str);
            let message =
                format!("asked {target} for {asked}, and {} ({}) answered", identity.pod, identity.app);
            Err(Failure::new(FailureClass::Misrouted, message))
        }
    }

    /// Scales a Deployment up in even attempts and down in odd ones, and waits until its status agrees.
    async fn converge(&self, attempt: Attempt) -> Result<Observed, Failure> {
        let wait = Wait::new(&self.api, attempt);
        let replicas = u32::from(attempt.number.is_multiple_of(2));
        let path = format!("{}/{CONVERGE}", apps("deployments"));
        let body = json!({ "spec": { "replicas": replicas } }).to_string();
        let changed = wait.change::<Deployment>(|| Call::patch(&path, MERGE, body.clone()), None).await?;
        let generation = changed.map_or(0, |deployment| deployment.metadata.generation);
        wait.until(&path, |deployment: &Deployment| deployment.settled(generation, replicas).then_some(()))
            .await?;
        Ok(Observed::Answered)
    }

    /// Creates a pod, waits for its node, and has it deleted in the background.
    async fn schedule(&self, attempt: Attempt) -> Result<Observed, Failure> {
        let wait = Wait::new(&self.api, attempt);
        let name = format!("{SCHEDULE}-{}", attempt.number);
        let (pods, path) = (core("pods"), format!("{}/{name}", core("pods")));
        let pod = schedule_pod(&name, &self.image.name, self.has_workers());
        // A conflict is our own: an earlier try was done, and its answer was lost.
        let scheduled = async {
            wait.change::<Value>(|| Call::post(&pods, &pod), Some("409")).await?;
            wait.until(&path, |pod: &Pod| pod.spec.node_name.clone()).await
        }
        .await;
        tokio::spawn(remove(Arc::clone(&self.api), path));
        scheduled.map(|node| Observed::Scheduled { node })
    }
}

/// A few tries at a deletion; what is left is removed by the next fixture.
async fn remove(api: Arc<Api>, path: String) {
    let path = format!("{path}?gracePeriodSeconds=0");
    for turn in 0..5 {
        match api.in_turn(turn).call(Conn::Reused, Call::delete(&path), TRY).await {
            Err(failure) if !failure.message.starts_with("404") => sleep(TRY).await,
            _ => return,
        }
    }
}

/// Changes and waits within one attempt's deadline. That the API is away for a time is part of what is measured.
struct Wait<'a> {
    api: &'a Api,
    attempt: Attempt,
    deadline: Instant,
}

impl<'a> Wait<'a> {
    fn new(api: &'a Api, attempt: Attempt) -> Wait<'a> {
        Wait { api, attempt, deadline: Instant::now() + attempt.timeout }
    }

    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Time for another try, after a pause; else the attempt's end.
    async fn again(&self, last: &str) -> Result<(), Failure> {
        if self.left() <= LOOK {
            return Err(out_of_time(self.attempt.timeout, last));
        }
        sleep(LOOK).await;
        Ok(())
    }

    /// Makes a change through the load balancer, again and again; a refusal that begins with `done` means that
    /// it was made already.
    async fn change<'c, T: DeserializeOwned>(
        &self,
        call: impl Fn() -> Call<'c> + Send,
        done: Option<&str>,
    ) -> Result<Option<T>, Failure> {
        loop {
            match self.api.lb().read::<T>(call(), self.left().min(2 * TRY)).await {
                Ok(answer) => return Ok(Some(answer)),
                Err(failure) if done.is_some_and(|done| failure.message.starts_with(done)) => {
                    return Ok(None);
                }
                Err(failure) => self.again(&failure.to_string()).await?,
            }
        }
    }

    /// Looks through the API servers in turn until `seen` is content.
    async fn until<T: DeserializeOwned, R>(
        &self,
        path: &str,
        seen: impl Fn(&T) -> Option<R> + Send,
    ) -> Result<R, Failure> {
        let mut turn = self.attempt.number;
        loop {
            let last = match self.api.in_turn(turn).read::<T>(Call::get(path), self.left().min(TRY)).await {
                Ok(object) => match seen(&object) {
                    Some(result) => return Ok(result),
                    None => "not yet".to_owned(),
                },
                Err(failure) => failure.to_string(),
            };
            self.again(&last).await?;
            turn += 1;
        }
    }
}
