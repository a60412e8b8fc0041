//! Turns records into lines: one per change of state, nothing for what stays as it is.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use recoup_model::{
    event::{Event, Phase, Record, Sample, Stage, WatchNews},
    observation::{FailureClass, NodeState, Observed},
    plan::Plan,
    time::Offset,
    verdict::Verdict,
};

use crate::words::count;

/// A key stream that answers for this long counts as back; shorter returns are part of one outage.
const BACK: Duration = Duration::from_secs(1);

/// Follows a run.
#[derive(Default)]
pub struct Narrator {
    total: usize,
    number: usize,
    /// How many trials each experiment has.
    trials: HashMap<String, u32>,
    plan: Option<Box<Plan>>,
    phase: Option<(Phase, Offset)>,
    now: Offset,
    outages: BTreeMap<String, Out>,
    states: HashMap<String, String>,
    members: HashMap<String, String>,
    refused: bool,
}

struct Out {
    from: Offset,
    back: Option<Offset>,
    failed: u64,
}

/// Where the run stands now.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The experiment's number from 1, of how many, and its id.
    pub experiment: Option<(usize, usize, String)>,
    /// The phase and for how long.
    pub phase: Option<(&'static str, Duration)>,
    /// Key streams that do not answer, and for how long.
    pub outages: Vec<(String, Duration)>,
}

impl Narrator {
    /// Lines for people; most records give none.
    pub fn tell(&mut self, record: &Record) -> Vec<String> {
        self.now = record.at;
        match &record.event {
            Event::Sample(sample) => self.sample(sample),
            event => self.event(event),
        }
    }

    /// For a status bar.
    #[must_use]
    pub fn status(&self) -> Status {
        let out = self.outages.iter().filter(|(_, out)| out.back.is_none());
        Status {
            experiment: self.plan.as_ref().map(|plan| (self.number, self.total, plan.id.clone())),
            phase: self.phase.map(|(phase, from)| (phase_name(phase), self.now.since(from))),
            outages: out.map(|(name, out)| (name.clone(), self.now.since(out.from))).collect(),
        }
    }

