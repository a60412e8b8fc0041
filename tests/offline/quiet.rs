//! Nothing is broken before the baseline is quiet, and what came to no verdict is tried again.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use recoup_clusters::{Attempt, Cluster};
use recoup_engine::reader::read_run;
use recoup_model::{
    event::Event,
    observation::{Failure, FailureClass, Observation, Observed},
    verdict::{ExperimentResult, Verdict},
};
use recoup_tests::{
    faulty::{Between, FaultyProvider},
    offline::{Lab, Ran, plan},
};
use tokio::{sync::OnceCell, time::Instant};

/// Every fifth write fails for so long after the first.
struct Restless {
    lasts: Duration,
    first: OnceCell<Instant>,
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
}

/// The experiment on a cluster that is restless for so long, in at most so many tries.
async fn restless(seconds: u64, tries: u32) -> (Lab, Ran) {
    let mut lab = Lab::new().unwrap();
    let between = Restless { lasts: Duration::from_secs(seconds), first: OnceCell::new() };
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
    let begun = |event: &Event| matches!(event, Event::Note { message } if message.contains("begins again"));
    let rounds = lab.records().iter().filter(|record| begun(&record.event)).count();
    assert!((4..=8).contains(&rounds), "{rounds}");
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
