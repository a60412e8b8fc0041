//! All oracles of one experiment.

use super::{leadership, watch, writes};
use crate::{
    assertion::Came,
    timeline::Timeline,
    verdict::{Checked, Verdict},
};

/// What every oracle came to. One that could not look is Skipped, with the reason.
pub(crate) fn oracles(timeline: &Timeline) -> Vec<Checked> {
    let mut all = vec![checked(writes::NAME.to_owned(), writes::oracle(timeline))];
    all.extend(watch::oracle(timeline).into_iter().map(|(name, came)| checked(name, came)));
    all.extend(leadership::oracle(timeline).into_iter().map(|(name, came)| checked(name, came)));
    all
}

fn checked(name: String, came: Came) -> Checked {
    Checked { name, verdict: came.verdict, detail: came.detail, measure: came.measure }
}

/// An oracle that could not look makes no verdict worse.
pub(super) fn not_looked_at(why: impl std::fmt::Display) -> Came {
    Came::new(Verdict::Skipped, format!("not looked at: {why}"))
}
