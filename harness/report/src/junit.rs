//! `junit.xml`: a suite per area of experiments, a case per group of assertions.

use std::{collections::BTreeMap, time::Duration};

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestRerun, TestSuite};
use recoup_model::verdict::{ExperimentResult, Measure, RunResult, Verdict};

use crate::{ReportError, distributions, figures, metrics, repetition};

/// `junit.xml`, for whatever shows test results.
///
/// A fail is a failure; an inconclusive verdict is an error, because it says nothing about the cluster;
/// a skipped one is skipped with its reason. Figures are properties, in seconds.
///
/// # Errors
/// Where it cannot be written as XML.
pub fn junit(run: &RunResult) -> Result<String, ReportError> {
    let simulated = figures::simulated(run);
    let named = |name: &str| if simulated { format!("SIMULATED {name}") } else { name.to_owned() };
    let mut areas: Vec<&str> = Vec::new();
    let mut by_area: BTreeMap<&str, Vec<&ExperimentResult>> = BTreeMap::new();
    for experiment in &run.experiments {
        let area = experiment.id.split('/').next().unwrap_or_default();
        if !by_area.contains_key(area) {
            areas.push(area);
        }
        by_area.entry(area).or_default().push(experiment);
    }
    let mut report = Report::new(named("recoup"));
    for area in areas {
        let mut suite = TestSuite::new(named(area));
        suite.add_property(("run", run.run.as_str()));
        suite.add_property(("recoup", run.recoup.as_str()));
        suite.add_property(("started", run.started.as_str()));
        suite.add_property(("seed", run.seed.to_string().as_str()));
        suite.add_property(("simulated", simulated.to_string().as_str()));
        suite.add_property(("incomplete", run.incomplete.to_string().as_str()));
        for (number, cluster) in run.clusters.iter().enumerate() {
            suite.add_property((format!("cluster.{}", number + 1), figures::cluster_line(cluster)));
        }
        let experiments = by_area.remove(area).unwrap_or_default();
        suite.set_time(experiments.iter().map(|e| e.ended.since(e.started)).sum());
        for experiment in experiments {
            let trial = repetition::mark(run, experiment);
            suite.add_test_cases(cases(experiment, &trial, simulated));
        }
        report.add_test_suite(suite);
    }
    Ok(report.to_string()?)
}

/// A case that is about to be written.
struct Case<'a> {
    experiment: &'a ExperimentResult,
    name: &'a str,
    verdict: Verdict,
    detail: &'a str,
    measure: Option<&'a Measure>,
    limits: Vec<(&'static str, Duration)>,
}

impl Case<'_> {
    fn write(self, trial: &str, simulated: bool) -> TestCase {
        // Without a verdict on the experiment nothing in it is the cluster's failure.
        let doubtful = self.experiment.verdict == Verdict::Inconclusive && self.verdict == Verdict::Fail;
        let verdict = if doubtful { Verdict::Inconclusive } else { self.verdict };
        let mut message = self.detail.to_owned();
        if simulated {
            message.insert_str(0, "SIMULATED: ");
        }
        let mut status = match verdict {
            Verdict::Pass => TestCaseStatus::success(),
            Verdict::Skipped => TestCaseStatus::skipped(),
            Verdict::Inconclusive => TestCaseStatus::non_success(NonSuccessKind::Error),
            Verdict::Fail => TestCaseStatus::non_success(NonSuccessKind::Failure),
        };
        if verdict != Verdict::Pass {
            status.set_message(message);
        }
        if matches!(verdict, Verdict::Inconclusive | Verdict::Fail) {
            status.set_type(verdict.to_string().to_lowercase());
            let reasons = self.experiment.reasons.join("\n");
            status.set_description(if reasons.is_empty() { self.detail.to_owned() } else { reasons });
        }
        let mut case = TestCase::new(format!("{}{trial}", self.name), status);
        case.set_classname(self.experiment.id.as_str());
        case.add_property(("verdict", verdict.to_string().as_str()));
        if !self.detail.is_empty() {
            case.add_property(("detail", self.detail));
        }
        let mut figure = |name: &str, length: Duration| {
            case.add_property((name, format!("{:.3}", length.as_secs_f64()).as_str()));
        };
        match self.measure {
            Some(Measure::Measured { value, low, high }) => {
                figure("seconds", value.0);
                figure("seconds.low", low.0);
                figure("seconds.high", high.0);
            }
            Some(Measure::NotSeen { resolution }) => figure("seconds.shorter-than", resolution.0),
            Some(Measure::Censored { more_than }) => figure("seconds.more-than", more_than.0),
            Some(Measure::Unknown) | None => {}
        }
        for (name, limit) in self.limits {
            figure(name, limit);
        }
        if let Some(Measure::Measured { value, .. }) = self.measure {
            case.set_time(value.0);
        }
        case
    }
}

