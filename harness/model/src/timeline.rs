//! The records of one experiment, put in order: a series of attempts per stream, a trace per step.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::{
    action::{NodeAction, ProcessId, ProcessState},
    event::{Act, Event, Phase, Record, Sample, Stage, WatchNews},
    load::Slice,
    machine::Processors,
    observation::{Failure, FailureClass, Observation, Observed},
    plan::{Plan, Stream},
    residue,
    spec::{Pattern, Step, counts},
    stall::Stalls,
    time::{Offset, Span},
    topology::{Fingerprint, NodeRole},
};

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It was answered in time.
    Good(Arc<Observed>),
    /// It was answered, but later than the stream calls good.
    Slow(Arc<Observed>),
    /// It failed.
    Bad(FailureClass),
    /// The observer lost it: it says nothing about the cluster.
    Lost,
}

/// One attempt of a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// When the schedule wanted it sent.
    pub due: Offset,
    /// When it was sent.
    pub sent: Offset,
    /// When it ended.
    pub done: Offset,
    /// When an answer would have been too late.
    pub late: Offset,
    /// For how long the observer itself was not run meanwhile.
    pub held: Duration,
    /// How it ended.
    pub outcome: Outcome,
}

impl Attempt {
    /// How long it took, but for the time in which nobody was there to read the answer.
    #[must_use]
    pub fn own(&self) -> Duration {
        self.done.since(self.sent).saturating_sub(self.held)
    }

    /// By when the service had been down for a moment, if it did not go well: who waits for longer than a slow answer
    /// takes, in case one comes, learns nothing more of that whether one does or not.
    #[must_use]
    pub fn known(&self) -> Offset {
        if self.bad() { self.done.min(self.late.plus(self.held)) } else { self.done }
    }

    /// It was sent after the last one whose deadline observation saw, and had no answer by its end: whether it would
    /// have had one in time nobody knows.
    #[must_use]
    pub fn cut_off(&self, last: Offset) -> bool {
        self.sent > last && self.outcome == Outcome::Bad(FailureClass::Timeout)
    }

    /// It was answered in time.
    #[must_use]
    pub fn good(&self) -> bool {
        matches!(self.outcome, Outcome::Good(_))
    }

    /// It counts against the cluster: it failed or was slow.
    #[must_use]
    pub fn bad(&self) -> bool {
        matches!(self.outcome, Outcome::Bad(_) | Outcome::Slow(_))
    }

    /// What it was told, in time or late.
    #[must_use]
    pub fn told(&self) -> Option<&Observed> {
        match &self.outcome {
            Outcome::Good(told) | Outcome::Slow(told) => Some(told),
            Outcome::Bad(_) | Outcome::Lost => None,
        }
    }
}

/// All attempts of one stream, in the order in which they were sent.
#[derive(Clone, Debug)]
pub struct Series {
    /// The stream.
    pub stream: Stream,
    /// Its attempts.
    pub attempts: Vec<Attempt>,
    last: Option<Arc<Observed>>,
}

impl Series {
    /// A stream without attempts.
    #[must_use]
    pub fn new(stream: Stream) -> Series {
        Series { stream, attempts: Vec::new(), last: None }
    }

    /// When the last attempt was sent whose deadline came before that end of observation.
    #[must_use]
    pub fn last_awaited(&self, end: Offset) -> Offset {
        end.minus(self.stream.rate.timeout.0)
    }

    /// Adds an attempt: samples come at completion, so an earlier one may come later.
    pub fn push(&mut self, sample: &Sample, stalls: &mut Stalls) {
        let outcome = match &sample.failure {
            Some(Failure { class: FailureClass::Observer, .. }) => Outcome::Lost,
            // A reading that did not come is missing. That the component is down is for its own probes to say.
            Some(_) if matches!(self.stream.observation, Observation::Metrics { .. }) => Outcome::Lost,
            Some(failure) => Outcome::Bad(failure.class),
            None => {
                let told = match (&sample.told, &self.last) {
                    (Some(told), _) => Arc::new(told.clone()),
                    (None, Some(last)) => Arc::clone(last),
                    (None, None) => Arc::new(Observed::Answered),
                };
                self.last = Some(Arc::clone(&told));
                let slow = self.stream.rate.slow.is_some_and(|slow| sample.done.since(sample.sent) > slow.0);
                if slow { Outcome::Slow(told) } else { Outcome::Good(told) }
            }
        };
        let Sample { due, sent, done, .. } = *sample;
        let late = sent.plus(self.stream.rate.patience());
        let mut attempt = Attempt { due, sent, done, late, held: Duration::ZERO, outcome };
        stalls.look(&mut attempt, &self.stream.rate);
        let at = self.attempts.iter().rposition(|other| other.sent <= attempt.sent).map_or(0, |n| n + 1);
        self.attempts.insert(at, attempt);
    }

