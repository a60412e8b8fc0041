//! The fixture, and observations of the workload, of Deployments and of node components.

use std::time::Duration;

use recoup_model::{
    action::Process,
    observation::{Failure, FailureClass, HealthPort, Observed, Route},
    spec::WorkloadSpec,
};
use tokio::time::{Instant, sleep};

use super::{
    SimCluster,
    model::{
        World,
        kubelet::{Owner, Pod},
        network::Party,
        raft::Entry,
        timing::{self, ms},
    },
};
use crate::{Attempt, ClusterError, Fixture};

/// How long a fixture may take, by [`crate::Cluster::fixture`]'s contract.
const FIXTURE: Duration = timing::secs(120);
/// The prober's port on its node's address.
const PROBER: u16 = 10900;
/// The workload's own port.
const WORKLOAD: u16 = 8080;

fn refused(message: &str) -> Failure {
    Failure::new(FailureClass::Refused, message)
}

impl SimCluster {
    /// Deploys the workload afresh, and waits until it serves through every node's rules.
    pub(super) async fn set_up(&self, workload: &WorkloadSpec) -> Result<Fixture, ClusterError> {
        let begun = Instant::now();
        let toleration = workload.toleration_seconds.map_or(timing::TOLERATION, |s| timing::secs(s.into()));
        let replicas = workload.replicas as usize;
        let attempt = Attempt { number: 0, timeout: FIXTURE };
        let deployed = self.change("fixture", attempt, |world| {
            world.toleration = toleration;
            if let Some(plane) = world.leader() {
                world.commit(plane, Entry::Cleared);
            }
            for pod in &mut world.pods {
                pod.deleting = true;
            }
            for deployment in &mut world.deployments {
                deployment.replicas = if deployment.owner == Owner::Workload { replicas } else { 0 };
            }
        });
        let mut last = "the api does not take the deployment".to_owned();
        let ready = async {
            deployed.await?;
            self.until(|world| match missing(world, replicas) {
                None => Some(()),
                Some(what) => {
                    last = what;
                    None
                }
            })
            .await;
            Ok::<(), Failure>(())
        };
        let outcome = tokio::time::timeout(FIXTURE, ready).await;
        let waited = begun.elapsed();
        let failed =
            |last| Err(ClusterError::TimedOut { waited, what: "the workload to serve".into(), last });
        match outcome {
            Ok(Ok(())) => {}
            Ok(Err(failure)) => return failed(failure.to_string()),
            Err(_) => return failed(last),
        }
        let world = self.look();
        let pod_on = |node| world.pods.iter().find(|pod| pod.node == Some(node)).map(|pod| pod.name.clone());
        let routes = (0..world.nodes.len()).map(pod_on).collect();
        drop(world);
        *self.routes.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = routes;
        Ok(Fixture::default())
    }

    pub(super) async fn mark_deleted(&self, names: &[String]) -> Result<(), Failure> {
        let attempt = Attempt { number: 0, timeout: Duration::ZERO };
        self.change("delete-pods", attempt, |world| {
            for pod in world.pods.iter_mut().filter(|pod| names.contains(&pod.name)) {
                pod.deleting = true;
            }
        })
        .await
    }

    /// Scales the small Deployment to the other of none and one.
    pub(super) async fn converge(&self, stream: &str, attempt: Attempt) -> Result<Observed, Failure> {
        let mut wanted = 0;
        self.change(stream, attempt, |world| {
            for deployment in world.deployments.iter_mut().filter(|d| d.owner == Owner::Converge) {
                deployment.replicas = 1 - deployment.replicas.min(1);
                wanted = deployment.replicas;
            }
        })
        .await?;
        let agrees = |world: &mut World| {
            let mut pods = world.pods.iter().filter(|pod| pod.owner == Owner::Converge);
            let count = pods.clone().count();
            (count == wanted && pods.all(|pod| pod.ready && !pod.deleting)).then_some(Observed::Answered)
        };
        Ok(self.until(agrees).await)
    }

    pub(super) async fn schedule(&self, stream: &str, attempt: Attempt) -> Result<Observed, Failure> {
        let name = format!("schedule-{}", self.next_once());
        let _cleared = Cleared { cluster: self, name: &name };
        self.change(stream, attempt, |world| {
            let queued = world.now + ms(20);
            world.pods.push(Pod::new(name.clone(), Owner::Nobody, queued));
        })
        .await?;
        let placed = |world: &mut World| {
            let node = world.pods.iter().find(|pod| pod.name == name)?.node?;
            Some(Observed::Scheduled { node: world.nodes[node].name.clone() })
        };
        Ok(self.until(placed).await)
    }

