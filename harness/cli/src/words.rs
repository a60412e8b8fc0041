//! Steps, milestones and assertions in words.

use std::time::Duration;

use recoup_model::{
    plan::Plan,
    spec::{Assertion, LoadStep, Milestone, Part, Peers, Side, Since, SlowFault, Step, When, Within},
};

/// What a step does.
#[must_use]
pub fn step(step: &Step) -> String {
    match step {
        Step::Signal(f) => {
            let mut text = format!("{} to {} on {}", f.signal, f.process, f.on);
            if let Some(hold) = f.hold {
                text += &format!(", thawed after {hold}");
            }
            if f.times > 1 {
                text += &format!(", {} times", f.times);
                if let Some(every) = f.every {
                    text += &format!(", each {every} after the process came back");
                }
            }
            text
        }
        Step::StaticPod(f) => {
            let who = if f.count > 1 { format!("{} of: {}", f.count, f.on) } else { f.on.to_string() };
            let how = if f.kill { "process SIGKILLed" } else { "ended gently" };
            format!("static pod {} on {who} held down for {} ({how})", f.pod.process(), f.hold)
        }
        Step::Unit(f) => format!("{}.service on {} stopped for {}", f.unit.process(), f.on, f.hold),
        Step::Pause(f) => format!("{} paused for {}", f.on, f.hold),
        Step::Drop(f) => {
            let (peers, ports) = (parties(f.peers), tcp(&f.ports));
            format!("packets between {} and {peers} dropped for {} ({ports})", f.on, f.hold)
        }
        Step::Slow(f) => slow(f),
        Step::Limit(f) => {
            let to = &f.to;
            let parts = [
                to.cpu.map(|cores| format!("{cores} of a core")),
                to.read_iops.map(|number| format!("{number} reads a second")),
                to.write_iops.map(|number| format!("{number} writes a second")),
                to.read_bytes.map(|bytes| format!("{bytes} read a second")),
                to.write_bytes.map(|bytes| format!("{bytes} written a second")),
            ];
            let parts: Vec<String> = parts.into_iter().flatten().collect();
            format!("{} on {} limited to {} for {}", f.process, f.on, parts.join(", "), f.hold)
        }
        Step::FillEtcd(f) => format!("etcd's quota used up through {}, freed after {}", f.on, f.hold),
        Step::Load(l) => load(l),
        Step::KillContainer(f) => format!("SIGKILL to a container of the workload on {}", f.on),
        Step::DeletePods(f) => {
            let pods = if f.count == 1 { "one pod".to_owned() } else { format!("{} pods", f.count) };
            format!("the API asked to delete {pods} of the workload, for up to {}", f.within)
        }
        Step::Wait(span) => format!("wait {span}"),
    }
}

fn slow(f: &SlowFault) -> String {
    let mut how = Vec::new();
    if !f.delay.0.is_zero() {
        let jitter = if f.jitter.0.is_zero() { String::new() } else { format!(" ± {}", f.jitter) };
        how.push(format!("held back for {}{jitter}", f.delay));
    }
    if f.loss.0 > 0 {
        how.push(format!("{} lost", f.loss));
    }
    how.extend(f.bandwidth.map(|rate| format!("at most {rate} a second")));
    let (peers, ports) = (parties(f.peers), tcp(&f.ports));
    format!("packets from {} to {peers} {} for {} ({ports})", f.on, how.join(", "), f.hold)
}

fn load(l: &LoadStep) -> String {
    let mix: Vec<String> = l.mix.iter().map(|(verb, weight)| format!("{} {weight}", verb.name())).collect();
    let rate = match (l.rate, l.ramp) {
        (Some(rate), _) => rate.to_string(),
        (None, Some(ramp)) => format!("{} to {} in {} steps", ramp.from, ramp.to, ramp.steps),
        (None, None) => String::new(),
    };
    format!("load of {rate} ({}) over {} connections for {}", mix.join(", "), l.connections, l.hold)
}

fn parties(peers: Option<Peers>) -> &'static str {
    match peers {
        None => "everybody",
        Some(Peers::ControlPlanes) => "the other control planes",
        Some(Peers::Nodes) => "all other nodes",
    }
}

