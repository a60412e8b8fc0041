//! Writes `events.jsonl` and tells the listener; keeps what a full disk refused until it takes it.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use recoup_model::{
    event::{Event, Record},
    time::Offset,
};
use tokio::time::Instant;

use crate::{EngineError, Listener};

/// The run's one monotonic clock. Under tokio's paused time it is the virtual one.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// Starts at offset 0 now.
    #[must_use]
    pub fn start() -> Clock {
        Clock { origin: Instant::now() }
    }

    /// Now.
    #[must_use]
    pub fn now(self) -> Offset {
        self.offset(Instant::now())
    }

    /// The offset of an instant.
    #[must_use]
    pub fn offset(self, instant: Instant) -> Offset {
        Offset::default().plus(instant.saturating_duration_since(self.origin))
    }
}

/// The record of a run. Clones write to the same file.
#[derive(Clone)]
pub struct Recorder {
    clock: Clock,
    listener: Listener,
    path: Arc<PathBuf>,
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    file: File,
    /// Lines, or the rest of one, that are not in the file yet.
    pending: Vec<u8>,
    flushed: Instant,
    failed: bool,
    /// All records of the run but the samples of finished experiments.
    kept: Vec<Record>,
    /// Where the current experiment's records begin in `kept`.
    experiment: usize,
}

/// Samples wait at most this long in memory; everything else is written at once.
const FLUSH_PERIOD: Duration = Duration::from_millis(250);

impl Recorder {
    /// Creates the file.
    ///
    /// # Errors
    /// Where it exists or cannot be created.
    pub fn create(path: &Path, clock: Clock, listener: Listener) -> Result<Recorder, EngineError> {
        let file = OpenOptions::new()
            .create_new(true)
            .append(true)
            .open(path)
            .map_err(|source| EngineError::Record { path: path.to_owned(), source })?;
        Ok(Recorder::writing(file, path, clock, listener))
    }

    fn writing(file: File, path: &Path, clock: Clock, listener: Listener) -> Recorder {
        let inner = Inner {
            file,
            pending: Vec::new(),
            flushed: Instant::now(),
            failed: false,
            kept: Vec::new(),
            experiment: 0,
        };
        Recorder { clock, listener, path: Arc::new(path.to_owned()), inner: Arc::new(Mutex::new(inner)) }
    }

    /// The run's clock.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Records an event as of now. A file that refuses it is noticed by [`Recorder::check`].
    pub fn record(&self, event: Event) -> Record {
        let record = Record { at: self.clock.now(), event };
        let sample = matches!(record.event, Event::Sample(_));
        {
            let mut inner = self.lock();
            match serde_json::to_writer(&mut inner.pending, &record) {
                Ok(()) => inner.pending.push(b'\n'),
                Err(error) => tracing::error!(%error, "an event could not be serialised"),
            }
            inner.kept.push(record.clone());
            if !sample || inner.flushed.elapsed() >= FLUSH_PERIOD {
                inner.flush();
            }
        }
        (self.listener)(&record);
        record
    }

    /// Fails where the file refused something that is still only in memory.
    ///
    /// # Errors
    /// The file's refusal, tried again now.
    pub fn check(&self) -> Result<(), EngineError> {
        let mut inner = self.lock();
        inner.flush();
        if !inner.failed {
            return Ok(());
        }
        let source = inner.write_out().err().unwrap_or_else(|| io::Error::other("refused a write"));
        Err(EngineError::Record { path: self.path.to_path_buf(), source })
    }

    /// Hands waiting samples to the system: from then on the death of this process loses none of them.
    pub fn flush(&self) {
        let mut inner = self.lock();
        if !inner.pending.is_empty() && inner.flushed.elapsed() >= FLUSH_PERIOD {
            inner.flush();
        }
    }

    /// Writes everything and syncs it to the disk.
    ///
    /// # Errors
    /// Where the file still refuses.
    pub fn sync(&self) -> Result<(), EngineError> {
        let mut inner = self.lock();
        inner
            .write_out()
            .and_then(|()| inner.file.sync_data())
            .map_err(|source| EngineError::Record { path: self.path.to_path_buf(), source })
    }

    /// From here on, [`Recorder::experiment`] begins.
    pub fn begin_experiment(&self) {
        let mut inner = self.lock();
        inner.experiment = inner.kept.len();
    }

    /// All records since the current experiment began.
    #[must_use]
    pub fn experiment(&self) -> Vec<Record> {
        self.experiment_from(0)
    }

    /// The current experiment's records from the given number on.
    #[must_use]
    pub fn experiment_from(&self, number: usize) -> Vec<Record> {
        let inner = self.lock();
        inner.kept.get(inner.experiment + number..).unwrap_or_default().to_vec()
    }

    /// Drops the current experiment's samples from memory: they are in the file and judged.
    pub fn end_experiment(&self) {
        let mut inner = self.lock();
        inner.kept.retain(|record| !matches!(record.event, Event::Sample(_)));
        inner.experiment = inner.kept.len();
    }

    /// The run's records without the samples of finished experiments.
    #[must_use]
    pub fn all(&self) -> Vec<Record> {
        self.lock().kept.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hands over what waits, even where nothing more comes after it, until dropped.
pub async fn keep_flushed(recorder: Recorder) {
    loop {
        tokio::time::sleep(FLUSH_PERIOD).await;
        recorder.flush();
    }
}

impl Inner {
    fn flush(&mut self) {
        self.flushed = Instant::now();
        let before = self.failed;
        self.failed = self.write_out().is_err();
        if self.failed && !before {
            tracing::error!("the record cannot be written; events are kept in memory until it can");
        }
    }

    /// A write cut short by a full disk goes on from the very byte where it stopped.
    fn write_out(&mut self) -> io::Result<()> {
        while !self.pending.is_empty() {
            match self.file.write(&self.pending) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    self.pending.drain(..written);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(text: &str) -> Event {
        Event::Note { message: text.into() }
    }

    #[test]
    fn what_a_full_disk_refuses_is_kept_and_named() {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let recorder = Recorder::writing(full, Path::new("/dev/full"), Clock::start(), Arc::new(|_| {}));
        recorder.record(note("one"));
        recorder.record(note("two"));
        let error = recorder.check().unwrap_err().to_string();
        assert!(error.starts_with("/dev/full: "), "{error}");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.jsonl");
        recorder.lock().file = File::create(&path).unwrap();
        recorder.sync().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.contains("one") && text.contains("two"), "{text}");
    }

    #[test]
    fn a_record_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.jsonl");
        let make = || Recorder::create(&path, Clock::start(), Arc::new(|_| {}));
        make().unwrap().record(note("first"));
        assert!(make().is_err());
    }
}
