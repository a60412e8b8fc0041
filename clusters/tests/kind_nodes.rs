//! Every action on real nodes and its undo, and a cluster made and deleted.
//!
//! Needs a kind cluster with several control planes and two workers, which the test leaves as it was:
//! `RECOUP_TEST_CLUSTER=name cargo test -p recoup-clusters --test kind_nodes -- --ignored --test-threads 1`

#[path = "kind_nodes/left.rs"]
mod left;

use std::time::{Duration, Instant};

use recoup_clusters::{
    ClusterError, Nodes, Profile, ProfileNode, Provider, Wanted,
    kind::{Container, Docker, KindNodes, KindProvider, Role, command, doctor, image, mark::Mark},
};
use recoup_model::{
    action::{
        ActionReport, Capability, DropRule, NodeAction, Process, ProcessId, ProcessState, Signal, StaticPod,
        Unit,
    },
    topology::NodeRole,
};

const INSPECT: fn(Process) -> NodeAction = |process| NodeAction::Inspect { process };

/// The last worker and the last control plane of the test cluster.
struct Bed {
    docker: Docker,
    nodes: KindNodes,
    worker: Container,
    control_plane: Container,
    other: Container,
}

impl Bed {
    async fn find() -> Bed {
        let name = std::env::var("RECOUP_TEST_CLUSTER").expect("RECOUP_TEST_CLUSTER names a kind cluster");
        let docker = Docker::connect().await.expect("docker answers");
        let containers = docker.containers(&name).await.expect("listed");
        let last =
            |role| containers.iter().rfind(|container| container.role == role).expect("such a node").clone();
        let nodes = KindNodes::connect(docker.clone(), &name).await.expect("it exists");
        let other = containers[0].clone();
        Bed { worker: last(Role::Worker), control_plane: last(Role::ControlPlane), other, docker, nodes }
    }

    async fn act(&self, node: &Container, action: NodeAction) -> ActionReport {
        let began = Instant::now();
        let report = self.nodes.act(&node.name, &action).await.unwrap_or_else(|error| panic!("{error}"));
        println!("{:>5} ms  {} on {}: {report:?}", began.elapsed().as_millis(), action.name(), node.name);
        report
    }

    async fn the_one(&self, node: &Container, process: Process) -> ProcessState {
        let found = self.act(node, INSPECT(process)).await.processes;
        assert_eq!(found.len(), 1, "one {process} on {}", node.name);
        found[0].clone()
    }