/// All cases of one experiment, or of one trial of it: viewers tell cases apart by their names.
fn cases(experiment: &ExperimentResult, trial: &str, simulated: bool) -> Vec<TestCase> {
    let case =
        |name, verdict, detail| Case { experiment, name, verdict, detail, measure: None, limits: Vec::new() };
    let reasons = experiment.reasons.join("; ");
    if experiment.verdict == Verdict::Skipped {
        return vec![case("experiment", Verdict::Skipped, &reasons).write(trial, simulated)];
    }
    let (effect, seen) = effect(experiment);
    let mut cases = vec![case("fault took effect", effect, &seen)];
    for interval in &experiment.intervals {
        let milestone = &interval.milestone;
        let limits: Vec<_> = [
            ("seconds.at-least", milestone.at_least),
            ("seconds.budget", interval.budget()),
            ("seconds.predicted-low", interval.prediction.as_ref().map(|p| p.low)),
            ("seconds.predicted-high", interval.prediction.as_ref().map(|p| p.high)),
        ]
        .into_iter()
        .filter_map(|(name, limit)| Some((name, limit?.0)))
        .collect();
        if !milestone.decides() {
            continue;
        }
        let measure = Some(&interval.measure);
        cases.push(Case { measure, limits, ..case(&milestone.name, interval.verdict, &interval.detail) });
    }
    for checked in &experiment.assertions {
        let measure = checked.measure.as_ref();
        cases.push(Case { measure, ..case(&checked.name, checked.verdict, &checked.detail) });
    }
    for oracle in &experiment.oracles {
        cases.push(case(&oracle.name, oracle.verdict, &oracle.detail));
    }
    // A verdict that follows from none of the groups (an unhealthy cluster afterwards, a restless
    // baseline) must not vanish between them.
    let worst = cases.iter().map(|c| c.verdict).max().unwrap_or(Verdict::Pass);
    if experiment.verdict != Verdict::Pass && worst < experiment.verdict {
        cases.push(case("experiment", experiment.verdict, &reasons));
    }
    let mut cases: Vec<TestCase> = cases.into_iter().map(|c| c.write(trial, simulated)).collect();
    if let Some(first) = cases.first_mut() {
        // Each try before is an error that a rerun came after: flaky, or an error still.
        for line in figures::tries(experiment) {
            let mark = if simulated { "SIMULATED: " } else { "" };
            let mut rerun = TestRerun::new(NonSuccessKind::Error);
            rerun.set_type("inconclusive").set_message(format!("{mark}{line}"));
            first.status.add_rerun(rerun);
        }
        // What else was seen of the fault.
        let told = [("slower", distributions::line(experiment)), ("metrics", metrics::line(experiment))];
        for (name, line) in told.iter().filter_map(|(name, line)| Some((*name, line.as_deref()?))) {
            first.add_property((name, line));
        }
    }
    cases
}

/// Did every fault take effect, and what was seen of it?
fn effect(experiment: &ExperimentResult) -> (Verdict, String) {
    let evidence = || experiment.bands.iter().flat_map(|band| &band.evidence);
    let (mut held, mut missing) = (Vec::new(), Vec::new());
    for (check, effective, seen) in evidence() {
        let list = if *effective { &mut held } else { &mut missing };
        list.push(format!("{check}: {seen}"));
    }
    if !missing.is_empty() {
        (Verdict::Inconclusive, missing.join("; "))
    } else if held.is_empty() {
        (Verdict::Inconclusive, "there is no evidence that a fault took effect".into())
    } else {
        (Verdict::Pass, held.join("; "))
    }
}
