//! What a suite file must satisfy beyond its shape.

use std::fmt::Display;

use super::{
    Assertion, ExperimentSpec, Flags, HoldsUpTo, LimitFault, LoadStep, Milestone, Part, Pattern, ProbeSpecs,
    RateSpec, Step, Target, Variant, When, Within, counts, load::merged,
};
use crate::{
    action::{Signal, plain_flag, plain_value},
    degrade::Limit,
    metrics,
    plan::Stream,
    streams::{LEASES, of_nodes},
    topology::{Node, NodeRole},
    yaml::{Places, Problem, choices},
};

/// Problems as they are found.
pub(super) struct Findings<'a> {
    places: &'a Places<'a>,
    problems: Vec<Problem>,
}

impl<'a> Findings<'a> {
    pub(super) fn new(places: &'a Places<'a>) -> Findings<'a> {
        Findings { places, problems: Vec::new() }
    }

    pub(super) fn add(&mut self, path: impl AsRef<str>, message: impl Display) {
        self.problems.push(self.places.problem(path.as_ref(), message));
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems
    }
}

/// A name is of lower-case letters, digits and dashes.
pub(super) fn name(name: &str, path: &str, found: &mut Findings<'_>) {
    let fits = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if !fits || name.is_empty() || name.starts_with('-') || name.ends_with('-') {
        found.add(path, format!("{name:?} is no name: use lower-case letters, digits and dashes"));
    }
}

/// Rates are above zero, and the baseline holds enough samples.
pub(super) fn probes(spec: &ExperimentSpec, found: &mut Findings<'_>) {
    let probes = &spec.probes;
    let rates: [(&str, &RateSpec, Option<super::Rate>); 11] = [
        ("api", &probes.api, probes.api()),
        ("newConnections", &probes.new_connections, probes.new_connections()),
        ("etcd", &probes.etcd, probes.etcd()),
        ("leases", &probes.leases, probes.leases()),
        ("nodes", &probes.nodes, probes.nodes()),
        ("nodeLeases", &probes.node_leases, probes.node_leases()),
        ("workload", &probes.workload, probes.workload()),
        ("health", &probes.health, probes.health()),
        ("metrics", &probes.metrics, probes.metrics()),
        ("convergence", &probes.convergence, probes.convergence()),
        ("scheduling", &probes.scheduling, probes.scheduling()),
    ];
    for (key, given, _) in &rates {
        for (field, span) in [("period", given.period), ("timeout", given.timeout), ("slow", given.slow)] {
            if span.is_some_and(|span| span.0.is_zero()) {
                found.add(format!("spec.probes.{key}.{field}"), "must be longer than 0s");
            }
        }
    }
    match rates.iter().filter_map(|(_, _, rate)| rate.map(|rate| rate.period)).min() {
        None => found.add("spec.probes", "all probes are off: nothing could be measured"),
        Some(fastest) if spec.baseline.0 < fastest.0 * 30 => found.add(
            "spec.baseline",
            format!(
                "{} is too short: the fastest probe, every {fastest}, needs 30 samples, which take {}",
                spec.baseline,
                crate::time::Span(fastest.0 * 30)
            ),
        ),
        Some(_) => {}
    }
}

/// Names and values of flags are such as a manifest takes unquoted.
pub(super) fn flags(flags: &Flags, at: &str, found: &mut Findings<'_>) {
    for (pod, args) in flags {
        let at = format!("{at}.{}", pod.process());
        if args.is_empty() {
            found.add(&at, "names no flag: write it without dashes, as in leader-elect-lease-duration: 30s");
        }
        for (flag, value) in args {
            let at = format!("{at}.{flag}");
            if !plain_flag(flag) {
                let message =
                    format!("{flag:?} is no flag: write it without leading dashes, in letters, digits and -");
                found.add(&at, message);
            }
            if !plain_value(value) {
                let message = format!(
                    "{value:?} is no plain word: letters, digits and -_./:=,@%+ are, not with a : at the end"
                );
                found.add(&at, message);
            }
        }
    }
}

