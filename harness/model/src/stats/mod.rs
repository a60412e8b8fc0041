//! What repeated measurements say, and how surely: percentiles with confidence intervals, drift, differences.
//!
//! recoup exists for its judgement, so these are its own, held against published examples and known packages
//! in the tests. All are pure functions; what is random in a method is enumerated or approximated, never drawn.

pub mod adjust;
pub mod fisher;
pub mod percentile;
pub mod rank_sum;
pub mod shift;
pub mod special;
pub mod survival;
pub mod trend;
pub mod value;

pub use value::Value;

#[cfg(test)]
mod tests {
    use super::Value;

    pub(super) fn exact(values: &[f64]) -> Vec<Value> {
        values.iter().map(|x| Value::Exactly(*x)).collect()
    }

    pub(super) fn near(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-12, "{a} is not {b}");
    }
}
