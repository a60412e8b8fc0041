//! Slow rather than broken: distributions, metrics, and what a setting buys, in every form.

#[path = "fixtures/degraded.rs"]
mod cases;
#[expect(dead_code, reason = "these tests make experiments of their own")]
mod fixtures;

use quick_junit::Report;
use recoup_model::verdict::RunResult;
use recoup_report::{html, json, junit, summary, terminal};

fn slow() -> RunResult {
    fixtures::run(vec![cases::slow_follower()])
}

fn tuned() -> RunResult {
    fixtures::run(cases::lease_tuning())
}

#[test]
fn terminal_of_a_slow_run() {
    insta::assert_snapshot!(terminal(&slow()));
}

#[test]
fn summary_of_a_slow_run() {
    insta::assert_snapshot!(summary(&slow()));
}

#[test]
fn terminal_of_tuned_leases() {
    insta::assert_snapshot!(terminal(&tuned()));
}

#[test]
fn summary_of_tuned_leases() {
    insta::assert_snapshot!(summary(&tuned()));
}

#[test]
fn the_page_draws_each_part_of_each_stream_that_decides() {
    let page = html(&slow());
    for class in ["part before", "part during", "part after"] {
        // A box each, and for the one whose p99 failed the head of an arrow.
        let arrows = usize::from(class == "part during");
        assert_eq!(page.matches(&format!("class=\"{class}\"")).count(), 2 + arrows, "{class}");
    }
    assert!(page.contains("6 failed"), "failed attempts are not hidden");
    let [at, of] = ["Would an operator have seen it?", "2 readings of metrics that did not move"]
        .map(|text| page.find(text).unwrap_or_else(|| panic!("{text} is missing")));
    let moved = &page[at..of];
    assert!(moved.contains("peerRoundTrip (mean)") && moved.contains("83.0x"), "{moved}");
    assert!(moved.contains("from nothing"), "an election where there was none has no ratio: {moved}");
    assert!(!moved.contains("walFsync"), "it did not move");
}

#[test]
fn variants_that_differ_in_flags_are_set_against_each_other() {
    let run = tuned();
    let page = html(&run);
    assert_eq!(page.matches("against the load of renewals</h2>").count(), 1);
    let shown = page.find("against the load").expect("it is there");
    let section = &page[shown..shown + page[shown..].find("</section>").expect("it ends")];
    assert_eq!(section.matches("<circle").count(), 3, "a point per variant");
    assert!(section.contains("lease-duration 5s") && section.contains("the cluster's own"), "{section}");
    // The same variants with the same flags are no comparison of settings.
    let mut same = run.clone();
    same.experiments.iter_mut().for_each(|experiment| experiment.flags.clear());
    assert!(!html(&same).contains("against the load of renewals"));
    // Without metrics there is a table and nothing to draw.
    let mut silent = run;
    silent.experiments.iter_mut().for_each(|experiment| experiment.metrics.clear());
    assert!(html(&silent).contains("there is nothing to draw") && summary(&silent).contains("not told"));
}

#[test]
fn junit_has_the_same_facts_as_properties() {
    let xml = junit(&slow()).expect("it is made");
    let report = Report::deserialize_from_str(&xml).expect("it is JUnit");
    let first = &report.test_suites[0].test_cases[0];
    let property = |name: &str| {
        let found = first.properties.iter().find(|property| property.name.as_str() == name);
        found.map(|property| property.value.to_string()).unwrap_or_default()
    };
    assert!(property("metrics").contains("peerRoundTrip"), "{xml}");
    assert!(property("slower").contains("9.4x"), "{xml}");
}

#[test]
fn results_read_back_as_they_were() {
    for run in [slow(), tuned()] {
        let read: RunResult = serde_json::from_str(&json(&run).expect("it is made")).expect("it is JSON");
        assert_eq!(read, run);
    }
}
