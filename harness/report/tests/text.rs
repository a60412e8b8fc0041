//! JUnit, Markdown and terminal text, as snapshots.

mod fixtures;

use quick_junit::{NonSuccessKind, Report, TestCaseStatus};
use recoup_report::{junit, summary, terminal};

#[test]
fn junit_of_a_mixed_run() {
    insta::assert_snapshot!(junit(&fixtures::mixed()).expect("it is made"));
}

#[test]
fn summary_of_a_mixed_run() {
    insta::assert_snapshot!(summary(&fixtures::mixed()));
}

#[test]
fn terminal_of_a_mixed_run() {
    insta::assert_snapshot!(terminal(&fixtures::mixed()));
}

#[test]
fn terminal_of_a_simulated_run() {
    insta::assert_snapshot!(terminal(&fixtures::simulated()));
}

/// The statuses of all cases of an experiment, read back from the XML.
fn statuses(xml: &str, classname: &str) -> Vec<(String, TestCaseStatus)> {
    let report = Report::deserialize_from_str(xml).expect("it is JUnit");
    let cases = report.test_suites.into_iter().flat_map(|suite| suite.test_cases);
    cases
        .filter(|case| case.classname.as_ref().is_some_and(|name| name.as_str() == classname))
        .map(|case| (case.name.as_str().to_owned(), case.status))
        .collect()
}

fn is(status: &TestCaseStatus, wanted: NonSuccessKind) -> bool {
    matches!(status, TestCaseStatus::NonSuccess { kind, .. } if *kind == wanted)
}

#[test]
fn an_inconclusive_experiment_is_an_error_and_never_a_failure() {
    let mut run = fixtures::mixed();
    let experiment = &mut run.experiments[2];
    // Even where a milestone was missed: without evidence of the fault it is not the cluster's.
    experiment.intervals[0].verdict = recoup_model::verdict::Verdict::Fail;
    let cases = statuses(&junit(&run).expect("it is made"), "scheduler/lease-expiry/stop");
    assert!(
        cases.iter().any(|(name, status)| name == "fault took effect" && is(status, NonSuccessKind::Error))
    );
    assert!(cases.iter().all(|(_, status)| !is(status, NonSuccessKind::Failure)), "{cases:?}");
}

#[test]
fn a_fail_that_no_condition_shows_is_a_failure_all_the_same() {
    let mut run = fixtures::mixed();
    run.experiments[0].verdict = recoup_model::verdict::Verdict::Fail;
    run.experiments[0].reasons = vec!["afterwards: node cp2 is not ready".into()];
    let cases = statuses(&junit(&run).expect("it is made"), "etcd/leader-loss/kill");
    let failed: Vec<_> = cases.iter().filter(|(_, status)| is(status, NonSuccessKind::Failure)).collect();
    assert_eq!(failed.len(), 1, "{cases:?}");
    assert_eq!(failed[0].0, "experiment");
}

#[test]
fn a_simulated_run_says_so_in_every_text() {
    let run = fixtures::simulated();
    let markdown = summary(&run);
    let plain = terminal(&run);
    for text in [&markdown, &plain] {
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].contains("SIMULATED"), "{text}");
        assert!(lines[lines.len() - 1].contains("SIMULATED"), "{text}");
    }
    let report = Report::deserialize_from_str(&junit(&run).expect("it is made")).expect("it is JUnit");
    for suite in &report.test_suites {
        assert!(suite.name.as_str().starts_with("SIMULATED "));
        assert!(
            suite.properties.iter().any(|p| p.name.as_str() == "simulated" && p.value.as_str() == "true")
        );
    }
    let real = fixtures::mixed();
    for text in [summary(&real), terminal(&real), junit(&real).expect("it is made")] {
        assert!(!text.contains("SIMULATED"), "a real run calls itself simulated");
    }
}

#[test]
fn one_simulated_experiment_marks_the_whole_run() {
    let mut run = fixtures::mixed();
    run.experiments[4].simulated = true;
    assert!(terminal(&run).starts_with("SIMULATED"));
    assert!(summary(&run).contains("(simulated)"));
}

#[test]
fn a_milestone_without_a_budget_is_no_case_and_no_reproach() {
    let mut run = fixtures::run(vec![fixtures::leader_loss()]);
    let first = &mut run.experiments[0].intervals[0];
    assert!(first.milestone.within.is_none());
    // What the judge says of one that never came and had no budget.
    first.verdict = recoup_model::verdict::Verdict::Inconclusive;
    first.measure = recoup_model::verdict::Measure::Censored { more_than: fixtures::span(60.0) };
    let name = first.milestone.name.clone();
    let cases = statuses(&junit(&run).expect("it is made"), "etcd/leader-loss/kill");
    assert!(
        cases.iter().all(|(case, status)| *case != name && matches!(status, TestCaseStatus::Success { .. }))
    );
    assert!(!terminal(&run).contains(&name));
}
