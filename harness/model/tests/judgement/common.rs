//! Records of invented experiments, to be judged.

use std::collections::BTreeMap;

use recoup_model::{
    action::{ActionReport, NodeAction, Process, ProcessId, ProcessState, Signal},
    event::{Event, Phase, Record, Sample, Stage},
    judge::Live,
    observation::{Failure, FailureClass, NodeState, Observation, Observed, PodState},
    plan::{Plan, Stream},
    spec::{LoadStep, Step, load},
    time::Offset,
    topology::{Fingerprint, Node, NodeRole, ProviderKind},
    verdict::ExperimentResult,
};

/// The fault comes this long after the baseline's start.
pub const FAULT: f64 = 10.0;
/// So long before another fault a load begins.
pub const BEFORE: f64 = 3.0;

pub fn at(seconds: f64) -> Offset {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small positive numbers")]
    let micros = (seconds * 1e6) as u64;
    Offset(micros)
}

pub fn cluster() -> Fingerprint {
    let node = |name: &str, role| Node { name: name.into(), role, zone: None, address: [10, 0, 0, 1].into() };
    let mut nodes: Vec<Node> = ["cp1", "cp2", "cp3"].map(|name| node(name, NodeRole::ControlPlane)).into();
    nodes.extend(["w1", "w2"].map(|name| node(name, NodeRole::Worker)));
    Fingerprint {
        provider: ProviderKind::Kind,
        cluster: "t".into(),
        profile: "ha".into(),
        kubernetes: "v1.33.1".into(),
        etcd: "3.5".into(),
        runtime: "containerd".into(),
        kind: "0.27".into(),
        load_balancer: "haproxy".into(),
        image: "node".into(),
        kernel: "6".into(),
        cpus: 2,
        nodes,
    }
}

type Answer = Box<dyn Fn(&Stream, u64, f64) -> Result<Observed, FailureClass>>;
type Took = Box<dyn Fn(u64, f64) -> f64>;

/// An experiment: one step at second 10, observed until `ends`.
pub struct Story {
    pub plan: Plan,
    pub target: String,
    /// Other nodes that are hit at the same time.
    pub also: Vec<String>,
    /// What a stream is told by attempt number and second; where it is none, all is well.
    pub told: Vec<(String, Answer)>,
    /// How many seconds a stream's attempt takes, by its number and second; 5 ms where it is none.
    pub takes: Vec<(String, Took)>,
    /// Records besides.
    pub more: Vec<Record>,
    pub effective: bool,
    pub evidence: bool,
    pub before: Vec<String>,
    pub after: Vec<String>,
    pub ends: f64,
    /// The second of the undo, for a step that holds.
    pub undo: Option<f64>,
}

/// A plan of one variant whose spec has these further lines.
pub fn plan(step: &str, lines: &str) -> Plan {
    let text = format!(
        "apiVersion: recoup/v1\nkind: Experiment\nmetadata: {{name: a/b}}\nspec:\n  hypothesis: h\n  profile: ha\n{lines}\n  variants:\n    - name: default\n      steps:\n        - {step}\n"
    );
    load("t.yaml", &text, &["ha"]).unwrap_or_else(|e| panic!("{e}")).remove(0)
}

impl Story {
    pub fn new(step: &str, lines: &str, target: &str) -> Story {
        Story {
            plan: plan(step, lines).resolved(&cluster(), &[]),
            target: target.into(),
            also: Vec::new(),
            told: Vec::new(),
            takes: Vec::new(),
            more: Vec::new(),
            effective: true,
            evidence: true,
            before: Vec::new(),
            after: Vec::new(),
            ends: 60.0,
            undo: None,
        }
    }

    /// Streams of that name's beginning are told what the closure says.
    pub fn told(
        mut self,
        stream: &str,
        answer: impl Fn(&Stream, u64, f64) -> Result<Observed, FailureClass> + 'static,
    ) -> Story {
        self.told.push((stream.into(), Box::new(answer)));
        self
    }

    /// Attempts of streams of that name's beginning take so many seconds.
    pub fn takes(mut self, stream: &str, seconds: impl Fn(u64, f64) -> f64 + 'static) -> Story {
        self.takes.push((stream.into(), Box::new(seconds)));
        self
    }

    /// A stream fails between two seconds.
    pub fn down(self, stream: &str, from: f64, to: f64) -> Story {
        self.told(stream, move |stream, n, t| {
            if (from..to).contains(&t) { Err(FailureClass::Refused) } else { Ok(well(stream, n)) }
        })
    }

