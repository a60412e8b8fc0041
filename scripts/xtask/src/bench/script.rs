//! What a target does and when: all of it random, from a seed.

use std::{fmt, time::Duration};

use rand::{Rng as _, RngExt as _, SeedableRng as _, rngs::StdRng};
use serde::Serialize;

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
/// Service between outages, in periods.
const BETWEEN: (f64, f64) = (2.6, 5.0);
/// The same inside of a burst of flaps: at least one attempt meets the service and is over before it ends.
const FLAP: (f64, f64) = (2.2, 3.0);
/// Outages of a burst.
const BURST: usize = 3;

/// `count` outages of a target that is probed with that period.
pub fn script(mode: Mode, period: Duration, count: usize, seed: u64) -> Vec<Spell> {
    let mut dice = StdRng::seed_from_u64(seed);
    let mut between = |(low, high): (f64, f64)| period.mul_f64(dice.random_range(low..high));
    (0..count)
        .map(|n| {
            let flaps = mode == Mode::Flap && n % BURST != 0;
            let up = between(if flaps { FLAP } else { BETWEEN });
            let long = n % 10 == 9;
            let down = between(if long { (USUAL, LONGEST) } else { (SHORTEST, USUAL) });
            Spell { up, down }
        })
        .collect()
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
    fn a_seed_gives_the_same_outages_again_and_all_are_longer_than_two_periods() {
        let period = Duration::from_millis(20);
        let one = script(Mode::Flap, period, 500, 7);
        assert_eq!(one, script(Mode::Flap, period, 500, 7));
        assert_ne!(one, script(Mode::Flap, period, 500, 8));
        assert!(one.iter().all(|spell| spell.down > 2 * period && spell.up > 2 * period));
        assert!(one.iter().any(|spell| spell.down > 10 * period), "some outlast the attempts' deadline");
    }
}