    fn event(&mut self, event: &Event) -> Vec<String> {
        let line = match event {
            Event::RunStarted { run, recoup, seed, experiments, .. } => {
                self.total = experiments.len();
                experiments.iter().for_each(|id| *self.trials.entry(id.clone()).or_default() += 1);
                format!("run {run}: {}, seed {seed}, recoup {recoup}", count(self.total, "experiment"))
            }
            Event::ClusterProgress { message } | Event::Note { message } => message.clone(),
            Event::ClusterReady { fingerprint, created, .. } => {
                let simulated = if fingerprint.simulated() { "SIMULATED " } else { "" };
                let how = if *created { "made now" } else { "found" };
                let (name, kubernetes, nodes) =
                    (&fingerprint.cluster, &fingerprint.kubernetes, fingerprint.nodes.len());
                format!("{simulated}cluster {name} ({how}) is ready: Kubernetes {kubernetes}, {nodes} nodes")
            }
            Event::ExperimentStarted { plan } => return self.begin(plan),
            Event::ExperimentSkipped { id, reason, .. } => {
                self.number += 1;
                format!("{id}: SKIPPED: {reason}")
            }
            Event::Health { stage, problems } => {
                let when = if *stage == Stage::Before { "before" } else { "after" };
                if problems.is_empty() {
                    return Vec::new();
                }
                format!("the cluster is not healthy {when} the experiment: {}", problems.join("; "))
            }
            Event::Precondition { finding, remedy } => format!("found: {finding}; {remedy}"),
            Event::PhaseStarted { phase } => {
                let mut lines = if *phase == Phase::Cleanup { self.end_outages() } else { Vec::new() };
                self.phase = Some((*phase, self.now));
                lines.push(format!("phase: {}", phase_name(*phase)));
                return lines;
            }
            Event::StepStarted { step, description, .. } => format!("step {step}: {description}"),
            Event::Evidence { check, effective, seen, .. } => {
                format!("evidence: {check}: {} ({seen})", if *effective { "yes" } else { "NO" })
            }
            Event::ProcessBack { node, seen, process, .. } => {
                format!("another process ({}) runs on {node} since {seen}", process.id.pid)
            }
            Event::Undone { node, action, .. } => format!("undone: {} on {node}", action.name()),
            Event::LoadStarted { step, .. } => format!("step {step}: the first request leaves"),
            Event::LoadEnded { step, .. } => format!("step {step}: the load is over"),
            Event::DeletionAnswered { pods, refused, .. } => return self.deletion(pods, refused.as_ref()),
            Event::WritesReadBack { through, failure: Some(failure), .. } => {
                format!("the writes could not be read back through {through}: {failure}")
            }
            Event::Watched { through, news } => match news {
                WatchNews::Closed { failure: Some(failure) } => {
                    format!("the watcher through {through} was closed ({failure})")
                }
                WatchNews::Expired => {
                    format!("the watcher through {through} must list again: its revision has expired")
                }
                _ => return Vec::new(),
            },
            Event::Acted { failure: Some(failure), .. } => {
                format!("who acted while who led was not looked at: {failure}")
            }
            Event::ExperimentAborted { id, reason } => format!("{id} was broken off: {reason}"),
            Event::ExperimentFinished { result } => {
                let mut lines = self.end_outages();
                self.plan = None;
                self.phase = None;
                let mark = if result.simulated { " (simulated)" } else { "" };
                let trial = self.trial(&result.id, result.trial);
                lines.push(format!("{}{trial}: {}{mark}", result.id, result.verdict));
                if result.verdict != Verdict::Pass {
                    lines.extend(result.reasons.iter().map(|reason| format!("  {reason}")));
                }
                return lines;
            }
            Event::RunFinished { interrupted: true } => "the run was interrupted".into(),
            Event::Sample(_)
            | Event::LoadSlice(_)
            | Event::Injected { .. }
            | Event::WritesReadBack { .. }
            | Event::Aftermath { .. }
            | Event::Acted { .. }
            | Event::Surveyed { .. }
            | Event::Overhead { .. }
            | Event::Processors(_)
            | Event::Stalled { .. }
            | Event::RunFinished { .. } => return Vec::new(),
        };
        vec![line]
    }

    /// `, trial 3 of 20`, where there are several.
    fn trial(&self, id: &str, trial: u32) -> String {
        match self.trials.get(id) {
            Some(trials) if *trials > 1 => format!(", trial {trial} of {trials}"),
            _ => String::new(),
        }
    }

    fn begin(&mut self, plan: &Plan) -> Vec<String> {
        let trial = self.trial(&plan.id, plan.trial);
        let (id, total) = (&plan.id, self.total);
        let line = if plan.earlier.is_empty() {
            self.number += 1;
            format!("[{}/{total}] {id}{trial}: {}", self.number, plan.hypothesis)
        } else {
            let number = plan.earlier.len() + 1;
            format!("[{}/{total}] {id}{trial}: try {number}, since none came to a verdict", self.number)
        };
        let number = self.number;
        let trials = std::mem::take(&mut self.trials);
        *self = Narrator {
            total,
            number,
            trials,
            now: self.now,
            plan: Some(Box::new(plan.clone())),
            ..Narrator::default()
        };
        vec![line]
    }

    fn deletion(
        &mut self,
        pods: &[String],
        refused: Option<&recoup_model::observation::Failure>,
    ) -> Vec<String> {
        let pods = pods.join(", ");
        match refused {
            None => vec![format!("the API agreed to delete {pods}")],
            Some(_) if self.refused => Vec::new(),
            Some(failure) => {
                self.refused = true;
                vec![format!("the API does not delete {pods} yet: {failure}")]
            }
        }
    }