    pub fn records(&self) -> Vec<Record> {
        let mut all = vec![
            (0.0, Event::ExperimentStarted { plan: Box::new(self.plan.clone()) }),
            (0.0, Event::Health { stage: Stage::Before, problems: self.before.clone() }),
            (0.0, Event::PhaseStarted { phase: Phase::Baseline }),
            (FAULT, Event::PhaseStarted { phase: Phase::Fault }),
            (self.ends, Event::PhaseStarted { phase: Phase::Cleanup }),
            (self.ends + 1.0, Event::Health { stage: Stage::After, problems: self.after.clone() }),
        ];
        let action = NodeAction::Signal { process: Process::Etcd, signal: Signal::Kill, only: None };
        for (n, step) in (1..).zip(&self.plan.steps).filter(|(_, step)| step.is_fault()) {
            if let Step::Load(load) = step {
                all.extend(self.load(n, load));
                continue;
            }
            let targets = self.targets();
            let (key, description) = (step.key().to_owned(), "a fault".to_owned());
            all.push((FAULT, Event::StepStarted { step: n, key, targets, description }));
            let report = ActionReport { processes: vec![process(7)], ..ActionReport::default() };
            for node in self.targets() {
                let (began, ended) = (at(FAULT), at(FAULT + 0.1));
                let (report, action) = (report.clone(), action.clone());
                let injected = Event::Injected {
                    step: n,
                    node: node.clone(),
                    action: action.clone(),
                    began,
                    ended,
                    report: Box::new(report),
                };
                all.push((FAULT + 0.1, injected));
                if self.evidence {
                    let (check, seen) = ("process 7 is gone".to_owned(), String::new());
                    let evidence = Event::Evidence {
                        step: n,
                        node: node.clone(),
                        check,
                        effective: self.effective,
                        seen,
                    };
                    all.push((FAULT + 0.2, evidence));
                }
                if let (Some(undo), true) = (self.undo, step.hold().is_some()) {
                    let (began, ended) = (at(undo - 0.1), at(undo));
                    all.push((undo, Event::Undone { step: n, node, action, began, ended }));
                }
            }
        }
        let mut records: Vec<Record> =
            all.into_iter().map(|(t, event)| Record { at: at(t), event }).collect();
        for (index, stream) in (0_u32..).zip(&self.plan.streams) {
            let period = stream.rate.period.0.as_secs_f64();
            let answer = self.told.iter().find(|(name, _)| stream.name.starts_with(name.as_str()));
            let takes = self.takes.iter().find(|(name, _)| stream.name.starts_with(name.as_str()));
            let mut n = 0_u64;
            let mut t = 0.001;
            while t < self.ends {
                let told =
                    answer.map_or_else(|| self.usual(stream, n, t), |(_, answer)| answer(stream, n, t));
                let done = t + takes.map_or(0.005, |(_, takes)| takes(n, t));
                let sample = Sample {
                    stream: index,
                    due: at(t),
                    sent: at(t),
                    done: at(done),
                    told: told.as_ref().ok().cloned(),
                    failure: told.err().map(|class| Failure::new(class, "")),
                };
                records.push(Record { at: at(done), event: Event::Sample(sample) });
                n += 1;
                t += period;
            }
        }
        records.extend(self.more.iter().cloned());
        records.sort_by_key(|record| record.at);
        records
    }

    /// A load from the fault on, or beside another fault from [`BEFORE`] it on; its slices are in `more`.
    fn load(&self, step: u32, load: &LoadStep) -> Vec<(f64, Event)> {
        let alone = self.plan.steps.iter().filter(|step| step.is_fault()).count() == 1;
        let from = if alone { FAULT } else { FAULT - BEFORE };
        let to = from + load.hold.0.as_secs_f64();
        let (key, description, targets) = ("load".to_owned(), "a load".to_owned(), Vec::new());
        let mut all = vec![
            (from, Event::StepStarted { step, key, targets, description }),
            (from, Event::LoadStarted { step, began: at(from), ended: at(from) }),
            (to + 0.2, Event::LoadEnded { step, began: at(to), ended: at(to + 0.2) }),
        ];
        if self.evidence {
            let (check, seen, node) = ("it was answered".into(), String::new(), "the API servers".into());
            all.push((to, Event::Evidence { step, node, check, effective: self.effective, seen }));
        }
        all
    }

    fn targets(&self) -> Vec<String> {
        std::iter::once(&self.target).chain(&self.also).cloned().collect()
    }

    /// What a stream is told where no story is told of it: what the step silences is silent while it holds.
    pub fn usual(&self, stream: &Stream, n: u64, t: f64) -> Result<Observed, FailureClass> {
        let held = self.undo.is_some_and(|undo| (FAULT..undo - 0.1).contains(&t));
        let process = |step: &Step| match step {
            Step::Signal(fault) if fault.signal == Signal::Stop => vec![fault.process],
            Step::StaticPod(fault) => vec![fault.pod.process()],
            Step::Unit(fault) => vec![fault.unit.process()],
            Step::Pause(_) => vec![Process::Etcd, Process::KubeApiserver, Process::Kubelet],
            _ => Vec::new(),
        };
        let silenced = |step: &Step| {
            let mut hit = process(step)
                .into_iter()
                .flat_map(|process| self.targets().into_iter().map(move |t| (process, t)));
            hit.clone().any(|(process, node)| silent(process, &node, stream))
                || (self.also.len() == 1
                    && matches!(
                        stream.observation,
                        Observation::EtcdPut { .. } | Observation::ApiWrite { .. }
                    )
                    && hit.any(|(process, _)| process == Process::Etcd))
        };
        if held && self.plan.steps.iter().any(silenced) {
            return match stream.observation {
                Observation::NodeLease { .. } => Ok(Observed::Renewed { revision: renewed(FAULT) }),
                _ => Err(FailureClass::Timeout),
            };
        }
        Ok(well(stream, n))
    }

