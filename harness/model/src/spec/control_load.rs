//! From a control's text to what is run, with every problem told at once.

use std::collections::BTreeMap;

use super::{
    API_VERSION, Metadata, Within,
    check::{Findings, known_lease, name},
    control::{ClusterDefect, Control, ControlFile, Deed, Defect, Expect, HarnessDefect, Onset, Where},
    load,
};
use crate::{
    plan::Plan,
    predict,
    time::Span,
    topology::ProviderKind,
    verdict::Verdict,
    yaml::{self, Places, Problem, SuiteError, choices},
};

/// The controls' files and the experiments that only they need: a new one is a new line here.
macro_rules! files {
    ($list:ident: $doc:literal; $($name:literal),* $(,)?) => {
        #[doc = $doc]
        pub const $list: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../../../suites/controls/", $name, ".yaml")))),*];
    };
}

files![CONTROLS: "The controls' files by name, with their text.";
    "long-lease",
    "long-lease-predicted",
    "kubelet-not-restarted",
    "standbys-missing",
    "standbys-fail",
    "member-cannot-rejoin",
    "no-replacement",
    "workload-flaps",
    "kube-proxy-frozen",
    "wrong-process",
    "wrong-process-frozen",
    "wrong-port",
    "delay-not-applied",
    "delay-ends-early",
    "wrong-cgroup",
    "fault-ends-early",
    "hold-ends-early",
    "residue",
    "other-address",
    "throttled-load",
    "throttled-prober",
    "lost-write",
    "lost-member-write",
    "missed-change",
    "repeated-change",
    "late-write",
    "silent-metrics",
    "crowded-machine",
];

files![EXPERIMENTS: "Experiments that only controls need.";
    "experiments/noticed",
    "experiments/partition",
    "experiments/delay",
];

/// All controls, in their order. `plans` are the experiments that they may name beside their own.
///
/// # Errors
/// Every problem of every file (a test keeps the list free of them).
pub fn controls(plans: &[Plan], profiles: &[&str]) -> Result<Vec<Control>, SuiteError> {
    let mut known = plans.to_vec();
    let mut problems: Vec<Problem> = Vec::new();
    for (name, text) in EXPERIMENTS {
        match load(&format!("suites/controls/{name}.yaml"), text, profiles) {
            Ok(more) => known.extend(more),
            Err(SuiteError::Invalid(more)) => problems.extend(more),
        }
    }
    let mut controls = Vec::new();
    for (name, text) in CONTROLS {
        match load_control(&format!("suites/controls/{name}.yaml"), text, &known) {
            Ok(control) => controls.push(control),
            Err(SuiteError::Invalid(more)) => problems.extend(more),
        }
    }
    SuiteError::check(problems)?;
    Ok(controls)
}

/// Reads a control's file. `plans` are the experiments that it may name.
///
/// # Errors
/// Everything that is wrong with the file, each with its place.
pub fn load_control(file: &str, text: &str, plans: &[Plan]) -> Result<Control, SuiteError> {
    let places = Places::new(file, text);
    let read: ControlFile = match yaml::parse(file, text) {
        Ok(read) => read,
        Err(SuiteError::Invalid(mut problems)) => {
            problems.extend(each_part(&places));
            return Err(SuiteError::Invalid(sorted(problems)));
        }
    };
    let mut found = Findings::new(&places);
    head(&read, &mut found);
    let spec = &read.spec;
    let plan = plans.iter().find(|plan| plan.id == spec.experiment);
    match plan {
        None => {
            let ids: Vec<&str> = plans.iter().map(|plan| plan.id.as_str()).collect();
            let message =
                format!("there is no experiment {:?}; {}", spec.experiment, choices(&spec.experiment, &ids));
            found.add("spec.experiment", message);
        }
        Some(plan) => budgets(&spec.budgets, plan, &mut found),
    }
    defect(&spec.defect, &mut found);
    let simulated =
        matches!(spec.defect, Defect::Harness(HarnessDefect::UndoSwallowed | HarnessDefect::CrowdedMachine));
    if simulated && spec.on.contains(&ProviderKind::Kind) {
        let message =
            "this defect is shown on sim alone: a real cluster would keep the fault, or is not crowded";
        found.add("spec.on", message);
    }
    if spec.observe.is_some_and(|observe| observe.0.is_zero()) {
        found.add("spec.observe", "must be longer than 0s");
    }
    expect(&spec.expect, &mut found);
    let problems = found.into_problems();
    match plan {
        Some(plan) if problems.is_empty() => {
            let name = read.metadata.name.trim_start_matches("controls/").to_owned();
            let mut plan = plan.clone();
            plan.observe = spec.observe.unwrap_or(plan.observe);
            for milestone in &mut plan.milestones {
                if let Some(budget) = spec.budgets.get(&milestone.name) {
                    milestone.within = Some(*budget).filter(|budget| *budget != Within::Unlimited);
                }
            }
            Ok(Control { name, spec: read.spec, plan })
        }
        _ => Err(SuiteError::Invalid(sorted(problems))),
    }
}

fn sorted(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort_by_key(|problem| (problem.line, problem.column));
    problems.dedup();
    problems
}

/// The library stops at the first error; so each part is read by itself to tell the others' too.
fn each_part(places: &Places<'_>) -> Vec<Problem> {
    let mut problems = Vec::new();
    problems.extend(places.check::<Metadata>("metadata"));
    problems.extend(places.check::<Vec<ProviderKind>>("spec.on"));
    problems.extend(places.check::<Defect>("spec.defect"));
    problems.extend(places.check::<BTreeMap<String, Within>>("spec.budgets"));
    problems.extend(places.check::<Span>("spec.observe"));
    problems.extend(places.check::<Expect>("spec.expect"));
    problems
}

