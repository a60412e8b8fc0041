//! From a suite file's text to plans: one per variant, with every problem told at once.

use std::collections::BTreeMap;

use super::{
    API_VERSION, Assertion, ExperimentFile, Flags, Milestone, Pattern, ProbeSpecs, Step, Variant, Within,
    WorkloadSpec, check,
};
use crate::{
    configuration::Configuration,
    plan::Plan,
    predict,
    yaml::{self, Places, Problem, SuiteError},
};

/// Reads a suite file. `profiles` are the names of the cluster profiles that there are.
///
/// # Errors
/// Everything that is wrong with the file, each with its place.
pub fn load(file: &str, text: &str, profiles: &[&str]) -> Result<Vec<Plan>, SuiteError> {
    let places = Places::new(file, text);
    let read: ExperimentFile = match yaml::parse(file, text) {
        Ok(read) => read,
        Err(SuiteError::Invalid(mut problems)) => {
            problems.extend(each_part(&places));
            SuiteError::check(problems)?;
            return Ok(Vec::new());
        }
    };
    let mut found = check::Findings::new(&places);
    head(&read, profiles, &mut found);
    let spec = &read.spec;
    for (v, variant) in spec.variants.iter().enumerate() {
        let at = format!("spec.variants[{v}]");
        check::name(&variant.name, &format!("{at}.name"), &mut found);
        if spec.variants[..v].iter().any(|earlier| earlier.name == variant.name) {
            found.add(format!("{at}.name"), format!("there are two variants of the name {:?}", variant.name));
        }
        check::flags(&variant.flags, &format!("{at}.flags"), &mut found);
        check::variant(spec, variant, &at, &mut found);
        predicted(&read, v, &mut found);
    }
    SuiteError::check(found.into_problems())?;
    Ok(spec.variants.iter().map(|variant| plan(&read, variant)).collect())
}

/// The library stops at the first error; so each part is read by itself to tell the others' too.
fn each_part(places: &Places<'_>) -> Vec<Problem> {
    fn list<T: serde::de::DeserializeOwned>(places: &Places<'_>, path: &str, problems: &mut Vec<Problem>) {
        problems.extend((0..places.items(path)).filter_map(|n| places.check::<T>(&format!("{path}[{n}]"))));
    }
    let mut problems = Vec::new();
    problems.extend(places.check::<super::Metadata>("metadata"));
    problems.extend(places.check::<WorkloadSpec>("spec.workload"));
    problems.extend(places.check::<ProbeSpecs>("spec.probes"));
    for span in ["spec.baseline", "spec.stable", "spec.observe"] {
        problems.extend(places.check::<crate::time::Span>(span));
    }
    list::<Milestone>(places, "spec.milestones", &mut problems);
    list::<Assertion>(places, "spec.assertions", &mut problems);
    for v in 0..places.items("spec.variants") {
        list::<Step>(places, &format!("spec.variants[{v}].steps"), &mut problems);
        list::<Milestone>(places, &format!("spec.variants[{v}].milestones"), &mut problems);
        list::<Assertion>(places, &format!("spec.variants[{v}].assertions"), &mut problems);
    }
    problems
}

/// What stands above the variants.
fn head(read: &ExperimentFile, profiles: &[&str], found: &mut check::Findings<'_>) {
    if read.api_version != API_VERSION {
        found.add(
            "apiVersion",
            format!("{:?} is not known; this version reads {API_VERSION:?}", read.api_version),
        );
    }
    if read.kind != "Experiment" {
        found.add("kind", format!("{:?} is not known; a suite file is an \"Experiment\"", read.kind));
    }
    match read.metadata.name.split_once('/') {
        Some((area, experiment)) => {
            check::name(area, "metadata.name", found);
            check::name(experiment, "metadata.name", found);
        }
        None => found.add(
            "metadata.name",
            format!("{:?} is no area/experiment: write it as in etcd/leader-loss", read.metadata.name),
        ),
    }
    let spec = &read.spec;
    if spec.hypothesis.trim().is_empty() {
        found.add("spec.hypothesis", "is empty: say what is believed to hold");
    }
    if !profiles.contains(&spec.profile.as_str()) {
        let choices = yaml::choices(&spec.profile, profiles);
        found.add("spec.profile", format!("there is no cluster profile {:?}; {choices}", spec.profile));
    }
    if spec.workload.replicas == 0 {
        found.add("spec.workload.replicas", "must be at least 1");
    }
    for (field, span) in [("stable", spec.stable), ("observe", spec.observe)] {
        if span.0.is_zero() {
            found.add(format!("spec.{field}"), "must be longer than 0s");
        }
    }
    check::flags(&spec.flags, "spec.flags", found);
    check::probes(spec, found);
    if spec.variants.is_empty() {
        found.add("spec.variants", "at least one variant is needed");
    }
}

/// `within: predicted` needs a formula.
fn predicted(read: &ExperimentFile, v: usize, found: &mut check::Findings<'_>) {
    let Some(variant) = read.spec.variants.get(v) else { return };
    let plan = plan(read, variant);
    let own = |name: &str| variant.milestones.iter().any(|milestone| milestone.name == name);
    let common = read.spec.milestones.iter().enumerate().filter(|(_, milestone)| !own(&milestone.name));
    let common = common.map(|(n, milestone)| (format!("spec.milestones[{n}]"), milestone));
    let own = variant.milestones.iter().enumerate();
    let own = own.map(|(n, milestone)| (format!("spec.variants[{v}].milestones[{n}]"), milestone));
    for (at, milestone) in common.chain(own) {
        if milestone.within == Some(Within::Predicted) && !predict::has_formula(&plan, milestone) {
            let message = format!(
                "there is no formula for this milestone in the variant {:?}: write a duration, or none",
                variant.name
            );
            found.add(format!("{at}.within"), message);
        }
    }
}

