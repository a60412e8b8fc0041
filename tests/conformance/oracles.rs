//! What the oracles look with: watchers, kubelets' renewals, the log of what components wrote.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use recoup_clusters::{Attempt, Cluster, Nodes};
use recoup_model::{
    action::{Capability, NodeAction, Process, Signal},
    event::WatchNews,
    observation::{Conn, Endpoint, Failure, FailureClass, Observation, Observed},
    topology::NodeRole,
};
use tokio::time::{sleep, timeout};

use crate::until;

/// The simulation tells at once, a real watch within a second; a busy machine is given its time.
const TOLD: Duration = Duration::from_secs(20);

fn attempt(number: u64) -> Attempt {
    Attempt { number, timeout: Duration::from_secs(5) }
}

/// What a watcher was told.
#[derive(Default)]
struct Told(Mutex<Vec<WatchNews>>);

impl Told {
    fn tell(&self, news: WatchNews) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(news);
    }

    fn news(&self) -> Vec<WatchNews> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn revisions(&self) -> Vec<u64> {
        let of = |news: &WatchNews| match news {
            WatchNews::Changed { revisions } => revisions.clone(),
            _ => Vec::new(),
        };
        self.news().iter().flat_map(of).collect()
    }

    /// Waits until some news are so.
    async fn has(&self, what: &str, wanted: impl Fn(&WatchNews) -> bool) {
        let look = || async { self.news() };
        until(what, look, |news: &Vec<WatchNews>| news.iter().any(&wanted)).await;
    }
}

fn endpoints(cluster: &dyn Cluster) -> Vec<Endpoint> {
    let planes = cluster.fingerprint().with_role(NodeRole::ControlPlane);
    std::iter::once(Endpoint::Lb).chain(planes.map(|node| Endpoint::Node(node.name.clone()))).collect()
}

/// Writes through every endpoint; the revisions that this made, in their order.
async fn written(cluster: &dyn Cluster, numbers: std::ops::Range<u64>) -> Vec<u64> {
    let mut revisions = Vec::new();
    for number in numbers {
        for via in endpoints(cluster) {
            let write = Observation::ApiWrite { via, conn: Conn::Reused };
            let told = cluster.observe(&write, attempt(number)).await;
            let Ok(Observed::Acknowledged { revision: Some(revision), .. }) = told else {
                panic!("{}: {told:?}", write.stream())
            };
            assert!(revisions.last().is_none_or(|last| *last < revision), "{revision} after {revisions:?}");
            revisions.push(revision);
        }
    }
    revisions
}

/// A watcher through each endpoint is told each write once and in order.
pub async fn watchers_tell_every_write(cluster: &dyn Cluster) {
    for (turn, through) in (0..).zip(endpoints(cluster)) {
        let told = Told::default();
        let tell = |news| told.tell(news);
        let writing = async {
            told.has("an open watch", |news| matches!(news, WatchNews::Opened { .. })).await;
            // Numbers of their own for each endpoint: the same value in a slot would be no change.
            let numbers = 100 + 20 * turn;
            let wanted = written(cluster, numbers..numbers + 10).await;
            let last = *wanted.last().unwrap();
            let caught_up = |news: &WatchNews| matches!(news, WatchNews::Changed { revisions } if revisions.contains(&last));
            timeout(TOLD, told.has("the last write", caught_up)).await.unwrap();
            wanted
        };
        let wanted = tokio::select! {
            ended = cluster.watch(&through, None, &tell) => panic!("the watch through {through} ended: {ended:?}"),
            wanted = writing => wanted,
        };
        assert_eq!(told.revisions(), wanted, "through {through}");
        let news = told.news();
        let WatchNews::Listed { revision } = news[0] else { panic!("a list first: {news:?}") };
        assert_eq!(news[1], WatchNews::Opened { after: revision }, "through {through}");
        assert!(revision < wanted[0], "through {through}");
    }
}

