//! Whole records: complete, cut off, of another format.

use crate::common::{FAULT, Story, at, cluster};
use recoup_model::{
    RecordError,
    event::{Event, FORMAT, Record},
    run_result,
    topology::ProviderKind,
    verdict::Verdict,
};

fn start(format: u32) -> Record {
    let (run, recoup, started) = ("r".into(), "0.1.0".into(), "2026-01-01T00:00:00Z".into());
    Record {
        at: at(0.0),
        event: Event::RunStarted { format, run, recoup, started, seed: 7, experiments: Vec::new() },
    }
}

fn record(provider: ProviderKind) -> Vec<Record> {
    let mut fingerprint = cluster();
    fingerprint.provider = provider;
    let step = "signal: {process: etcd, on: raftLeader, signal: KILL}";
    let story = Story::new(step, "  assertions:\n    - gap: {of: api/write/lb/reused, max: 1s}", "cp1");
    let mut all = vec![
        start(FORMAT),
        Record {
            at: at(0.0),
            event: Event::ClusterReady {
                fingerprint: Box::new(fingerprint),
                created: true,
                configuration: None,
            },
        },
    ];
    all.extend(story.records());
    all.push(Record { at: at(70.0), event: Event::ExperimentFinished { result: Box::new(story.judged()) } });
    let (id, hypothesis, reason) = ("c/d".into(), "h".into(), "no second worker".into());
    all.push(Record { at: at(70.0), event: Event::ExperimentSkipped { id, hypothesis, reason } });
    all.push(Record { at: at(71.0), event: Event::RunFinished { interrupted: false } });
    all
}

#[test]
fn a_complete_record_gives_every_experiment_once() {
    let mut all = record(ProviderKind::Kind);
    for (second, cpu_ms) in [(1.0, 1000), (FAULT + 1.0, 2000), (69.0, 9000)] {
        all.insert(
            all.len() - 1,
            Record { at: at(second), event: Event::Overhead { cpu_ms, rss_kib: 4096 } },
        );
    }
    let result = run_result(&all).expect("a record");
    assert!(!result.incomplete && !result.simulated);
    let verdicts: Vec<_> = result.experiments.iter().map(|e| (e.id.as_str(), e.verdict)).collect();
    assert_eq!(verdicts, [("a/b", Verdict::Pass), ("c/d", Verdict::Skipped)]);
    assert_eq!(result.experiments[1].reasons, ["no second worker"]);
    let overhead = result.overhead.expect("overhead");
    assert_eq!(
        (overhead.cpu_permille, overhead.rss_kib),
        (100, 4096),
        "one second of ten, cleaning up left out"
    );
}

#[test]
fn a_record_that_is_cut_off_is_incomplete_and_its_last_experiment_inconclusive() {
    let mut all = record(ProviderKind::Kind);
    all.truncate(all.len() - 4);
    let result = run_result(&all).expect("a record");
    assert!(result.incomplete);
    assert_eq!(result.experiments.iter().map(|e| e.verdict).collect::<Vec<_>>(), [Verdict::Inconclusive]);
    assert!(result.experiments[0].reasons[0].contains("ends before"), "{:?}", result.experiments[0].reasons);
}

#[test]
fn what_comes_from_a_model_says_so_everywhere() {
    let result = run_result(&record(ProviderKind::Sim)).expect("a record");
    assert!(result.simulated && result.experiments.iter().all(|experiment| experiment.simulated));
}

#[test]
fn another_format_and_no_record_are_refused() {
    assert_eq!(run_result(&[]), Err(RecordError::Empty));
    let other = RecordError::Format { found: FORMAT + 1, recoup: "0.1.0".into() };
    assert_eq!(run_result(&[start(FORMAT + 1)]), Err(other));
    assert_eq!(run_result(&record(ProviderKind::Kind)[1..]), Err(RecordError::NoStart));
    let mut homeless = record(ProviderKind::Kind);
    homeless.remove(1);
    assert_eq!(run_result(&homeless), Err(RecordError::NoCluster("a/b".into())));
}
