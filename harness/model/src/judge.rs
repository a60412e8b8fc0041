//! The verdict on an experiment: a pure function of its record.

use crate::{
    assertion,
    event::Record,
    evidence::{self, Evidence},
    lanes, load, machine, metrics, milestone,
    milestone::Found,
    observation::Observation,
    oracle::{leadership, oracles, writes},
    outage::outages,
    parts::{self, PartSpan},
    plan::Plan,
    precondition, relapse,
    spec::{Assertion, Part, Pattern, Step, When},
    time::{Offset, Span},
    timeline::{Series, Timeline},
    topology::Fingerprint,
    verdict::{Band, ExperimentResult, StreamResult, Verdict},
};

/// Judges an experiment from its records. The same records always give the same result.
#[must_use]
pub fn judge(plan: &Plan, fingerprint: &Fingerprint, records: &[Record]) -> ExperimentResult {
    let mut live = Live::new(plan, fingerprint);
    records.iter().for_each(|record| live.push(record));
    live.result()
}

/// Has everything been measured, and held for the window of stability?
#[must_use]
pub fn settled(plan: &Plan, fingerprint: &Fingerprint, records: &[Record], now: Offset) -> bool {
    let mut live = Live::new(plan, fingerprint);
    records.iter().for_each(|record| live.push(record));
    live.settled(now)
}

/// An experiment that is under way or over.
#[derive(Clone, Debug)]
pub struct Live {
    timeline: Timeline,
    simulated: bool,
}

impl Live {
    /// An experiment of which nothing is recorded yet.
    #[must_use]
    pub fn new(plan: &Plan, fingerprint: &Fingerprint) -> Live {
        Live { timeline: Timeline::new(plan, fingerprint), simulated: fingerprint.simulated() }
    }

    /// Takes in one record.
    pub fn push(&mut self, record: &Record) {
        self.timeline.push(record);
    }

    /// What is known so far.
    #[must_use]
    pub fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// Why nothing may be broken yet: the baseline, as far as it has gone, is not quiet or has too few samples.
    /// Empty where it is good. Nodes that faults will hit are not known before, so `@target` fits nothing.
    #[must_use]
    pub fn unquiet(&self) -> Vec<String> {
        precondition::unquiet(&self.timeline)
    }

    /// True once every fault is undone, every milestone has come or cannot come, no point of view still
    /// fails, and all of this has lasted for the window of stability. Cheap while faults last.
    #[must_use]
    pub fn settled(&self, now: Offset) -> bool {
        let timeline = &self.timeline;
        let plan = &timeline.plan;
        // What is waited for longer than counts as slow is known so much later.
        let scheduled = timeline.series.iter().filter(|series| !series.stream.observation.unscheduled());
        let waits = scheduled.map(|Series { stream, .. }| stream.rate.timeout.0 - stream.rate.patience());
        let now = now.minus(waits.max().unwrap_or_default());
        let Some(undo) = timeline.undo() else { return false };
        // What was not seen yet may still come: it is waited for a little longer than for a window.
        let quiet = undo.at.plus(plan.stable.0.max(UNSEEN.0));
        let mut steps = (1..).zip(&plan.steps).filter(|(_, step)| !matches!(step, Step::Wait(_)));
        if now < undo.at.plus(plan.stable.0) || !steps.all(|(n, _)| timeline.steps.contains_key(&n)) {
            return false;
        }
        let mut latest = undo.at;
        for one in &plan.milestones {
            match milestone::find(timeline, one) {
                Found::At(moment) => latest = latest.max(moment.at),
                Found::Never => return false,
                Found::NotSeen(_) | Found::Unknown(_) if now < quiet => return false,
                Found::NotSeen(_) | Found::Unknown(_) => {}
            }
        }
        if now < latest.plus(plan.stable.0) {
            return false;
        }
        // Whether a thawed holder keeps out shows once its time is over, however soon all else is well.
        if leadership::watched_until(timeline).is_some_and(|until| now < until) {
            return false;
        }
        let returned = plan.assertions.iter().filter(|a| matches!(a, Assertion::ComesBack(_)));
        if returned.into_iter().any(|a| assertion::check(timeline, a, None).verdict != Verdict::Pass) {
            return false;
        }
        // What is said of the time after recovery takes answers from that time.
        let after =
            plan.assertions.iter().filter(|a| matches!(a, Assertion::Slowdown(s) if s.during == Part::After));
        if after.into_iter().any(|a| assertion::check(timeline, a, None).verdict == Verdict::Inconclusive) {
            return false;
        }
        // What an operator would have seen is in the reading after: it is waited for, but not for long.
        metrics::read_since(timeline, latest, now)
            && timeline.series.iter().all(|series| self.quiet(series, now))
    }