    /// Looks again at the attempts that were under way since then: a stall may be recorded after what it held up.
    fn look_again(&mut self, since: Offset, stalls: &mut Stalls) {
        let longest = self.stream.rate.timeout.0 * 2;
        let recent = self.attempts.iter_mut().rev().take_while(|one| one.sent.plus(longest) >= since);
        recent.for_each(|attempt| stalls.look(attempt, &self.stream.rate));
    }
}

/// A moment that is known with bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// Not earlier than this.
    pub low: Offset,
    /// By the record.
    pub at: Offset,
    /// Not later than this.
    pub high: Offset,
}

/// An action of a step on a node.
#[derive(Clone, Debug)]
pub struct Injection {
    /// The node.
    pub node: String,
    /// Just before.
    pub began: Offset,
    /// Just after.
    pub ended: Offset,
    /// The processes that it hit.
    pub processes: Vec<ProcessId>,
}

/// A process that came back.
#[derive(Clone, Debug)]
pub struct Return {
    /// The node.
    pub node: String,
    /// Last look that did not see it.
    pub missing: Offset,
    /// First look that saw it.
    pub seen: Offset,
}

/// A step as it was carried out.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// In words.
    pub description: String,
    /// The nodes hit.
    pub targets: Vec<String>,
    /// When it began.
    pub started: Offset,
    /// What was done.
    pub injected: Vec<Injection>,
    /// Node, check, whether it held, what was seen.
    pub evidence: Vec<(String, String, bool, String)>,
    /// Processes that came back.
    pub returns: Vec<Return>,
    /// What was undone: node, just before, just after.
    pub undone: Vec<(String, Offset, Offset)>,
    /// The component's processes at the end, by node.
    pub aftermath: Vec<(String, Vec<ProcessState>)>,
    /// A deletion's attempts: sent, answered, granted.
    pub deletions: Vec<(Offset, Offset, bool)>,
}

/// What one endpoint gave back of the acknowledged writes.
#[derive(Clone, Debug)]
pub struct ReadBack {
    /// Through which API server or member.
    pub through: String,
    /// Highest number by writing stream and slot.
    pub found: BTreeMap<String, BTreeMap<u64, u64>>,
    /// Why it could not be read.
    pub failure: Option<Failure>,
}

/// One experiment's records.
#[derive(Clone, Debug)]
pub struct Timeline {
    /// What was to be done.
    pub plan: Plan,
    /// All nodes of the cluster.
    pub nodes: Vec<String>,
    /// The control-plane nodes.
    pub control_planes: Vec<String>,
    /// Every stream's attempts.
    pub series: Vec<Series>,
    /// When each part began.
    pub phases: BTreeMap<Phase, Offset>,
    /// The steps, by number.
    pub steps: BTreeMap<u32, Trace>,
    /// What was wrong before; none where it was not looked at.
    pub before: Option<Vec<String>>,
    /// What was wrong after; none where it was not looked at.
    pub after: Option<Vec<String>>,
    /// What was found and mended, and other notes.
    pub notes: Vec<String>,
    /// What is recorded of each step's load, in the order of time.
    pub loads: BTreeMap<u32, Vec<Slice>>,
    /// Who has used the nodes' machine, in the order of time.
    pub processors: Vec<(Offset, Processors)>,
    /// When the observer itself was not run.
    pub stalls: Stalls,
    /// Acknowledged writes as they were found.
    pub read_backs: Vec<ReadBack>,
    /// What each watcher was told, by the API server that it goes through.
    pub watched: BTreeMap<String, Vec<(Offset, WatchNews)>>,
    /// What instances of lease-holding components wrote, and why that may not be all.
    pub acted: Option<(Vec<Act>, Option<Failure>)>,
    /// By Lease: how long after a thaw its old holder may go on, where the record says it.
    pub grace: BTreeMap<String, Span>,
    /// What was found on the nodes, before and after.
    pub surveys: residue::ByNode,
    /// Why the harness broke it off.
    pub aborted: Option<String>,
    /// The first record, and the last thing that is known.
    pub span: (Offset, Offset),
}

