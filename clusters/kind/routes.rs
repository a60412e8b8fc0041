//! Does every node's route through Services lead to every pod of the workload, and nowhere else?

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use futures::future::{join_all, try_join_all};
use recoup_model::{observation::Conn, topology::Node};
use tokio::time::{Instant, sleep};

use super::{
    KindCluster,
    api::Call,
    cluster::{PATIENCE, Placed},
    failure::while_doing,
    fixture::Waiting,
    manifests::{self, RENEWED, WORKLOAD, core},
    objects::{Endpoints, List, Pod},
};
use crate::{ClusterError, Fixture};

/// The pods of kube-proxy.
const PROXIES: &str = "/api/v1/namespaces/kube-system/pods";
/// Requests per pod in one look. A fair choice misses one pod of two in 20 requests once in a million looks.
const REQUESTS: usize = 10;
/// kube-proxy follows a Service within a second or two; a node that does not in this time is mended.
const FOLLOWS: Duration = Duration::from_secs(10);
/// FAMILY ADDRESS
const FORGET: &str = "conntrack -D -f \"$1\" -p tcp --orig-dst \"$2\" > /dev/null";
/// A new kube-proxy starts and programmes its rules within this time, or the node is left out.
const MENDED: Duration = Duration::from_secs(40);

impl KindCluster {
    /// Checks all nodes at once; mends one that does not follow, or leaves it out.
    pub(super) async fn check_routes(
        &self,
        placed: &Placed,
        deadline: Instant,
    ) -> Result<Fixture, ClusterError> {
        self.probers_answer(placed, deadline).await?;
        let pods = self.pods_of_service(deadline).await?;
        let services = [placed.service, self.renew(&pods, deadline).await?];
        let checks: Vec<_> = self
            .fingerprint
            .nodes
            .iter()
            .map(|node| self.check_route(node, services, &pods, deadline))
            .collect();
        let mut fixture = Fixture::default();
        for (node, found) in self.fingerprint.nodes.iter().zip(join_all(checks).await) {
            let Some((finding, mended)) = found? else { continue };
            let remedy = if mended {
                format!("its kube-proxy pod on {} was deleted once, and the new one follows", node.name)
            } else {
                fixture.unrouted.push(node.name.clone());
                format!("a new kube-proxy pod did not help: the Service's route on {} is left out", node.name)
            };
            fixture.preconditions.push((finding, remedy));
        }
        self.forget_connections(placed, &mut fixture).await?;
        Ok(fixture)
    }

    /// Has every node forget which pods connections to the Service were led to.
    ///
    /// A connection that was asked of a pod that is gone stays with that pod for two minutes
    /// (`nf_conntrack_tcp_timeout_syn_sent`), and whoever gets its port in that time is led there as well, whatever
    /// kube-proxy's rules say by then. A prober of 50 connections a second goes once around all ports in about one.
    async fn forget_connections(&self, placed: &Placed, fixture: &mut Fixture) -> Result<(), ClusterError> {
        let address = placed.service.ip();
        let (family, address) = (if address.is_ipv4() { "ipv4" } else { "ipv6" }, address.to_string());
        // It lists what it deletes on stdout.
        let argv = ["sh", "-c", FORGET, "recoup", family, &address];
        let forget = |node: &Node| {
            let name = node.name.clone();
            async move { self.docker.exec(&name, &argv, None).await.map(|output| (name, output)) }
        };
        for (node, output) in try_join_all(self.fingerprint.nodes.iter().map(forget)).await? {
            // It counts on stderr, and fails where there was nothing to forget.
            let said = String::from_utf8_lossy(&output.stderr);
            if !said.contains("flow entries have been deleted") {
                let finding = format!("{node} cannot forget old connections to the Service: {}", said.trim());
                let remedy =
                    "requests may be led to pods of an earlier experiment for two minutes".to_owned();
                fixture.preconditions.push((finding, remedy));
            }
        }
        Ok(())
    }

    async fn probers_answer(&self, placed: &Placed, deadline: Instant) -> Result<(), ClusterError> {
        let Some((_, target)) = placed.pods.values().next() else { return Ok(()) };
        for node in &self.fingerprint.nodes {
            let waiting =
                Waiting::new(format!("the prober on {} to reach the workload", node.name), deadline);
            while let Err(failure) = self.vantage.identify(node.address, *target, PATIENCE).await {
                waiting.again(failure).await?;
            }
        }
        Ok(())
    }

    async fn pods_of_service(&self, deadline: Instant) -> Result<BTreeSet<String>, ClusterError> {
        let path = format!("{}?labelSelector=app%3D{WORKLOAD}", core("pods"));
        let waiting = Waiting::new("the workload's pods", deadline);
        loop {
            match self.api.lb().read::<List<Pod>>(Call::get(&path), PATIENCE).await {
                Ok(pods) => return Ok(pods.items.into_iter().map(|pod| pod.metadata.name).collect()),
                Err(failure) => waiting.again(failure).await?,
            }
        }
    }

