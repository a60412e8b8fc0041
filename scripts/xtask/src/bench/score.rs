//! What was so against what was measured: which outage is which, the errors, and whether the bounds held.

use std::time::Duration;

use recoup_model::{time::Offset, verdict::Outage};
use serde::Serialize;

use super::{heartbeat::Stall, target::Truth};

/// Everything that was found wrong and right; errors in milliseconds, measured minus true.
#[derive(Clone, Debug, Default)]
pub struct Score {
    /// True outages that had to be seen.
    pub outages: usize,
    /// Those that were not.
    pub missed: usize,
    /// True outages that were seen as one with an earlier one.
    pub merged: usize,
    /// Measured outages that were none of the target's.
    pub invented: usize,
    /// Measured outages of which a bound did not hold.
    pub outside: usize,
    /// Of the length.
    pub length: Vec<f64>,
    /// Of the beginning.
    pub start: Vec<f64>,
    /// Of the end.
    pub end: Vec<f64>,
    /// True outages of which nobody knows how they were: the machine let nothing run.
    pub unknown: usize,
    /// Between the stated bounds of the length, from the longest possible to the shortest.
    pub width: Vec<f64>,
    /// How long the target itself needed to go down or up, at most.
    pub fuzzy: f64,
    /// What was missed, or measured with bounds that did not hold; of one stream alone.
    pub odd: Vec<(Truth, Option<Outage>)>,
}

/// Errors in a few figures, in milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Errors {
    /// The mean: what remains however often one measures.
    pub bias: f64,
    /// Its standard error: what the mean may be wrong by for having been measured so few times. From the means of
    /// [`BATCH`] after one another, since outages are spread over a probe's period and not thrown at random.
    pub uncertainty: f64,
    /// Median of the absolute error.
    pub p50: f64,
    /// 99th percentile of it.
    pub p99: f64,
    /// The worst.
    pub max: f64,
}

impl Errors {
    /// Of signed errors.
    pub fn of(errors: &[f64]) -> Errors {
        #[expect(clippy::cast_precision_loss, reason = "thousands")]
        let float = |count: usize| count.max(1) as f64;
        let bias = errors.iter().sum::<f64>() / float(errors.len());
        let mean = |batch: &[f64]| batch.iter().sum::<f64>() / float(batch.len());
        let size = if errors.len() < 2 * BATCH { 1 } else { BATCH };
        let means: Vec<f64> = errors.chunks_exact(size).map(mean).collect();
        let centre = mean(&means);
        let batches = float(means.len());
        let variance =
            means.iter().map(|mean| (mean - centre).powi(2)).sum::<f64>() / (batches - 1.0).max(1.0);
        let mut absolute: Vec<f64> = errors.iter().map(|error| error.abs()).collect();
        absolute.sort_by(f64::total_cmp);
        let last = absolute.len().saturating_sub(1);
        let quantile = |percent: usize| absolute.get((absolute.len() * percent / 100).min(last)).copied();
        Errors {
            bias,
            uncertainty: (variance / batches).sqrt(),
            p50: quantile(50).unwrap_or(0.0),
            p99: quantile(99).unwrap_or(0.0),
            max: absolute.last().copied().unwrap_or(0.0),
        }
    }
}

impl Score {
    /// Takes in another one.
    pub fn add(&mut self, other: &Score) {
        self.outages += other.outages;
        self.missed += other.missed;
        self.merged += other.merged;
        self.invented += other.invented;
        self.outside += other.outside;
        self.unknown += other.unknown;
        self.length.extend(&other.length);
        self.start.extend(&other.start);
        self.end.extend(&other.end);
        self.width.extend(&other.width);
        self.fuzzy = self.fuzzy.max(other.fuzzy);
    }

    /// Everything that is not as it should be at that period, each in words.
    pub fn complaints(&self, period: Duration) -> Vec<String> {
        let mut found = Vec::new();
        let mut say = |wrong: bool, what: String| {
            if wrong {
                found.push(what);
            }
        };
        let Score { outages, missed, merged, outside, unknown, .. } = self;
        say(*outages == 0 && *unknown > 0, format!("none of {unknown} outages could be judged"));
        say(*missed > 0, format!("{missed} of {outages} outages missed"));
        say(*merged > 0, format!("{merged} of {outages} outages not told from the one before"));
        say(*outside > 0, format!("the bounds of {outside} of {outages} outages did not hold"));
        let length = Errors::of(&self.length);
        let most = period.as_secs_f64() * 1e3 + ALLOWED_ERROR;
        say(
            length.p99 > most,
            format!("99th percentile of the error {:.1} ms, more than {most} ms", length.p99),
        );
        for (what, errors) in [("length", length), ("beginning", Errors::of(&self.start))] {
            let Errors { bias, uncertainty, .. } = errors;
            // Not what luck alone can make of it.
            let sure = bias.abs() - LUCK * uncertainty;
            say(sure > ALLOWED_BIAS, format!("bias of the {what} {bias:+.2} ms ± {:.2}", 1.96 * uncertainty));
        }
        found
    }
}

