//! The Kaplan–Meier estimate for right-censored lengths, with Greenwood's variance.

use super::special::normal_quantile;

/// The estimate after one observed length.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// The length, in seconds.
    pub at: f64,
    /// The estimated share of lengths beyond it.
    pub beyond: f64,
    /// Greenwood's sum: the variance of `beyond` divided by its square. Infinite where `beyond` is 0.
    pub greenwood: f64,
}

/// The estimate as steps, from pairs of a length and whether it was measured (else it is a lower bound).
/// One that was censored at a measured length counts as longer.
#[must_use]
pub fn kaplan_meier(lengths: &[(f64, bool)]) -> Vec<Step> {
    let mut sorted = lengths.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut steps, mut beyond, mut greenwood) = (Vec::new(), 1.0, 0.0);
    let mut from = 0;
    while let Some((at, _)) = sorted.get(from) {
        let same = sorted[from..].iter().take_while(|(other, _)| other == at);
        let (together, ended) = same.fold((0, 0_u32), |(n, d), (_, exact)| (n + 1, d + u32::from(*exact)));
        let at_risk = (sorted.len() - from) as f64;
        if ended > 0 {
            let ended = f64::from(ended);
            // The last one to end leaves nobody: without this, rounding would leave a trace.
            beyond = if at_risk == ended { 0.0 } else { beyond * (1.0 - ended / at_risk) };
            greenwood += ended / (at_risk * (at_risk - ended));
            steps.push(Step { at: *at, beyond, greenwood });
        }
        from += together;
    }
    steps
}

/// The first length at which no more than `1 - p` is estimated to be beyond; none where that is never seen.
#[must_use]
pub fn quantile(steps: &[Step], p: f64) -> Option<f64> {
    first(steps, p, |step| step.beyond)
}

/// The interval of the quantile after Brookmeyer and Crowley (1982), by Greenwood's variance on the log-log
/// scale, at confidence `1 - alpha`; none on a side where the band never gets there.
#[must_use]
pub fn quantile_interval(steps: &[Step], p: f64, alpha: f64) -> (Option<f64>, Option<f64>) {
    let z = normal_quantile(alpha / 2.0);
    // Where nobody is left, Greenwood's variance does not exist: the band stays where it was.
    let band = |step: &Step, z: f64| {
        if step.beyond <= 0.0 {
            return if z > 0.0 { 0.0 } else { f64::INFINITY };
        }
        let log = step.beyond.ln();
        step.beyond.powf((z * step.greenwood.sqrt() / log.abs()).exp())
    };
    (first(steps, p, |step| band(step, z)), first(steps, p, |step| band(step, -z)))
}

fn first(steps: &[Step], p: f64, beyond: impl Fn(&Step) -> f64) -> Option<f64> {
    steps.iter().find(|step| beyond(step) <= 1.0 - p + 1e-12).map(|step| step.at)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Weeks of remission under 6-MP (Freireich et al. 1963), the example of most textbooks.
    const SIX_MP: [(f64, bool); 21] = [
        (6.0, true),
        (6.0, true),
        (6.0, true),
        (6.0, false),
        (7.0, true),
        (9.0, false),
        (10.0, true),
        (10.0, false),
        (11.0, false),
        (13.0, true),
        (16.0, true),
        (17.0, false),
        (19.0, false),
        (20.0, false),
        (22.0, true),
        (23.0, true),
        (25.0, false),
        (32.0, false),
        (32.0, false),
        (34.0, false),
        (35.0, false),
    ];

    /// Kleinbaum and Klein, Survival Analysis, table 2.2: the estimate; its standard errors from R's survival.
    #[test]
    fn the_textbook_s_remissions() {
        let steps = kaplan_meier(&SIX_MP);
        let wanted = [
            (6.0, 0.857_142_857, 0.076_360),
            (7.0, 0.806_722_689, 0.086_935),
            (10.0, 0.752_941_176, 0.096_350),
            (13.0, 0.690_196_078, 0.106_815),
            (16.0, 0.627_450_980, 0.114_054),
            (22.0, 0.537_815_126, 0.128_234),
            (23.0, 0.448_179_272, 0.134_591),
        ];
        assert_eq!(steps.len(), wanted.len());
        for (step, (at, beyond, error)) in steps.iter().zip(wanted) {
            assert_eq!(step.at, at);
            assert!((step.beyond - beyond).abs() < 1e-9, "{step:?}");
            assert!((step.beyond * step.greenwood.sqrt() - error).abs() < 1e-6, "{step:?}");
        }
        assert_eq!(quantile(&steps, 0.5), Some(23.0));
        assert_eq!(quantile(&steps, 0.9), None, "fewer than nine in ten were seen to end");
        // The package lifelines (median_survival_times of confidence_interval_, log-log): 13 to infinity.
        assert_eq!(quantile_interval(&steps, 0.5, 0.05), (Some(13.0), None));
    }

    #[test]
    fn without_censoring_it_is_the_empirical_distribution() {
        let lengths: Vec<(f64, bool)> = [3.0, 1.0, 2.0, 2.0, 5.0].map(|x| (x, true)).to_vec();
        let steps = kaplan_meier(&lengths);
        let beyond: Vec<f64> = steps.iter().map(|step| step.beyond).collect();
        for (got, wanted) in beyond.iter().zip([0.8, 0.4, 0.2, 0.0]) {
            assert!((got - wanted).abs() < 1e-12, "{beyond:?}");
        }
        assert_eq!(quantile(&steps, 0.6), Some(2.0));
        assert_eq!(quantile(&steps, 0.99), Some(5.0));
    }
}
