//! `slowdown:` how much longer answers take than in the baseline.

use crate::{assertion::Came, spec::Slowdown, timeline::Timeline};

pub(crate) fn slowdown(_timeline: &Timeline, _settings: &Slowdown) -> Came {
    Came::unknown("NOT WRITTEN YET")
}
