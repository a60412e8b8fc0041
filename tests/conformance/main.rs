//! What every provider must do, by one body: against the simulation always, and against a real cluster
//! where `RECOUP_CLUSTER=kind` (`RECOUP_PROFILE`, by default `single`; `RECOUP_ADOPT` or `RECOUP_NAME` names it).
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod actions;
mod left;
mod limits;
mod load;
mod observations;
mod oracles;
mod slow;

use std::{env, sync::Arc, time::Duration};

use recoup_clusters::{Cluster, Profile, Provider, Wanted, sim::SimProvider};
use recoup_engine::choose::provider;
use recoup_model::{
    action::{NodeAction, Signal},
    spec::WorkloadSpec,
    topology::ProviderKind,
};
use recoup_tests::faulty::{FaultyProvider, Meddling};
use tokio::time::{Instant, sleep};

/// Everything that a provider is held to, on a cluster that is healthy before and after.
async fn conforms(provider: &Arc<dyn Provider>, wanted: &Wanted) {
    provider.usable(wanted).await.unwrap();
    let progress = |message: String| eprintln!("{message}");
    let (cluster, made) = provider.obtain(wanted, &progress).await.unwrap();
    let fingerprint = cluster.fingerprint().clone();
    assert_eq!((fingerprint.provider, &fingerprint.cluster), (provider.kind(), &wanted.name));
    assert_eq!(fingerprint.simulated(), provider.kind() == ProviderKind::Sim);
    assert!(provider.list().await.unwrap().iter().any(|listed| listed.name == wanted.name));
    assert!(provider.nodes("no-such-cluster").await.is_err());
    if !wanted.adopt {
        let (again, made) = provider.obtain(wanted, &progress).await.unwrap();
        assert!(!made, "a second obtain made another cluster");
        assert_eq!(again.fingerprint().nodes, fingerprint.nodes);
    }
    healthy(&*cluster).await;
    let fixture = cluster.fixture(&WorkloadSpec::default()).await.unwrap();
    observations::answer(&*cluster, &fixture).await;
    observations::writes_are_read_back(&*cluster).await;
    observations::strangers_are_the_observers_own_fault(&*cluster).await;
    oracles::watchers_tell_every_write(&*cluster).await;
    oracles::node_leases_are_renewed(&*cluster).await;
    oracles::acts_name_the_holder(&*cluster).await;
    load::requests_of_every_kind_are_answered_and_leave_nothing(&*cluster).await;
    oracles::a_watcher_survives_its_server(&*cluster, &*cluster).await;
    actions::each_and_its_undo(provider, cluster.clone()).await;
    healthy(&*cluster).await;
    if made && env::var("RECOUP_KEEP").as_deref() != Ok("1") {
        provider.delete(&wanted.name, &progress).await.unwrap();
        assert!(!provider.list().await.unwrap().iter().any(|listed| listed.name == wanted.name));
        assert!(provider.nodes(&wanted.name).await.is_err());
    }
}

/// Waits until nothing is wrong with the cluster.
async fn healthy(cluster: &dyn Cluster) {
    let deadline = Instant::now() + Duration::from_secs(180);
    loop {
        let problems = cluster.health().await;
        if problems.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "{problems:?}");
        sleep(Duration::from_secs(1)).await;
    }
}

/// Looks until `seen` is satisfied.
async fn until<T, F: Future<Output = T>>(
    what: &str,
    mut look: impl FnMut() -> F,
    seen: impl Fn(&T) -> bool,
) -> T
where
    T: std::fmt::Debug,
{
    let deadline = Instant::now() + Duration::from_secs(90);
    loop {
        let found = look().await;
        if seen(&found) {
            return found;
        }
        assert!(Instant::now() < deadline, "waited for {what}, last seen: {found:?}");
        sleep(Duration::from_millis(200)).await;
    }
}

fn wanted(profile: &str) -> Wanted {
    let read = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    let adopt = read("RECOUP_ADOPT");
    Wanted {
        profile: Profile::load(profile).unwrap(),
        adopt: adopt.is_some(),
        name: adopt.or_else(|| read("RECOUP_NAME")).unwrap_or_else(|| format!("recoup-{profile}")),
        image: None,
        version: read("RECOUP_KUBERNETES"),
        seed: 1,
        making: recoup_clusters::Making::default(),
    }
}

