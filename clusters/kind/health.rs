//! Is the cluster well? Asked of every part directly, all at once.

use std::{collections::BTreeSet, time::Duration};

use futures::future::join_all;
use recoup_model::{
    observation::{Conn, NodeState},
    topology::NodeRole,
};
use tokio::time::{Instant, sleep};

use super::{
    KindCluster,
    api::{Call, Server},
    cluster::PATIENCE,
    manifests::{WORKLOAD, apps},
    objects::{Deployment, Lease, List, Node, Pod},
};

/// The leases whose renewal shows that their components work.
const LEASES: [&str; 2] = ["kube-controller-manager", "kube-scheduler"];
/// A lease is watched for at most this long: with Kubernetes' defaults it is renewed every 2 to 4.4 s.
const LEASE_WATCH: Duration = Duration::from_secs(6);

impl KindCluster {
    /// Everything that is wrong now.
    pub(super) async fn problems(&self) -> Vec<String> {
        let (nodes, servers, members, leases, standbys, workload) = tokio::join!(
            self.nodes_not_ready(),
            join_all(self.api.servers().iter().map(not_ready)),
            self.members_without_leader(),
            join_all(LEASES.map(|name| self.not_renewed(name))),
            self.standbys_missing(),
            self.workload_unavailable(),
        );
        let (servers, leases) =
            (servers.into_iter().flatten().collect(), leases.into_iter().flatten().collect());
        let lists = [nodes, servers, members, leases, standbys];
        lists.into_iter().flatten().chain(workload).collect()
    }

    async fn nodes_not_ready(&self) -> Vec<String> {
        let listed: List<Node> = match self.api.lb().read(Call::get("/api/v1/nodes"), PATIENCE).await {
            Ok(listed) => listed,
            Err(failure) => return vec![format!("nodes cannot be listed: {failure}")],
        };
        let states: Vec<NodeState> = listed.items.into_iter().map(NodeState::from).collect();
        let problem = |name: &str| match states.iter().find(|state| state.name == name) {
            Some(state) if state.ready == "True" => None,
            Some(state) => Some(format!("node {name} is not ready (Ready is {})", state.ready)),
            None => Some(format!("node {name} is not in the API")),
        };
        self.fingerprint.nodes.iter().filter_map(|node| problem(&node.name)).collect()
    }

    async fn members_without_leader(&self) -> Vec<String> {
        let asked = self.members.iter().map(|member| async move { (member, member.status(PATIENCE).await) });
        let mut problems = Vec::new();
        let mut leaders = BTreeSet::new();
        for (member, status) in join_all(asked).await {
            match status {
                Ok(status) if status.leader == 0 => {
                    problems.push(format!("the etcd member on {} has no leader", member.node));
                }
                Ok(status) => {
                    leaders.insert(status.leader);
                }
                Err(failure) => {
                    problems.push(format!("the etcd member on {} does not answer: {failure}", member.node))
                }
            }
        }
        if leaders.len() > 1 {
            let leaders: Vec<String> = leaders.iter().map(|leader| format!("{leader:x}")).collect();
            problems.push(format!("etcd members follow different leaders: {}", leaders.join(", ")));
        }
        problems
    }

    /// A lease is alive when its `renewTime` is seen to move; clocks of nodes are not compared.
    async fn not_renewed(&self, name: &str) -> Option<String> {
        let path = format!("/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/{name}");
        let began = Instant::now();
        let mut first: Option<Lease> = None;
        let mut last = String::new();
        loop {
            match self.api.lb().read::<Lease>(Call::get(&path), Duration::from_secs(2)).await {
                Ok(lease) => match &first {
                    Some(before) if before.spec.renew_time != lease.spec.renew_time => return None,
                    Some(_) => {}
                    None => first = Some(lease),
                },
                Err(failure) => last = format!(" ({failure})"),
            }
            // Shorter where the lease itself is: it would have run out.
            let duration = first.as_ref().and_then(|lease| lease.spec.lease_duration_seconds);
            let watch =
                duration.map_or(LEASE_WATCH, |seconds| LEASE_WATCH.min(Duration::from_secs(seconds.max(1))));
            if began.elapsed() > watch {
                return Some(format!("lease {name} was not renewed within {}s{last}", watch.as_secs()));
            }
            sleep(Duration::from_millis(400)).await;
        }
    }

    /// An instance that holds no lease shows nowhere else; its pod in the API is written by its own kubelet.
    async fn standbys_missing(&self) -> Vec<String> {
        let path = "/api/v1/namespaces/kube-system/pods?labelSelector=tier%3Dcontrol-plane";
        let pods = match self.api.lb().read::<List<Pod>>(Call::get(path), PATIENCE).await {
            Ok(pods) => pods.items,
            Err(failure) => return vec![format!("the control plane's pods cannot be listed: {failure}")],
        };
        let mut problems = Vec::new();
        for node in self.fingerprint.with_role(NodeRole::ControlPlane) {
            // The components are named as their leases.
            for component in LEASES {
                let name = format!("{component}-{}", node.name);
                if !pods.iter().any(|pod| pod.metadata.name == name && pod.runs()) {
                    problems.push(format!("{component} on {} does not run", node.name));
                }
            }
        }
        problems
    }

    /// Asked only while a fixture is in place.
    async fn workload_unavailable(&self) -> Option<String> {
        self.placed()?;
        let path = format!("{}/{WORKLOAD}", apps("deployments"));
        match self.api.lb().read::<Deployment>(Call::get(&path), PATIENCE).await {
            Ok(deployment) => {
                let status = &deployment.status;
                (status.available_replicas < status.replicas || status.replicas == 0).then(|| {
                    format!(
                        "{} of {} pods of the workload are available",
                        status.available_replicas, status.replicas
                    )
                })
            }
            Err(failure) => Some(format!("the workload cannot be read: {failure}")),
        }
    }
}

async fn not_ready(server: &Server) -> Option<String> {
    let answer = server.call(Conn::Reused, Call::get("/readyz"), PATIENCE).await;
    answer.err().map(|failure| format!("the API server on {} is not ready: {failure}", server.endpoint))
}
