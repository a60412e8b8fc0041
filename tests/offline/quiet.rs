//! Nothing is broken before the baseline is quiet, and what came to no verdict is tried again.

use std::{fs, sync::Arc, time::Duration};

use async_trait::async_trait;
use recoup_clusters::{Attempt, Cluster, ReadBack};
use recoup_engine::{EVENTS, reader::read_run};
use recoup_model::{
    event::Event,
    observation::{Endpoint, Failure, FailureClass, Observation, Observed},
    verdict::{ExperimentResult, Verdict},
};
use recoup_tests::{
    faulty::{Between, FaultyProvider},
    offline::{Lab, Ran, plan},
};
use tokio::{sync::OnceCell, time::Instant};

/// Every fifth write fails for so long after the first.
#[derive(Default)]
struct Restless {
    lasts: Duration,
    first: OnceCell<Instant>,
    /// No API server knows of any write.
    forgets: bool,
    /// It is unhealthy once writes have begun.
    sickens: bool,
}

#[async_trait]
impl Between for Restless {
    async fn observe(
        &self,
        cluster: &Arc<dyn Cluster>,
        observation: &Observation,
        attempt: Attempt,
    ) -> Result<Observed, Failure> {
        let write = matches!(observation, Observation::ApiWrite { .. });
        if write && attempt.number.is_multiple_of(5) {
            let first = *self.first.get_or_init(|| async { Instant::now() }).await;
            if first.elapsed() < self.lasts {
                return Err(Failure::new(FailureClass::Refused, "restless on purpose"));
            }
        }
        cluster.observe(observation, attempt).await
    }

    async fn read_back_api(
        &self,
        cluster: &Arc<dyn Cluster>,
        through: &Endpoint,
    ) -> Result<ReadBack, Failure> {
        if self.forgets { Ok(ReadBack::new()) } else { cluster.read_back_api(through).await }
    }

    async fn health(&self, cluster: &Arc<dyn Cluster>) -> Vec<String> {
        let sick = self.sickens && self.first.initialized();
        if sick { vec!["sick on purpose".into()] } else { cluster.health().await }
    }
}

/// The experiment on a cluster that is restless for so long, in at most so many tries.
async fn restless(seconds: u64, tries: u32) -> (Lab, Ran) {
    on(Restless { lasts: Duration::from_secs(seconds), ..Restless::default() }, tries).await
}

async fn on(between: Restless, tries: u32) -> (Lab, Ran) {
    let mut lab = Lab::new().unwrap();
    lab.provider = Some(FaultyProvider::with(lab.sim.clone(), Arc::new(between)));
    lab.tries = tries;
    let ran = lab.run(&[plan("controller-manager/lease-expiry/kill").unwrap()], 1).await.unwrap();
    (lab, ran)
}

fn only(ran: &Ran) -> &ExperimentResult {
    let [one] = &ran.run.experiments[..] else { panic!("{:?}", ran.run.experiments) };
    one
}

#[tokio::test(start_paused = true)]
async fn a_baseline_begins_again_until_it_is_quiet() {
    let (lab, ran) = restless(70, 1).await;
    assert_eq!(only(&ran).verdict, Verdict::Pass, "{:?}", only(&ran).reasons);
    let begun = |event: &Event| matches!(event, Event::ClusterProgress { message } if message.contains("begins again"));
    let rounds = lab.records().iter().filter(|record| begun(&record.event)).count();
    assert!((3..=5).contains(&rounds), "{rounds}");
    let notes = only(&ran).notes.join("; ");
    assert!(notes.contains("was quiet, the one before was not"), "{notes}");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_broken_where_it_never_is_quiet() {
    let (lab, ran) = restless(3600, 1).await;
    let one = only(&ran);
    assert_eq!((one.verdict, one.earlier.len()), (Verdict::Inconclusive, 0));
    assert!(one.reasons[0].starts_with("nothing was broken"), "{:?}", one.reasons);
    assert!(one.reasons[1].contains("attempts failed before anything was broken"), "{:?}", one.reasons);
    let broken = lab.records().iter().any(|record| matches!(record.event, Event::StepStarted { .. }));
    assert!(!broken);
}

#[tokio::test(start_paused = true)]
async fn what_came_to_no_verdict_is_tried_again_and_both_are_told() {
    let (lab, ran) = restless(240, 2).await;
    let one = only(&ran);
    assert_eq!((one.verdict, one.earlier.len()), (Verdict::Pass, 1), "{:?}", one.reasons);
    assert!(one.earlier[0].reasons[0].starts_with("nothing was broken"), "{:?}", one.earlier);
    let finished =
        lab.records().iter().filter(|r| matches!(r.event, Event::ExperimentFinished { .. })).count();
    assert_eq!(finished, 2, "both are recorded");
    let reading = read_run(&ran.dir, true).unwrap();
    assert_eq!(reading.recorded, ran.run);
    assert_eq!(reading.judged, ran.run);
    let told = "try 1 came to no verdict on the cluster: nothing was broken";
    let summary = recoup_report::summary(&ran.run);
    assert!(summary.contains(told), "{summary}");
    let terminal = recoup_report::terminal(&ran.run).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(terminal.contains(told), "{terminal}");
    let junit = recoup_report::junit(&ran.run).unwrap();
    assert!(junit.contains("<flakyError") && junit.contains(told), "{junit}");
}

/// Another try would hide it.
#[tokio::test(start_paused = true)]
async fn what_was_seen_of_a_broken_cluster_stands_without_a_verdict_too() {
    let lasts = Duration::from_secs(3600);
    let cases = [
        (Restless { lasts, forgets: true, ..Restless::default() }, "besides, acknowledged writes"),
        (
            Restless { lasts, sickens: true, ..Restless::default() },
            "besides, the cluster was not healthy afterwards",
        ),
    ];
    for (between, told) in cases {
        let (_, ran) = on(between, 2).await;
        let one = only(&ran);
        assert_eq!((one.verdict, one.earlier.len()), (Verdict::Inconclusive, 0));
        assert!(one.reasons.iter().any(|reason| reason.starts_with(told)), "{told}: {:?}", one.reasons);
    }
}

/// Recorded as inconclusive and told with the last one; by today's rules it may be a failure that was tried away.
#[tokio::test(start_paused = true)]
async fn a_try_that_comes_to_a_verdict_when_judged_again_stands_for_itself() {
    let (_lab, ran) = restless(240, 2).await;
    let path = ran.dir.join(EVENTS);
    let mut doctored = false;
    let text = fs::read_to_string(&path).unwrap();
    let lines = text.lines().map(|line| {
        let mut line: serde_json::Value = serde_json::from_str(line).unwrap();
        // Nothing was to be broken, and nothing is asked of the cluster.
        if line["event"] == "experimentStarted" && !std::mem::replace(&mut doctored, true) {
            for part in ["steps", "milestones", "assertions"] {
                line["plan"][part] = serde_json::json!([]);
            }
        }
        line.to_string() + "\n"
    });
    let lines: String = lines.collect();
    fs::write(&path, lines).unwrap();
    let reading = read_run(&ran.dir, true).unwrap();
    assert_eq!(reading.recorded, ran.run);
    let judged: Vec<_> =
        reading.judged.experiments.iter().map(|one| (one.verdict, one.earlier.len())).collect();
    assert_eq!(judged, [(Verdict::Pass, 0), (Verdict::Pass, 1)]);
}
