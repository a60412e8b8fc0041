//! Reads a run's `events.jsonl` again: of this version, of a killed run, but never a damaged one.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
};

use recoup_model::{
    event::{Event, FORMAT, Record},
    judge::judge,
    repetition::repetitions,
    run::{RecordError, run_result},
    topology::Fingerprint,
    verdict::{ExperimentResult, RunResult, Verdict},
};
use serde::Deserialize;

use crate::EVENTS;

/// Why a record cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file.
    #[error("{path}: {source}")]
    File {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Written by another version.
    #[error("{path}: its format is {found}, and this version of recoup reads formats 1 to {FORMAT}")]
    Version {
        /// Its path.
        path: PathBuf,
        /// What the first line says.
        found: String,
    },
    /// Not one whole line.
    #[error("{path}: holds no complete line")]
    Empty {
        /// Its path.
        path: PathBuf,
    },
    /// A line that is not a record's.
    #[error("{path}:{line}:{column}: not a line of a record: {source}")]
    Damaged {
        /// Its path.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// Why.
        source: serde_json::Error,
    },
    /// Lines that make no sense together.
    #[error("{path}: {source}")]
    Senseless {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: RecordError,
    },
}

/// The lines of a record, one by one: a long run's samples need not fit into memory.
pub struct Records {
    path: PathBuf,
    lines: BufReader<File>,
    line: usize,
    cut: bool,
    over: bool,
}

/// What a first line must tell, whatever else its version writes.
#[derive(Deserialize)]
struct Head {
    format: Option<serde_json::Value>,
}

impl Records {
    /// Opens `events.jsonl`, or the one in a run's directory.
    ///
    /// # Errors
    /// Where it is not there.
    pub fn open(run: &Path) -> Result<Records, ReadError> {
        let path = if run.is_dir() { run.join(EVENTS) } else { run.to_owned() };
        match File::open(&path) {
            Ok(file) => Ok(Records { path, lines: BufReader::new(file), line: 0, cut: false, over: false }),
            Err(source) => Err(ReadError::File { path, source }),
        }
    }

    /// The last line was cut short: the run died while it wrote. Known once all was read.
    #[must_use]
    pub fn cut(&self) -> bool {
        self.cut
    }

    fn read(&mut self) -> Result<Option<Record>, ReadError> {
        let mut bytes = Vec::new();
        let read = self.lines.read_until(b'\n', &mut bytes);
        read.map_err(|source| ReadError::File { path: self.path.clone(), source })?;
        if bytes.is_empty() {
            return if self.line == 0 { Err(ReadError::Empty { path: self.path.clone() }) } else { Ok(None) };
        }
        self.line += 1;
        let whole = bytes.ends_with(b"\n");
        if self.line == 1 {
            self.head(&bytes, whole)?;
        }
        match serde_json::from_slice(&bytes) {
            Ok(record) => Ok(Some(record)),
            Err(_) if !whole => {
                self.cut = true;
                Ok(None)
            }
            Err(source) => {
                let (path, line, column) = (self.path.clone(), self.line, source.column());
                Err(ReadError::Damaged { path, line, column, source })
            }
        }
    }

    /// Another version's lines may have any shape, so its number is looked for before anything else.
    fn head(&self, bytes: &[u8], whole: bool) -> Result<(), ReadError> {
        let path = self.path.clone();
        let head: Head = match serde_json::from_slice(bytes) {
            Ok(head) => head,
            Err(_) if !whole => return Err(ReadError::Empty { path }),
            Err(source) => return Err(ReadError::Damaged { path, line: 1, column: source.column(), source }),
        };
        match head.format {
            Some(found) if (1..=u64::from(FORMAT)).any(|known| found == known) => Ok(()),
            Some(found) => Err(ReadError::Version { path, found: found.to_string() }),
            None => Err(ReadError::Version { path, found: "not told in its first line".into() }),
        }
    }
}

impl Iterator for Records {
    type Item = Result<Record, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let next = self.read().transpose();
        self.over = !matches!(next, Some(Ok(_)));
        next
    }
}

/// A run as it was recorded.
#[derive(Debug)]
pub struct Reading {
    /// The results as recorded; an experiment that a dead run left without one is judged now.
    pub recorded: RunResult,
    /// The results of judging every experiment again; the same as `recorded` where that was not asked for.
    pub judged: RunResult,
    /// The ids of experiments that had no verdict in the record.
    pub unjudged: Vec<String>,
    /// What a reader should be told of the record itself.
    pub warnings: Vec<String>,
}

impl Reading {
    /// Experiments that judging again gave another verdict: id, recorded and new.
    #[must_use]
    pub fn differences(&self) -> Vec<(&str, Verdict, Verdict)> {
        let recorded = self.recorded.experiments.iter();
        let known = recorded.filter(|old| !self.unjudged.contains(&named(&old.id, old.trial)));
        // An earlier try that comes to a verdict now stands beside the last one.
        let pairs = known.flat_map(|old| {
            let again = self.judged.experiments.iter();
            again.filter(|new| new.id == old.id && new.trial == old.trial).map(move |new| (old, new))
        });
        pairs
            .filter(|(old, new)| old.verdict != new.verdict)
            .map(|(old, new)| (old.id.as_str(), old.verdict, new.verdict))
            .collect()
    }
}