/// Steps, milestones and assertions of a variant.
pub(super) fn variant(spec: &ExperimentSpec, variant: &Variant, at: &str, found: &mut Findings<'_>) {
    if !variant.steps.iter().any(Step::is_fault) {
        let message = "a variant must break something: signal, staticPod, unit, pause, drop, killContainer, slow, limit, fillEtcd or load";
        found.add(format!("{at}.steps"), message);
    }
    for (n, one) in variant.steps.iter().enumerate() {
        step(one, n, &variant.steps, &format!("{at}.steps[{n}]"), found);
    }
    let milestones = merged(&spec.milestones, &variant.milestones);
    if milestones.is_empty() && spec.assertions.is_empty() && variant.assertions.is_empty() {
        found.add(at, "nothing decides: a milestone or an assertion is needed");
    }
    let common = |list: &str| format!("spec.{list}");
    for (list, path) in
        [(&spec.milestones, common("milestones")), (&variant.milestones, format!("{at}.milestones"))]
    {
        for (n, one) in list.iter().enumerate() {
            let path = format!("{path}[{n}]");
            if list[..n].iter().any(|earlier| earlier.name == one.name) {
                found.add(
                    format!("{path}.name"),
                    format!("there are two milestones of the name {:?}", one.name),
                );
            }
            milestone(one, spec, variant, &path, found);
        }
    }
    for (list, path) in
        [(&spec.assertions, common("assertions")), (&variant.assertions, format!("{at}.assertions"))]
    {
        for (n, one) in list.iter().enumerate() {
            assertion(one, spec, variant, &format!("{path}[{n}]"), found);
        }
    }
}

fn step(step: &Step, n: usize, steps: &[Step], at: &str, found: &mut Findings<'_>) {
    let at = format!("{at}.{}", step.key());
    let target = match step {
        Step::Signal(fault) => {
            match (fault.signal, fault.hold) {
                (Signal::Stop, None) => found.add(&at, "STOP needs `for`: after how long is it thawed?"),
                (Signal::Stop, Some(_)) if fault.times != 1 => {
                    found.add(
                        format!("{at}.times"),
                        "STOP is sent once: a frozen process cannot come back by itself",
                    );
                }
                (Signal::Kill | Signal::Term, Some(_)) => {
                    let message =
                        format!("{} has nothing to hold: `for` belongs to STOP only", fault.signal.name());
                    found.add(format!("{at}.for"), message);
                }
                (Signal::Cont, _) => {
                    found.add(
                        format!("{at}.signal"),
                        "CONT breaks nothing: use KILL, TERM, or STOP with `for`",
                    );
                }
                _ => {}
            }
            if fault.times == 0 {
                found.add(format!("{at}.times"), "must be at least 1");
            }
            if fault.every.is_some() && fault.times < 2 {
                found.add(format!("{at}.every"), "belongs to `times` of 2 and more");
            }
            Some(&fault.on)
        }
        Step::StaticPod(fault) => {
            if fault.count == 0 {
                found.add(format!("{at}.count"), "must be at least 1");
            }
            Some(&fault.on)
        }
        Step::Slow(fault) => {
            let spare = fault.delay.0.is_zero() && fault.loss.0 == 0 && fault.bandwidth.is_none();
            if spare {
                found.add(&at, "holds nothing back: give a `delay`, a `loss` or a `bandwidth`");
            }
            if fault.jitter > fault.delay {
                let message = format!("{} is more than the delay, {}", fault.jitter, fault.delay);
                found.add(format!("{at}.jitter"), message);
            }
            if fault.loss.0 > 1_000_000 {
                found.add(format!("{at}.loss"), format!("{} is more than all packets", fault.loss));
            }
            Some(&fault.on)
        }
        Step::Limit(fault) => {
            limit(fault, &at, found);
            Some(&fault.on)
        }
        Step::Load(load) => {
            self::load(load, &at, found);
            if steps[..n].iter().any(|earlier| matches!(earlier, Step::Load(_))) {
                found.add(&at, "there is a load already: one mix of all requests tells what each rate does");
            }
            None
        }
        Step::Unit(_) | Step::Pause(_) | Step::Drop(_) | Step::KillContainer(_) | Step::FillEtcd(_) => {
            step.on()
        }
        Step::DeletePods(fault) => {
            if fault.count == 0 {
                found.add(format!("{at}.count"), "must be at least 1");
            }
            if fault.within.0.is_zero() {
                found.add(format!("{at}.within"), "must be longer than 0s");
            }
            None
        }
        Step::Wait(_) => None,
    };
    if step.hold().is_some_and(|hold| hold.0.is_zero()) {
        found.add(format!("{at}.for"), "must be longer than 0s");
    }
    match target {
        Some(Target::SameAs(earlier)) => {
            let earlier_step =
                usize::try_from(*earlier).ok().and_then(|e| e.checked_sub(1)).filter(|e| *e < n);
            if !earlier_step.and_then(|e| steps.get(e)).is_some_and(Step::is_fault) {
                let message =
                    format!("step {earlier} is no earlier step that hits a node (they count from 1)");
                found.add(format!("{at}.on.sameAs"), message);
            }
        }
        Some(Target::LeaseHolder(lease)) => known_lease(lease, &format!("{at}.on.leaseHolder"), found),
        _ => {}
    }
}

