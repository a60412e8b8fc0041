//! What must hold before a record says anything about the cluster: the fault took effect, the cluster was
//! healthy and quiet before, and enough was seen.

use std::collections::BTreeSet;

use crate::{
    evidence::Evidence,
    judge::{decisive, decisive_patterns},
    milestone::told,
    observation::{Observation, Observed},
    residue,
    spec::Assertion,
    time::Offset,
    timeline::{Outcome, Series, Timeline},
};

/// Everything that is missing, each in a sentence; empty where the record can be judged.
pub(crate) fn missing(timeline: &Timeline, evidence: &[Evidence]) -> Vec<String> {
    // Where it was broken off or never begun, the rest is missing for that one reason.
    if let Some(reason) = &timeline.aborted {
        let mut reasons = vec![format!("the harness broke the experiment off: {reason}")];
        reasons.extend(residue::missing(timeline));
        return reasons;
    }
    if let Some(problems) = timeline.before.as_ref().filter(|problems| !problems.is_empty()) {
        return vec![format!("the cluster was not healthy before: {}", problems.join("; "))];
    }
    if timeline.steps.is_empty() && !timeline.plan.steps.is_empty() {
        let mut reasons = unquiet(timeline);
        if !reasons.is_empty() {
            reasons.insert(0, "nothing was broken, because the baseline never was quiet".into());
            reasons.extend(residue::missing(timeline));
            return reasons;
        }
    }
    let mut reasons = Vec::new();
    if timeline.before.is_none() {
        reasons.push("the cluster's health before is not recorded".into());
    }
    if timeline.after.is_none() {
        reasons.push("the cluster's health afterwards is not recorded".into());
    }
    effect(timeline, &mut reasons);
    for Evidence { step, check, seen, .. } in evidence.iter().filter(|evidence| !evidence.held) {
        let key = timeline.plan.steps.get(*step as usize - 1).map_or("", |step| step.key());
        reasons.push(format!("step {step} ({key}): the record does not show that {check}: {seen}"));
    }
    reasons.extend(residue::missing(timeline));
    restless(timeline, &mut reasons);
    unrouted(timeline, &mut reasons);
    for series in decisive(timeline) {
        baseline(timeline, series, &mut reasons);
        // Those of a baseline that began again say nothing of what came of the last one.
        let counted = series.attempts.iter().filter(|attempt| attempt.sent >= timeline.started());
        let (all, lost) = counted.fold((0, 0), |(all, lost), attempt| {
            (all + 1, lost + usize::from(!attempt.good() && !attempt.bad()))
        });
        if lost * 10 > all {
            let name = &series.stream.name;
            reasons.push(format!("{name}: the observer itself lost {lost} of {all} attempts"));
        }
    }
    reasons
}

/// What keeps the baseline, as far as it has gone, from being one.
pub(crate) fn unquiet(timeline: &Timeline) -> Vec<String> {
    let mut reasons = Vec::new();
    for series in decisive(timeline) {
        baseline(timeline, series, &mut reasons);
    }
    restless(timeline, &mut reasons);
    reasons
}

/// Leadership moved while nothing was broken: what follows cannot be told from what was under way.
fn restless(timeline: &Timeline, reasons: &mut Vec<String>) {
    let (from, to) = (timeline.started(), timeline.baseline_end());
    let (mut leaders, mut without) = (BTreeSet::new(), BTreeSet::new());
    for series in &timeline.series {
        let inside = || told(series).filter(|(sent, done, _)| *sent >= from && *done < to);
        match &series.stream.observation {
            Observation::EtcdStatus { member } => {
                for (.., told) in inside() {
                    if let Observed::Member { leader, .. } = told {
                        match leader {
                            Some(leader) => drop(leaders.insert(leader.as_str())),
                            None => drop(without.insert(member.as_str())),
                        }
                    }
                }
            }
            Observation::Lease { name } => {
                let holders: BTreeSet<&str> = inside()
                    .filter_map(|(.., told)| match told {
                        Observed::Lease { holder, .. } => Some(holder.as_str()),
                        _ => None,
                    })
                    .collect();
                if holders.len() > 1 {
                    let all = holders.into_iter().collect::<Vec<_>>().join(", ");
                    reasons.push(format!("the lease {name} changed its holder within the baseline: {all}"));
                }
            }
            _ => {}
        }
    }
    if leaders.len() > 1 {
        reasons.push("the raft leader changed within the baseline".into());
    }
    if !without.is_empty() {
        let members = without.into_iter().collect::<Vec<_>>().join(", ");
        reasons.push(format!("{members} knew no raft leader within the baseline"));
    }
}