    /// The stream's last outage ended a window ago. A pod that was replaced never answers again.
    fn quiet(&self, series: &Series, now: Offset) -> bool {
        if matches!(
            &series.stream.observation,
            Observation::Workload { to: crate::observation::Route::Pod, .. }
        ) {
            return true;
        }
        let last_bad = series.attempts.iter().rev().find(|attempt| attempt.bad());
        let since = last_bad.map_or(Offset(0), |attempt| attempt.sent);
        let better =
            series.attempts.iter().rev().take_while(|attempt| !attempt.bad()).any(|attempt| attempt.good());
        last_bad.is_none() || (better && now >= since.plus(self.timeline.plan.stable.0))
    }

    /// The judgement of what is known so far.
    #[must_use]
    pub fn result(&self) -> ExperimentResult {
        let timeline = &self.timeline;
        let plan = &timeline.plan;
        let machine = machine::used(timeline);
        let crowd = machine::crowd(machine.as_ref(), timeline);
        let intervals = plan.milestones.iter().map(|one| milestone::interval(timeline, one));
        let intervals = intervals.map(|one| machine::excuse_interval(one, crowd.as_ref()));
        let intervals: Vec<_> = intervals.map(|one| relapse::excuse(timeline, one)).collect();
        let assertions = plan.assertions.iter().map(|one| assertion::check(timeline, one, crowd.as_ref()));
        let assertions: Vec<_> = assertions.collect();

        let evidence = evidence::gather(timeline);
        let oracles = oracles(timeline);
        let mut reasons = precondition::missing(timeline, &evidence);
        let mut verdict = if reasons.is_empty() { Verdict::Pass } else { Verdict::Inconclusive };
        // Without a sound experiment nothing that was seen is evidence against the cluster.
        let sound = reasons.is_empty();
        let mut weigh = |one: Verdict, reason: String| {
            if sound && (one == Verdict::Fail || one == Verdict::Inconclusive) {
                verdict = verdict.max(one);
                reasons.push(reason);
            }
        };
        for interval in &intervals {
            // A milestone without a budget informs; it does not decide.
            if interval.milestone.decides() {
                weigh(interval.verdict, format!("{}: {}", interval.milestone.name, interval.detail));
            }
        }
        for checked in &assertions {
            weigh(checked.verdict, format!("{}: {}", checked.name, checked.detail));
        }
        for checked in &oracles {
            // What the suite states itself has been weighed with its assertions.
            let stated = checked.name == writes::NAME
                && plan.assertions.iter().any(|a| matches!(a, Assertion::NoLostWrites(_)));
            if !stated {
                weigh(checked.verdict, format!("{}: {}", checked.name, checked.detail));
            }
        }
        if let Some(problems) = timeline.after.as_ref().filter(|problems| !problems.is_empty()) {
            let undone = timeline.undo().is_some();
            let crowd = crowd.as_ref().filter(|crowd| crowd.lasted());
            let verdict = if undone && crowd.is_none() { Verdict::Fail } else { Verdict::Inconclusive };
            let beside = crowd.map(|crowd| format!("; {}", crowd.words())).unwrap_or_default();
            weigh(
                verdict,
                format!("the cluster was not healthy afterwards: {}{beside}", problems.join("; ")),
            );
        }
        if !sound {
            // It decides nothing here, but nobody should have to look for it.
            let broken = oracles.iter().filter(|checked| checked.verdict == Verdict::Fail);
            reasons.extend(broken.map(|checked| format!("besides, {}: {}", checked.name, checked.detail)));
            let problems = timeline.after.as_ref().filter(|problems| !problems.is_empty());
            reasons.extend(problems.map(|problems| {
                format!("besides, the cluster was not healthy afterwards: {}", problems.join("; "))
            }));
        }
        let parts = parts::parts(timeline);
        ExperimentResult {
            id: plan.id.clone(),
            trial: plan.trial,
            earlier: plan.earlier.clone(),
            hypothesis: plan.hypothesis.clone(),
            verdict,
            reasons,
            simulated: self.simulated,
            started: timeline.started(),
            ended: timeline.ended(),
            bands: bands(timeline, &evidence),
            intervals,
            assertions,
            oracles,
            streams: timeline.series.iter().map(|series| stream_result(timeline, series, &parts)).collect(),
            states: lanes::lanes(timeline),
            metrics: metrics::all(timeline, &parts),
            loads: load::results(timeline),
            parts,
            decisive: decisive(timeline).into_iter().map(|series| series.stream.name.clone()).collect(),
            flags: plan.flags.clone(),
            machine,
            notes: (timeline.notes.iter().cloned())
                .chain(timeline.stalls.words())
                .chain(metrics::silent(timeline))
                .collect(),
        }
    }
}