    fn sample(&mut self, sample: &Sample) -> Vec<String> {
        let Some(stream) = self.plan.as_ref().and_then(|plan| plan.streams.get(sample.stream as usize))
        else {
            return Vec::new();
        };
        let name = stream.name.clone();
        let mut lines = Vec::new();
        if let Some(told) = &sample.told {
            lines.extend(self.told(&name, told));
        }
        if !is_key(&name) || sample.failure.as_ref().is_some_and(|f| f.class == FailureClass::Observer) {
            return lines;
        }
        match (&sample.failure, self.outages.get_mut(&name)) {
            (Some(failure), None) => {
                lines.push(format!("{name} does not answer ({failure})"));
                self.outages.insert(name, Out { from: sample.sent, back: None, failed: 1 });
            }
            // An attempt that was sent before the first good answer, and gave up after it.
            (Some(_), Some(out)) if out.back.is_some_and(|back| sample.sent < back) => out.failed += 1,
            (Some(_), Some(out)) => {
                out.back = None;
                out.failed += 1;
            }
            (None, Some(out)) => {
                let back = *out.back.get_or_insert(sample.done);
                if sample.done.since(back) >= BACK {
                    lines.push(ended(&name, out));
                    self.outages.remove(&name);
                }
            }
            (None, None) => {}
        }
        lines
    }

    /// What the cluster says of itself, where it says something new.
    fn told(&mut self, stream: &str, told: &Observed) -> Vec<String> {
        match told {
            Observed::Member { id, leader, .. } => {
                let node = stream.rsplit('/').next().unwrap_or_default();
                self.members.insert(id.clone(), node.to_owned());
                let Some(leader) = leader else { return Vec::new() };
                let leader = self.members.get(leader).unwrap_or(leader).clone();
                // Until every member was heard of, a leader may be known by its number only.
                if !self.members.values().any(|node| *node == leader) {
                    return Vec::new();
                }
                self.changed("raft leader", &leader)
            }
            Observed::Lease { holder, .. } => {
                let lease = stream.rsplit('/').next().unwrap_or_default();
                let node = holder.split('_').next().unwrap_or_default().to_owned();
                self.changed(&format!("holder of {lease}"), &node)
            }
            Observed::Nodes(nodes) => nodes.iter().flat_map(|node| self.node(node)).collect(),
            _ => Vec::new(),
        }
    }

    fn node(&mut self, node: &NodeState) -> Vec<String> {
        let ready = if node.ready == "True" { "ready" } else { "NOT ready" };
        self.changed(&format!("node {}", node.name), ready)
    }

    fn changed(&mut self, what: &str, value: &str) -> Vec<String> {
        match self.states.insert(what.to_owned(), value.to_owned()) {
            Some(before) if before != value => vec![format!("{what}: {value} (was {before})")],
            _ => Vec::new(),
        }
    }

    fn end_outages(&mut self) -> Vec<String> {
        std::mem::take(&mut self.outages).iter().map(|(name, out)| ended(name, out)).collect()
    }
}

fn ended(name: &str, out: &Out) -> String {
    match out.back {
        Some(back) => {
            let gap = back.since(out.from).as_secs_f64();
            format!("{name} answers again after {gap:.2} s ({} attempts failed)", out.failed)
        }
        None => format!("{name} has not answered since {} ({} attempts failed)", out.from, out.failed),
    }
}

/// What users feel: the load balancer and the Service. The other streams are in the report.
fn is_key(stream: &str) -> bool {
    let of_lb = stream.starts_with("api/") && stream.contains("/lb/reused");
    of_lb || stream.starts_with("workload/service/") || stream == "converge" || stream == "schedule"
}

fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Setup => "setup",
        Phase::Baseline => "baseline",
        Phase::Fault => "fault",
        Phase::Recovery => "recovery",
        Phase::Cleanup => "cleanup",
    }
}

#[cfg(test)]
#[path = "narrator_tests.rs"]
mod tests;
