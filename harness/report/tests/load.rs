//! Loads in every form of a report.

#[expect(dead_code, reason = "these tests make experiments of their own")]
mod fixtures;
#[path = "fixtures/load.rs"]
mod loads;

use recoup_report::{html, json, summary, terminal};

#[test]
fn summary_of_a_load() {
    insta::assert_snapshot!(summary(&loads::loaded()));
}

#[test]
fn terminal_of_a_load() {
    insta::assert_snapshot!(terminal(&loads::loaded()));
}

#[test]
fn a_load_is_drawn_over_time_and_over_rate_with_its_knee() {
    let page = html(&loads::loaded());
    assert!(page.contains("Holds up to 300/s, ceases at 400/s because 500 of 4000"));
    // Two kinds of requests, each with p50 and p99, in both drawings; and what was offered and answered.
    assert_eq!(page.matches("<path class=\"curve").count(), 2 * 2 * 2 + 2);
    assert_eq!(page.matches("<line class=\"knee\"").count(), 1);
    assert_eq!(page.matches("<rect class=\"outage\"").count(), 10, "a bar for every second with refusals");
    assert_eq!(page.matches("<circle class=\"curvedot").count(), 8);
}

#[test]
fn one_rate_has_no_drawing_over_the_rate() {
    let mut run = loads::loaded();
    run.experiments[0].loads[0].stages.truncate(1);
    run.experiments[0].loads[0].capacity = None;
    let page = html(&run);
    assert!(!page.contains("class=\"knee\"") && page.contains("Rate and times of the load by second"));
}

#[test]
fn results_keep_a_load_whole() {
    let run = loads::loaded();
    let text = json(&run).expect("it is made");
    let read: recoup_model::verdict::RunResult = serde_json::from_str(&text).expect("results");
    assert_eq!(read.experiments[0].loads, run.experiments[0].loads);
}