/// How long a milestone that was not seen is waited for after the last undo.
const UNSEEN: Span = Span::seconds(5);

fn bands(timeline: &Timeline, evidence: &[Evidence]) -> Vec<Band> {
    let mut bands = Vec::new();
    for (n, step, trace) in timeline.faults() {
        let Some(trace) = trace else { continue };
        let undone = trace.undone.iter().map(|(_, _, ended)| *ended).max();
        let on_node =
            trace.evidence.iter().map(|(_, check, held, seen)| (check.clone(), *held, seen.clone()));
        let in_record = evidence.iter().filter(|evidence| evidence.step == n);
        let in_record = in_record.map(|e| (e.check.clone(), e.held, e.seen.clone()));
        bands.push(Band {
            step: n,
            key: step.key().to_owned(),
            description: trace.description.clone(),
            targets: trace.targets.clone(),
            from: trace.injected.iter().map(|injection| injection.ended).min().unwrap_or(trace.started),
            to: step.hold().and(undone),
            evidence: on_node.chain(in_record).collect(),
        });
    }
    bands
}

fn stream_result(timeline: &Timeline, series: &Series, parts: &[PartSpan]) -> StreamResult {
    let (from, to) = (timeline.started(), timeline.baseline_end());
    // A late attempt counts from when it should have been sent: a busy prober must not look like a quick cluster.
    let baseline = series.attempts.iter().filter(|a| a.sent >= from && a.done <= to && a.told().is_some());
    let mut times: Vec<Span> = baseline.map(|attempt| Span(attempt.done.since(attempt.due))).collect();
    times.sort();
    let quantile =
        |percent: usize| times.get((times.len() * percent / 100).min(times.len().saturating_sub(1))).copied();
    let count = |wanted: fn(&crate::timeline::Attempt) -> bool| {
        series.attempts.iter().filter(|attempt| wanted(attempt)).count() as u64
    };
    let (good, failed) = (count(|a| a.good()), count(|a| a.bad()));
    StreamResult {
        name: series.stream.name.clone(),
        period: series.stream.rate.period,
        attempts: good + failed,
        failed,
        lost: series.attempts.len() as u64 - good - failed,
        p50: quantile(50),
        p99: quantile(99),
        outages: outages(&series.attempts),
        parts: parts::of_series(series, parts),
    }
}

/// The streams that decide: milestones with a budget and all assertions are read from them.
pub(crate) fn decisive(timeline: &Timeline) -> Vec<&Series> {
    let patterns = decisive_patterns(timeline);
    let mut found: Vec<&Series> = patterns.iter().flat_map(|pattern| timeline.matching(pattern)).collect();
    // Whether enough of a metric was read is for its assertion to say: one that moves elsewhere is enough.
    found.retain(|series| !matches!(series.stream.observation, Observation::Metrics { .. }));
    found.sort_by(|a, b| a.stream.name.cmp(&b.stream.name));
    found.dedup_by(|a, b| a.stream.name == b.stream.name);
    found
}

/// Their patterns.
pub(crate) fn decisive_patterns(timeline: &Timeline) -> Vec<Pattern> {
    let plan = &timeline.plan;
    let budgeted = plan.milestones.iter().filter(|m| m.decides());
    let mut patterns: Vec<_> =
        budgeted.filter(|m| !matches!(m.when, When::Deleted)).filter_map(|m| m.pattern()).collect();
    patterns.extend(plan.assertions.iter().flat_map(Assertion::patterns));
    patterns
}
