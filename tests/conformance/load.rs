//! Loads: requests of every kind, on schedule, and what is left of them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use recoup_clusters::{Cluster, LoadWanted};
use recoup_engine::{
    load::{Generator, Totals},
    recorder::Clock,
};
use recoup_model::{
    action::NodeAction,
    load::{Schedule, Slice, VerbSlice},
    residue::NAMESPACE,
    spec::{LoadStep, LoadVerb},
    topology::NodeRole,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Twenty requests a second for five seconds, of every kind.
const LOAD: &str = r#"{
    "mix": {"list": 1, "get": 1, "watch": 1, "create": 2, "update": 1, "delete": 1},
    "rate": "20/s", "for": "5s", "connections": 4
}"#;

async fn run(cluster: &dyn Cluster, load: &LoadStep) -> (Totals, BTreeMap<LoadVerb, VerbSlice>, u64) {
    let wanted = LoadWanted { connections: load.connections, size: load.size.0 };
    let target = cluster.load(&wanted).await.unwrap();
    let slices: Arc<Mutex<Vec<Slice>>> = Arc::default();
    let told = Arc::clone(&slices);
    let generator = Generator {
        target: Arc::clone(&target),
        schedule: Schedule::new(load, 1),
        connections: load.connections,
        timeout: load.timeout.0,
        step: 1,
        clock: Clock::start(),
        cancel: CancellationToken::new(),
    };
    let totals = generator.run(Instant::now(), move |slice| told.lock().unwrap().push(slice)).await.unwrap();
    let mut verbs: BTreeMap<LoadVerb, VerbSlice> = BTreeMap::new();
    let slices = slices.lock().unwrap().clone();
    assert_eq!(slices.len(), 5, "a slice per second");
    for (verb, slice) in slices.iter().flat_map(|slice| &slice.verbs) {
        verbs.entry(*verb).or_default().merge(slice);
    }
    let left = target.left().await.unwrap();
    (totals, verbs, left)
}

pub async fn requests_of_every_kind_are_answered_and_leave_nothing(cluster: &dyn Cluster) {
    let load: LoadStep = serde_json::from_str(LOAD).unwrap();
    let (totals, verbs, left) = run(cluster, &load).await;
    assert_eq!((totals.due, totals.sent, totals.answered), (100, 100, 100), "{verbs:?}");
    let kinds: Vec<LoadVerb> = verbs.keys().copied().collect();
    assert_eq!(
        kinds,
        [
            LoadVerb::List,
            LoadVerb::Get,
            LoadVerb::Watch,
            LoadVerb::Create,
            LoadVerb::Update,
            LoadVerb::Delete
        ]
    );
    // 32 stand; what was created and not deleted stands beside them.
    let (created, deleted) = (verbs[&LoadVerb::Create].answered, verbs[&LoadVerb::Delete].answered);
    assert!((32 + created - deleted.min(created)..=32 + created).contains(&left), "{left} of {created} made");
    let node = cluster.fingerprint().with_role(NodeRole::ControlPlane).next().unwrap().name.clone();
    let clear = async || cluster.act(&node, &NodeAction::LoadClear).await.unwrap().changed;
    let shows = async || {
        let survey = cluster.act(&node, &NodeAction::Survey).await.unwrap().survey;
        survey.iter().any(|line| line.starts_with(NAMESPACE))
    };
    assert!(shows().await, "the survey does not show what a load made");
    assert!(clear().await, "nothing was there to remove");
    assert!(!shows().await, "the survey shows what is gone");
    let wanted = LoadWanted { connections: 1, size: 16 };
    let target = cluster.load(&wanted).await.unwrap();
    assert_eq!(target.left().await.unwrap(), 32, "what an earlier load made is there");
    assert!(clear().await);
    assert_eq!(target.left().await.unwrap(), 0);
    assert!(!clear().await, "removed twice");
}
