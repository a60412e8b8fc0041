//! Do two runs pass equally often? Fisher's exact test.

use super::special::ln_choose;

/// The probability, with these totals, of a table as improbable as this one or more: `first` and `second` are
/// how often each came to one outcome and to the other. 1 where a total is zero.
#[must_use]
pub fn fisher(first: (u64, u64), second: (u64, u64)) -> f64 {
    let (a, b) = (first.0 + first.1, second.0 + second.1);
    let ones = first.0 + second.0;
    let chance = |x: u64| ln_choose(a, x) + ln_choose(b, ones - x) - ln_choose(a + b, ones);
    let observed = chance(first.0);
    let tables = ones.saturating_sub(b)..=ones.min(a);
    // Equal chances differ in their last digits.
    tables.map(chance).filter(|ln| *ln <= observed + 1e-7).map(f64::exp).sum::<f64>().min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lady tasting tea (Fisher 1935), and values of scipy.stats.fisher_exact.
    #[test]
    fn it_is_fisher_s_and_scipy_s() {
        for (first, second, p) in [
            ((3, 1), (1, 3), 0.485_714_285_714_285_7),
            ((8, 2), (1, 5), 0.034_965_034_965_034_96),
            ((20, 0), (13, 7), 0.008_316_008_316_008_315),
            ((20, 0), (20, 0), 1.0),
            ((0, 0), (3, 4), 1.0),
        ] {
            let got = fisher(first, second);
            assert!((got - p).abs() < 1e-12, "{first:?} {second:?}: {got}");
        }
    }
}
