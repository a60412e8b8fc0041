//! Every observation on a real cluster, what it costs, and what was written read back.
//!
//! Needs a healthy kind cluster, into which it puts the namespace `recoup`:
//! `RECOUP_TEST_CLUSTER=name cargo test -p recoup-clusters --test kind_observe -- --ignored --nocapture --test-threads 1`

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use recoup_clusters::{
    Attempt, Cluster, Nodes,
    kind::{Docker, KindCluster, KindNodes, command},
};
use recoup_model::{
    action::{Capability, NodeAction, Process, Signal},
    event::WatchNews,
    observation::{Conn, Endpoint, FailureClass, Freshness, Observation, Observed, Route},
    spec::{ProbeSpecs, RateSpec, WorkloadSpec},
    streams::streams,
    topology::NodeRole,
};
use tokio::task::JoinSet;

const WORKLOAD: WorkloadSpec = WorkloadSpec { replicas: 2, toleration_seconds: Some(5) };

async fn connect() -> KindCluster {
    let name = std::env::var("RECOUP_TEST_CLUSTER").expect("RECOUP_TEST_CLUSTER names a kind cluster");
    let docker = Docker::connect().await.expect("docker answers");
    let nodes = KindNodes::connect(docker.clone(), &name).await.expect("it exists");
    let kubeconfig = command::kubeconfig(&name).await.expect("its kubeconfig");
    let version = command::version().await.expect("kind runs");
    let image = docker.containers(&name).await.expect("listed").remove(0).image;
    let began = Instant::now();
    let cluster = KindCluster::connect(docker, nodes, &name, "ha", &kubeconfig, &image, &version)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    println!("connected in {:?}: {:#?}", began.elapsed(), cluster.fingerprint());
    cluster
}

async fn fixture(cluster: &KindCluster) -> Vec<String> {
    let began = Instant::now();
    let fixture = cluster.fixture(&WORKLOAD).await.unwrap_or_else(|error| panic!("{error}"));
    println!("fixture in {:?}: {fixture:?}", began.elapsed());
    fixture.unrouted
}

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let index = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(index).copied().unwrap_or_default()
}