fn head(read: &ControlFile, found: &mut Findings<'_>) {
    if read.api_version != API_VERSION {
        found.add(
            "apiVersion",
            format!("{:?} is not known; this version reads {API_VERSION:?}", read.api_version),
        );
    }
    if read.kind != "Control" {
        found.add("kind", format!("{:?} is not known; a control's file is a \"Control\"", read.kind));
    }
    match read.metadata.name.strip_prefix("controls/") {
        Some(own) => name(own, "metadata.name", found),
        None => found.add(
            "metadata.name",
            format!("{:?} is no control: write it as in controls/long-lease", read.metadata.name),
        ),
    }
    let spec = &read.spec;
    if spec.why.trim().is_empty() {
        found.add("spec.why", "is empty: say what must be noticed");
    }
    if !spec.on.contains(&ProviderKind::Sim) {
        found.add("spec.on", "sim is missing: every control is shown there first");
    }
    for (n, provider) in spec.on.iter().enumerate() {
        if spec.on[..n].contains(provider) {
            found.add(format!("spec.on[{n}]"), format!("{provider} stands here twice"));
        }
    }
}

fn budgets(budgets: &BTreeMap<String, Within>, plan: &Plan, found: &mut Findings<'_>) {
    let known: Vec<&str> = plan.milestones.iter().map(|milestone| milestone.name.as_str()).collect();
    for (milestone, budget) in budgets {
        let at = format!("spec.budgets.{milestone}");
        if !known.contains(&milestone.as_str()) {
            let message =
                format!("{} has no milestone {milestone:?}; {}", plan.id, choices(milestone, &known));
            found.add(&at, message);
        }
        let own = plan.milestones.iter().find(|own| own.name == *milestone);
        if *budget == Within::Predicted && own.is_some_and(|own| !predict::has_formula(plan, own)) {
            found.add(at, "there is no formula for this milestone: write a duration, or none");
        }
    }
}

fn expect(expect: &Expect, found: &mut Findings<'_>) {
    for (field, verdict) in [("verdict", Some(expect.verdict)), ("onKind", expect.on_kind)] {
        if verdict == Some(Verdict::Skipped) {
            found.add(
                format!("spec.expect.{field}"),
                "`skipped` is no verdict that a control can get: use fail or inconclusive",
            );
        }
    }
    if expect.without == expect.verdict && expect.verdict != Verdict::Pass {
        found.add("spec.expect.without", "is the verdict with the defect, which then decides nothing");
    }
    if expect.verdict != Verdict::Pass && expect.because.as_ref().is_none_or(|text| text.trim().is_empty()) {
        found.add(
            "spec.expect",
            "`because` is missing: a verdict for another reason than the defect would count as well",
        );
    }
}

fn defect(defect: &Defect, found: &mut Findings<'_>) {
    match defect {
        Defect::Cluster(defect) => cluster_defect(defect, found),
        Defect::Harness(defect) => {
            let at = "spec.defect.harness";
            match defect {
                HarnessDefect::EndsEarly(span) if span.0.is_zero() => {
                    found.add(format!("{at}.endsEarly"), "must be longer than 0s");
                }
                HarnessDefect::Throttled(every) | HarnessDefect::ThrottledLoad(every) if *every < 2 => {
                    found.add(format!("{at}.throttled"), "must be at least 2: every single one is all");
                }
                HarnessDefect::LateWrite(lease) => known_lease(lease, &format!("{at}.lateWrite"), found),
                _ => {}
            }
        }
    }
}

fn cluster_defect(defect: &ClusterDefect, found: &mut Findings<'_>) {
    let at = "spec.defect.cluster";
    let hit = matches!(defect.on, Where::Hit | Where::OtherWorkers);
    if hit && defect.from != Onset::Fault {
        found.add(format!("{at}.on"), "nobody is hit before the fault: use `from: fault`");
    }
    if let Where::StandbysOf(lease) = &defect.on {
        known_lease(lease, &format!("{at}.on.standbysOf"), found);
    }
    let what = format!("{at}.what");
    if matches!(defect.what, Deed::Flags(_)) && defect.from != Onset::Start {
        found.add(
            format!("{at}.from"),
            "other flags restart the pod: use `from: start`, so that it runs before the harness looks",
        );
    }
    match &defect.what {
        Deed::Flags(flags) if flags.args.is_empty() => {
            found.add(format!("{what}.flags.args"), "is empty: nothing would be changed");
        }
        Deed::UnitSettings(unit) if unit.settings.is_empty() => {
            found.add(format!("{what}.unitSettings.settings"), "is empty: nothing would be changed");
        }
        Deed::Dropped(ports) if ports.is_empty() => {
            found.add(format!("{what}.dropped"), "is empty: name the ports");
        }
        Deed::Flapping(flapping) => {
            if defect.on != Where::Hit {
                found.add(format!("{at}.on"), "what flaps is the workload that the fault hit: use `on: hit`");
            }
            for (field, span) in [("up", flapping.up), ("down", flapping.down), ("lasts", flapping.lasts)] {
                if span.0.is_zero() {
                    found.add(format!("{what}.flapping.{field}"), "must be longer than 0s");
                }
            }
        }
        _ => {}
    }
}