    pub fn judged(&self) -> ExperimentResult {
        recoup_model::judge(&self.plan, &cluster(), &self.records())
    }

    /// What is known of it by that second.
    pub fn live(&self, until: f64) -> Live {
        let mut live = Live::new(&self.plan, &cluster());
        self.records().iter().filter(|record| record.at <= at(until)).for_each(|record| live.push(record));
        live
    }

    /// Reads back everything that was acknowledged, but for what `lose` names.
    pub fn read_back(mut self, lose: impl Fn(&str, u64) -> bool) -> Story {
        let mut found: BTreeMap<String, BTreeMap<u64, u64>> = BTreeMap::new();
        for record in self.records() {
            let Event::Sample(Sample { stream, told: Some(Observed::Acknowledged { number, .. }), .. }) =
                record.event
            else {
                continue;
            };
            let stream = &self.plan.streams[stream as usize];
            let slot = if stream.name.starts_with("api/") {
                number % recoup_model::observation::SLOTS
            } else {
                number
            };
            if !lose(&stream.name, number) {
                found.entry(stream.name.clone()).or_default().insert(slot, number);
            }
        }
        for through in ["api/lb", "api/cp1", "api/cp2", "api/cp3", "etcd/cp1", "etcd/cp2", "etcd/cp3"] {
            let kind = through.split('/').next().unwrap_or_default();
            let found = found
                .iter()
                .filter(|(stream, _)| stream.starts_with(kind))
                .map(|(s, f)| (s.clone(), f.clone()));
            let event =
                Event::WritesReadBack { through: through.into(), found: found.collect(), failure: None };
            self.more.push(Record { at: at(self.ends + 0.5), event });
        }
        self
    }
}

/// The loss of a process shows in that stream.
fn silent(process: Process, node: &str, stream: &Stream) -> bool {
    let parts: Vec<&str> = stream.name.split('/').collect();
    match process {
        Process::Etcd => matches!(parts[..], ["etcd", _, of] | ["api", _, of, _] if of == node),
        Process::KubeApiserver => matches!(parts[..], ["api", _, of, _] if of == node),
        Process::Kubelet => matches!(parts[..], ["health", "kubelet", of] | ["nodelease", of] if of == node),
        Process::KubeProxy => matches!(parts[..], ["health", "kube-proxy", of] if of == node),
        _ => false,
    }
}

/// The revision of every node's Lease at a second: a renewal every 10 s.
pub fn renewed(t: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small positive numbers")]
    let renewals = ((t + 5.0) / 10.0) as u64;
    1000 + renewals
}

pub fn process(pid: u32) -> ProcessState {
    ProcessState { id: ProcessId { pid, started: 1 }, state: 'S' }
}

/// What a stream is told where nothing is wrong.
pub fn well(stream: &Stream, n: u64) -> Observed {
    match &stream.observation {
        Observation::ApiWrite { .. } | Observation::EtcdPut { .. } => {
            Observed::Acknowledged { number: n, revision: None }
        }
        Observation::EtcdStatus { member } => member_told(member, Some("cp1"), 2, n),
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        Observation::NodeLease { .. } => Observed::Renewed { revision: renewed(n as f64) },
        Observation::Lease { .. } => Observed::Lease { holder: "cp1_a".into(), renewed: n.to_string() },
        Observation::Nodes => nodes(&[]),
        Observation::Pods => Observed::Pods(vec![pod("p1", "w1"), pod("p2", "w2")]),
        Observation::Workload { .. } => Observed::Served { pod: "p1".into() },
        _ => Observed::Answered,
    }
}

pub fn member_told(member: &str, leader: Option<&str>, term: u64, applied: u64) -> Observed {
    Observed::Member { id: format!("id-{member}"), leader: leader.map(|l| format!("id-{l}")), term, applied }
}

pub fn nodes(not_ready: &[&str]) -> Observed {
    Observed::Nodes(
        ["cp1", "cp2", "cp3", "w1", "w2"]
            .map(|name| NodeState {
                name: name.into(),
                ready: if not_ready.contains(&name) { "Unknown".into() } else { "True".into() },
                taints: if not_ready.contains(&name) {
                    vec!["node.kubernetes.io/unreachable:NoExecute".into()]
                } else {
                    Vec::new()
                },
            })
            .into(),
    )
}

pub fn pod(name: &str, node: &str) -> PodState {
    PodState {
        name: name.into(),
        node: Some(node.into()),
        ip: Some("10.1.0.1".into()),
        ready: true,
        deleting: false,
        restarts: 0,
    }
}