    /// The component's process, once there is one other than `old`.
    async fn back(&self, node: &Container, process: Process, old: &ProcessId) -> ProcessState {
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(90) {
            let report = self.nodes.act(&node.name, &INSPECT(process)).await.expect("looked");
            if let [state] = report.processes.as_slice()
                && state.id != *old
            {
                println!("          {process} is back on {} after {:?}", node.name, began.elapsed());
                return state.clone();
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        panic!("{process} did not come back on {}", node.name);
    }
}

#[tokio::test]
#[ignore = "needs a kind cluster"]
async fn every_component_is_found_where_it_runs() {
    let bed = Bed::find().await;
    for process in
        [Process::Etcd, Process::KubeApiserver, Process::KubeControllerManager, Process::KubeScheduler]
    {
        bed.the_one(&bed.control_plane, process).await;
        assert!(bed.act(&bed.worker, INSPECT(process)).await.processes.is_empty());
    }
    for process in [Process::Kubelet, Process::Containerd, Process::KubeProxy] {
        bed.the_one(&bed.control_plane, process).await;
        bed.the_one(&bed.worker, process).await;
    }
    let capabilities = bed.nodes.capabilities().await.expect("found");
    assert!(capabilities.contains(&Capability::Systemd), "{capabilities:?}");
    assert!(capabilities.contains(&Capability::PacketFilter), "{capabilities:?}");
    let nowhere = bed.nodes.act("nowhere", &NodeAction::InspectNode).await;
    assert!(matches!(nowhere, Err(ClusterError::NoSuchNode(_))), "{nowhere:?}");
}

#[tokio::test]
#[ignore = "needs a kind cluster"]
async fn a_process_is_frozen_thawed_and_killed_by_identity() {
    let bed = Bed::find().await;
    let process = Process::KubeProxy;
    let signal =
        |signal, only: Option<&ProcessId>| NodeAction::Signal { process, signal, only: only.cloned() };
    let before = bed.the_one(&bed.worker, process).await;

    let stranger = ProcessId { started: before.id.started + 1, ..before.id.clone() };
    let spared = bed.act(&bed.worker, signal(Signal::Kill, Some(&stranger))).await;
    assert_eq!(spared, ActionReport::default(), "another start time is another process");

    let stopped = bed.act(&bed.worker, signal(Signal::Stop, None)).await;
    assert!(stopped.changed && stopped.processes[0].id == before.id && stopped.processes[0].state != 'T');
    assert_eq!(bed.the_one(&bed.worker, process).await.state, 'T');
    assert!(bed.act(&bed.worker, signal(Signal::Cont, Some(&before.id))).await.changed);
    assert_ne!(bed.the_one(&bed.worker, process).await.state, 'T');
    assert!(
        !bed.act(&bed.worker, signal(Signal::Cont, Some(&before.id))).await.changed,
        "a second undo is idle"
    );

    let killed = bed.act(&bed.worker, signal(Signal::Kill, None)).await;
    assert_eq!(killed.processes[0].id, before.id);
    bed.back(&bed.worker, process, &before.id).await;
    let gone = bed.act(&bed.worker, signal(Signal::Cont, Some(&before.id))).await;
    assert_eq!(gone, ActionReport::default(), "thawing a process that is gone does nothing");
}

#[tokio::test]
#[ignore = "needs a kind cluster"]
async fn a_static_pod_is_held_down_and_restored() {
    let bed = Bed::find().await;
    let (pod, process) = (StaticPod::KubeScheduler, Process::KubeScheduler);
    let before = bed.the_one(&bed.control_plane, process).await;
    let live =
        bed.docker.read_file(&bed.control_plane.name, "/etc/kubernetes/manifests/kube-scheduler.yaml").await;
    let live = live.expect("a manifest");

    let held = bed.act(&bed.control_plane, NodeAction::StaticPodHold { pod, kill: true }).await;
    assert!(held.changed && held.processes[0].id == before.id);
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(6) {
        let found = bed.nodes.act(&bed.control_plane.name, &INSPECT(process)).await.expect("looked");
        assert!(found.processes.is_empty(), "the kubelet restarted it: {found:?}");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let again = bed.act(&bed.control_plane, NodeAction::StaticPodHold { pod, kill: true }).await;
    assert_eq!(again, ActionReport::default(), "held already");

    let restored = bed.act(&bed.control_plane, NodeAction::StaticPodRestore { pod }).await;
    assert!(restored.changed);
    assert!(!bed.act(&bed.control_plane, NodeAction::StaticPodRestore { pod }).await.changed);
    let after =
        bed.docker.read_file(&bed.control_plane.name, "/etc/kubernetes/manifests/kube-scheduler.yaml").await;
    assert_eq!(after.expect("back"), live);
    let left = bed.docker.shell(&bed.control_plane.name, "ls /etc/kubernetes").await.expect("listed");
    assert!(!left.contains("recoup"), "nothing is left behind: {left}");
    bed.back(&bed.control_plane, process, &before.id).await;

    let worker = bed.act(&bed.worker, NodeAction::StaticPodRestore { pod }).await;
    assert!(!worker.changed, "a worker has nothing to restore");
    let nothing = bed.nodes.act(&bed.worker.name, &NodeAction::StaticPodHold { pod, kill: true }).await;
    assert!(matches!(nothing, Err(ClusterError::Command { .. })), "{nothing:?}");
}

#[tokio::test]
#[ignore = "needs a kind cluster"]
async fn a_unit_is_stopped_and_started_after_its_start_limit_too() {
    let bed = Bed::find().await;
    for unit in [Unit::Kubelet, Unit::Containerd] {
        let process = unit.process();
        let before = bed.the_one(&bed.worker, process).await;
        let stopped = bed.act(&bed.worker, NodeAction::UnitStop { unit }).await;
        assert!(stopped.changed && stopped.processes[0].id == before.id);
        assert!(bed.act(&bed.worker, INSPECT(process)).await.processes.is_empty());
        assert!(!bed.act(&bed.worker, NodeAction::UnitStop { unit }).await.changed);
        assert!(bed.act(&bed.worker, NodeAction::UnitStart { unit }).await.changed);
        assert_ne!(bed.the_one(&bed.worker, process).await.id, before.id);
        assert!(!bed.act(&bed.worker, NodeAction::UnitStart { unit }).await.changed);
    }
    let before = bed.the_one(&bed.worker, Process::Kubelet).await;
    let kill = NodeAction::Signal { process: Process::Kubelet, signal: Signal::Kill, only: None };
    assert!(bed.act(&bed.worker, kill).await.changed);
    bed.back(&bed.worker, Process::Kubelet, &before.id).await;
}

#[tokio::test]
#[ignore = "needs a kind cluster"]
async fn a_node_is_paused_and_thawed() {
    let bed = Bed::find().await;
    assert!(bed.act(&bed.worker, NodeAction::Pause).await.changed);
    assert!(!bed.act(&bed.worker, NodeAction::Pause).await.changed);
    assert!(bed.act(&bed.worker, NodeAction::InspectNode).await.paused);
    let thawed = bed.act(&bed.worker, NodeAction::Unpause).await;
    assert!(thawed.changed && !thawed.paused);
    assert!(!bed.act(&bed.worker, NodeAction::Unpause).await.changed);
}

#[tokio::test]
#[ignore = "needs a kind cluster"]
async fn packets_are_dropped_counted_and_let_through_again() {
    let bed = Bed::find().await;
    let peer = bed.other.address.to_string();
    let reaches = format!("timeout 2 bash -c '</dev/tcp/{peer}/6443'");
    let connects = async || bed.docker.shell(&bed.worker.name, &reaches).await.is_ok();
    let rules = "iptables-save -t filter | grep -v '^[#:]' | sed 's/\\[.*\\]//'";
    let before = bed.docker.shell(&bed.worker.name, rules).await.expect("rules");
    assert!(connects().await);

    let tag = "test-run/1".to_owned();
    let longer = DropRule { tag: "test-run/10".into(), peers: vec!["192.0.2.1".into()], ports: vec![1] };
    assert!(bed.act(&bed.worker, NodeAction::DropAdd { rule: longer.clone() }).await.changed);
    let rule = DropRule { tag: tag.clone(), peers: vec![peer.clone()], ports: vec![6443] };
    assert!(bed.act(&bed.worker, NodeAction::DropAdd { rule: rule.clone() }).await.changed);
    assert!(bed.act(&bed.worker, NodeAction::DropAdd { rule }).await.changed, "added again, not twice");
    let count =
        bed.docker.shell(&bed.worker.name, "iptables-save -t filter | grep -c recoup:test-run/1[^0]").await;
    assert_eq!(count.expect("counted").trim(), "8");
    assert!(!connects().await, "the packets are dropped");
    let dropped = bed.act(&bed.worker, NodeAction::DropCount { tag: tag.clone() }).await;
    assert!(dropped.packets > 0);

    assert!(bed.act(&bed.worker, NodeAction::DropRemove { tag: tag.clone() }).await.changed);
    assert!(connects().await);
    assert!(!bed.act(&bed.worker, NodeAction::DropRemove { tag: tag.clone() }).await.changed);
    assert_eq!(bed.act(&bed.worker, NodeAction::DropCount { tag }).await.packets, 0);
    let other = bed.docker.shell(&bed.worker.name, "iptables-save -t filter | grep -c test-run/10").await;
    assert_eq!(other.expect("still there").trim(), "8", "another tag's rules stay");
    assert!(bed.act(&bed.worker, NodeAction::DropRemove { tag: longer.tag }).await.changed);

    // Cut off from everybody, both families, but not from itself.
    let all = DropRule { tag: "test-all".into(), peers: Vec::new(), ports: Vec::new() };
    assert!(bed.act(&bed.worker, NodeAction::DropAdd { rule: all.clone() }).await.changed);
    assert!(!connects().await);
    let itself = bed.docker.shell(&bed.worker.name, "timeout 2 bash -c '</dev/tcp/127.0.0.1/10248'").await;
    assert!(itself.is_ok(), "{itself:?}");
    assert!(bed.act(&bed.worker, NodeAction::DropRemove { tag: all.tag }).await.changed);
    assert!(connects().await);
    let after = bed.docker.shell(&bed.worker.name, rules).await.expect("rules");
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&after), sorted(&before), "nothing of ours is left, nothing of others' is gone");
}

#[tokio::test]
#[ignore = "needs a kind cluster"]
async fn the_workloads_process_is_found_by_its_pod() {
    let bed = Bed::find().await;
    // A process as the workload's container runs it: that name, and the pod's in its environment. A node's /tmp is noexec.
    let start = "cp \"$(command -v sleep)\" /root/recoup-workload; \
                 POD_NAME=workload-test-1 /root/recoup-workload 60 > /dev/null 2>&1 & \
                 POD_NAME=workload-test-10 /root/recoup-workload 60 > /dev/null 2>&1 & sleep 0.3";
    bed.docker.shell(&bed.worker.name, start).await.expect("started");
    let signal = |pod: &str| NodeAction::SignalPod { pod: pod.into(), signal: Signal::Kill };
    let killed = bed.act(&bed.worker, signal("workload-test-1")).await;
    assert!(killed.changed && killed.processes.len() == 1, "{killed:?}");
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(bed.act(&bed.worker, signal("workload-test-1")).await.processes.is_empty(), "it is gone");
    let other = bed.act(&bed.worker, signal("workload-test-10")).await;
    assert_ne!(other.processes[0].id, killed.processes[0].id, "the other pod's was spared");
    bed.docker.shell(&bed.worker.name, "rm /root/recoup-workload").await.expect("cleared");
}

#[tokio::test]
#[ignore = "needs a kind cluster"]
async fn files_and_commands_go_both_ways_and_errors_can_be_pasted() {
    let bed = Bed::find().await;
    let path = "/tmp/recoup test's file";
    let bytes: Vec<u8> = (0..1_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    bed.docker.write_file(&bed.worker.name, path, 0o640, &bytes).await.expect("written");
    assert_eq!(bed.docker.read_file(&bed.worker.name, path).await.expect("read"), bytes);
    let mode = bed.docker.shell(&bed.worker.name, "stat -c %a '/tmp/recoup test'\\''s file'").await;
    assert_eq!(mode.expect("there").trim(), "640");
    bed.docker.shell(&bed.worker.name, "rm /tmp/recoup*").await.expect("cleared");
    let error =
        bed.docker.shell(&bed.worker.name, "echo no >&2; exit 7").await.expect_err("it fails").to_string();
    assert_eq!(
        error,
        format!("`docker exec {} sh -c 'echo no >&2; exit 7'` failed (exit status 7): no", bed.worker.name)
    );
    let within = Duration::from_millis(300);
    let late = bed.docker.exec_within(within, &bed.worker.name, &["sleep", "2"], None).await;
    assert!(matches!(late, Err(ClusterError::TimedOut { .. })), "{late:?}");
}

fn wanted(name: &str) -> Wanted {
    let node = |role| ProfileNode { role, zone: Some("zone-a".into()) };
    let profile = Profile {
        name: "single".into(),
        description: String::new(),
        nodes: vec![node(NodeRole::ControlPlane), node(NodeRole::Worker)],
        leader_election: Some(recoup_clusters::LeaderElection {
            lease_duration: recoup_model::time::Span::seconds(5),
            renew_deadline: recoup_model::time::Span::seconds(3),
            retry_period: recoup_model::time::Span::seconds(1),
        }),
    };
    let making = recoup_clusters::Making::default();
    Wanted { profile, name: name.into(), image: None, version: None, adopt: false, seed: 1, making }
}

#[tokio::test]
#[ignore = "needs a kind cluster"]
async fn a_strangers_cluster_is_refused_and_listed() {
    let name = std::env::var("RECOUP_TEST_CLUSTER").expect("RECOUP_TEST_CLUSTER names a kind cluster");
    let provider = KindProvider::new();
    let silent = |_: String| ();
    // One of recoup's own is a stranger's without its mark, which is put back before anything is judged.
    let docker = Docker::connect().await.expect("docker");
    let containers = docker.containers(&name).await.expect("its containers");
    let hide = |from: &'static str, to: &'static str| {
        let (docker, containers) = (&docker, &containers);
        async move {
            let script = format!("[ ! -e {from} ] || mv {from} {to}");
            for node in containers.iter().filter(|container| container.is_node()) {
                docker.shell(&node.name, &script).await.expect("the mark is moved");
            }
        }
    };
    hide("/kind/recoup.json", "/kind/hidden.json").await;
    let obtained = provider.obtain(&wanted(&name), &silent).await.map(|_| ());
    let deleted = provider.delete(&name, &silent).await;
    let listed = provider.list().await;
    hide("/kind/hidden.json", "/kind/recoup.json").await;
    assert!(matches!(obtained, Err(ClusterError::Foreign { .. })), "{obtained:?}");
    assert!(matches!(deleted, Err(ClusterError::Foreign { .. })), "{deleted:?}");
    let missing = provider.delete("recoup-no-such-cluster", &silent).await;
    assert!(matches!(missing, Err(ClusterError::NoSuchCluster(_))), "{missing:?}");
    let listed = listed.expect("listed");
    let own = listed.iter().find(|cluster| cluster.name == name).expect("it is in the list");
    assert!(own.profile.is_none() && own.nodes.len() >= 5, "{own:?}");
    for check in doctor(&wanted("recoup-doctor")).await {
        println!(
            "{} {}: {} {}",
            if check.ok { "ok  " } else { "FAIL" },
            check.name,
            check.found,
            check.remedy
        );
    }
}

/// What a restart of Docker does when it starts the containers in another order: addresses are given out in turn.
async fn exchange_addresses(docker: &Docker, cluster: &str) {
    let engine = bollard::Docker::connect_with_defaults().expect("docker answers");
    let before = docker.containers(cluster).await.expect("listed");
    for node in &before {
        engine.stop_container(&node.name, None).await.expect("stopped");
    }
    for node in before.iter().rev() {
        engine.start_container(&node.name, None).await.expect("started");
    }
    let after = docker.containers(cluster).await.expect("listed");
    let addresses = |containers: &[Container]| containers.iter().map(|node| node.address).collect::<Vec<_>>();
    assert_ne!(addresses(&before), addresses(&after), "Docker gave every node its old address");
}

#[tokio::test]
#[ignore = "makes a kind cluster twice: about three minutes"]
async fn a_cluster_is_made_adopted_and_deleted() {
    let name = "recoup-provider-test";
    let provider = KindProvider::new();
    let progress = |message: String| println!("… {message}");
    let wanted = wanted(name);
    let (cluster, created) = provider.obtain(&wanted, &progress).await.expect("made");
    assert!(created);
    assert_eq!(cluster.fingerprint().nodes.len(), 2);
    println!("{:#?}", cluster.fingerprint());
    let docker = Docker::connect().await.expect("docker answers");
    let manifests = "cat /etc/kubernetes/manifests/kube-scheduler.yaml /etc/kubernetes/manifests/kube-controller-manager.yaml";
    let text = docker.shell(&format!("{name}-control-plane"), manifests).await.expect("read");
    assert_eq!(text.matches("--leader-elect-lease-duration=5s").count(), 2, "{text}");
    let labels = "kubectl --kubeconfig /etc/kubernetes/admin.conf get nodes --show-labels";
    let text = docker.shell(&format!("{name}-control-plane"), labels).await.expect("read");
    assert_eq!(text.matches("topology.kubernetes.io/zone=zone-a").count(), 2, "{text}");
    drop(cluster);

    let (_, created) = provider.obtain(&wanted, &progress).await.expect("found again");
    assert!(!created);
    let mut other = wanted.clone();
    other.profile.name = "ha".into();
    let differs = provider.obtain(&other, &progress).await.map(|_| ());
    assert!(matches!(differs, Err(ClusterError::Missing { .. })), "{differs:?}");

    exchange_addresses(&docker, name).await;
    let adopted = provider.obtain(&Wanted { adopt: true, ..wanted.clone() }, &progress).await.map(|_| ());
    assert!(matches!(adopted, Err(ClusterError::Missing { .. })), "{adopted:?}");
    let (cluster, created) = provider.obtain(&wanted, &progress).await.expect("made anew");
    assert!(created, "a cluster is used whose nodes have exchanged their addresses");
    let problems = cluster.health().await;
    assert!(!problems.iter().any(|problem| problem.contains("certificate")), "{problems:?}");

    provider.delete(name, &progress).await.expect("deleted");
    let listed = provider.list().await.expect("listed");
    assert!(listed.iter().all(|cluster| cluster.name != name));
}

#[tokio::test]
#[ignore = "begins to make a kind cluster: about ten seconds"]
async fn a_cluster_whose_making_was_interrupted_is_still_ours() {
    let name = "recoup-interrupted-test";
    let provider = KindProvider::new();
    let prepared = tokio::sync::Notify::new();
    let progress = |message: String| {
        println!("… {message}");
        if message.contains("Preparing nodes") {
            prepared.notify_one();
        }
    };
    let wanted = wanted(name);
    tokio::select! {
        obtained = provider.obtain(&wanted, &progress) => panic!("it ended: {:?}", obtained.map(|(_, created)| created)),
        () = async { prepared.notified().await; tokio::time::sleep(Duration::from_secs(2)).await } => {}
    }
    let docker = Docker::connect().await.expect("docker answers");
    let containers = docker.containers(name).await.expect("listed");
    let mark =
        Mark::read(&docker, &containers).await.expect("read").expect("marked as soon as the nodes run");
    assert!(!mark.complete && mark.profile == "single", "{mark:?}");
    docker.pause(&containers[0].name).await.expect("paused");
    provider.delete(name, &progress).await.expect("ours to delete, paused or not");
    assert!(docker.containers(name).await.expect("listed").is_empty());
}

#[tokio::test]
#[ignore = "makes kind clusters that fail: about half a minute"]
async fn a_cluster_that_cannot_be_made_leaves_logs_and_nothing_else() {
    let name = "recoup-broken-test";
    let mut wanted = wanted(name);
    let provider = KindProvider::new();
    let docker = Docker::connect().await.expect("docker answers");

    wanted.image = Some("recoup.invalid/no-such-image:none".into());
    let error = provider.obtain(&wanted, &|_| ()).await.map(|_| ()).expect_err("no such image").to_string();
    println!("{error}");
    assert!(error.contains("kind create cluster") && error.contains("no-such-image"), "{error}");
    let kept = error.lines().find_map(|line| line.strip_prefix("configuration: ")).expect("kept");
    let kept = std::path::Path::new(kept).parent().expect("a directory");
    std::fs::remove_dir_all(kept).expect("cleared");
    assert!(docker.containers(name).await.expect("listed").is_empty());

    // An image that is no node's: containers start, and kind gives up on them.
    let version = command::version().await.expect("kind runs");
    wanted.image = image::load_balancer(&version).map(str::to_owned);
    assert!(wanted.image.is_some(), "kind {version} is known");
    let error = provider.obtain(&wanted, &|_| ()).await.map(|_| ()).expect_err("no node").to_string();
    println!("{error}");
    assert!(error.contains("ERROR: failed to create cluster"), "{error}");
    let logs = error.lines().find(|line| line.starts_with("node logs")).expect("logs are kept");
    let logs = std::path::Path::new(logs.rsplit_once(": ").expect("a path").1);
    assert!(std::fs::read_dir(logs).expect("kept").next().is_some(), "{logs:?} is empty");
    let kept = logs.parent().expect("beside the configuration");
    assert!(kept.join("kind.yaml").exists());
    std::fs::remove_dir_all(kept).expect("cleared");
    assert!(docker.containers(name).await.expect("listed").is_empty(), "nothing is left");
}
