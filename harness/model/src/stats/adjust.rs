//! Probabilities of many comparisons at once: Holm's correction.

/// The probabilities corrected so that with all comparisons together a false alarm below some level is no more
/// probable than that level (Holm 1979), in the order given.
#[must_use]
pub fn holm(all: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..all.len()).collect();
    order.sort_by(|a, b| all[*a].total_cmp(&all[*b]));
    let mut corrected = vec![1.0; all.len()];
    let mut least: f64 = 0.0;
    for (done, at) in order.into_iter().enumerate() {
        least = least.max((all[at] * (all.len() - done) as f64).min(1.0));
        corrected[at] = least;
    }
    corrected
}

#[cfg(test)]
mod tests {
    use super::*;

    /// R: p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm").
    #[test]
    fn it_is_r_s() {
        let got = holm(&[0.01, 0.04, 0.03, 0.005]);
        for (got, wanted) in got.iter().zip([0.03, 0.06, 0.06, 0.02]) {
            assert!((got - wanted).abs() < 1e-12, "{got} is not {wanted}");
        }
        assert!(holm(&[]).is_empty());
        assert_eq!(holm(&[0.6, 0.7]), [1.0, 1.0]);
    }
}