/// Beyond a period, in milliseconds.
const ALLOWED_ERROR: f64 = 10.0;
/// In milliseconds.
const ALLOWED_BIAS: f64 = 1.0;
/// Outages of which one mean is taken.
const BATCH: usize = 20;
/// Standard errors that luck is granted: it needs them once in 370 figures, and a table has some hundred.
const LUCK: f64 = 3.0;

/// How much later than the truth, in milliseconds, or negative how much sooner; none within what is known of it.
fn beyond(measured: Offset, (from, to): (Offset, Offset)) -> f64 {
    let ms = |span: Duration| span.as_secs_f64() * 1e3;
    if measured < from { -ms(from.since(measured)) } else { ms(measured.since(to)) }
}

/// Holds what was measured against what was so. Outages that are not longer than `certain`, which is two periods, may
/// be missed. While the machine let nothing run, or a target was slow by itself, for half a period or longer, it was
/// down as well and its script did not say so: outages beside that are counted and not judged.
pub fn score(truths: &[Truth], outages: &[Outage], certain: Duration, stalls: &[Stall]) -> Score {
    let mut score = Score::default();
    let mut taken = vec![false; outages.len()];
    let length = |stall: &Stall| stall.to.since(stall.from);
    let long: Vec<&Stall> = stalls.iter().filter(|stall| length(stall) * 4 >= certain).collect();
    // What has piled up meanwhile takes as long again.
    let stalled = |from: Offset, to: Offset| {
        long.iter().any(|stall| stall.from <= to && stall.to.plus(length(stall)) >= from)
    };
    let mut unknown = Vec::new();
    let befores = std::iter::once(Offset(0)).chain(truths.iter().map(|truth| truth.end.0));
    for (truth, before) in truths.iter().zip(befores) {
        // As long as the longest service between outages of a script.
        let since = before.max(truth.start.0.minus(certain * 5 / 2));
        if stalled(since, truth.end.1.plus(certain)) {
            unknown.push(truth);
            continue;
        }
        let must = truth.end.0.since(truth.start.1) > certain;
        score.outages += usize::from(must);
        score.fuzzy = score.fuzzy.max(wide(truth.start)).max(wide(truth.end));
        let best = (0..outages.len()).max_by_key(|n| overlap(truth, &outages[*n]));
        let Some(found) = best.filter(|n| !overlap(truth, &outages[*n]).is_zero()) else {
            if must {
                score.missed += 1;
                score.odd.push((*truth, None));
            }
            continue;
        };
        if taken[found] {
            score.merged += usize::from(must);
            continue;
        }
        taken[found] = true;
        measured(&mut score, *truth, &outages[found]);
    }
    score.unknown = unknown.len();
    let excused = |outage: &Outage| {
        stalled(outage.start_low, outage.to.unwrap_or(Offset(u64::MAX)))
            || unknown.iter().any(|truth| !overlap(truth, outage).is_zero())
    };
    let rest = outages.iter().zip(taken).filter(|(outage, taken)| !taken && !excused(outage));
    score.invented = rest.count();
    score
}

/// How long both were so at the same time.
fn overlap(truth: &Truth, outage: &Outage) -> Duration {
    let from = outage.start().max(truth.start.0);
    outage.end().unwrap_or(Offset(u64::MAX)).min(truth.end.1).since(from)
}

fn wide((from, to): (Offset, Offset)) -> f64 {
    to.since(from).as_secs_f64() * 1e3
}

