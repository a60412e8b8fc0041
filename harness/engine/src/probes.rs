//! Fires every stream's attempts on a fixed schedule and records what they were told.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use recoup_clusters::{Attempt, Cluster};
use recoup_model::{
    event::{Event, Sample},
    observation::{Failure, FailureClass, Observed},
    plan::Stream,
    time::Offset,
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};

use crate::recorder::Recorder;

/// A provider that overruns an attempt's own deadline by this much is cut off.
const GRACE: Duration = Duration::from_millis(250);

/// Between two looks at whether the observer itself is run, and how late one is before that counts: half of the
/// shortest period that probes are good for.
const BEAT: Duration = Duration::from_millis(5);

/// The streams' last good answers, by stream name: what a target is chosen by when the API is down.
#[derive(Clone, Default)]
pub struct Latest(Arc<Mutex<HashMap<String, Observed>>>);

impl Latest {
    /// The last good answer of a stream.
    #[must_use]
    pub fn get(&self, stream: &str) -> Option<Observed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(stream).cloned()
    }

    /// Remembers an answer and records it, by its value only where it says something new: under one
    /// lock, because whoever reads the record takes a missing value for the one recorded last.
    fn tell(&self, stream: &str, told: Observed, record: impl FnOnce(Option<Observed>)) {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let new = map.get(stream) != Some(&told);
        if new {
            map.insert(stream.to_owned(), told.clone());
        }
        record(new.then_some(told));
    }
}

/// The probes of one experiment; dropping it stops them.
#[must_use]
pub struct Probes {
    tasks: JoinSet<()>,
    latest: Latest,
}

impl Probes {
    /// Starts all streams, spread over their periods so that they do not fire together.
    pub fn start(streams: &[Stream], cluster: &Arc<dyn Cluster>, recorder: &Recorder) -> Probes {
        let latest = Latest::default();
        let mut tasks = JoinSet::new();
        let begin = Instant::now();
        // A simulated clock stands still with what looks at it.
        if !cluster.fingerprint().simulated() {
            tasks.spawn(beat(recorder.clone()));
        }
        for (index, stream) in streams.iter().enumerate() {
            let probe = Probe {
                index: u32::try_from(index).unwrap_or(u32::MAX),
                stream: stream.clone(),
                cluster: Arc::clone(cluster),
                recorder: recorder.clone(),
                latest: latest.clone(),
            };
            let first = begin + phase(index, stream.rate.period.0);
            if stream.observation.unscheduled() {
                tasks.spawn(probe.one_by_one(first));
            } else {
                tasks.spawn(probe.on_schedule(first));
            }
        }
        Probes { tasks, latest }
    }

    /// The last good answers.
    #[must_use]
    pub fn latest(&self) -> Latest {
        self.latest.clone()
    }

    /// Stops firing. Attempts under way that have already taken too long are recorded as failures;
    /// the others are dropped, because nothing is known of them.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

/// Records when this runtime was not run, neither its timers nor what reads answers.
async fn beat(recorder: Recorder) {
    let clock = recorder.clock();
    loop {
        let due = Instant::now() + BEAT;
        sleep_until(due).await;
        if due.elapsed() > BEAT {
            let to = clock.now();
            recorder.record(Event::Stalled { from: clock.offset(due), to });
        }
    }
}

/// Consecutive multiples of the golden ratio, modulo 1, spread any number of streams evenly.
fn phase(index: usize, period: Duration) -> Duration {
    #[expect(clippy::cast_precision_loss, reason = "there are less than a thousand streams")]
    let fraction = (index as f64 * 0.618_033_988_75).fract();
    period.mul_f64(fraction)
}

#[derive(Clone)]
struct Probe {
    index: u32,
    stream: Stream,
    cluster: Arc<dyn Cluster>,
    recorder: Recorder,
    latest: Latest,
}

impl Probe {
    /// Attempts leave on time whatever became of the earlier ones.
    async fn on_schedule(self, first: Instant) {
        let mut under_way = JoinSet::new();
        let mut due = first;
        for number in 0.. {
            sleep_until(due).await;
            while under_way.try_join_next().is_some() {}
            under_way.spawn(self.clone().attempt(number, due));
            due += self.stream.rate.period.0;
        }
    }

    /// Long operations on one object: the next begins a period after the last began, or when that ended.
    async fn one_by_one(self, first: Instant) {
        let mut due = first;
        for number in 0.. {
            sleep_until(due).await;
            self.clone().attempt(number, due).await;
            due = (due + self.stream.rate.period.0).max(Instant::now());
        }
    }

    async fn attempt(self, number: u64, due: Instant) {
        let clock = self.recorder.clock();
        let sent = clock.now();
        let limit = self.stream.rate.timeout.0;
        let attempt = Attempt { number, timeout: limit };
        let due = clock.offset(due);
        let mut cut_off = CutOff { probe: Some(&self), due, sent };
        let answer = timeout(limit + GRACE, self.cluster.observe(&self.stream.observation, attempt)).await;
        cut_off.probe = None;
        let done = clock.now();
        let answer = answer.unwrap_or_else(|_| Err(Failure::new(FailureClass::Timeout, "no answer in time")));
        let record = |told, failure| {
            let sample = Sample { stream: self.index, due, sent, done, told, failure };
            self.recorder.record(Event::Sample(sample));
        };
        match answer {
            Ok(told) => self.latest.tell(&self.stream.name, told, |told| record(told, None)),
            Err(failure) => record(None, Some(failure)),
        }
    }
}

/// Dropped with the attempt when observation ends before it does: one that is late by then was an outage.
struct CutOff<'a> {
    probe: Option<&'a Probe>,
    due: Offset,
    sent: Offset,
}

impl Drop for CutOff<'_> {
    fn drop(&mut self) {
        let Some(probe) = self.probe else { return };
        let done = probe.recorder.clock().now();
        let rate = &probe.stream.rate;
        if done.since(self.sent) < rate.patience() {
            return;
        }
        let failure = Some(Failure::new(FailureClass::Timeout, "no answer yet when observation ended"));
        let sample =
            Sample { stream: probe.index, due: self.due, sent: self.sent, done, told: None, failure };
        probe.recorder.record(Event::Sample(sample));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorder::Clock;

    #[tokio::test]
    async fn what_keeps_the_observer_from_running_is_recorded() {
        let dir = tempfile::tempdir().unwrap();
        let recorder =
            Recorder::create(&dir.path().join("events.jsonl"), Clock::start(), Arc::new(|_| {})).unwrap();
        recorder.begin_experiment();
        let beating = tokio::spawn(beat(recorder.clone()));
        tokio::time::sleep(BEAT * 4).await;
        let from = recorder.clock().now();
        std::thread::sleep(Duration::from_millis(200));
        let to = recorder.clock().now();
        tokio::time::sleep(BEAT * 4).await;
        beating.abort();
        let stalls = recorder.experiment().into_iter().filter_map(|record| match record.event {
            Event::Stalled { from, to } => Some((from, to)),
            _ => None,
        });
        let held = |(began, ended): &(Offset, Offset)| *began <= from.plus(BEAT) && *ended >= to;
        assert!(stalls.clone().any(|stall| held(&stall)), "{:?}", stalls.collect::<Vec<_>>());
    }
}
