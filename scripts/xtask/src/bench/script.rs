//! What a target does and when: all of it random, from a seed, but for one thing. An outage's error follows from where
//! between two probes it begins and ends, and thrown at random these places need ten thousand outages for a mean that is
//! sure to a hundredth of a period. So they are spread evenly instead, over both at once.

use std::{fmt, time::Duration};

use rand::{Rng as _, RngExt as _, SeedableRng as _, rngs::StdRng};
use serde::Serialize;
use tokio::time::Instant;

/// How a target is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Its listener and its connections are closed.
    Refuse,
    /// Connections are taken and reset.
    Reset,
    /// It accepts and answers nothing; what has come by the end is answered then.
    Hang,
    /// What comes meanwhile is answered, each request three periods late.
    Late,
    /// As `refuse`, with short times of service between.
    Flap,
    /// The process is stopped (SIGSTOP) and continued.
    Freeze,
}

impl Mode {
    /// All that a target of the bench's own can do.
    pub const OWN: [Mode; 5] = [Mode::Refuse, Mode::Reset, Mode::Hang, Mode::Late, Mode::Flap];
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mode::Refuse => "refuse",
            Mode::Reset => "reset",
            Mode::Hang => "hang",
            Mode::Late => "late",
            Mode::Flap => "flap",
            Mode::Freeze => "freeze",
        })
    }
}

/// A time of service and the outage after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spell {
    /// In service for this long.
    pub up: Duration,
    /// Then down for this long.
    pub down: Duration,
}

/// The shortest outage, in periods: longer than the two that none may be missed above.
const SHORTEST: f64 = 2.2;
/// The usual ones end here, …
const USUAL: f64 = 6.0;
/// … and one in ten goes on to here: beyond the attempts' own deadline (see `cell`).
const LONGEST: f64 = 13.0;
/// Neither service nor an outage is shorter than this, in periods, however late the machine was to begin it.
const LEAST: f64 = 2.1;
/// Service between outages, in periods.
const BETWEEN: (f64, f64) = (2.6, 5.0);
/// The same inside of a burst of flaps: at least one attempt meets the service and is over before it ends.
const FLAP: (f64, f64) = (2.2, 3.3);
/// Outages of a burst.
const BURST: usize = 3;

/// Multiples of these, modulo one, fill a square evenly, however many are taken (the inverse of the plastic number, and
/// its square: Roberts' R2 sequence).
const EVENLY: [f64; 2] = [0.754_877_666_246_692_7, 0.569_840_290_998_053_2];

/// `count` outages of a target that is probed with that period.
pub fn script(mode: Mode, period: Duration, count: usize, seed: u64) -> Vec<Spell> {
    let mut dice = StdRng::seed_from_u64(seed);
    // In periods since the beginning; its fraction is the place between two probes.
    let mut at = 0.0_f64;
    let mut places: [f64; 2] = [dice.random_range(0.0..1.0), dice.random_range(0.0..1.0)];
    (0..count)
        .map(|n| {
            for (place, step) in places.iter_mut().zip(EVENLY) {
                *place = (*place + step).fract();
            }
            // At random, and then on to the place.
            let mut until = |(low, high): (f64, f64), place: f64| {
                let least = dice.random_range(low..high - 1.0);
                let length = least + (place - at - least).rem_euclid(1.0);
                at += length;
                period.mul_f64(length)
            };
            let long = n % 10 == 9;
            let down = if long { (USUAL, LONGEST) } else { (SHORTEST, USUAL) };
            let flaps = mode == Mode::Flap && n % BURST != 0;
            let up = until(if flaps { FLAP } else { BETWEEN }, places[0]);
            Spell { up, down: until(down, places[1]) }
        })
        .collect()
}

/// The moment for which the end of service or of an outage was planned, or as many whole periods later as it takes to be
/// long enough where it began then: its place between two probes stays.
pub fn end(planned: Instant, began: Instant, period: Duration) -> Instant {
    let late = (began + period.mul_f64(LEAST)).saturating_duration_since(planned);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few periods")]
    let periods = (late.as_secs_f64() / period.as_secs_f64()).ceil() as u32;
    planned + period * periods
}

/// Seeds of targets, one after the other.
pub fn seeds(seed: u64) -> impl Iterator<Item = u64> {
    let mut dice = StdRng::seed_from_u64(seed);
    std::iter::repeat_with(move || dice.next_u64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outages_begin_and_end_everywhere_between_two_probes() {
        for mode in [Mode::Freeze, Mode::Flap] {
            let mut counts = [[0; 5]; 5];
            let mut at = 0.0;
            for Spell { up, down } in script(mode, Duration::from_millis(100), 1000, 7) {
                let start: f64 = at + up.as_secs_f64() * 10.0;
                at = start + down.as_secs_f64() * 10.0;
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 4")]
                let fifth = |at: f64| (at.fract() * 5.0) as usize;
                counts[fifth(start)][fifth(at)] += 1;
            }
            // At random, 40 ± 6 would be in each.
            assert!(counts.iter().flatten().all(|count| (37..=43).contains(count)), "{counts:?}");
        }
    }

    #[test]
    fn what_is_late_ends_whole_periods_later_and_never_too_short() {
        let (period, began) = (Duration::from_millis(10), Instant::now());
        let planned = began + Duration::from_millis(22);
        assert_eq!(end(planned, began, period), planned);
        assert_eq!(end(planned, began + Duration::from_millis(1), period), planned);
        let late = end(planned, began + Duration::from_millis(13), period);
        assert_eq!(late, planned + 2 * period);
    }

    #[test]
    fn a_seed_gives_the_same_outages_again_and_all_are_longer_than_two_periods() {
        let period = Duration::from_millis(20);
        let one = script(Mode::Flap, period, 500, 7);
        assert_eq!(one, script(Mode::Flap, period, 500, 7));
        assert_ne!(one, script(Mode::Flap, period, 500, 8));
        assert!(one.iter().all(|spell| spell.down > 2 * period && spell.up > 2 * period));
        assert!(one.iter().any(|spell| spell.down > 10 * period), "some outlast the attempts' deadline");
    }
}