/// The API server behind a watcher is killed: the watch ends, and a later one goes on or says that it cannot.
pub async fn a_watcher_survives_its_server(cluster: &dyn Cluster, nodes: &dyn Nodes) {
    let node = cluster.fingerprint().with_role(NodeRole::ControlPlane).last().unwrap().name.clone();
    let through = Endpoint::Node(node.clone());
    let told = Told::default();
    let tell = |news| told.tell(news);
    let before = Mutex::new(Vec::new());
    let killing = async {
        told.has("an open watch", |news| matches!(news, WatchNews::Opened { .. })).await;
        let wanted = written(cluster, 300..303).await;
        let last = *wanted.last().unwrap();
        told.has(
            "the last write",
            |news| matches!(news, WatchNews::Changed { revisions } if revisions.contains(&last)),
        )
        .await;
        before.lock().unwrap().extend(wanted);
        let kill = NodeAction::Signal { process: Process::KubeApiserver, signal: Signal::Kill, only: None };
        assert!(nodes.act(&node, &kill).await.unwrap().changed);
    };
    let (ended, ()) = timeout(Duration::from_secs(60), async {
        tokio::join!(cluster.watch(&through, None, &tell), killing)
    })
    .await
    .expect("a watch through a killed API server ends");
    assert!(ended.is_err_and(|failure| failure.class != FailureClass::Observer), "nothing ended it in order");
    assert_eq!(told.revisions(), *before.lock().unwrap());

    crate::healthy(cluster).await;
    let after = written(cluster, 310..313).await;
    let last = *after.last().unwrap();
    let (mut known, mut lists) = (told.revisions(), Vec::new());
    let mut from = known.last().copied();
    // Two rounds at most are in order: one that is expired, and the one that lists.
    for _ in 0..20 {
        let again = Told::default();
        let tell = |news| again.tell(news);
        let caught_up = |news: &WatchNews| match news {
            WatchNews::Changed { revisions } => revisions.contains(&last),
            WatchNews::Listed { revision } => *revision >= last,
            _ => false,
        };
        let ended = tokio::select! {
            ended = cluster.watch(&through, from, &tell) => Some(ended),
            () = again.has("all writes", caught_up) => None,
        };
        known.extend(again.revisions());
        let listed = |news: &WatchNews| match news {
            WatchNews::Listed { revision } => Some(*revision),
            _ => None,
        };
        lists.extend(again.news().iter().filter_map(listed));
        match ended {
            None => break,
            Some(Ok(())) if again.news().last() == Some(&WatchNews::Expired) => from = None,
            // The server may still be starting.
            Some(_) => sleep(Duration::from_millis(500)).await,
        }
    }
    assert!(known.is_sorted_by(|a, b| a < b), "each once and in order: {known:?}");
    let covered = |revision: &u64| known.contains(revision) || lists.iter().any(|list| list >= revision);
    assert!(after.iter().all(covered), "{after:?} against {known:?} and lists up to {lists:?}");
}

/// Every kubelet's renewals are seen, whichever member is asked.
pub async fn node_leases_are_renewed(cluster: &dyn Cluster) {
    let renewed = async |node: &str, number| {
        let told = cluster.observe(&Observation::NodeLease { node: node.to_owned() }, attempt(number)).await;
        match told {
            Ok(Observed::Renewed { revision }) => revision,
            other => panic!("nodelease/{node}: {other:?}"),
        }
    };
    let names: Vec<String> = cluster.fingerprint().nodes.iter().map(|node| node.name.clone()).collect();
    for node in names {
        let mut last = renewed(&node, 0).await;
        let mut seen = BTreeSet::from([last]);
        // A renewal every 10 s: two within half a minute, by whichever member.
        for number in 1..=120 {
            let revision = renewed(&node, number).await;
            assert!(revision >= last, "{node}: {revision} after {last}");
            last = revision;
            seen.insert(revision);
            if seen.len() == 3 {
                break;
            }
            sleep(Duration::from_millis(250)).await;
        }
        assert!(seen.len() == 3, "{node} was renewed at {seen:?} within half a minute");
    }
    let stranger = Observation::NodeLease { node: "nobody".into() };
    assert_eq!(cluster.observe(&stranger, attempt(0)).await.unwrap_err().class, FailureClass::Observer);
}

/// What the holders of the two Leases wrote is found, and is theirs.
pub async fn acts_name_the_holder(cluster: &dyn Cluster) {
    if !cluster.capabilities().contains(&Capability::AuditLog) {
        let Failure { class, message } = cluster.acts(TOLD).await.unwrap_err();
        assert_eq!(class, FailureClass::Observer, "{message}");
        eprintln!("not looked at: {message}");
        return;
    }
    sleep(Duration::from_secs(3)).await;
    let long = Attempt { number: 0, timeout: Duration::from_secs(60) };
    for number in [1, 2] {
        cluster.observe(&Observation::Converge, Attempt { number, ..long }).await.unwrap();
    }
    let began = tokio::time::Instant::now();
    cluster.observe(&Observation::Schedule, Attempt { number: 7, ..long }).await.unwrap();
    let acts = cluster.acts(Duration::from_secs(60)).await.unwrap();
    let within = |act: &&recoup_clusters::Acted| act.ago <= began.elapsed() + Duration::from_millis(500);
    for (lease, verb, object) in [
        ("kube-scheduler", "create", "pods/binding recoup/"),
        ("kube-controller-manager", "create", "pods recoup"),
    ] {
        let told = cluster.observe(&Observation::Lease { name: lease.into() }, attempt(0)).await;
        let Ok(Observed::Lease { holder, .. }) = told else { panic!("{told:?}") };
        let node = holder.split('_').next().unwrap_or_default();
        let by: Vec<_> = acts.iter().filter(|act| act.lease == lease).collect();
        assert!(
            by.iter().any(|act| act.verb == verb && act.object.starts_with(object)),
            "{lease}: {acts:#?}"
        );
        let latest = by.last().unwrap();
        assert_eq!(latest.node, node, "{latest:?}");
    }
    let binding = acts.iter().filter(|act| act.object.starts_with("pods/binding")).find(within);
    assert!(binding.is_some(), "the pod that was just scheduled is among the latest: {acts:#?}");
    assert!(acts.is_sorted_by(|a, b| a.ago >= b.ago), "in the order in which they came");
    assert!(cluster.acts(Duration::ZERO).await.unwrap().is_empty(), "no older than asked for");
}
