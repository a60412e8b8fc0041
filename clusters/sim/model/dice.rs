//! Randomness of the model: SplitMix64, written out so that a seed means the same for ever.

use std::time::Duration;

/// A seeded source of random numbers.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    /// Another source for a named purpose: drawing from it does not change what this one gives.
    pub(crate) fn branch(seed: u64, purpose: &str, number: u64) -> Dice {
        // FNV-1a: any mixing will do, as long as it never changes.
        let hash = purpose.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        });
        let mut dice = Dice(seed ^ hash.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        dice.next();
        dice
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to 1, without 1.
    pub(crate) fn unit(&mut self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "53 bits are exact")]
        let mantissa = (self.next() >> 11) as f64;
        mantissa / 9_007_199_254_740_992.0
    }

    /// Below `bound`; 0 where there is nothing to choose from.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        #[expect(clippy::cast_possible_truncation, reason = "the remainder is below a usize")]
        let pick = if bound == 0 { 0 } else { (self.next() % bound as u64) as usize };
        pick
    }

    /// Evenly between the two.
    pub(crate) fn between(&mut self, (low, high): (Duration, Duration)) -> Duration {
        low + high.saturating_sub(low).mul_f64(self.unit())
    }

    /// Lower-case letters and digits, as in generated names.
    pub(crate) fn word(&mut self, length: usize) -> String {
        // Kubernetes' own alphabet for generated names: no vowels, nothing that looks like another.
        const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
        (0..length).map(|_| char::from(LETTERS[self.below(LETTERS.len())])).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_means_the_same_for_ever() {
        let mut dice = Dice::new(1);
        assert_eq!((dice.next(), dice.next()), (0x910a_2dec_8902_5cc1, 0xbeeb_8da1_658e_ec67));
        assert_ne!(Dice::branch(1, "a", 0).next(), Dice::branch(1, "b", 0).next());
        assert_ne!(Dice::branch(1, "a", 0).next(), Dice::branch(1, "a", 1).next());
    }

    #[test]
    fn draws_stay_in_bounds_and_fill_them() {
        let mut dice = Dice::new(7);
        let bounds = (Duration::from_millis(200), Duration::from_millis(300));
        let drawn: Vec<_> = (0..1000).map(|_| dice.between(bounds)).collect();
        assert!(drawn.iter().all(|d| *d >= bounds.0 && *d < bounds.1));
        assert!(drawn.iter().any(|d| d.as_millis() < 205) && drawn.iter().any(|d| d.as_millis() > 295));
        assert_eq!(dice.below(0), 0);
        assert!((0..100).all(|_| dice.below(3) < 3));
    }
}