fn limit(fault: &LimitFault, at: &str, found: &mut Findings<'_>) {
    let to = &fault.to;
    if *to == Limit::default() {
        found.add(format!("{at}.to"), "limits nothing: cpu, readIops, writeIops, readBytes or writeBytes");
    }
    let numbers = [
        ("cpu", to.cpu.map(|cores| u64::from(cores.0)), LEAST_CPU),
        ("readIops", to.read_iops.map(u64::from), 1),
        ("writeIops", to.write_iops.map(u64::from), 1),
        ("readBytes", to.read_bytes.map(|bytes| bytes.0), 1),
        ("writeBytes", to.write_bytes.map(|bytes| bytes.0), 1),
    ];
    for (key, number, least) in numbers {
        if number.is_some_and(|number| number < least) {
            found
                .add(format!("{at}.to.{key}"), format!("must be at least {least}: the kernel takes no less"));
        }
    }
}

fn load(load: &LoadStep, at: &str, found: &mut Findings<'_>) {
    if load.mix.values().all(|weight| *weight == 0) {
        found.add(format!("{at}.mix"), "no request has a weight above 0");
    }
    match (load.rate, load.ramp) {
        (Some(_), Some(_)) | (None, None) => found.add(at, "one of `rate` and `ramp` is needed"),
        (Some(rate), None) if rate.0 == 0 => found.add(format!("{at}.rate"), "must be more than 0/s"),
        (None, Some(ramp)) => {
            if ramp.from.0 == 0 || ramp.to <= ramp.from {
                found.add(format!("{at}.ramp"), "must grow, and from more than 0/s");
            }
            if ramp.steps < 2 {
                found.add(format!("{at}.ramp.steps"), "must be at least 2");
            }
        }
        _ => {}
    }
    if load.connections == 0 {
        found.add(format!("{at}.connections"), "must be at least 1");
    }
    if load.timeout.0.is_zero() {
        found.add(format!("{at}.timeout"), "must be longer than 0s");
    }
}

/// The kernel takes no quota under 1 ms, which is a hundredth of a core in its period of 100 ms.
const LEAST_CPU: u64 = 10;

fn milestone(one: &Milestone, spec: &ExperimentSpec, variant: &Variant, at: &str, found: &mut Findings<'_>) {
    if one.name.trim().is_empty() {
        found.add(format!("{at}.name"), "must not be empty");
    }
    if let (Some(least), Some(Within::Span(within))) = (one.at_least, one.within)
        && least > within
    {
        found.add(format!("{at}.atLeast"), format!("{least} is longer than `within`, {within}"));
    }
    match &one.when {
        When::Deleted if !variant.steps.iter().any(|step| matches!(step, Step::DeletePods(_))) => {
            let message = format!("the variant {:?} has no step `deletePods`", variant.name);
            found.add(format!("{at}.when"), message);
        }
        _ => {}
    }
    if let Some(pattern) = one.pattern() {
        matches_something(&pattern, spec, &format!("{at}.when"), found);
    }
}

fn assertion(one: &Assertion, spec: &ExperimentSpec, variant: &Variant, at: &str, found: &mut Findings<'_>) {
    let at = format!("{at}.{}", one.key());
    let hold = variant.steps.iter().any(|step| counts(&variant.steps, step) && step.hold().is_some());
    match one {
        Assertion::Fails(share) | Assertion::Succeeds(share) => {
            if !(0.0..=1.0).contains(&share.share) {
                found.add(format!("{at}.share"), format!("{} is no share: from 0 to 1", share.share));
            }
            if !hold {
                let message = format!(
                    "no step of the variant {:?} lasts: attempts are counted while one does",
                    variant.name
                );
                found.add(&at, message);
            }
        }
        Assertion::Slowdown(settings) => {
            let given = [settings.p50, settings.p90, settings.p99];
            if given.iter().all(Option::is_none) {
                found.add(&at, "asks for nothing: give at least one of p50, p90 and p99, as in `p90: 3x`");
            }
            if settings.during == Part::Before {
                found.add(
                    format!("{at}.during"),
                    "the baseline is what is compared with: use during or after",
                );
            }
            for (key, factor) in ["p50", "p90", "p99"].into_iter().zip(given) {
                if factor.is_some_and(|factor| factor.0 < 100) {
                    let message = "is less than 1x: it would have to become quicker";
                    found.add(format!("{at}.{key}"), message);
                }
            }
        }
        Assertion::MetricMoves(settings) => {
            let names: Vec<&str> = metrics::of(settings.component).map(|metric| metric.name).collect();
            let (process, metric) = (settings.component.process(), settings.metric.as_str());
            if !names.contains(&metric) {
                let message = format!("{process} has no metric {metric:?}; {}", choices(metric, &names));
                found.add(format!("{at}.metric"), message);
            }
            if settings.at_least.0 <= 100 {
                found.add(format!("{at}.atLeast"), "must be more than 1x: it shall have grown");
            }
        }
        Assertion::NoReplacementDuringFault(_) if !hold => {
            found.add(&at, format!("no step of the variant {:?} lasts", variant.name));
        }
        Assertion::ComesBack(_) if !variant.steps.iter().any(ends_process) => {
            let message = format!("the variant {:?} ends no process by KILL or TERM", variant.name);
            found.add(&at, message);
        }
        Assertion::HoldsUpTo(settings) => holds_up_to(settings, variant, &at, found),
        Assertion::ComesBack(settings) if settings.within.0.is_zero() => {
            found.add(format!("{at}.within"), "must be longer than 0s");
        }
        _ => {}
    }
    for pattern in one.patterns() {
        matches_something(&pattern, spec, &at, found);
    }
}

