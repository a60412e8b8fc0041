//! Predicted intervals as text: the bounds, and the sum behind each.

use recoup_model::{predict::Prediction, verdict::Interval};

use crate::figures::chosen;

/// `13 s to 30 s`.
pub(crate) fn bounds(prediction: &Prediction) -> String {
    format!("{} to {}", chosen(prediction.low), chosen(prediction.high))
}

/// The sums of both bounds, as `(what, addends)`: every addend with its source.
pub(crate) fn sums(prediction: &Prediction) -> [(String, Vec<&str>); 2] {
    [("no sooner than", "low ", prediction.low), ("no later than", "high ", prediction.high)].map(
        |(words, bound, value)| {
            let lines = prediction.arithmetic.iter().filter_map(|line| line.strip_prefix(bound)).collect();
            (format!("{words} {}", chosen(value)), lines)
        },
    )
}

/// Each bound with its sum in one line, for where lines are all there is.
pub(crate) fn lines(interval: &Interval) -> Vec<String> {
    let Some(prediction) = &interval.prediction else { return Vec::new() };
    sums(prediction).map(|(what, addends)| format!("{what}: {}", addends.join(", "))).into()
}

#[cfg(test)]
mod tests {
    use recoup_model::time::Span;

    use super::*;

    #[test]
    fn each_bound_has_its_own_addends() {
        let prediction = Prediction {
            low: Span::seconds(13),
            high: Span::millis(29_960),
            arithmetic: vec![
                "low +15s: lease (x)".into(),
                "low -2s: retry (y)".into(),
                "high +15s: lease (x)".into(),
            ],
        };
        assert_eq!(bounds(&prediction), "13 s to 30 s");
        let [low, high] = sums(&prediction);
        assert_eq!(low, ("no sooner than 13 s".into(), vec!["+15s: lease (x)", "-2s: retry (y)"]));
        assert_eq!(high.1, ["+15s: lease (x)"]);
    }
}
