//! The few functions of probability that the tests and intervals here need.

use std::f64::consts::{PI, SQRT_2};

/// P(Z > z) for a standard normal Z, to about 1e-14 of itself.
///
/// A power series near zero, the continued fraction of Laplace in the tail (Abramowitz and Stegun 26.2.11 and
/// 26.2.14).
#[must_use]
pub fn normal_tail(z: f64) -> f64 {
    if z < 0.0 {
        return 1.0 - normal_tail(-z);
    }
    let density = (-z * z / 2.0).exp() / (2.0 * PI).sqrt();
    if z < 3.0 {
        let (mut term, mut sum, mut odd) = (z, z, 1.0);
        while term > sum * 1e-17 {
            odd += 2.0;
            term *= z * z / odd;
            sum += term;
        }
        return 0.5 - density * sum;
    }
    // From the inside out; 200 levels are far more than z >= 3 needs.
    let fraction = (1..200).rev().fold(z, |below, k| z + f64::from(k) / below);
    density / fraction
}

/// The z for which P(Z > z) is `tail`, for tails between 0 and 1.
#[must_use]
pub fn normal_quantile(tail: f64) -> f64 {
    let (mut low, mut high) = (-40.0, 40.0);
    for _ in 0..200 {
        let middle = (low + high) / 2.0;
        if normal_tail(middle) > tail {
            low = middle;
        } else {
            high = middle;
        }
    }
    (low + high) / 2.0
}

/// P(|Z| >= z) for a standard normal Z.
#[must_use]
pub fn two_sided(z: f64) -> f64 {
    (2.0 * normal_tail(z.abs())).min(1.0)
}

/// The logarithm of n over k; minus infinity outside of the triangle.
#[must_use]
pub fn ln_choose(n: u64, k: u64) -> f64 {
    if k > n {
        return f64::NEG_INFINITY;
    }
    let k = k.min(n - k);
    (1..=k).map(|i| ((n - k + i) as f64 / i as f64).ln()).sum()
}

/// P(B <= k) for a binomial B of `n` draws with chance `p`; 0 below zero.
#[must_use]
pub fn binomial_below(n: u64, p: f64, k: i64) -> f64 {
    let Ok(k) = u64::try_from(k) else { return 0.0 };
    let chance = |i: u64| (ln_choose(n, i) + i as f64 * p.ln() + (n - i) as f64 * (1.0 - p).ln()).exp();
    (0..=k.min(n)).map(chance).sum::<f64>().min(1.0)
}

/// The median of sorted numbers; the mean of the two in the middle where they are even. NaN where there is none.
#[must_use]
pub fn median(sorted: &[f64]) -> f64 {
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => middle(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

/// The middle of two numbers, also of two equal infinities.
#[must_use]
pub fn middle(a: f64, b: f64) -> f64 {
    if a == b { a } else { a / 2.0 + b / 2.0 }
}

/// The error function's complement, as other packages name it: for comparisons with them.
#[must_use]
pub fn erfc(x: f64) -> f64 {
    2.0 * normal_tail(x * SQRT_2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: f64, b: f64) {
        assert!((a - b).abs() <= 1e-12 * b.abs().max(1e-3), "{a} is not {b}");
    }

    /// Reference values from scipy.stats.norm.sf and norm.isf.
    #[test]
    fn the_normal_distribution_is_scipy_s() {
        near(normal_tail(0.0), 0.5);
        near(normal_tail(1.0), 0.158_655_253_931_457_05);
        near(normal_tail(-1.0), 0.841_344_746_068_542_9);
        near(normal_tail(2.999), 0.001_354_336_533_727_105_7);
        near(normal_tail(6.0), 9.865_876_450_376_946e-10);
        near(normal_quantile(0.025), 1.959_963_984_540_054);
        near(normal_quantile(0.005), 2.575_829_303_548_900_4);
        near(two_sided(-1.959_963_984_540_054), 0.05);
        near(erfc(0.5), 0.479_500_122_186_953_5);
    }

    /// Reference values from scipy.stats.binom.cdf.
    #[test]
    fn the_binomial_distribution_is_scipy_s() {
        near(binomial_below(20, 0.5, 5), 0.020_694_732_666_015_62);
        near(binomial_below(20, 0.9, 15), 0.043_174_495_284_463_35);
        near(binomial_below(20, 0.99, 18), 0.016_859_337_635_651_808);
        near(binomial_below(7, 0.3, 7), 1.0);
        assert_eq!(binomial_below(7, 0.3, -1), 0.0);
    }

    #[test]
    fn a_median_may_lie_at_infinity() {
        assert_eq!(median(&[1.0, 2.0, 4.0, 5.0]), 3.0);
        assert_eq!(median(&[1.0, f64::INFINITY, f64::INFINITY]), f64::INFINITY);
        assert_eq!(median(&[f64::NEG_INFINITY; 4]), f64::NEG_INFINITY);
        assert!(median(&[]).is_nan());
    }
}
