use std::collections::BTreeMap;

use recoup_model::{
    action::{NodeAction, StaticPod},
    observation::{Conn, Endpoint, Failure, Observation},
    plan::Stream,
    spec::{ProbeSpecs, Rate, WorkloadSpec},
    time::Span,
};

use super::*;

fn plan() -> Plan {
    let rate = Rate { period: Span::millis(100), timeout: Span::seconds(1), slow: None };
    let write = Observation::ApiWrite { via: Endpoint::Lb, conn: Conn::Reused };
    let lease = Observation::Lease { name: "kube-scheduler".into() };
    Plan {
        trial: 1,
        earlier: Vec::new(),
        flags: BTreeMap::new(),
        predictions: std::collections::BTreeMap::new(),
        id: "scheduler/lease-expiry/kill".into(),
        hypothesis: "another takes over".into(),
        smoke: false,
        profile: "ha".into(),
        workload: WorkloadSpec::default(),
        probes: ProbeSpecs::default(),
        baseline: Span::seconds(1),
        stable: Span::seconds(3),
        observe: Span::seconds(30),
        steps: Vec::new(),
        milestones: Vec::new(),
        assertions: Vec::new(),
        streams: vec![Stream::new(write, rate), Stream::new(lease, rate)],
    }
}

fn at(millis: u64) -> Offset {
    Offset(millis * 1000)
}

struct Story {
    narrator: Narrator,
    lines: Vec<String>,
}

impl Story {
    fn new() -> Story {
        let mut story = Story { narrator: Narrator::default(), lines: Vec::new() };
        story.add(0, Event::ExperimentStarted { plan: Box::new(plan()) });
        story.lines.clear();
        story
    }

    fn add(&mut self, millis: u64, event: Event) {
        self.lines.extend(self.narrator.tell(&Record { at: at(millis), event }));
    }

    fn sample(&mut self, millis: u64, stream: u32, told: Option<Observed>, failed: bool) {
        let failure = failed.then(|| Failure::new(FailureClass::Refused, "nobody listens"));
        let sample =
            Sample { stream, due: at(millis), sent: at(millis), done: at(millis + 10), told, failure };
        self.add(millis + 10, Event::Sample(sample));
    }
}

#[test]
fn an_outage_is_two_lines_and_a_short_return_does_not_end_it() {
    let mut story = Story::new();
    for millis in (0..6000).step_by(100) {
        let failed = (1000..2000).contains(&millis) || (2300..3000).contains(&millis);
        story.sample(millis, 0, None, failed);
        if millis == 1500 {
            let outages = story.narrator.status().outages;
            assert_eq!(outages, [("api/write/lb/reused".to_owned(), Duration::from_millis(510))]);
        }
    }
    assert_eq!(
        story.lines,
        [
            "api/write/lb/reused does not answer (refused: nobody listens)",
            "api/write/lb/reused answers again after 2.01 s (17 attempts failed)",
        ]
    );
    assert!(story.narrator.status().outages.is_empty());
}

#[test]
fn an_outage_that_never_ends_is_told_at_the_end() {
    let mut story = Story::new();
    story.sample(1000, 0, None, true);
    story.add(9000, Event::PhaseStarted { phase: Phase::Cleanup });
    assert!(
        story.lines[1].starts_with("api/write/lb/reused has not answered since +1.000s"),
        "{:?}",
        story.lines
    );
}

#[test]
fn a_lease_tells_only_a_change_of_its_holder() {
    let mut story = Story::new();
    let lease = |node: &str, renewed: &str| {
        Some(Observed::Lease { holder: format!("{node}_3f1c"), renewed: renewed.into() })
    };
    story.sample(0, 1, lease("cp1", "1"), false);
    story.sample(200, 1, lease("cp1", "2"), false);
    assert!(story.lines.is_empty(), "{:?}", story.lines);
    story.sample(400, 1, lease("cp2", "3"), false);
    assert_eq!(story.lines, ["holder of kube-scheduler: cp2 (was cp1)"]);
}

#[test]
fn an_observers_own_failure_is_no_outage() {
    let mut story = Story::new();
    let failure = Some(Failure::new(FailureClass::Observer, "no descriptor left"));
    let sample = Sample { stream: 0, due: at(1), sent: at(1), done: at(2), told: None, failure };
    story.add(2, Event::Sample(sample));
    assert!(story.lines.is_empty(), "{:?}", story.lines);
}

#[test]
fn evidence_that_does_not_hold_stands_out() {
    let mut story = Story::new();
    let evidence = |effective| Event::Evidence {
        step: 1,
        node: "cp1".into(),
        check: "etcd is gone".into(),
        effective,
        seen: "process 7".into(),
    };
    story.add(5, evidence(true));
    story.add(5, evidence(false));
    let action = NodeAction::StaticPodRestore { pod: StaticPod::Etcd };
    story.add(6, Event::Undone { step: 1, node: "cp1".into(), action, began: at(5), ended: at(6) });
    assert_eq!(
        story.lines,
        [
            "evidence: etcd is gone: yes (process 7)",
            "evidence: etcd is gone: NO (process 7)",
            "undone: restoring static pod etcd on cp1",
        ]
    );
}