    /// The prober on a node answers: without it there is no sample, whatever the workload does.
    fn prober(world: &World, node: usize) -> Result<(), Failure> {
        if world.nodes[node].paused || !world.send(Party::Outside, Party::Node(node), PROBER) {
            let message = format!("prober on {}: no answer", world.nodes[node].name);
            return Err(Failure::new(FailureClass::Observer, message));
        }
        Ok(())
    }

    pub(super) async fn workload(
        &self,
        stream: &str,
        from: &str,
        to: Route,
        attempt: Attempt,
    ) -> Result<Observed, Failure> {
        let from = self.node(from)?;
        let half = self.half_latency(stream, attempt.number, ms(2));
        sleep(half).await;
        let known = self.routes.lock().unwrap_or_else(std::sync::PoisonError::into_inner)[from].clone();
        // kube-proxy's rules choose once per connection.
        let mut target: Option<usize> = None;
        let mut dice = self.dice(stream, attempt.number);
        let mut chosen = None;
        let told = self
            .until(|world| {
                if let Err(failure) = Self::prober(world, from) {
                    return Some(Err(failure));
                }
                let pod = match to {
                    Route::Pod => match &known {
                        None => {
                            let message = "no pod of the workload ran on this node";
                            return Some(Err(Failure::new(FailureClass::Observer, message)));
                        }
                        Some(name) => world.pods.iter().position(|pod| pod.name == *name),
                    },
                    Route::Service => {
                        let rules = &world.nodes[from].rules;
                        if rules.is_empty() {
                            return Some(Err(refused("the service has no endpoints")));
                        }
                        let ip = chosen.get_or_insert_with(|| rules[dice.below(rules.len())].clone());
                        world.pods.iter().position(|pod| pod.ip.as_ref() == Some(ip))
                    }
                };
                target = pod.or(target);
                match pod {
                    Some(pod) => serve(world, from, pod),
                    // The address is nobody's: its own node says so, others hear nothing.
                    None if to == Route::Pod => Some(Err(refused("no route to host"))),
                    None => None,
                }
            })
            .await?;
        sleep(half).await;
        Ok(told)
    }

    pub(super) async fn component_health(
        &self,
        stream: &str,
        node: &str,
        component: HealthPort,
        attempt: Attempt,
    ) -> Result<Observed, Failure> {
        let node = self.node(node)?;
        let process = match component {
            HealthPort::Kubelet => Process::Kubelet,
            HealthPort::KubeProxy => Process::KubeProxy,
        };
        let half = self.half_latency(stream, attempt.number, ms(2));
        sleep(half).await;
        self.until(|world| {
            if let Err(failure) = Self::prober(world, node) {
                return Some(Err(failure));
            }
            match world.running(node, process) {
                Some(run) if world.now >= run.ready => (!run.stopped).then_some(Ok(())),
                _ => Some(Err(refused("connection refused"))),
            }
        })
        .await?;
        sleep(half).await;
        Ok(Observed::Answered)
    }
}

/// One pod's answer to a request from a node; none while there is none.
fn serve(world: &World, from: usize, pod: usize) -> Option<Result<Observed, Failure>> {
    let pod = &world.pods[pod];
    let node = pod.node?;
    if world.nodes[node].paused || !world.send(Party::Node(from), Party::Node(node), WORKLOAD) {
        return None;
    }
    match &pod.process {
        None => Some(Err(refused("connection refused"))),
        Some(process) if process.stopped => None,
        Some(_) => Some(Ok(Observed::Served { pod: pod.name.clone() })),
    }
}

/// What keeps the workload from serving through every node.
fn missing(world: &World, replicas: usize) -> Option<String> {
    if world.pods.iter().any(|pod| pod.deleting) {
        return Some("pods of an earlier experiment are still there".into());
    }
    let ready = world.pods.iter().filter(|pod| pod.owner == Owner::Workload && pod.ready).count();
    if ready != replicas || world.endpoints.0.len() != replicas {
        return Some(format!("{ready} of {replicas} pods are ready"));
    }
    let behind = world.nodes.iter().find(|node| node.rules != world.endpoints.0);
    behind.map(|node| format!("kube-proxy on {} has other rules", node.name))
}

/// Deletes the pod of a scheduling attempt, however that ended.
struct Cleared<'a> {
    cluster: &'a SimCluster,
    name: &'a str,
}

impl Drop for Cleared<'_> {
    fn drop(&mut self) {
        for pod in self.cluster.look().pods.iter_mut().filter(|pod| pod.name == self.name) {
            pod.deleting = true;
        }
    }
}