impl Timeline {
    /// An experiment of which nothing is recorded yet.
    #[must_use]
    pub fn new(plan: &Plan, fingerprint: &Fingerprint) -> Timeline {
        Timeline {
            plan: plan.clone(),
            nodes: fingerprint.nodes.iter().map(|node| node.name.clone()).collect(),
            control_planes: fingerprint.with_role(NodeRole::ControlPlane).map(|n| n.name.clone()).collect(),
            series: plan.streams.iter().cloned().map(Series::new).collect(),
            phases: BTreeMap::new(),
            steps: BTreeMap::new(),
            before: None,
            after: None,
            notes: Vec::new(),
            loads: BTreeMap::new(),
            processors: Vec::new(),
            stalls: Stalls::default(),
            read_backs: Vec::new(),
            watched: BTreeMap::new(),
            acted: None,
            grace: BTreeMap::new(),
            surveys: residue::ByNode::new(),
            aborted: None,
            span: (Offset(u64::MAX), Offset(0)),
        }
    }

    /// Adds a record; those of the run as a whole are passed over.
    pub fn push(&mut self, record: &Record) {
        self.span = (self.span.0.min(record.at), self.span.1.max(record.at));
        match &record.event {
            Event::Sample(sample) => {
                let series = usize::try_from(sample.stream).ok().and_then(|n| self.series.get_mut(n));
                series.into_iter().for_each(|series| series.push(sample, &mut self.stalls));
            }
            // A baseline that was not quiet begins again: the last one counts.
            Event::PhaseStarted { phase: phase @ Phase::Baseline } => {
                self.phases.insert(*phase, record.at);
            }
            Event::PhaseStarted { phase } => {
                self.phases.entry(*phase).or_insert(record.at);
            }
            Event::Health { stage: Stage::Before, problems } => self.before = Some(problems.clone()),
            Event::Health { stage: Stage::After, problems } => self.after = Some(problems.clone()),
            Event::Precondition { finding, remedy } => self.notes.push(format!("{finding}: {remedy}")),
            Event::Note { message } => self.notes.push(message.clone()),
            Event::Surveyed { stage, node, lines } => residue::push(&mut self.surveys, *stage, node, lines),
            Event::ExperimentAborted { reason, .. } => self.aborted = Some(reason.clone()),
            Event::WritesReadBack { through, found, failure } => self.read_backs.push(ReadBack {
                through: through.clone(),
                found: found.clone(),
                failure: failure.clone(),
            }),
            Event::Watched { through, news } => {
                self.watched.entry(through.clone()).or_default().push((record.at, news.clone()));
            }
            Event::Acted { acts, grace, failure } => {
                self.acted = Some((acts.clone(), failure.clone()));
                self.grace.clone_from(grace);
            }
            Event::Stalled { from, to } => {
                self.stalls.spans.push((*from, *to));
                self.series.iter_mut().for_each(|series| series.look_again(*from, &mut self.stalls));
            }
            Event::Processors(processors) => self.processors.push((record.at, *processors)),
            Event::LoadSlice(slice) => {
                let slices = self.loads.entry(slice.step).or_default();
                slices.push(slice.clone());
                slices.sort_by_key(|slice| slice.from);
            }
            other => self.push_step(record.at, other),
        }
    }

    fn push_step(&mut self, at: Offset, event: &Event) {
        match event {
            Event::StepStarted { step, targets, description, .. } => {
                let trace = self.steps.entry(*step).or_default();
                trace.started = at;
                trace.targets.clone_from(targets);
                trace.description.clone_from(description);
            }
            Event::Injected { step, node, action, began, ended, report } => {
                let looks = matches!(
                    action,
                    NodeAction::Inspect { .. }
                        | NodeAction::DropCount { .. }
                        | NodeAction::InspectNode
                        | NodeAction::Survey
                        | NodeAction::RunsWith { .. }
                        | NodeAction::LimitCount { .. }
                        | NodeAction::EtcdLook
                );
                if !looks {
                    self.steps.entry(*step).or_default().injected.push(Injection {
                        node: node.clone(),
                        began: *began,
                        ended: *ended,
                        processes: report.processes.iter().map(|process| process.id.clone()).collect(),
                    });
                }
            }
            Event::Evidence { step, node, check, effective, seen } => {
                let evidence = (node.clone(), check.clone(), *effective, seen.clone());
                self.steps.entry(*step).or_default().evidence.push(evidence);
            }
            Event::ProcessBack { step, node, missing, seen, .. } => {
                let back = Return { node: node.clone(), missing: *missing, seen: *seen };
                self.steps.entry(*step).or_default().returns.push(back);
            }
            Event::Undone { step, node, began, ended, .. } => {
                self.steps.entry(*step).or_default().undone.push((node.clone(), *began, *ended));
            }
            Event::LoadStarted { step, began, ended } => {
                let injection =
                    Injection { node: String::new(), began: *began, ended: *ended, processes: Vec::new() };
                self.steps.entry(*step).or_default().injected.push(injection);
            }
            Event::LoadEnded { step, began, ended } => {
                self.steps.entry(*step).or_default().undone.push((String::new(), *began, *ended));
            }
            Event::Aftermath { step, node, processes } => {
                self.steps.entry(*step).or_default().aftermath.push((node.clone(), processes.clone()));
            }
            Event::DeletionAnswered { step, sent, refused, .. } => {
                self.steps.entry(*step).or_default().deletions.push((*sent, at, refused.is_none()));
            }
            _ => {}
        }
    }