fn measured(score: &mut Score, truth: Truth, outage: &Outage) {
    let Some((end, to)) = outage.end().zip(outage.to) else {
        // Observation went on well beyond the last one.
        score.outside += 1;
        score.odd.push((truth, Some(outage.clone())));
        return;
    };
    let (start, end) = (beyond(outage.start(), truth.start), beyond(end, truth.end));
    score.start.push(start);
    score.end.push(end);
    score.length.push(end - start);
    let within = |low: Offset, high: Offset, (from, to): (Offset, Offset)| low <= to && from <= high;
    let starts = within(outage.start_low, outage.start_high, truth.start);
    let ends = within(outage.end_low, to, truth.end);
    if !(starts && ends) {
        score.outside += 1;
        score.odd.push((truth, Some(outage.clone())));
    }
    let (longest, shortest) = (to.since(outage.start_low), outage.end_low.since(outage.start_high));
    score.width.push(longest.saturating_sub(shortest).as_secs_f64() * 1e3);
}

#[cfg(test)]
mod tests {
    use super::*;

    const CERTAIN: Duration = Duration::from_millis(20);

    fn truth(from: u64, to: u64) -> Truth {
        Truth { start: (Offset(from), Offset(from)), end: (Offset(to), Offset(to)) }
    }

    fn outage(from: u64, to: u64) -> Outage {
        Outage {
            from: Offset(from),
            to: Some(Offset(to)),
            start_low: Offset(from - 10_000),
            start_high: Offset(from),
            end_low: Offset(to - 10_000),
            failed: 3,
            reasons: Vec::new(),
            likely_start: Some(Offset(from - 5_000)),
            likely_end: Some(Offset(to - 5_000)),
        }
    }

    #[test]
    fn missed_merged_invented_and_wrong_bounds_are_told_apart() {
        let truths = [truth(100_000, 150_000), truth(200_000, 250_000), truth(300_000, 350_000)];
        let right = [outage(105_000, 155_000), outage(205_000, 255_000), outage(305_000, 355_000)];
        let score = |outages: &[Outage]| super::score(&truths, outages, CERTAIN, &[]);
        let good = score(&right);
        assert_eq!((good.missed, good.merged, good.invented, good.outside), (0, 0, 0, 0));
        assert_eq!(good.length, [0.0, 0.0, 0.0]);
        assert!(good.complaints(Duration::from_millis(10)).is_empty());
        assert_eq!(score(&right[1..]).missed, 1);
        assert_eq!(score(&right[1..]).odd, [(truths[0], None)]);
        assert_eq!(score(&[outage(105_000, 255_000), right[2].clone()]).merged, 1);
        let more = [&right[..], &[outage(405_000, 410_000)]].concat();
        assert_eq!(score(&more).invented, 1);
        // Seen 20 ms late: beyond its own bounds.
        let late = [outage(125_000, 155_000), right[1].clone(), right[2].clone()];
        assert_eq!(score(&late).outside, 1);
        assert_eq!(score(&late).odd, [(truths[0], Some(late[0].clone()))]);
        // Three outages are too few to tell a bias from chance.
        assert_eq!(score(&late).complaints(Duration::from_millis(10)).len(), 1);
    }

    #[test]
    fn a_short_outage_may_be_missed() {
        let found = score(&[truth(100_000, 115_000)], &[], CERTAIN, &[]);
        assert_eq!((found.outages, found.missed), (0, 0));
    }

    #[test]
    fn what_the_machine_hid_is_counted_and_neither_missed_nor_invented() {
        let truths = [truth(100_000, 150_000), truth(200_000, 250_000), truth(600_000, 650_000)];
        let stall = |length: u64| [Stall { from: Offset(160_000), to: Offset(160_000 + length) }];
        // Nothing was seen of the first two but one long one, and another beside the stall.
        let seen = [outage(105_000, 255_000), outage(605_000, 655_000)];
        let found = score(&truths, &seen, CERTAIN, &stall(30_000));
        assert_eq!(
            (found.outages, found.unknown, found.missed, found.merged, found.invented),
            (1, 2, 0, 0, 0)
        );
        let all = [Stall { from: Offset(0), to: Offset(700_000) }];
        let none = score(&truths, &seen, CERTAIN, &all).complaints(Duration::from_millis(10));
        assert_eq!(none, ["none of 3 outages could be judged"]);
        let found = score(&truths, &seen, CERTAIN, &stall(3_000));
        assert_eq!((found.outages, found.unknown, found.merged), (3, 0, 1), "a short one hides nothing");
    }

    #[test]
    fn a_bias_that_luck_can_make_is_none() {
        let errors = Errors::of(&[-40.0, 50.0, 30.0, -20.0]);
        assert!((errors.bias - 5.0).abs() < 1e-9);
        assert!(errors.uncertainty > 10.0 && (errors.max - 50.0).abs() < 1e-9);
    }
}
