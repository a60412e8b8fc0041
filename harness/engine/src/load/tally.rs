//! What became of each request, by the second in which it was due.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use recoup_model::{
    load::{ON_TIME, Schedule, Slice},
    observation::FailureClass,
    spec::LoadVerb,
    time::{Offset, Span},
};

use super::Totals;

/// Counts until every request has ended.
pub(super) struct Tally {
    record: Box<dyn Fn(Slice) + Send + Sync>,
    counts: Mutex<Counts>,
}

struct Counts {
    /// With the number of its requests that have not ended; none once it is recorded.
    slices: Vec<Option<(Slice, u64)>>,
    totals: Totals,
}

impl Tally {
    /// Nothing has left yet. `begin` is the load's beginning.
    pub(super) fn new(
        schedule: &Schedule,
        step: u32,
        begin: Offset,
        record: Box<dyn Fn(Slice) + Send + Sync>,
    ) -> Tally {
        let slice = |(stage, part): &(usize, recoup_model::load::Stage)| Slice {
            step,
            stage: u32::try_from(stage + 1).unwrap_or(u32::MAX),
            from: begin.plus(part.from),
            to: begin.plus(part.to),
            rate: part.rate,
            due: 0,
            sent: 0,
            late: 0,
            worst: Span::default(),
            verbs: std::collections::BTreeMap::new(),
        };
        let mut slices: Vec<(Slice, u64)> = schedule.slices().iter().map(|part| (slice(part), 0)).collect();
        for due in (0..schedule.count()).filter_map(|number| schedule.due(number)) {
            if let Some((slice, open)) = slices.get_mut(due.slice) {
                slice.due += 1;
                *open += 1;
            }
        }
        let totals = Totals { due: schedule.count(), ..Totals::default() };
        let slices = slices.into_iter().map(Some).collect();
        Tally { record, counts: Mutex::new(Counts { slices, totals }) }
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request leaves, so long after it was due.
    pub(super) fn sent(&self, slice: usize, late: Duration) {
        let mut counts = self.lock();
        counts.totals.sent += 1;
        if let Some(Some((slice, _))) = counts.slices.get_mut(slice) {
            slice.sent += 1;
            slice.late += u64::from(late > ON_TIME);
            slice.worst = slice.worst.max(Span(late));
        }
    }

    /// A request that is due cannot leave.
    pub(super) fn unsent(&self, slice: usize) {
        self.close(slice, |_| {});
    }

    /// A request has ended: how long that took since it was due, or why it failed.
    pub(super) fn ended(&self, slice: usize, verb: LoadVerb, answer: Result<Duration, FailureClass>) {
        if answer == Err(FailureClass::Observer) {
            // The generator's own failure: it never left.
            self.lock().totals.sent -= 1;
            return self.close(slice, |slice| slice.sent -= 1);
        }
        if answer.is_ok() {
            self.lock().totals.answered += 1;
        }
        self.close(slice, |slice| {
            let verb = slice.verbs.entry(verb).or_default();
            match answer {
                Ok(took) => {
                    verb.answered += 1;
                    verb.times.record(took);
                }
                Err(FailureClass::Throttled) => verb.throttled += 1,
                Err(class) => *verb.failed.entry(class).or_default() += 1,
            }
        });
    }

    /// One fewer is open in the slice; the last one has it recorded.
    fn close(&self, slice: usize, change: impl FnOnce(&mut Slice)) {
        let mut counts = self.lock();
        let Some(place) = counts.slices.get_mut(slice) else { return };
        let Some((slice, open)) = place else { return };
        change(slice);
        *open -= 1;
        if *open == 0 {
            let whole = place.take();
            drop(counts);
            if let Some((slice, _)) = whole {
                (self.record)(slice);
            }
        }
    }

    /// Records the seconds in which nothing was due.
    pub(super) fn finish(&self) {
        let left: Vec<Slice> =
            self.lock().slices.iter_mut().filter_map(Option::take).map(|(slice, _)| slice).collect();
        left.into_iter().for_each(|slice| (self.record)(slice));
    }

    /// All of it.
    pub(super) fn totals(&self) -> Totals {
        self.lock().totals
    }
}
