//! A measured length as far as it is known, in seconds.

use std::cmp::Ordering;

/// A length of time in seconds: known, or known on one side only.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// Shorter than this: no probe saw it. Left-censored.
    LessThan(f64),
    /// Measured.
    Exactly(f64),
    /// Longer than this: it had not come when observation ended. Right-censored.
    MoreThan(f64),
}

impl Value {
    /// The least that it can be.
    #[must_use]
    pub fn least(self) -> f64 {
        match self {
            Value::LessThan(_) => 0.0,
            Value::Exactly(x) | Value::MoreThan(x) => x,
        }
    }

    /// The most that it can be.
    #[must_use]
    pub fn most(self) -> f64 {
        match self {
            Value::LessThan(x) | Value::Exactly(x) => x,
            Value::MoreThan(_) => f64::INFINITY,
        }
    }

    /// The number that it is known by.
    #[must_use]
    pub fn known(self) -> f64 {
        match self {
            Value::LessThan(x) | Value::Exactly(x) | Value::MoreThan(x) => x,
        }
    }

    /// True where it was measured.
    #[must_use]
    pub fn exact(self) -> bool {
        matches!(self, Value::Exactly(_))
    }

    /// 1 where `self` is surely longer than `other`, -1 where it is surely shorter, 0 where they are equal or
    /// nobody can tell: the score of Gehan's test, and of Kendall's under censoring.
    #[must_use]
    pub fn beyond(self, other: Value) -> i32 {
        if longer(self, other) {
            1
        } else if longer(other, self) {
            -1
        } else {
            0
        }
    }

    /// In the order of the least that they can be.
    #[must_use]
    pub fn by_least(a: &Value, b: &Value) -> Ordering {
        a.least().total_cmp(&b.least()).then(a.known().total_cmp(&b.known()))
    }

    /// In the order of the most that they can be.
    #[must_use]
    pub fn by_most(a: &Value, b: &Value) -> Ordering {
        a.most().total_cmp(&b.most()).then(a.known().total_cmp(&b.known()))
    }
}

/// A bound on one side is never reached itself: "more than 5" is longer than a measured 5.
fn longer(a: Value, b: Value) -> bool {
    match (a, b) {
        (Value::Exactly(a), Value::Exactly(b)) => a > b,
        (Value::LessThan(_), _) | (_, Value::MoreThan(_)) => false,
        (a, b) => a.known() >= b.known(),
    }
}

#[cfg(test)]
mod tests {
    use super::Value::{Exactly, LessThan, MoreThan};

    #[test]
    fn what_nobody_can_tell_is_no_order() {
        assert_eq!(MoreThan(5.0).beyond(Exactly(5.0)), 1);
        assert_eq!(Exactly(5.0).beyond(LessThan(5.0)), 1);
        assert_eq!(LessThan(1.0).beyond(MoreThan(1.0)), -1);
        assert_eq!(Exactly(4.0).beyond(Exactly(5.0)), -1);
        for (a, b) in [
            (MoreThan(5.0), Exactly(6.0)),
            (MoreThan(5.0), MoreThan(9.0)),
            (LessThan(5.0), Exactly(4.0)),
            (LessThan(1.0), LessThan(2.0)),
            (LessThan(3.0), MoreThan(2.0)),
            (Exactly(2.0), Exactly(2.0)),
        ] {
            assert_eq!((a.beyond(b), b.beyond(a)), (0, 0), "{a:?} {b:?}");
        }
    }
}
