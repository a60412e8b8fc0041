//! Times in which the observer itself was not run: attempts that are late for that say nothing about the cluster.

use std::time::Duration;

use crate::{
    observation::FailureClass,
    spec::Rate,
    time::Offset,
    timeline::{Attempt, Outcome},
};

/// The times, and what came of them.
#[derive(Clone, Debug, Default)]
pub struct Stalls {
    /// Each from when the observer was to look until it did; they do not overlap.
    pub spans: Vec<(Offset, Offset)>,
    /// Attempts that were set aside.
    pub aside: u64,
}

impl Stalls {
    /// Notes for how long the observer stood still during an attempt, and sets it aside where it was late no longer
    /// than that. An answer that would have been read in time was no slow one; where there was none within the
    /// deadline, at least half of that must have been the observer's own: a cluster that hangs is not excused by a
    /// moment.
    pub fn look(&mut self, attempt: &mut Attempt, rate: &Rate) {
        attempt.held = self.within(attempt.sent, attempt.done);
        let aside = match &attempt.outcome {
            Outcome::Slow(_) => rate.slow.is_some_and(|slow| attempt.own() <= slow.0),
            Outcome::Bad(FailureClass::Timeout) => {
                attempt.done.since(attempt.sent) >= rate.timeout.0 && attempt.own() <= rate.timeout.0 / 2
            }
            Outcome::Good(_) | Outcome::Bad(_) | Outcome::Lost => false,
        };
        if aside {
            attempt.outcome = Outcome::Lost;
            self.aside += 1;
        }
    }

    /// How much of that time it stood still.
    fn within(&self, from: Offset, to: Offset) -> Duration {
        let after = self.spans.iter().rev().take_while(|(_, end)| *end > from);
        after.map(|(began, ended)| (*ended).min(to).since((*began).max(from))).sum()
    }

    /// For a reader of the result; none where nothing was set aside.
    #[must_use]
    pub fn words(&self) -> Option<String> {
        let lengths = self.spans.iter().map(|(from, to)| to.since(*from));
        let longest = lengths.clone().max().filter(|_| self.aside > 0)?;
        Some(format!(
            "the observer itself was not run {} times, {:.2} s in all and {:.2} s at the longest: {} attempts that \
             were late no longer than that are set aside",
            self.spans.len(),
            lengths.sum::<Duration>().as_secs_f64(),
            longest.as_secs_f64(),
            self.aside
        ))
    }
}