fn tcp(ports: &[u16]) -> String {
    match ports {
        [] => "all packets".to_owned(),
        ports => format!("TCP ports {}", ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ")),
    }
}

/// What a milestone waits for.
#[must_use]
pub fn when(when: &When) -> String {
    match when {
        When::Fails(p) => format!("first failed attempt of any {}", p.0),
        When::Succeeds(p) => format!("first good answer again, in the slowest of {}", p.0),
        When::Stable(p) => format!("good for good, in the slowest of {}", p.0),
        When::NewHolder(lease) => format!("another holder of the lease {lease}"),
        When::NewLeader => "a majority of the members follows another leader".into(),
        When::NoLeader => "no member that answers knows a leader".into(),
        When::NotReady => "the API shows the node as not ready".into(),
        When::Ready => "the API shows the node as ready again".into(),
        When::Tainted => "the node is tainted NoExecute".into(),
        When::Evicted => "the node's pods are marked for deletion".into(),
        When::Replaced => "as many pods are ready as before, elsewhere".into(),
        When::StaleGone => "the replaced pods answer no more on their node".into(),
        When::CaughtUp => "the member is back and has caught up".into(),
        When::Deleted => "the API agreed to the deletion".into(),
    }
}

/// A milestone with its budget.
#[must_use]
pub fn milestone(milestone: &Milestone) -> String {
    let since = match milestone.since {
        Since::Fault => "after the fault",
        Since::Undo => "after the undo",
    };
    let budget = match (milestone.at_least, milestone.within) {
        (None, None | Some(Within::Unlimited)) => format!("measured {since}, no budget"),
        (None, Some(Within::Predicted)) => format!("as predicted, {since}"),
        (Some(least), Some(Within::Predicted)) => format!("as predicted, no sooner than {least} {since}"),
        (None, Some(Within::Span(within))) => format!("within {within} {since}"),
        (Some(least), None | Some(Within::Unlimited)) => format!("no sooner than {least} {since}"),
        (Some(least), Some(Within::Span(within))) => format!("{least} to {within} {since}"),
    };
    format!("{}: {}: {budget}", milestone.name, when(&milestone.when))
}

/// What an assertion demands.
#[must_use]
pub fn assertion(assertion: &Assertion) -> String {
    let percent = |share: f64| format!("{:.0} %", share * 100.0);
    match assertion {
        Assertion::Gap(g) if g.max.0.is_zero() => format!("not one attempt of {} fails", g.of.0),
        Assertion::Gap(g) => format!("no outage of {} is longer than {}", g.of.0, g.max),
        Assertion::Fails(s) => {
            format!("from {} after the fault to its undo, {} of {} fail", s.after, percent(s.share), s.of.0)
        }
        Assertion::Succeeds(s) => {
            format!(
                "from {} after the fault to its undo, {} of {} succeed",
                s.after,
                percent(s.share),
                s.of.0
            )
        }
        Assertion::SameLeader(_) => "the same raft leader throughout".into(),
        Assertion::NoLostWrites(_) => {
            "every acknowledged write is there at the end, through every point of view".into()
        }
        Assertion::OldHolderStaysOut(lease) => format!("the old holder of {lease} never holds it again"),
        Assertion::OldProcessGone(_) => "the processes that were hit are gone at the end".into(),
        Assertion::NoReplacementDuringFault(_) => "no pod is replaced while the fault lasts".into(),
        Assertion::Slowdown(s) => {
            let part = match s.during {
                Part::Before => "before the fault",
                Part::During => "while the fault lasts",
                Part::After => "after recovery",
            };
            let of = [("p50", s.p50), ("p90", s.p90), ("p99", s.p99)];
            let limits = of.into_iter().filter_map(|(name, most)| most.map(|most| format!("{name} {most}")));
            let limits: Vec<String> = limits.collect();
            format!("{part}, {} takes at most so many times as long as before: {}", s.of.0, limits.join(", "))
        }
        Assertion::MetricMoves(m) => {
            let on = match m.on {
                Side::Target => "of a node that is hit",
                Side::Others => "of a node that is not hit",
                Side::Any => "of any node",
            };
            format!("{} {on}: {} grows at least {}", m.component.process(), m.metric, m.at_least)
        }
        Assertion::SameHolder(lease) => format!("the same holder of {lease} throughout"),
        Assertion::HoldsUpTo(h) => {
            format!("up to {} a change converges within {} and no lease is lost", h.rate, h.convergence)
        }
        Assertion::ComesBack(c) => format!("each process that was ended runs again within {}", c.within),
    }
}

/// How long an experiment takes: at least (everything comes at once), at most (something never comes; the longer
/// where the plan's predictions are there).
/// Setting up and the health checks, some seconds each, are not in it, nor a wait for quiet or another try.
#[must_use]
pub fn duration(plan: &Plan) -> (Duration, Duration) {
    let mut begins = Duration::ZERO;
    let mut over = Duration::ZERO;
    for step in &plan.steps {
        match step {
            Step::Wait(span) => begins += span.0,
            Step::Signal(f) => begins += f.every.unwrap_or_default().0 * f.times.saturating_sub(1),
            _ => {}
        }
        over = over.max(begins + step.hold().unwrap_or_default().0);
    }
    let least = plan.baseline.0 + over.max(begins) + plan.stable.0;
    (least, plan.baseline.0 + over.max(begins) + plan.observed().0)
}

/// A length of time for people: seconds, or whole minutes.
#[must_use]
pub fn about(length: Duration) -> String {
    match length.as_secs() {
        s if s >= 120 => format!("{} min", (s + 30) / 60),
        s => format!("{s} s"),
    }
}

/// A number of things: `1 worker`, `2 workers`.
#[must_use]
pub fn count(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use recoup_clusters::PROFILES;
    use recoup_model::spec::builtin;

    use super::*;

    #[test]
    fn every_built_in_step_and_condition_has_words_without_rust_in_them() {
        for plan in builtin(PROFILES).unwrap() {
            let lines = plan
                .steps
                .iter()
                .map(step)
                .chain(plan.milestones.iter().map(milestone))
                .chain(plan.assertions.iter().map(assertion));
            for line in lines {
                assert!(
                    !line.contains("Some(") && !line.contains("::") && !line.contains(" { "),
                    "{}: {line}",
                    plan.id
                );
            }
        }
    }

    #[test]
    fn lengths_are_said_as_people_say_them() {
        let about = |s| about(Duration::from_secs(s));
        assert_eq!(about(95), "95 s");
        assert_eq!(about(240), "4 min");
        assert_eq!(about(1500), "25 min");
    }
}
