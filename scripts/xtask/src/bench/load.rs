//! A busy machine: one thread per core that never rests.

use std::hint::black_box;

use super::per_core::PerCore;

/// Burns until dropped; nothing where the machine is to be as it is.
pub fn burners(busy: bool) -> Option<PerCore> {
    busy.then(|| {
        PerCore::start(|_core| {
            let mut number = 1_u64;
            move || {
                for _ in 0..10_000 {
                    number = black_box(number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
                }
            }
        })
    })
}
