//! Actions on the nodes of a kind cluster, through Docker alone: they work with every API server down.

use std::{collections::BTreeSet, time::Duration};

use async_trait::async_trait;
use recoup_model::{
    action::{ActionReport, Capability, NodeAction},
    time::Span,
};

use super::{
    deadlines::{self, HostDeadlines},
    docker::{Docker, succeeded},
    limits,
    scripts::{self, Script},
    slow,
};
use crate::{ClusterError, Nodes};

/// The nodes of one kind cluster. Cheap to clone.
#[derive(Clone)]
pub struct KindNodes {
    docker: Docker,
    cluster: String,
    names: BTreeSet<String>,
}

impl KindNodes {
    /// The nodes that the cluster has now.
    ///
    /// # Errors
    /// [`ClusterError::NoSuchCluster`], or where Docker does not answer.
    pub async fn connect(docker: Docker, cluster: &str) -> Result<KindNodes, ClusterError> {
        let containers = docker.containers(cluster).await?;
        let names: BTreeSet<String> =
            containers.into_iter().filter(super::Container::is_node).map(|node| node.name).collect();
        if names.is_empty() {
            return Err(ClusterError::NoSuchCluster(cluster.to_owned()));
        }
        Ok(KindNodes { docker, cluster: cluster.to_owned(), names })
    }

    /// The engine that runs them.
    #[must_use]
    pub fn docker(&self) -> &Docker {
        &self.docker
    }

    /// The cluster's name.
    #[must_use]
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// The nodes' names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// What can be done to these nodes, found by trying it on each, without disturbing them.
    ///
    /// # Errors
    /// Where a node cannot be reached.
    pub async fn capabilities(&self) -> Result<Vec<Capability>, ClusterError> {
        let all = |capability, script: &'static str| async move {
            let checks = self.names.iter().map(|node| async move {
                let argv = ["sh", "-c", script];
                self.docker.exec(node, &argv, None).await.map(|output| output.status == 0)
            });
            let answers = futures::future::try_join_all(checks).await?;
            Ok::<_, ClusterError>(answers.into_iter().all(|works| works).then_some(capability))
        };
        let trials = [
            (Capability::Signal, SIGNALS),
            (Capability::StaticPods, STATIC_PODS),
            (Capability::Systemd, SYSTEMD),
            (Capability::PacketFilter, PACKET_FILTER),
            (Capability::EtcdAccess, ETCD_ACCESS),
            (Capability::Pause, FREEZER),
            (Capability::CpuLimit, limits::CPU_TRIAL),
            (Capability::IoLimit, limits::IO_TRIAL),
        ];
        let found =
            futures::future::try_join_all(trials.map(|(capability, script)| all(capability, script))).await?;
        let mut found: Vec<Capability> = found.into_iter().flatten().collect();
        if self.can_slow().await? {
            found.push(Capability::SlowNetwork);
        }
        Ok(found)
    }

    /// Each node can hold packets back by one means or another.
    async fn can_slow(&self) -> Result<bool, ClusterError> {
        let trial = Script::slow_able();
        let argv = trial.argv();
        let tried = self.names.iter().map(|node| self.docker.exec(node, &argv, None));
        let printed = futures::future::try_join_all(tried).await?;
        Ok(printed.iter().all(|output| slow::works(&String::from_utf8_lossy(&output.stdout))))
    }

    /// A deadline for a node that is frozen by then: nothing on it can run.
    fn wake(id: &str, after: Span, node: &str) -> Result<ActionReport, ClusterError> {
        let host = HostDeadlines::of_this_user().map_err(|source| ClusterError::File {
            path: "the cache folder of this user".to_owned(),
            source,
        })?;
        host.set(id, after.0, node)?;
        let how = Some("process on the machine of the harness".to_owned());
        Ok(ActionReport { changed: true, how, ..ActionReport::default() })
    }

    /// Adds what is on this machine to what the node says of itself, and answers for a node that cannot.
    async fn survey(&self, node: &str) -> Result<ActionReport, ClusterError> {
        let mut report = match self.docker.is_paused(node).await? {
            true => ActionReport {
                paused: true,
                survey: vec!["the node is paused".to_owned()],
                ..ActionReport::default()
            },
            false => self.carry_out(node, &NodeAction::Survey).await?,
        };
        // Without a folder for them there are none.
        if let Ok(host) = HostDeadlines::of_this_user() {
            report.survey.extend(
                host.of_node(node).into_iter().map(|id| format!("deadline on the harness's machine: {id}")),
            );
        }
        report.survey.sort();
        Ok(report)
    }

    /// By script on the node, or by Docker.
    async fn carry_out(&self, node: &str, action: &NodeAction) -> Result<ActionReport, ClusterError> {
        let failed = |output: String| ClusterError::Command {
            command: format!("{} on {node}", action.name()),
            status: "not carried out".to_owned(),
            output,
        };
        let Some(script) = Script::of(action).map_err(failed)? else {
            let changed = match action {
                NodeAction::Pause => self.docker.pause(node).await?,
                NodeAction::Unpause => self.docker.unpause(node).await?,
                _ => false,
            };
            let paused = self.docker.is_paused(node).await?;
            return Ok(ActionReport { paused, changed, ..ActionReport::default() });
        };
        let argv = script.argv();
        let program = if script.needs_delay { Some(slow::delay_program()?.into_owned()) } else { None };
        let output = match action {
            NodeAction::EtcdFill | NodeAction::EtcdFree | NodeAction::LoadClear => {
                self.docker.exec_within(MOVES_DATA, node, &argv, None).await?
            }
            _ => self.docker.exec(node, &argv, program).await?,
        };
        let output = succeeded(node, &argv, output)?;
        scripts::read(&String::from_utf8_lossy(&output.stdout)).map_err(failed)
    }
}