/// Processor time and resident memory of this process.
fn used() -> (Duration, u64) {
    let stat = fs::read_to_string("/proc/self/stat").expect("procfs");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().expect("ticks") + fields[12].parse::<u64>().expect("ticks");
    let status = fs::read_to_string("/proc/self/status").expect("procfs");
    let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    (Duration::from_millis(ticks * 10), rss.trim().trim_end_matches(" kB").trim().parse().expect("KiB"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a kind cluster"]
async fn every_observation_succeeds_and_what_was_written_is_read_back() {
    let cluster = connect().await;
    let unrouted = fixture(&cluster).await;
    fixture(&cluster).await;
    let began = Instant::now();
    let problems = cluster.health().await;
    println!("health in {:?}: {problems:?}", began.elapsed());
    assert!(problems.is_empty(), "{problems:?}");

    let on = RateSpec { enabled: Some(true), ..RateSpec::default() };
    let probes = ProbeSpecs { convergence: on, scheduling: on, ..ProbeSpecs::default() };
    let mut served = BTreeSet::new();
    let mut writers = BTreeMap::new();
    for stream in streams(&probes, cluster.fingerprint(), &unrouted) {
        let slow = matches!(stream.observation, Observation::Converge | Observation::Schedule);
        let (count, timeout) = if slow { (4, Duration::from_secs(60)) } else { (20, Duration::from_secs(2)) };
        let mut times = Vec::new();
        let mut last = None;
        for number in 0..count {
            let began = Instant::now();
            let observed = cluster.observe(&stream.observation, Attempt { number, timeout }).await;
            times.push(began.elapsed());
            match observed {
                Ok(Observed::Served { pod }) if stream.name.starts_with("workload/service") => {
                    served.insert(pod);
                }
                Ok(Observed::Acknowledged { number, .. }) => {
                    writers.insert(stream.name.clone(), number);
                }
                Ok(observed) => last = Some(observed),
                Err(failure) => panic!("{} attempt {number}: {failure}", stream.name),
            }
        }
        times.sort();
        println!(
            "{:45} p50 {:>9.3?} p99 {:>9.3?}  {last:?}",
            stream.name,
            percentile(&times, 50),
            percentile(&times, 99)
        );
    }
    assert_eq!(served.len(), 2, "the Service leads to both pods: {served:?}");

    let control_planes: Vec<String> =
        cluster.fingerprint().with_role(NodeRole::ControlPlane).map(|node| node.name.clone()).collect();
    for through in control_planes.iter().cloned().map(Endpoint::Node).chain([Endpoint::Lb]) {
        let found = cluster.read_back_api(&through).await.expect("read back");
        for (stream, &last) in writers.iter().filter(|(stream, _)| stream.starts_with("api/")) {
            assert_eq!(found[stream].len(), 20, "{stream} through {through}");
            assert_eq!(found[stream][&last], last, "{stream} through {through}");
        }
    }
    for member in &control_planes {
        let found = cluster.read_back_etcd(member).await.expect("read back");
        assert_eq!(found.len(), control_planes.len());
        assert!(
            found.values().all(|slots| slots.len() == 20 && slots.iter().all(|(slot, value)| slot == value))
        );
    }
    fixture(&cluster).await;
    assert!(cluster.read_back_api(&Endpoint::Lb).await.expect("read back").is_empty(), "the fixture clears");
    assert!(
        cluster.read_back_etcd(&control_planes[0]).await.expect("read back").is_empty(),
        "the fixture clears"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a kind cluster"]
async fn pods_are_deleted_and_a_stranger_is_told_from_the_pod_that_was_asked() {
    let cluster = connect().await;
    fixture(&cluster).await;
    let attempt = Attempt { number: 0, timeout: Duration::from_secs(2) };
    let Ok(Observed::Pods(before)) = cluster.observe(&Observation::Pods, attempt).await else {
        panic!("no pods")
    };
    let nodes: BTreeSet<_> = before.iter().map(|pod| pod.node.clone()).collect();
    assert_eq!(nodes.len(), 2, "one pod per worker: {before:?}");
    let names: Vec<String> = before.iter().map(|pod| pod.name.clone()).collect();
    cluster.delete_pods(&names, Duration::from_secs(5)).await.expect("deleted");
    let worker = before[0].node.clone().expect("it ran somewhere");
    let probe = Observation::Workload { from: worker, to: Route::Pod };
    let gone = async {
        loop {
            match cluster.observe(&probe, attempt).await {
                Err(failure) => break failure,
                Ok(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    };
    let failure =
        tokio::time::timeout(Duration::from_secs(20), gone).await.expect("the old pod stops answering");
    println!("the deleted pod: {failure}");
    let classes =
        [FailureClass::Refused, FailureClass::Timeout, FailureClass::Reset, FailureClass::Misrouted];
    assert!(classes.contains(&failure.class), "{failure}");
    fixture(&cluster).await;
    cluster.observe(&probe, attempt).await.expect("the new pod is asked now");
    cluster.delete_pods(&names, Duration::from_secs(5)).await.expect("pods that are gone count as deleted");
}

/// What one stream saw, until it had failed and then succeeded `stable` times in a row.
async fn outage(cluster: &KindCluster, observation: Observation, stable: usize) -> BTreeMap<String, usize> {
    let (mut seen, mut failed, mut good) = (BTreeMap::<String, usize>::new(), false, 0);
    let began = Instant::now();
    for number in 0.. {
        let attempt = Attempt { number, timeout: Duration::from_secs(1) };
        match cluster.observe(&observation, attempt).await {
            Ok(_) => good += 1,
            Err(failure) => {
                *seen.entry(failure.class.to_string()).or_default() += 1;
                (failed, good) = (true, 0);
            }
        }
        if failed && good >= stable {
            break;
        }
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "{}: {seen:?}, and no recovery",
            observation.stream()
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    println!("{:45} {:>5.1} s  {seen:?}", observation.stream(), began.elapsed().as_secs_f64());
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a kind cluster, and breaks it for a moment"]
async fn kept_connections_survive_a_process_that_was_killed_and_one_that_was_frozen() {
    let cluster = connect().await;
    fixture(&cluster).await;
    let node =
        cluster.fingerprint().with_role(NodeRole::ControlPlane).last().expect("a control plane").name.clone();
    let via = Endpoint::Node(node.clone());
    let read = |conn| Observation::ApiRead { via: via.clone(), conn, from: Freshness::Linearizable };
    let signal = |process, signal| NodeAction::Signal { process, signal, only: None };

    let kill = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        cluster.act(&node, &signal(Process::KubeApiserver, Signal::Kill)).await.expect("killed");
    };
    let (reused, new, ()) =
        tokio::join!(outage(&cluster, read(Conn::Reused), 10), outage(&cluster, read(Conn::New), 10), kill);
    assert!(reused.contains_key("refused") && new.contains_key("refused"), "{reused:?} {new:?}");

    let freeze = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        cluster.act(&node, &signal(Process::Etcd, Signal::Stop)).await.expect("frozen");
        tokio::time::sleep(Duration::from_secs(4)).await;
        cluster.act(&node, &signal(Process::Etcd, Signal::Cont)).await.expect("thawed");
    };
    let (status, put) =
        (Observation::EtcdStatus { member: node.clone() }, Observation::EtcdPut { member: node.clone() });
    let (status, put, ()) = tokio::join!(outage(&cluster, status, 10), outage(&cluster, put, 10), freeze);
    for seen in [status, put] {
        assert!(seen.keys().eq(["timeout"]), "a frozen member only lets attempts time out: {seen:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a kind cluster"]
async fn what_a_scheduler_wrote_is_found_in_the_log_and_dated() {
    let cluster = connect().await;
    assert!(cluster.capabilities().contains(&Capability::AuditLog), "{:?}", cluster.capabilities());
    fixture(&cluster).await;
    let attempt = Attempt { number: 0, timeout: Duration::from_secs(30) };
    let began = Instant::now();
    cluster.observe(&Observation::Schedule, attempt).await.expect("scheduled");
    let ended = Instant::now();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let asked = Instant::now();
    let acts = cluster.acts(Duration::from_secs(60)).await.unwrap_or_else(|failure| panic!("{failure}"));
    println!("{} acts within a minute, read in {:?}", acts.len(), asked.elapsed());
    let bound = acts.iter().rfind(|act| act.object.contains("binding") && act.object.contains("/schedule-0"));
    let bound = bound.unwrap_or_else(|| panic!("{acts:#?}"));
    println!("{bound:?}");
    // The way to the node and back is guessed to be even.
    let slack = Duration::from_millis(100);
    let (oldest, youngest) = (asked.duration_since(began), asked.duration_since(ended));
    assert!(
        bound.ago < oldest + slack && bound.ago + slack > youngest,
        "{bound:?}: {youngest:?} to {oldest:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a kind cluster, and breaks it for a moment"]
async fn a_watch_through_a_frozen_api_server_waits_and_is_told_all_when_it_is_thawed() {
    let cluster = connect().await;
    fixture(&cluster).await;
    let node =
        cluster.fingerprint().with_role(NodeRole::ControlPlane).last().expect("a control plane").name.clone();
    let via = Endpoint::Node(node.clone());
    let told = Mutex::new(Vec::new());
    let changed = || -> Vec<u64> {
        let of = |news: &WatchNews| match news {
            WatchNews::Changed { revisions } => revisions.clone(),
            _ => Vec::new(),
        };
        told.lock().expect("unpoisoned").iter().flat_map(of).collect()
    };
    let tell = |news| told.lock().expect("unpoisoned").push(news);
    let signal = |signal| NodeAction::Signal { process: Process::KubeApiserver, signal, only: None };
    let write = Observation::ApiWrite { via: via.clone(), conn: Conn::Reused };
    let meddling = async {
        while told.lock().expect("unpoisoned").len() < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        cluster.act(&node, &signal(Signal::Stop)).await.expect("frozen");
        // Sent now, and answered when the server moves again.
        let frozen = cluster.observe(&write, Attempt { number: 1, timeout: Duration::from_secs(30) });
        let thaw = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            assert!(changed().is_empty());
            cluster.act(&node, &signal(Signal::Cont)).await.expect("thawed");
        };
        let (written, ()) = tokio::join!(frozen, thaw);
        let Ok(Observed::Acknowledged { revision: Some(revision), .. }) = written else {
            panic!("{written:?}")
        };
        for _ in 0..100 {
            if changed().contains(&revision) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{revision} was not told: {told:?}");
    };
    tokio::select! {
        ended = cluster.watch(&via, None, &tell) => panic!("{ended:?}"),
        () = meddling => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a kind cluster, and breaks it for a moment"]
async fn a_node_whose_kube_proxy_does_not_follow_is_mended_and_named() {
    let cluster = connect().await;
    fixture(&cluster).await;
    let node =
        cluster.fingerprint().with_role(NodeRole::ControlPlane).last().expect("a control plane").name.clone();
    let stop = NodeAction::Signal { process: Process::KubeProxy, signal: Signal::Stop, only: None };
    cluster.act(&node, &stop).await.expect("frozen");
    let attempt = Attempt { number: 0, timeout: Duration::from_secs(2) };
    let Ok(Observed::Pods(pods)) = cluster.observe(&Observation::Pods, attempt).await else {
        panic!("no pods")
    };
    let names: Vec<String> = pods.into_iter().map(|pod| pod.name).collect();
    cluster.delete_pods(&names, Duration::from_secs(5)).await.expect("deleted");
    let began = Instant::now();
    let found = cluster.fixture(&WORKLOAD).await.unwrap_or_else(|error| panic!("{error}"));
    println!("fixture in {:?}: {found:?}", began.elapsed());
    let [(finding, remedy)] = found.preconditions.as_slice() else { panic!("one node is named: {found:?}") };
    assert!(finding.contains(&node) && remedy.contains("follows"), "{finding}: {remedy}");
    assert!(found.unrouted.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a kind cluster"]
async fn probing_at_default_rates_costs_little() {
    const SPAN: Duration = Duration::from_secs(20);
    let cluster = Arc::new(connect().await);
    let unrouted = fixture(&cluster).await;
    let all = streams(&ProbeSpecs::default(), cluster.fingerprint(), &unrouted);
    let (before, _) = used();
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for stream in all {
        let cluster = Arc::clone(&cluster);
        tasks.spawn(async move {
            let (mut times, mut failures) = (Vec::new(), Vec::new());
            let mut ticks = tokio::time::interval(stream.rate.period.0);
            for number in 0.. {
                let due = ticks.tick().await;
                if began.elapsed() > SPAN {
                    break;
                }
                let attempt = Attempt { number, timeout: stream.rate.timeout.0 };
                match cluster.observe(&stream.observation, attempt).await {
                    Ok(_) => times.push(due.elapsed()),
                    Err(failure) => failures.push(failure),
                }
            }
            (stream.name, times, failures)
        });
    }
    let (mut attempts, mut failed) = (0, Vec::new());
    while let Some(done) = tasks.join_next().await {
        let (name, mut times, failures) = done.expect("no panic");
        times.sort();
        attempts += times.len() + failures.len();
        println!(
            "{name:45} {:>4} p50 {:>9.3?} p99 {:>9.3?}",
            times.len(),
            percentile(&times, 50),
            percentile(&times, 99)
        );
        failed.extend(failures.into_iter().map(|failure| format!("{name}: {failure}")));
    }
    let (after, rss) = used();
    let share = (after - before).as_secs_f64() / began.elapsed().as_secs_f64();
    println!("{attempts} attempts, {:.1} % of a core, {} MiB", share * 100.0, rss / 1024);
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(share < 0.15, "{:.1} % of a core", share * 100.0);
    assert!(rss < 100 * 1024, "{rss} KiB");
}
