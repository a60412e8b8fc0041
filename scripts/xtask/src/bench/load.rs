//! A busy machine: one thread per core that burns, and where that is wanted rests at times.

use std::{
    hint::black_box,
    thread,
    time::{Duration, Instant},
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::per_core::PerCore;

/// How long a burner that rests burns and rests in the mean.
const TURN: Duration = Duration::from_millis(4);

/// Burns that share of every core until dropped.
pub fn burners(share: f64) -> PerCore {
    PerCore::start(move |core| {
        // Not all at once, and not at any period's beat.
        let mut dice = StdRng::seed_from_u64(u64::from(core));
        move || {
            let turn = TURN.mul_f64(dice.random_range(0.5..1.5));
            let (begun, burnt) = (Instant::now(), turn.mul_f64(share));
            while begun.elapsed() < burnt {
                burn();
            }
            if share < 1.0 {
                thread::sleep(turn.saturating_sub(burnt));
            }
        }
    })
}

fn burn() {
    let mut number = 1_u64;
    for _ in 0..10_000 {
        number = black_box(number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    }
}
