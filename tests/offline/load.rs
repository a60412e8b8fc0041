//! Loads on the simulation: the knee that the model has is found, and nothing is left of a load.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use recoup_clusters::{Cluster, LoadWanted, Provider};
use recoup_engine::ledger::unhealed;
use recoup_model::{
    action::NodeAction,
    capacity::StageState,
    event::{Event, Record},
    plan::Plan,
    spec::{Assertion, Ramp, Step},
    verdict::{ExperimentResult, Verdict},
};
use recoup_tests::{
    faulty::{FaultyProvider, Meddling},
    offline::{Lab, plan},
};

/// The built-in ramp, from and to other rates.
fn ramp(from: &str, to: &str, wanted: &str) -> Plan {
    let mut plan = plan("apiserver/load").unwrap();
    for step in &mut plan.steps {
        if let Step::Load(load) = step {
            load.ramp = Some(Ramp { from: from.parse().unwrap(), to: to.parse().unwrap(), steps: 5 });
            load.hold = "75s".parse().unwrap();
        }
    }
    plan.assertions.retain(|one| matches!(one, Assertion::HoldsUpTo(_)));
    for assertion in &mut plan.assertions {
        if let Assertion::HoldsUpTo(settings) = assertion {
            settings.rate = wanted.parse().unwrap();
        }
    }
    plan
}

async fn ran(plan: Plan) -> ExperimentResult {
    Lab::new().unwrap().run(&[plan], 1).await.unwrap().run.experiments.remove(0)
}

#[tokio::test(start_paused = true)]
async fn the_knee_of_the_model_is_found() {
    // Three API servers bear some 500 requests of this mix a second.
    let result = ran(ramp("100/s", "900/s", "100/s")).await;
    assert_eq!(result.verdict, Verdict::Pass, "{:#?}", result.reasons);
    let load = &result.loads[0];
    assert_eq!(load.stages[0].state, StageState::Held);
    assert_eq!(load.stages[4].state, StageState::Ceased, "{:?}", load.stages);
    let capacity = load.capacity.as_ref().unwrap();
    assert!(capacity.ceases.is_some() && capacity.holds < capacity.ceases, "{capacity:?}");
    let p99 = |n: usize| load.stages[n].verbs.values().map(|times| times.p99).max().unwrap();
    assert!(p99(4).0 > p99(0).0 * 3, "waiting grows towards the knee: {:?} and {:?}", p99(0), p99(4));
    assert!(load.stages[4].throttled > 0 && load.stages[0].throttled == 0);
    let too_much = ran(ramp("100/s", "900/s", "900/s")).await;
    assert_eq!(too_much.verdict, Verdict::Fail, "{:#?}", too_much.reasons);
}

#[tokio::test(start_paused = true)]
async fn leases_are_lost_where_twice_as_much_is_offered_as_is_borne() {
    let result = ran(ramp("100/s", "2500/s", "100/s")).await;
    let last =
        result.loads[0].stages.iter().map(|stage| stage.because.as_str()).collect::<Vec<_>>().join("; ");
    assert!(last.contains("changed its holder") || last.contains("was not renewed"), "{last}");
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_load() {
    let of = || async { ran(ramp("50/s", "300/s", "100/s")).await.loads.remove(0) };
    let (one, other) = (of().await, of().await);
    assert_eq!(one.stages, other.stages);
}

/// Whoever cannot remove what the load made because no API server answers is not to blame for that.
#[tokio::test(start_paused = true)]
async fn what_cannot_be_removed_at_once_excuses_no_cluster_and_is_removed_later() {
    let (mut lab, refused) = (Lab::new().unwrap(), AtomicBool::new(false));
    lab.provider = Some(FaultyProvider::new(&lab.sim, move |action| match action {
        NodeAction::LoadClear if !refused.swap(true, Ordering::Relaxed) => Meddling::Refuse,
        _ => Meddling::None,
    }));
    let result = lab.run(&[ramp("100/s", "900/s", "900/s")], 1).await.unwrap().run.experiments.remove(0);
    assert_eq!(result.verdict, Verdict::Fail, "{:#?}", result.reasons);
    let told =
        |record: &Record| matches!(&record.event, Event::Note { message } if message.contains("removed yet"));
    assert!(lab.records().iter().any(told), "nothing was refused");
    assert!(unhealed(lab.runs()).unwrap().is_empty());
    let names: Vec<String> = lab.sim.list().await.unwrap().into_iter().map(|one| one.name).collect();
    for name in names {
        assert_eq!(lab.sim.cluster(&name).unwrap().load_objects(), 0, "{name}");
    }
}

/// The first thing that a cancelled load does is to end, the second to remove what it made.
#[tokio::test(start_paused = true)]
async fn a_run_that_is_interrupted_leaves_no_object() {
    let lab = Lab::new().unwrap();
    let (cancel, clusters) = (lab.cancel.clone(), Arc::<Mutex<Vec<String>>>::default());
    let names = Arc::clone(&clusters);
    let listener = move |record: &recoup_model::event::Record| match &record.event {
        Event::LoadSlice(_) => cancel.cancel(),
        Event::ClusterReady { fingerprint, .. } => names.lock().unwrap().push(fingerprint.cluster.clone()),
        _ => {}
    };
    let plans = [ramp("50/s", "300/s", "100/s")];
    let _ = lab.run_telling(&plans, 1, listener).await;
    let name = clusters.lock().unwrap().first().cloned().unwrap();
    let cluster = lab.sim.cluster(&name).unwrap();
    assert_eq!(cluster.load_objects(), 0);
    let target = cluster.load(&LoadWanted { connections: 1, size: 1 }).await.unwrap();
    assert_eq!(cluster.load_objects(), 32, "the count counts nothing");
    assert_eq!(target.left().await.unwrap(), 32);
}
