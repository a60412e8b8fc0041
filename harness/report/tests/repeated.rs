//! Several trials, and two runs beside each other, in every form.

#[expect(dead_code, reason = "these tests need two of its experiments")]
mod fixtures;
#[path = "fixtures/repeated.rs"]
mod trials;

use quick_junit::Report;
use recoup_model::{
    compare::{Comparison, Finding, compare},
    repetition::repetitions,
    topology::ProviderKind,
    verdict::{ExperimentResult, RunResult},
};
use recoup_report::{
    comparison_json, comparison_markdown, comparison_terminal, html, json, junit, summary, terminal,
};

/// Trials of a lease that comes later by that much: another run.
fn shifted(by: f64, count: u32) -> RunResult {
    let seconds = |number: u32| 15.0 + by + f64::from(number * 7 % 11) * 0.1;
    let experiments: Vec<ExperimentResult> = (1..=count)
        .map(|n| trials::trial(fixtures::lease_expiry(), n, 0, fixtures::measured(seconds(n))))
        .collect();
    let mut run = fixtures::run(experiments);
    run.run = format!("20250704T101500Z-{count}-{by}");
    run.repetitions = repetitions(&run.experiments);
    run
}

#[test]
fn summary_of_a_drifting_run() {
    insta::assert_snapshot!(summary(&trials::drifting()));
}

#[test]
fn terminal_of_a_drifting_run() {
    insta::assert_snapshot!(terminal(&trials::drifting()));
}

#[test]
fn comparison_of_two_runs() {
    let mut after = shifted(0.5, 20);
    after.clusters[0].kernel = "6.12.0".into();
    let comparison = compare(&shifted(0.0, 20), &after);
    insta::assert_snapshot!(comparison_terminal(&comparison));
    insta::assert_snapshot!("comparison_of_two_runs_as_markdown", comparison_markdown(&comparison));
}

/// The restart back-off of a static pod that leaks from one trial into the next.
#[test]
fn a_back_off_that_leaks_into_the_next_trial_is_flagged_in_every_form() {
    let run = trials::drifting();
    let slow = run.repetitions.iter().find(|r| r.id == "etcd/leader-loss/kill").expect("it is there");
    let drift = slow.milestones[1].drift.expect("six trials");
    assert!(drift.flagged && drift.p < 0.01 && drift.slope.is_some_and(|slope| slope > 10.0), "{drift:?}");
    let steady = run.repetitions.iter().find(|r| r.id != slow.id).expect("it is there");
    assert!(steady.milestones.iter().all(|m| m.drift.is_none_or(|drift| !drift.flagged)));
    let plain = terminal(&run).replace("\n              ", " ");
    for text in [summary(&run), plain, html(&run)] {
        assert!(text.contains("rises by 23.4 s per trial"), "{text}");
    }
}

#[test]
fn three_trials_cannot_show_drift_and_the_report_says_so() {
    let mut run = trials::drifting();
    run.experiments.retain(|e| e.trial <= 3);
    run.repetitions = repetitions(&run.experiments);
    let text = terminal(&run).replace("\n              ", " ");
    assert!(text.contains("each longer than the one before; 6 trials are needed to tell"), "{text}");
    assert!(!text.contains("rises by"), "{text}");
}

#[test]
fn a_time_out_is_never_a_value_in_a_percentile() {
    let run = trials::drifting();
    let text = summary(&run);
    let row = text.lines().find(|l| l.contains("| new holder |")).expect("it is there");
    assert!(row.contains("6 (1 never came)") && row.contains("more than 60 s"), "{row}");
    let values = row.replace("more than 60 s", "");
    assert!(!values.contains("60 s") && !values.contains("60.0 s"), "{row}");
}

#[test]
fn the_page_tells_the_first_trial_and_those_that_did_not_pass() {
    let run = trials::drifting();
    let page = html(&run);
    // Six trials each: of the one the first, of the other the first and the sixth.
    assert_eq!(page.matches("Waterfall of ").count(), 3);
    assert!(page.contains("id=\"r1\"") && page.contains("href=\"#r1\""));
    assert!(page.contains("12 trials of 2 experiments"));
    assert_eq!(
        page.matches("by trial: the table above").count(),
        run.repetitions.iter().map(|r| r.milestones.len()).sum::<usize>()
    );
    assert!(page.contains("class=\"dot fail\" d=\"M"), "what never came is an arrow");
    for place in 0..run.experiments.len() {
        let (link, target) = (format!("href=\"#e{}\"", place + 1), format!("id=\"e{}\"", place + 1));
        assert_eq!(page.contains(&link), page.contains(&target), "{link} leads nowhere");
    }
}