    /// The steps that break something, with their traces where they have begun.
    pub fn faults(&self) -> impl Iterator<Item = (u32, &Step, Option<&Trace>)> {
        let numbered = (1..).zip(&self.plan.steps);
        numbered.filter(|(_, step)| step.is_fault()).map(|(n, step)| (n, step, self.steps.get(&n)))
    }

    /// The steps that times count from: a load beside another fault is the weather in which that happens.
    fn decisive(&self) -> impl Iterator<Item = (&Step, Option<&Trace>)> {
        let steps = &self.plan.steps;
        self.faults().filter(|(_, step, _)| counts(steps, step)).map(|(_, step, trace)| (step, trace))
    }

    /// The nodes that were hit.
    #[must_use]
    pub fn targets(&self) -> Vec<String> {
        let mut all: Vec<String> =
            self.faults().filter_map(|(_, _, trace)| trace).flat_map(|trace| trace.targets.clone()).collect();
        all.sort();
        all.dedup();
        all
    }

    /// The series whose streams the pattern fits.
    #[must_use]
    pub fn matching(&self, pattern: &Pattern) -> Vec<&Series> {
        let targets = self.targets();
        self.series.iter().filter(|series| pattern.fits(&series.stream.name, &targets, &self.nodes)).collect()
    }

    /// The first fault's injection; that of a load only where nothing else is broken.
    #[must_use]
    pub fn fault(&self) -> Option<Moment> {
        let injected = self.decisive().filter_map(|(_, trace)| trace).flat_map(|trace| &trace.injected);
        let first = injected.min_by_key(|injection| injection.began)?;
        Some(Moment { low: first.began, at: first.ended, high: first.ended })
    }

    /// The end of the last fault's injection.
    #[must_use]
    pub fn last_injection(&self) -> Option<Offset> {
        self.decisive().filter_map(|(_, trace)| trace).flat_map(|t| &t.injected).map(|i| i.ended).max()
    }

    /// The beginning of the first undo.
    #[must_use]
    pub fn first_undo(&self) -> Option<Offset> {
        let faults = self.decisive().filter_map(|(_, trace)| trace);
        faults.flat_map(|trace| &trace.undone).map(|(_, began, _)| *began).min()
    }

    /// The last fault's undo; none before every fault was carried out and undone.
    #[must_use]
    pub fn undo(&self) -> Option<Moment> {
        let mut last: Option<Moment> = None;
        for (step, trace) in self.decisive() {
            let trace = trace?;
            let times = match step {
                Step::Signal(fault) => usize::try_from(fault.times).unwrap_or(usize::MAX),
                _ => 1,
            };
            if trace.injected.len() < trace.targets.len().max(1).saturating_mul(times) {
                return None;
            }
            let ended = if step.hold().is_some() {
                let undone = |node: &String| trace.undone.iter().any(|(other, _, _)| other == node);
                if !trace.targets.iter().all(undone) {
                    return None;
                }
                trace
                    .undone
                    .iter()
                    .max_by_key(|(_, _, ended)| *ended)
                    .map(|(_, began, ended)| (*began, *ended))?
            } else {
                trace.injected.iter().max_by_key(|i| i.ended).map(|i| (i.began, i.ended))?
            };
            let moment = Moment { low: ended.0, at: ended.1, high: ended.1 };
            last = last.filter(|earlier| earlier.at > moment.at).or(Some(moment));
        }
        last
    }

    /// When the baseline began.
    #[must_use]
    pub fn started(&self) -> Offset {
        self.phases.get(&Phase::Baseline).copied().unwrap_or(self.span.0.min(self.span.1))
    }

    /// When the first step began, or observation ended without one.
    #[must_use]
    pub fn baseline_end(&self) -> Offset {
        let phase = self.phases.get(&Phase::Fault).copied();
        let first = self.steps.values().map(|trace| trace.started).min();
        [phase, first, self.fault().map(|fault| fault.low)]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(self.ended())
    }

    /// When observation ended: with the cleanup, or with the last record.
    #[must_use]
    pub fn ended(&self) -> Offset {
        self.phases.get(&Phase::Cleanup).copied().unwrap_or(self.span.1)
    }
}
