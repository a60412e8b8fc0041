//! What is found when all is over: the processes that run now.

use crate::{
    action::Signal,
    assertion::Came,
    spec::Step,
    time::{Offset, Span},
    timeline::{Timeline, Trace},
    verdict::{Measure, Verdict},
};

/// None of the processes that were hit runs any more. Another may still wait for its restart's back-off.
pub(crate) fn old_process_gone(timeline: &Timeline) -> Came {
    let mut looked = 0;
    for (n, _, trace) in timeline.faults() {
        let Some(trace) = trace else { continue };
        for injection in trace.injected.iter().filter(|injection| !injection.processes.is_empty()) {
            let node = &injection.node;
            let Some((_, now)) = trace.aftermath.iter().rev().find(|(other, _)| other == node) else {
                return Came::unknown(format!("step {n}: {node} was not looked at afterwards"));
            };
            if let Some(old) = now.iter().find(|process| injection.processes.contains(&process.id)) {
                let detail = format!("process {} on {node} is still the one that was hit", old.id.pid);
                return Came::new(Verdict::Fail, detail);
            }
            looked += 1;
        }
    }
    if looked == 0 {
        return Came::unknown("no process is recorded as hit");
    }
    Came::new(
        Verdict::Pass,
        format!("none of the processes that were hit runs any more ({looked} looked at)"),
    )
}

/// The signals after which a component must come back: what is held down comes back by its undo.
fn ends<'t>(step: &Step, trace: &'t Trace) -> Vec<(&'t str, Offset, Offset)> {
    match step {
        Step::Signal(fault) if fault.signal != Signal::Stop => {
            trace.injected.iter().map(|i| (i.node.as_str(), i.began, i.ended)).collect()
        }
        _ => Vec::new(),
    }
}

pub(crate) fn comes_back(timeline: &Timeline, within: Span) -> Came {
    let mut longest: Option<(Span, Span, Span, &str, Offset)> = None;
    let mut count = 0;
    for (n, step, trace) in timeline.faults() {
        let Some(trace) = trace else { continue };
        let ends = ends(step, trace);
        for (node, began, ended) in &ends {
            let next =
                ends.iter().filter(|(other, later, _)| other == node && later > began).map(|e| e.1).min();
            let before_next = |seen: Offset| next.is_none_or(|next| seen <= next);
            let back =
                trace.returns.iter().find(|b| b.node == *node && b.seen >= *began && before_next(b.seen));
            let Some(back) = back else {
                let more_than = Span(timeline.ended().since(*ended));
                let verdict = if more_than > within { Verdict::Fail } else { Verdict::Inconclusive };
                let measure = Measure::Censored { more_than };
                let detail = format!("step {n}: back after {measure} on {node}; at most {within} allowed");
                return Came { verdict, detail, measure: Some(measure), over: None };
            };
            count += 1;
            let value = Span(back.seen.since(*ended));
            let low = Span(back.missing.since(*ended)).min(value);
            if longest.is_none_or(|(longest, ..)| value > longest) {
                longest = Some((value, low, Span(back.seen.since(*began)), node, back.seen));
            }
        }
        let gone = |(_, processes): &&(String, Vec<_>)| processes.is_empty();
        if let Some((node, _)) = trace.aftermath.iter().find(gone).filter(|_| !ends.is_empty()) {
            return Came::new(Verdict::Fail, format!("nothing runs on {node} at the end"));
        }
    }
    let Some((value, low, high, node, seen)) = longest else {
        return Came::unknown("no step of this experiment ends a process");
    };
    let measure = Measure::Measured { value, low, high };
    let verdict = match () {
        () if value <= within => Verdict::Pass,
        () if low > within => Verdict::Fail,
        () => Verdict::Inconclusive,
    };
    let times = if count == 1 { "once".to_owned() } else { format!("{count} times, the slowest") };
    let detail = format!("back {times} after {measure} on {node}; at most {within} allowed");
    Came { verdict, detail, measure: Some(measure), over: Some(seen) }
}