#[tokio::test(start_paused = true)]
async fn the_simulation_with_one_control_plane() {
    conforms(&provider(ProviderKind::Sim), &Wanted { adopt: false, ..wanted("single") }).await;
}

#[tokio::test(start_paused = true)]
async fn the_simulation_with_three_control_planes() {
    conforms(&provider(ProviderKind::Sim), &Wanted { adopt: false, ..wanted("ha") }).await;
}

type Lie = fn(&NodeAction) -> bool;

/// A body that holds for everybody proves nothing: each deed that is only said to be done must be noticed.
#[tokio::test(start_paused = true)]
async fn a_provider_that_lies_does_not_conform() {
    let lies: [(&str, Lie); 28] = [
        ("signal", |action| matches!(action, NodeAction::Signal { signal: Signal::Kill, .. })),
        ("thaw", |action| matches!(action, NodeAction::Signal { signal: Signal::Cont, .. })),
        ("hold", |action| matches!(action, NodeAction::StaticPodHold { .. })),
        ("restore", |action| matches!(action, NodeAction::StaticPodRestore { .. })),
        ("unit stop", |action| matches!(action, NodeAction::UnitStop { .. })),
        ("unit start", |action| matches!(action, NodeAction::UnitStart { .. })),
        ("pause", |action| matches!(action, NodeAction::Pause)),
        ("unpause", |action| matches!(action, NodeAction::Unpause)),
        ("drop", |action| matches!(action, NodeAction::DropAdd { .. })),
        ("undrop", |action| matches!(action, NodeAction::DropRemove { .. })),
        ("delay", |action| matches!(action, NodeAction::SlowAdd { .. })),
        ("undelay", |action| matches!(action, NodeAction::SlowRemove { .. })),
        ("count of slow packets", |action| matches!(action, NodeAction::SlowCount { .. })),
        ("handshake", |action| matches!(action, NodeAction::RoundTrips { .. })),
        ("unit restart", |action| matches!(action, NodeAction::UnitRestart { .. })),
        ("override", |action| matches!(action, NodeAction::UnitOverride { .. })),
        ("override's removal", |action| matches!(action, NodeAction::UnitOverrideRemove { .. })),
        ("change of flags", |action| matches!(action, NodeAction::ManifestArgs { .. })),
        ("return of flags", |action| matches!(action, NodeAction::ManifestRestore { .. })),
        ("deadline", |action| matches!(action, NodeAction::DeadlineSet { .. })),
        ("called-off deadline", |action| matches!(action, NodeAction::DeadlineClear { .. })),
        ("survey", |action| matches!(action, NodeAction::Survey)),
        ("limit", |action| matches!(action, NodeAction::LimitSet { .. })),
        ("lifted limit", |action| matches!(action, NodeAction::LimitClear { .. })),
        ("look at flags", |action| matches!(action, NodeAction::RunsWith { .. })),
        ("filling of etcd", |action| matches!(action, NodeAction::EtcdFill)),
        ("freeing of etcd", |action| matches!(action, NodeAction::EtcdFree)),
        ("removal of a load's objects", |action| matches!(action, NodeAction::LoadClear)),
    ];
    // Else the body fails for another reason, and the lies seem to be noticed.
    let honest: Arc<dyn Provider> = FaultyProvider::new(&Arc::new(SimProvider::new()), |_| Meddling::None);
    conforms(&honest, &Wanted { adopt: false, ..wanted("single") }).await;
    for (name, lie) in lies {
        let meddler = move |action: &NodeAction| if lie(action) { Meddling::Swallow } else { Meddling::None };
        let provider: Arc<dyn Provider> = FaultyProvider::new(&Arc::new(SimProvider::new()), meddler);
        let wanted = Wanted { adopt: false, ..wanted("single") };
        let body = tokio::spawn(async move { conforms(&provider, &wanted).await });
        assert!(body.await.is_err_and(|error| error.is_panic()), "nobody noticed a {name} that was not done");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_cluster_where_one_is_asked_for() {
    if env::var("RECOUP_CLUSTER").as_deref() != Ok("kind") {
        eprintln!("left out: RECOUP_CLUSTER is not kind");
        return;
    }
    let profile = env::var("RECOUP_PROFILE").unwrap_or_else(|_| "single".into());
    conforms(&provider(ProviderKind::Kind), &wanted(&profile)).await;
}