    /// Makes a Service anew, waits until its controllers know all pods of the workload, and tells its address.
    ///
    /// A kube-proxy that follows nothing has no rules for it. Those for the workload's own Service, which stays from
    /// one experiment to the next, may happen to be right still.
    async fn renew(&self, pods: &BTreeSet<String>, deadline: Instant) -> Result<SocketAddr, ClusterError> {
        let path = format!("{}/{RENEWED}", core("services"));
        let waiting = Waiting::new(format!("the Service {RENEWED} to be deleted"), deadline);
        while let Err(failure) =
            self.api.lb().call(Conn::Reused, Call::delete(&path).metadata_only(), PATIENCE).await
            && !failure.message.starts_with("404")
        {
            waiting.again(failure).await?;
        }
        self.apply(&manifests::service(RENEWED), deadline).await?;
        let path = format!("{}/{RENEWED}", core("endpoints"));
        let waiting = Waiting::new(format!("the Service {RENEWED} to know the workload's pods"), deadline);
        loop {
            let last = match self.api.lb().read::<Endpoints>(Call::get(&path), PATIENCE).await {
                Ok(endpoints) => {
                    let known: BTreeSet<String> = endpoints.ready().collect();
                    if known == *pods {
                        return self.service(RENEWED).await;
                    }
                    format!("it knows {known:?}, not {pods:?}")
                }
                Err(failure) => failure.to_string(),
            };
            waiting.again(last).await?;
        }
    }

    /// None where all is well; else what was found, and whether a new kube-proxy mended it.
    async fn check_route(
        &self,
        node: &Node,
        services: [SocketAddr; 2],
        pods: &BTreeSet<String>,
        deadline: Instant,
    ) -> Result<Option<(String, bool)>, ClusterError> {
        let what = format!("the Service's route on {}", node.name);
        let follows = |within: Duration| {
            let waiting = Waiting::new(what.clone(), deadline.min(Instant::now() + within));
            async move {
                for service in services {
                    while let Err(last) = self.try_route(node, service, pods).await {
                        waiting.again(last).await?;
                    }
                }
                Ok(())
            }
        };
        let Err(ClusterError::TimedOut { waited, last, .. }) = follows(FOLLOWS).await else {
            return Ok(None);
        };
        let finding = format!("{what} did not follow within {:.0} s: {last}", waited.as_secs_f64());
        self.replace_kube_proxy(&node.name, deadline).await?;
        // The old one's rules stay until the new one has written its own.
        sleep(Duration::from_secs(1)).await;
        Ok(Some((finding, follows(MENDED).await.is_ok())))
    }

    /// One look: a number of requests at once, none of which may fail or reach a stranger.
    async fn try_route(
        &self,
        node: &Node,
        service: SocketAddr,
        pods: &BTreeSet<String>,
    ) -> Result<(), String> {
        let ask = |_| self.vantage.identify(node.address, service, Duration::from_secs(1));
        let asked: Vec<_> = (0..REQUESTS * pods.len().max(1)).map(ask).collect();
        let mut seen = BTreeSet::new();
        for answer in join_all(asked).await {
            let pod = answer.map_err(|failure| failure.to_string())?.pod;
            if !pods.contains(&pod) {
                return Err(format!("it leads to {pod}, which is not of the workload"));
            }
            seen.insert(pod);
        }
        let missing: Vec<&str> = pods.difference(&seen).map(String::as_str).collect();
        if missing.is_empty() { Ok(()) } else { Err(format!("it never leads to {}", missing.join(", "))) }
    }

    /// Deletes the node's kube-proxy pod once, and waits until it is gone.
    async fn replace_kube_proxy(&self, node: &str, deadline: Instant) -> Result<(), ClusterError> {
        let doing = || while_doing(format!("replace kube-proxy on {node}"));
        let selector = format!("labelSelector=k8s-app%3Dkube-proxy&fieldSelector=spec.nodeName%3D{node}");
        let path = format!("{PROXIES}?{selector}");
        let list = || self.api.lb().read::<List<Pod>>(Call::get(&path), PATIENCE);
        let delete = async |pod: &Pod, grace: u32| {
            let path = format!("{PROXIES}/{}?gracePeriodSeconds={grace}", pod.metadata.name);
            self.api.lb().call(Conn::Reused, Call::delete(&path).metadata_only(), PATIENCE).await
        };
        let old = list().await.map_err(doing())?.items;
        for pod in &old {
            // Its own 30 s would be waited for in full by one that hangs.
            delete(pod, 5).await.map_err(doing())?;
        }
        let waiting = Waiting::new(format!("kube-proxy on {node} to be deleted"), deadline);
        loop {
            let left = list().await.map_err(doing())?.items;
            let mut left =
                left.iter().filter(|pod| old.iter().any(|old| old.metadata.name == pod.metadata.name));
            let Some(pod) = left.next() else { return Ok(()) };
            if pod.deleting() && pod.idle() {
                // Its successor is made only when the object is gone, for which an old kubelet takes its time.
                // An answer that it is gone already is as good.
                let _ = delete(pod, 0).await;
            }
            waiting.again("it is still there").await?;
        }
    }
}