/// A load of that variant reaches the rate, and nothing else is broken.
fn holds_up_to(settings: &HoldsUpTo, variant: &Variant, at: &str, found: &mut Findings<'_>) {
    let name = &variant.name;
    let loads = variant.steps.iter().filter_map(|step| match step {
        Step::Load(load) => Some(load),
        _ => None,
    });
    match loads.filter_map(|load| load.ramp.map(|ramp| ramp.to).or(load.rate)).max() {
        None => found.add(at, format!("the variant {name:?} has no step `load`")),
        Some(top) if top < settings.rate => {
            let message =
                format!("{} is more than the load of the variant {name:?} reaches: {top}", settings.rate);
            found.add(format!("{at}.rate"), message);
        }
        Some(_) => {}
    }
    if variant.steps.iter().any(|step| step.is_fault() && !matches!(step, Step::Load(_))) {
        let message =
            format!("the variant {name:?} breaks something besides: whose doing it was could not be told");
        found.add(at, message);
    }
    if settings.convergence.0.is_zero() {
        found.add(format!("{at}.convergence"), "must be longer than 0s");
    }
}

fn ends_process(step: &Step) -> bool {
    matches!(step, Step::Signal(fault) if fault.signal != Signal::Stop)
}

pub(super) fn known_lease(lease: &str, at: &str, found: &mut Findings<'_>) {
    if !LEASES.contains(&lease) {
        found.add(at, format!("there is no lease {lease:?}; {}", choices(lease, &LEASES)));
    }
}

/// Names of nodes that no cluster has: they stand for any node.
const NODES: [(&str, NodeRole); 2] =
    [("any control plane", NodeRole::ControlPlane), ("any worker", NodeRole::Worker)];

/// The pattern can match a stream of the experiment's probes, on some cluster.
fn matches_something(pattern: &Pattern, spec: &ExperimentSpec, at: &str, found: &mut Findings<'_>) {
    if pattern.0.strip_prefix("lease/").is_some_and(|lease| lease != "*" && !LEASES.contains(&lease)) {
        return known_lease(&pattern.0["lease/".len()..], at, found);
    }
    let nodes =
        NODES.map(|(name, role)| Node { name: name.into(), role, zone: None, address: [0, 0, 0, 0].into() });
    let on = |stream: &Stream| could_match(pattern, &stream.name);
    if of_nodes(&spec.probes, &nodes, &[]).iter().any(on) {
        return;
    }
    let yes = |rate: RateSpec| RateSpec { enabled: Some(true), ..rate };
    let p = &spec.probes;
    let all = ProbeSpecs {
        api: yes(p.api),
        new_connections: yes(p.new_connections),
        etcd: yes(p.etcd),
        leases: yes(p.leases),
        nodes: yes(p.nodes),
        node_leases: yes(p.node_leases),
        workload: yes(p.workload),
        metrics: yes(p.metrics),
        health: yes(p.health),
        convergence: yes(p.convergence),
        scheduling: yes(p.scheduling),
    };
    let every = of_nodes(&all, &nodes, &[]);
    if every.iter().any(on) {
        found.add(at, format!("{:?} names a probe that is off: switch it on under spec.probes", pattern.0));
    } else {
        let mut names: Vec<String> = every.iter().map(|stream| general(&stream.name)).collect();
        names.sort();
        names.dedup();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        found.add(
            at,
            format!("no probe gives a stream that {:?} fits; {}", pattern.0, choices(&pattern.0, &names)),
        );
    }
}

fn could_match(pattern: &Pattern, stream: &str) -> bool {
    let (wanted, given): (Vec<&str>, Vec<&str>) =
        (pattern.0.split('/').collect(), stream.split('/').collect());
    wanted.len() == given.len()
        && wanted.iter().zip(given).all(|(want, have)| {
            let any_node = NODES.iter().any(|(name, _)| *name == have);
            *want == "*" || *want == have || (any_node && !want.is_empty() && *want != "lb")
        })
}

/// A stream's name with `*` for the node.
fn general(stream: &str) -> String {
    NODES.iter().fold(stream.to_owned(), |name, (node, _)| name.replace(node, "*"))
}
