//! What is predicted from the simulation's settings holds what is measured on it, whatever the seed.

use recoup_model::{
    spec::Within,
    verdict::{ExperimentResult, Measure},
};
use recoup_tests::offline::{Lab, plans};

/// Every milestone with a predicted budget that was measured, with how often it was looked at.
fn held(result: &ExperimentResult) -> usize {
    let mut seen = 0;
    for interval in &result.intervals {
        if interval.milestone.within != Some(Within::Predicted) {
            continue;
        }
        let name = format!("{}: {}", result.id, interval.milestone.name);
        let prediction = interval.prediction.as_ref().unwrap_or_else(|| panic!("{name} is not predicted"));
        match interval.measure {
            Measure::Measured { low, high, .. } => {
                assert!(
                    high >= prediction.low && low <= prediction.high,
                    "{name}: {} is not in {} to {}: {:#?}",
                    interval.measure,
                    prediction.low,
                    prediction.high,
                    prediction.arithmetic
                );
                seen += 1;
            }
            Measure::NotSeen { resolution } => {
                assert!(
                    resolution >= prediction.low,
                    "{name}: nothing failed, sooner than {}",
                    prediction.low
                );
            }
            Measure::Censored { .. } | Measure::Unknown => panic!("{name}: {}", interval.measure),
        }
    }
    seen
}

#[tokio::test(start_paused = true)]
async fn every_measured_milestone_lies_in_its_predicted_interval() {
    for seed in [1, 2, 3] {
        let ran = Lab::new().unwrap().run(&plans(&[""]).unwrap(), seed).await.unwrap();
        let seen: usize = ran.run.experiments.iter().map(held).sum();
        assert!(seen > 40, "only {seen} milestones were measured");
    }
}

#[tokio::test(start_paused = true)]
async fn short_leases_are_predicted_short_and_taken_so() {
    let mut plans = plans(&["scheduler/lease-expiry/kill", "controller-manager/lease-expiry/kill"]).unwrap();
    for plan in &mut plans {
        plan.profile = "ha-short-lease".into();
    }
    let ran = Lab::new().unwrap().run(&plans, 1).await.unwrap();
    for result in &ran.run.experiments {
        let holder = result.intervals.iter().find(|i| i.milestone.name == "new holder").expect("a milestone");
        let prediction = holder.prediction.as_ref().expect("a prediction");
        assert!(
            prediction.low.0.as_secs_f64() >= 4.0 && prediction.high.0.as_secs_f64() < 13.0,
            "{prediction:?}"
        );
        assert!(held(result) > 0);
    }
}