#[test]
fn every_trial_is_a_case_of_its_own() {
    let xml = junit(&trials::drifting()).expect("it is made");
    let report = Report::deserialize_from_str(&xml).expect("it is JUnit");
    let mut names: Vec<(String, String)> = Vec::new();
    for case in report.test_suites.iter().flat_map(|suite| &suite.test_cases) {
        names.push((case.classname.as_ref().expect("a class").to_string(), case.name.to_string()));
    }
    let all = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), all, "cases of one name hide each other");
    assert!(names.iter().any(|(_, name)| name == "fault took effect, trial 6 of 6"), "{names:?}");
}

#[test]
fn results_of_repeated_experiments_read_back_as_they_were() {
    let run = trials::drifting();
    let read: RunResult = serde_json::from_str(&json(&run).expect("it is made")).expect("it is JSON");
    assert_eq!(read, run);
    let comparison = compare(&shifted(0.0, 20), &shifted(0.5, 20));
    let read: Comparison =
        serde_json::from_str(&comparison_json(&comparison).expect("it is made")).expect("it is JSON");
    assert_eq!(read, comparison);
}

#[test]
fn half_a_second_is_shown_by_twenty_trials_and_a_tenth_is_not() {
    let change = |by: f64, count: u32| {
        let found = compare(&shifted(0.0, count), &shifted(by, count));
        (found.experiments[0].milestones[0].clone(), found.slower())
    };
    let (slower, told) = change(0.5, 20);
    assert_eq!((slower.finding, told), (Finding::Slower, true));
    let interval = slower.interval.expect("twenty each");
    assert!(interval.low.expect("a bound") > 0.2 && interval.high.expect("a bound") < 0.8, "{interval:?}");
    let (quicker, told) = change(-0.5, 20);
    assert_eq!((quicker.finding, told), (Finding::Quicker, false));
    let (same, told) = change(0.1, 20);
    assert_eq!((same.finding, told), (Finding::NotShown, false));
    let would = same.would_have_shown.expect("twenty each");
    assert!(would > 0.1 && would < 0.5, "{would}");
    assert_eq!(change(would + 0.15, 20).0.finding, Finding::Slower, "it said that it would have been shown");
    let (few, told) = change(9.0, 3);
    assert_eq!((few.finding, told), (Finding::TooFew, false));
}

#[test]
fn what_else_differs_is_warned_of() {
    let before = shifted(0.0, 5);
    let mut after = shifted(0.0, 5);
    assert!(compare(&before, &after).warnings.is_empty());
    let cluster = &mut after.clusters[0];
    cluster.kubernetes = "v1.36.0".into();
    cluster.cpus = 8;
    cluster.load_balancer = "envoy 1.33".into();
    cluster.provider = ProviderKind::Sim;
    let comparison = compare(&before, &after);
    for what in ["is simulated", "version of Kubernetes", "number of cores", "load balancer differs: haproxy"]
    {
        assert!(comparison.warnings.iter().any(|w| w.contains(what)), "{what}: {:?}", comparison.warnings);
    }
    assert!(comparison_terminal(&comparison).starts_with("SIMULATED"));
    assert!(comparison_markdown(&comparison).contains("SIMULATED"));
}

#[test]
fn figures_of_a_trial_without_a_sound_experiment_count_nowhere() {
    let mut run = trials::drifting();
    let broken = &mut run.experiments[2];
    broken.verdict = recoup_model::verdict::Verdict::Inconclusive;
    broken.reasons = vec!["no evidence that step 1 took effect".into()];
    run.repetitions = repetitions(&run.experiments);
    let found = &run.repetitions[0];
    assert_eq!((found.left_out.as_slice(), found.milestones[1].n), ([2].as_slice(), 5));
    assert!(terminal(&run).contains("Trial 2 left out"));
    // One that is only too near to its budget to be told counts like any other.
    let near = &mut run.experiments[2];
    near.reasons = vec![format!("{}: {}", near.intervals[1].milestone.name, near.intervals[1].detail)];
    assert!(repetitions(&run.experiments)[0].left_out.is_empty());
}