/// A budget that is left out is predicted where that can be done on a cluster of usual settings.
fn with_budgets(mut plan: Plan) -> Plan {
    let usual = predict::predict(&plan, &Configuration::documented(predict::USUAL, 3));
    for milestone in &mut plan.milestones {
        milestone.within = match milestone.within {
            None if usual.contains_key(&milestone.name) => Some(Within::Predicted),
            None | Some(Within::Unlimited) => None,
            given => given,
        };
    }
    plan
}

/// One variant with what it shares with the others.
fn plan(read: &ExperimentFile, variant: &Variant) -> Plan {
    let spec = &read.spec;
    let id = match (spec.variants.len(), variant.name.as_str()) {
        (1, "default") => read.metadata.name.clone(),
        _ => format!("{}/{}", read.metadata.name, variant.name),
    };
    with_budgets(Plan {
        trial: 1,
        earlier: Vec::new(),
        predictions: BTreeMap::new(),
        id,
        hypothesis: spec.hypothesis.trim().to_owned(),
        smoke: variant.smoke,
        profile: spec.profile.clone(),
        workload: spec.workload,
        probes: spec.probes,
        flags: merged_flags(&spec.flags, &variant.flags),
        baseline: spec.baseline,
        stable: spec.stable,
        observe: spec.observe,
        steps: variant.steps.clone(),
        milestones: merged(&spec.milestones, &variant.milestones),
        assertions: spec.assertions.iter().chain(&variant.assertions).cloned().collect(),
        streams: Vec::new(),
    })
}

/// The common flags, and the variant's own in place of those of the same name.
fn merged_flags(common: &Flags, own: &Flags) -> Flags {
    let mut all = common.clone();
    for (pod, flags) in own {
        all.entry(*pod).or_default().extend(flags.clone());
    }
    all
}

/// The common milestones, each replaced by the variant's own of the same name, then the variant's others.
pub(super) fn merged(common: &[Milestone], own: &[Milestone]) -> Vec<Milestone> {
    let named = |list: &[Milestone], name: &str| list.iter().any(|milestone| milestone.name == name);
    let replaced = common
        .iter()
        .map(|milestone| own.iter().find(|other| other.name == milestone.name).unwrap_or(milestone).clone());
    replaced.chain(own.iter().filter(|milestone| !named(common, &milestone.name)).cloned()).collect()
}

impl Milestone {
    /// The streams that it is read from; for states these are the streams that tell them.
    #[must_use]
    pub fn pattern(&self) -> Option<Pattern> {
        use super::When;
        let of = |name: &str| Some(Pattern(name.to_owned()));
        match &self.when {
            When::Fails(pattern) | When::Succeeds(pattern) | When::Stable(pattern) => Some(pattern.clone()),
            When::NewHolder(lease) => of(&format!("lease/{lease}")),
            When::NewLeader | When::NoLeader | When::CaughtUp => of("etcd/status/*"),
            When::NotReady | When::Ready | When::Tainted => of("nodes"),
            When::Evicted | When::Replaced => of("pods"),
            When::StaleGone => of("workload/pod/@target"),
            When::Deleted => None,
        }
    }
}

impl Assertion {
    /// The streams that it is read from.
    #[must_use]
    pub fn patterns(&self) -> Vec<Pattern> {
        let of = |names: &[&str]| names.iter().map(|name| Pattern((*name).to_owned())).collect();
        match self {
            Assertion::Gap(gap) => vec![gap.of.clone()],
            Assertion::Fails(share) | Assertion::Succeeds(share) => vec![share.of.clone()],
            Assertion::SameLeader(_) => of(&["etcd/status/*"]),
            Assertion::NoLostWrites(_) => of(&["api/write/*/*", "etcd/put/*"]),
            Assertion::OldHolderStaysOut(lease) => of(&[&format!("lease/{lease}")]),
            Assertion::NoReplacementDuringFault(_) => of(&["pods"]),
            Assertion::Slowdown(settings) => vec![settings.of.clone()],
            Assertion::MetricMoves(settings) => of(&[&format!("metrics/{}/*", settings.component.process())]),
            Assertion::SameHolder(lease) => of(&[&format!("lease/{lease}")]),
            Assertion::HoldsUpTo(_) => of(&["converge"]),
            Assertion::OldProcessGone(_) | Assertion::ComesBack(_) => Vec::new(),
        }
    }

    /// The assertion's key in YAML.
    #[must_use]
    pub fn key(&self) -> &'static str {
        match self {
            Assertion::Gap(_) => "gap",
            Assertion::Fails(_) => "fails",
            Assertion::Succeeds(_) => "succeeds",
            Assertion::SameLeader(_) => "sameLeader",
            Assertion::NoLostWrites(_) => "noLostWrites",
            Assertion::OldHolderStaysOut(_) => "oldHolderStaysOut",
            Assertion::OldProcessGone(_) => "oldProcessGone",
            Assertion::NoReplacementDuringFault(_) => "noReplacementDuringFault",
            Assertion::ComesBack(_) => "comesBack",
            Assertion::Slowdown(_) => "slowdown",
            Assertion::MetricMoves(_) => "metricMoves",
            Assertion::SameHolder(_) => "sameHolder",
            Assertion::HoldsUpTo(_) => "holdsUpTo",
        }
    }
}