/// A node whose kube-proxy does not follow Services has no stream through the Service. Where a pattern says
/// `*` the others stand for it, and the notes name it; one that means this very node has lost its subject.
fn unrouted(timeline: &Timeline, reasons: &mut Vec<String>) {
    let is_there = |name: &str| timeline.series.iter().any(|series| series.stream.name == name);
    let targets = timeline.targets();
    for node in &timeline.nodes {
        let name = format!("workload/service/{node}");
        if is_there(&name) || !is_there(&format!("workload/pod/{node}")) {
            continue;
        }
        let needs = |pattern: &&crate::spec::Pattern| {
            !pattern.0.ends_with("/*") && pattern.fits(&name, &targets, &timeline.nodes)
        };
        if let Some(pattern) = decisive_patterns(timeline).iter().find(needs) {
            let pattern = &pattern.0;
            reasons.push(format!(
                "{node} did not route to the Service before anything was broken, and {pattern} needs it"
            ));
        }
    }
}

/// Every fault has evidence, from every node that it hit.
fn effect(timeline: &Timeline, reasons: &mut Vec<String>) {
    for (n, step, trace) in timeline.faults() {
        let key = step.key();
        let Some(trace) = trace.filter(|trace| !trace.injected.is_empty()) else {
            reasons.push(format!("step {n} ({key}) was not carried out"));
            continue;
        };
        for (node, check, effective, seen) in &trace.evidence {
            if !effective {
                reasons.push(format!("step {n} ({key}) had no effect on {node}: {check}: {seen}"));
            }
        }
        for node in
            trace.targets.iter().filter(|node| !trace.evidence.iter().any(|(other, ..)| other == *node))
        {
            reasons.push(format!("step {n} ({key}): there is no evidence that it took effect on {node}"));
        }
        if trace.evidence.is_empty() && trace.targets.is_empty() {
            reasons.push(format!("step {n} ({key}): there is no evidence that it took effect"));
        }
    }
}

/// A `gap` of no length is asserted of it: what loses one attempt by itself is nothing to assert that of.
fn may_lose_nothing(timeline: &Timeline, series: &Series) -> bool {
    let targets = timeline.targets();
    timeline.plan.assertions.iter().any(|assertion| match assertion {
        Assertion::Gap(gap) => {
            gap.max.0.is_zero() && gap.of.fits(&series.stream.name, &targets, &timeline.nodes)
        }
        _ => false,
    })
}

/// Attempts without which a baseline says nothing, however short it was meant to be.
const FEWEST: u128 = 10;

fn baseline(timeline: &Timeline, series: &Series, reasons: &mut Vec<String>) {
    let (from, to): (Offset, Offset) = (timeline.started(), timeline.baseline_end());
    let inside: Vec<_> =
        series.attempts.iter().filter(|a| a.sent >= from && a.sent < to && a.known() < to).collect();
    let bad = inside.iter().filter(|attempt| attempt.bad()).count();
    let failed = inside.iter().filter(|attempt| matches!(attempt.outcome, Outcome::Bad(_))).count();
    let counted = inside.iter().filter(|attempt| attempt.good()).count() + bad;
    let expected = to.since(from).as_micros() / series.stream.rate.period.0.as_micros().max(1);
    // A probe of one attempt a second has ten in a baseline of 10 s, of which the first and the last may
    // fall outside of it.
    let wanted = if series.stream.observation.unscheduled() {
        1
    } else {
        (expected * 8 / 10).max(FEWEST.min(expected.saturating_sub(2)))
    };
    let name = &series.stream.name;
    if (counted as u128) < wanted.max(1) {
        reasons.push(format!("{name}: {counted} attempts before the fault, at least {wanted} are needed"));
    } else if failed > 0 && may_lose_nothing(timeline, series) {
        reasons.push(format!(
            "{name}: {failed} of {counted} attempts failed before anything was broken, and not one may fail afterwards"
        ));
    } else if bad >= 2 && bad * 50 > counted {
        reasons.push(format!("{name}: {bad} of {counted} attempts failed before anything was broken"));
    } else if bad == counted {
        reasons.push(format!("{name}: no attempt succeeded before anything was broken"));
    }
}