/// 256 MiB through three members on one busy machine, and a defragmentation of each of them; some thousand objects
/// of a load.
const MOVES_DATA: Duration = Duration::from_secs(120);
/// Processes are listed by the kernel, and the shell may signal them.
const SIGNALS: &str = "[ -r /proc/1/stat ] && kill -0 1";
/// A manifest is moved aside by one rename: the folder beside the kubelet's can be written and is on the same
/// file system. A worker has none.
const STATIC_PODS: &str = "[ ! -e /etc/kubernetes/manifests/kube-apiserver.yaml ] || { \
     [ -w /etc/kubernetes ] && [ -w /etc/kubernetes/manifests ] && \
     [ \"$(stat -c %d /etc/kubernetes)\" = \"$(stat -c %d /etc/kubernetes/manifests)\" ]; }";
/// systemd answers, and runs what the unit faults stop.
const SYSTEMD: &str = "systemctl show --property Version > /dev/null && systemctl cat kubelet.service containerd.service > /dev/null";
/// A transaction that changes nothing, with every match that our rules use.
const PACKET_FILTER: &str = "{ echo '*filter'; \
     echo '-A INPUT -s 192.0.2.1 -p tcp --dport 1 -m comment --comment recoup:check -j DROP'; echo COMMIT; } | \
     iptables-restore --test --noflush && iptables-save -c -t filter > /dev/null";
/// The certificate with which a member's own health check asks it. A worker has none.
const ETCD_ACCESS: &str =
    "[ ! -e /etc/kubernetes/manifests/etcd.yaml ] || [ -r /etc/kubernetes/pki/etcd/healthcheck-client.key ]";
/// What Docker freezes containers by: cgroup version 2, or the freezer of version 1.
const FREEZER: &str = "[ -e /sys/fs/cgroup/cgroup.controllers ] || [ -d /sys/fs/cgroup/freezer ]";

#[async_trait]
impl Nodes for KindNodes {
    async fn act(&self, node: &str, action: &NodeAction) -> Result<ActionReport, ClusterError> {
        if !self.names.contains(node) {
            return Err(ClusterError::NoSuchNode(node.to_owned()));
        }
        let failed = |output: String| ClusterError::Command {
            command: format!("{} on {node}", action.name()),
            status: "not carried out".to_owned(),
            output,
        };
        match action {
            NodeAction::DeadlineSet { id, after, undo } if **undo == NodeAction::Unpause => {
                deadlines::check(id).map_err(failed)?;
                Self::wake(id, *after, node)
            }
            NodeAction::DeadlineClear { id } => {
                deadlines::check(id).map_err(failed)?;
                // Wherever it is. Without a folder for them there is none on this machine.
                let on_host = match HostDeadlines::of_this_user() {
                    Ok(host) => host.clear(id, node)?,
                    Err(_) => false,
                };
                match on_host {
                    true => Ok(ActionReport { changed: true, ..ActionReport::default() }),
                    false => self.carry_out(node, action).await,
                }
            }
            NodeAction::Survey => self.survey(node).await,
            _ => self.carry_out(node, action).await,
        }
    }
}
