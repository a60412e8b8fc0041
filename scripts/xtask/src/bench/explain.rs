//! What was seen around an outage that was not measured as it should have been: a figure alone says nothing of why.

use std::time::Duration;

use recoup_model::{
    time::Offset,
    timeline::{Attempt, Outcome},
    verdict::Outage,
};

use super::{heartbeat::Stall, target::Truth};

/// What is shown before and after, in periods.
const AROUND: u32 = 3;

/// In lines: the outage as it was and as it was measured, the attempts and the stalls around. Milliseconds since it
/// began; attempts as sent, over and what came of them.
pub fn explain(
    truth: &Truth,
    outage: Option<&Outage>,
    attempts: &[Attempt],
    stalls: &[Stall],
    period: Duration,
) -> String {
    let zero = truth.start.0;
    let ms = |at: Offset| {
        #[expect(clippy::cast_precision_loss, reason = "microseconds of a bench fit 52 bits")]
        let apart = at.0 as f64 - zero.0 as f64;
        format!("{:+.1}", apart / 1e3)
    };
    let pair = |(from, to): (Offset, Offset)| format!("{} to {}", ms(from), ms(to));
    let mut lines = vec![format!("it began at {}, ended at {}", pair(truth.start), pair(truth.end))];
    let (mut from, mut to) = (truth.start.0, truth.end.1);
    if let Some(outage) = outage {
        let end = outage.to.map_or("never".into(), |to| pair((outage.end_low, to)));
        lines.push(format!("measured: began {}, ended {end}", pair((outage.start_low, outage.start_high))));
        from = from.min(outage.start_low);
        to = to.max(outage.to.unwrap_or(to));
    } else {
        lines.push("measured: nothing".into());
    }
    let (from, to) = (from.minus(period * AROUND), to.plus(period * AROUND));
    let near = attempts.iter().filter(|attempt| attempt.done >= from && attempt.sent <= to);
    lines.extend(near.map(|attempt| {
        let what = match &attempt.outcome {
            Outcome::Good(_) => "good".into(),
            Outcome::Slow(_) => "slow".into(),
            Outcome::Bad(class) => class.to_string(),
            Outcome::Lost => "lost".into(),
        };
        format!("  due {} sent {} over {} {what}", ms(attempt.due), ms(attempt.sent), ms(attempt.done))
    }));
    let near = stalls.iter().filter(|stall| stall.to >= from && stall.from <= to);
    lines.extend(near.map(|stall| format!("  stall {}", pair((stall.from, stall.to)))));
    lines.join("\n")
}
