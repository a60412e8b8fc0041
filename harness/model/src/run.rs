//! A whole run from its record: every experiment judged again.

use crate::{
    event::{Event, FORMAT, Phase, Record},
    judge::Live,
    repetition::repetitions,
    spec::Flags,
    time::Offset,
    topology::Fingerprint,
    verdict::{ExperimentResult, Overhead, RunResult, Verdict},
};

/// Why a record cannot be judged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// There is no line in it.
    #[error("the record is empty")]
    Empty,
    /// It does not begin as a record does.
    #[error(
        "the record does not begin with the start of a run: it is no record of recoup's, or its beginning is cut off"
    )]
    NoStart,
    /// It was written by another version.
    #[error(
        "the record has format {found}, this version of recoup reads formats 1 to {FORMAT}: use the version that wrote it ({recoup})"
    )]
    Format {
        /// Its format.
        found: u32,
        /// Who wrote it.
        recoup: String,
    },
    /// An experiment began before any cluster was there.
    #[error("the experiment {0:?} began before a cluster was recorded")]
    NoCluster(String),
}

/// Judges every experiment of a record again.
///
/// # Errors
/// Where it is no record of this format. A record that ends early is none: its result says `incomplete`.
pub fn run_result(records: &[Record]) -> Result<RunResult, RecordError> {
    let first = records.first().ok_or(RecordError::Empty)?;
    let Event::RunStarted { format, run, recoup, started, seed, experiments: _ } = &first.event else {
        return Err(RecordError::NoStart);
    };
    if !(1..=FORMAT).contains(format) {
        return Err(RecordError::Format { found: *format, recoup: recoup.clone() });
    }
    let mut clusters: Vec<Fingerprint> = Vec::new();
    let mut current: Option<Fingerprint> = None;
    let mut experiments: Vec<ExperimentResult> = Vec::new();
    let mut live: Option<Live> = None;
    let mut undecided = false;
    let mut incomplete = true;
    for record in records {
        if let Some(open) = &mut live {
            open.push(record);
        }
        match &record.event {
            Event::ClusterReady { fingerprint, .. } => {
                if !clusters.contains(fingerprint) {
                    clusters.push((**fingerprint).clone());
                }
                current = Some((**fingerprint).clone());
            }
            Event::ExperimentStarted { plan } => {
                experiments.extend(live.take().map(|open| cut(&open)));
                // It is tried again, and the try before is told with this one; unless it is judged otherwise by now.
                if undecided && !plan.earlier.is_empty() {
                    experiments.pop_if(|last| last.id == plan.id && last.trial == plan.trial);
                }
                let cluster = current.as_ref().ok_or_else(|| RecordError::NoCluster(plan.id.clone()))?;
                let mut open = Live::new(plan, cluster);
                open.push(record);
                live = Some(open);
            }
            Event::ExperimentFinished { result } => {
                undecided = result.verdict == Verdict::Inconclusive;
                experiments.extend(live.take().map(|open| open.result()));
            }
            Event::ExperimentAborted { id, reason } => experiments.push(match live.take() {
                Some(open) => open.result(),
                None => bare(record.at, id, next(&experiments, id), "", Verdict::Inconclusive, reason),
            }),
            Event::ExperimentSkipped { id, hypothesis, reason } => {
                let trial = next(&experiments, id);
                experiments.push(bare(record.at, id, trial, hypothesis, Verdict::Skipped, reason));
            }
            Event::RunFinished { interrupted } => incomplete = *interrupted,
            _ => {}
        }
    }
    experiments.extend(live.take().map(|open| cut(&open)));
    let simulated = clusters.iter().any(Fingerprint::simulated);
    for experiment in &mut experiments {
        experiment.simulated |= simulated && clusters.iter().all(Fingerprint::simulated);
    }
    Ok(RunResult {
        format: FORMAT,
        run: run.clone(),
        recoup: recoup.clone(),
        started: started.clone(),
        seed: *seed,
        simulated,
        clusters,
        repetitions: repetitions(&experiments),
        experiments,
        incomplete,
        overhead: overhead(records),
    })
}

/// The record ends inside of the experiment.
fn cut(open: &Live) -> ExperimentResult {
    let mut result = open.result();
    result.verdict = Verdict::Inconclusive;
    result.reasons.insert(0, "the record ends before the experiment did".to_owned());
    result
}

/// The number of an experiment's next trial: what was left out tells none.
fn next(experiments: &[ExperimentResult], id: &str) -> u32 {
    experiments.iter().filter(|known| known.id == id).map(|known| known.trial).max().unwrap_or(0) + 1
}

/// An experiment of which nothing was observed.
fn bare(
    at: Offset,
    id: &str,
    trial: u32,
    hypothesis: &str,
    verdict: Verdict,
    reason: &str,
) -> ExperimentResult {
    ExperimentResult {
        id: id.to_owned(),
        trial,
        earlier: Vec::new(),
        hypothesis: hypothesis.to_owned(),
        verdict,
        reasons: vec![reason.to_owned()],
        simulated: false,
        started: at,
        ended: at,
        bands: Vec::new(),
        intervals: Vec::new(),
        assertions: Vec::new(),
        oracles: Vec::new(),
        streams: Vec::new(),
        states: Vec::new(),
        parts: Vec::new(),
        decisive: Vec::new(),
        metrics: Vec::new(),
        flags: Flags::new(),
        loads: Vec::new(),
        machine: None,
        notes: Vec::new(),
    }
}

/// From the first baseline to the last recovery's end: setting up is no part of probing.
fn overhead(records: &[Record]) -> Option<Overhead> {
    let phase = |wanted: Phase| {
        records
            .iter()
            .filter(move |r| matches!(r.event, Event::PhaseStarted { phase } if phase == wanted))
            .map(|r| r.at)
    };
    let from = phase(Phase::Baseline).next()?;
    let to = phase(Phase::Cleanup).next_back().unwrap_or(Offset(u64::MAX));
    let used: Vec<(Offset, u64, u64)> = records
        .iter()
        .filter(|record| record.at >= from && record.at <= to)
        .filter_map(|record| match record.event {
            Event::Overhead { cpu_ms, rss_kib } => Some((record.at, cpu_ms, rss_kib)),
            _ => None,
        })
        .collect();
    let ((began, at_first, _), (ended, at_last, _)) = (used.first()?, used.last()?);
    let elapsed = u64::try_from(ended.since(*began).as_millis()).ok().filter(|elapsed| *elapsed > 0)?;
    let permille = at_last.saturating_sub(*at_first).saturating_mul(1000) / elapsed;
    Some(Overhead {
        cpu_permille: u32::try_from(permille).unwrap_or(u32::MAX),
        rss_kib: used.iter().map(|(_, _, rss)| *rss).max()?,
    })
}