/// Reads a run's record; with `again`, judges every experiment anew from its samples.
///
/// # Errors
/// Where it is not a whole record of this version. A last line cut short is a warning.
pub fn read_run(run: &Path, again: bool) -> Result<Reading, ReadError> {
    let mut records = Records::open(run)?;
    let mut sorted = Sorted::default();
    for record in records.by_ref() {
        sorted.push(record?, again);
    }
    let path = records.path.clone();
    sorted.end_experiment(again);
    let mut warnings = Vec::new();
    if records.cut() {
        warnings.push(format!(
            "{}:{}: the last line is cut short and was left out",
            path.display(),
            records.line
        ));
    }
    if !sorted.finished {
        warnings.push(format!("{}: the run did not end properly; what there is was read", path.display()));
    }
    let result = |records: &[Record]| {
        let mut run =
            as_recorded(records).map_err(|source| ReadError::Senseless { path: path.clone(), source })?;
        run.incomplete |= !sorted.finished;
        Ok(run)
    };
    let recorded = result(&sorted.recorded)?;
    let judged = if again { result(&sorted.judged)? } else { recorded.clone() };
    Ok(Reading { recorded, judged, unjudged: sorted.unjudged, warnings })
}

/// The results of a run whose samples are not at hand any more: each experiment's as it stands in the record.
///
/// # Errors
/// Where these are no records of a run.
pub(crate) fn as_recorded(records: &[Record]) -> Result<RunResult, RecordError> {
    let mut run = run_result(records)?;
    for record in records {
        if let Event::ExperimentFinished { result } = &record.event {
            let of = |one: &ExperimentResult| (one.id.clone(), one.trial, one.earlier.len());
            if let Some(known) = run.experiments.iter_mut().find(|known| of(known) == of(result)) {
                known.clone_from(result);
            }
        }
    }
    run.repetitions = repetitions(&run.experiments);
    Ok(run)
}

/// A run's records without the samples, with one result per experiment.
#[derive(Default)]
struct Sorted {
    recorded: Vec<Record>,
    judged: Vec<Record>,
    fingerprint: Option<Fingerprint>,
    /// The experiment under way, from its first record on.
    current: Vec<Record>,
    result: Option<Record>,
    unjudged: Vec<String>,
    finished: bool,
}

impl Sorted {
    fn push(&mut self, record: Record, again: bool) {
        match &record.event {
            Event::ExperimentStarted { .. } => {
                self.end_experiment(again);
                self.keep(&record);
                self.current.push(record);
            }
            Event::ExperimentFinished { .. } => {
                self.result = Some(record);
                self.end_experiment(again);
            }
            Event::Sample(_) => {
                if !self.current.is_empty() {
                    self.current.push(record);
                }
            }
            event => {
                self.finished |= matches!(event, Event::RunFinished { .. });
                if self.finished {
                    self.end_experiment(again);
                }
                if let Event::ClusterReady { fingerprint, .. } = event {
                    self.fingerprint = Some((**fingerprint).clone());
                }
                self.keep(&record);
                if !self.current.is_empty() {
                    self.current.push(record);
                }
            }
        }
    }

    fn keep(&mut self, record: &Record) {
        self.recorded.push(record.clone());
        self.judged.push(record.clone());
    }

    /// Judges what was collected where it has no verdict or another one is asked for.
    fn end_experiment(&mut self, again: bool) {
        let records = std::mem::take(&mut self.current);
        let result = self.result.take();
        let (Some(first), Some(last)) = (records.first(), records.last()) else { return };
        let (Event::ExperimentStarted { plan }, Some(fingerprint)) = (&first.event, &self.fingerprint) else {
            return;
        };
        let at = result.as_ref().map_or(last.at, |record| record.at);
        let anew = (again || result.is_none()).then(|| {
            let mut records = records.clone();
            if result.is_none() && !records.iter().any(|r| matches!(r.event, Event::ExperimentAborted { .. }))
            {
                let reason = "the record ends in the middle of the experiment".to_owned();
                records.push(Record { at, event: Event::ExperimentAborted { id: plan.id.clone(), reason } });
            }
            finished(at, judge(plan, fingerprint, &records))
        });
        if result.is_none() {
            self.unjudged.push(named(&plan.id, plan.trial));
        }
        let recorded = result.or_else(|| anew.clone());
        self.judged.extend(anew.or_else(|| recorded.clone()));
        self.recorded.extend(recorded);
    }
}

/// An experiment, or a later trial of it.
fn named(id: &str, trial: u32) -> String {
    if trial == 1 { id.to_owned() } else { format!("{id}, trial {trial}") }
}

fn finished(at: recoup_model::time::Offset, result: ExperimentResult) -> Record {
    Record { at, event: Event::ExperimentFinished { result: Box::new(result) } }
}
