//! The time axis that an experiment's drawings share: seconds from the first fault.

use std::time::Duration;

use recoup_model::{
    time::Offset,
    verdict::{ExperimentResult, Measure},
};

use crate::figures;

/// Left edge of the plot: before it stand the lanes' names.
pub(super) const LEFT: f64 = 250.0;
/// Right edge of the plot: behind it stand the figures.
pub(super) const RIGHT: f64 = 950.0;
/// Width of a whole drawing: some 45 letters of figures fit behind the plot.
pub(super) const WIDTH: f64 = 1270.0;

/// A budget is drawn to scale up to this many times what happened; a longer one would squeeze the outage.
const BUDGET_REACH: f64 = 2.0;

/// Seconds from the fault to drawing units.
#[derive(Clone, Debug)]
pub(super) struct Scale {
    zero: Offset,
    started: f64,
    ended: f64,
    from: f64,
    to: f64,
}

impl Scale {
    /// The part of the experiment in which something failed, changed or was awaited, with a margin.
    pub(super) fn of(experiment: &ExperimentResult) -> Scale {
        let zero = figures::fault(experiment);
        let relative = |at: Offset| at.seconds() - zero.seconds();
        let mut scale = Scale {
            zero,
            started: relative(experiment.started),
            ended: relative(experiment.ended),
            from: 0.0,
            to: 0.0,
        };
        let mut seen = |at: Offset| {
            scale.from = scale.from.min(relative(at));
            scale.to = scale.to.max(relative(at));
        };
        for band in &experiment.bands {
            seen(band.from);
            band.to.iter().for_each(|to| seen(*to));
        }
        for outage in experiment.streams.iter().flat_map(|stream| &stream.outages) {
            seen(outage.start_low);
            seen(outage.to.unwrap_or(experiment.ended));
        }
        for lane in &experiment.states {
            lane.spans.windows(2).flat_map(|pair| [pair[0].to, pair[1].from]).for_each(&mut seen);
        }
        for interval in &experiment.intervals {
            match interval.measure {
                Measure::Measured { high, .. } => seen(interval.from.plus(high.0)),
                Measure::Censored { more_than } => seen(interval.from.plus(more_than.0)),
                Measure::NotSeen { .. } | Measure::Unknown => {}
            }
        }
        let happened = scale.to - scale.from;
        let budgets = experiment
            .intervals
            .iter()
            .filter_map(|interval| Some(relative(interval.from.plus(interval.budget()?.0))));
        let reach = (scale.from + happened * BUDGET_REACH).max(1.0);
        let drawn = budgets.filter(|end| *end <= reach).fold(scale.to, f64::max);
        let width = (drawn - scale.from).max(1.0);
        scale.from = (scale.from - width * 0.06).max(scale.started.min(0.0));
        scale.to = drawn.max(scale.from + 1.0) + width * 0.08;
        scale
    }

    /// Seconds from the fault.
    pub(super) fn seconds(&self, at: Offset) -> f64 {
        at.seconds() - self.zero.seconds()
    }

    /// Where a moment lies, clipped to the plot.
    pub(super) fn x(&self, at: Offset) -> f64 {
        self.place(self.seconds(at))
    }

    /// Where that many seconds from the fault lie, clipped to the plot.
    pub(super) fn place(&self, seconds: f64) -> f64 {
        let part = (seconds - self.from) / (self.to - self.from);
        LEFT + part.clamp(0.0, 1.0) * (RIGHT - LEFT)
    }

    /// True where a moment lies beyond the right edge.
    pub(super) fn beyond(&self, at: Offset) -> bool {
        self.seconds(at) > self.to
    }

    /// The right end of what was observed.
    pub(super) fn observed(&self) -> f64 {
        self.place(self.ended)
    }

    /// Where observation ended, if that is inside the plot.
    pub(super) fn end_of_observation(&self) -> Option<f64> {
        (self.ended < self.to).then(|| self.place(self.ended))
    }

    /// Round numbers of seconds along the axis, with their labels.
    pub(super) fn ticks(&self) -> Vec<(f64, String)> {
        const STEPS: [f64; 15] =
            [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 3600.0];
        let rough = (self.to - self.from) / 9.0;
        let step = STEPS.into_iter().find(|step| *step >= rough).unwrap_or(7200.0);
        let (first, last) = ((self.from / step).ceil() as i64, (self.to / step).floor() as i64);
        (first..=last)
            .map(|n| {
                let seconds = n as f64 * step;
                let label = match n {
                    0 => "fault".to_owned(),
                    _ if step < 1.0 => format!("{seconds:+.1} s"),
                    _ => format!("{seconds:+.0} s"),
                };
                (self.place(seconds), label)
            })
            .collect()
    }

    /// What the axis leaves out, in words.
    pub(super) fn left_out(&self) -> Option<String> {
        let (before, after) = ((self.from - self.started).max(0.0), (self.ended - self.to).max(0.0));
        let said = |seconds: f64| crate::figures::seconds(Duration::from_secs_f64(seconds));
        let parts: Vec<String> = [(before, "before"), (after, "after")]
            .into_iter()
            .filter(|(seconds, _)| *seconds >= 0.5)
            .map(|(seconds, side)| format!("{} {side}", said(seconds)))
            .collect();
        (!parts.is_empty())
            .then(|| format!("Not drawn, because nothing failed or changed there: {}.", parts.join(" and ")))
    }

    /// `from` and `to` of the axis and the plot's edges, for the script.
    pub(super) fn data(&self) -> String {
        format!("{:.4} {:.4} {LEFT} {RIGHT} {WIDTH}", self.from, self.to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scale(from: f64, to: f64) -> Scale {
        Scale { zero: Offset(10_000_000), started: -10.0, ended: 60.0, from, to }
    }

    #[test]
    fn the_fault_is_a_tick_and_ticks_are_round() {
        let labels: Vec<String> = scale(-1.0, 8.0).ticks().into_iter().map(|(_, label)| label).collect();
        assert_eq!(labels, ["-1 s", "fault", "+1 s", "+2 s", "+3 s", "+4 s", "+5 s", "+6 s", "+7 s", "+8 s"]);
        let labels: Vec<String> = scale(-9.0, 130.0).ticks().into_iter().map(|(_, label)| label).collect();
        assert_eq!(labels, ["fault", "+30 s", "+60 s", "+90 s", "+120 s"]);
    }

    #[test]
    fn moments_outside_are_clipped_and_what_is_left_out_is_said() {
        let scale = scale(-1.0, 9.0);
        assert!((scale.x(Offset(10_000_000)) - (LEFT + (RIGHT - LEFT) / 10.0)).abs() < 1e-9);
        assert!((scale.x(Offset(0)) - LEFT).abs() < 1e-9);
        assert!((scale.x(Offset(90_000_000)) - RIGHT).abs() < 1e-9);
        assert!(scale.beyond(Offset(90_000_000)));
        let said = scale.left_out().unwrap_or_default();
        assert!(said.contains("9.0 s before and 51.0 s after"), "{said}");
    }
}
