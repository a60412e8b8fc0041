//! `holdsUpTo:` up to which rate of requests everything is as it should be.

use crate::{assertion::Came, spec::HoldsUpTo, timeline::Timeline};

pub(crate) fn holds_up_to(_timeline: &Timeline, _settings: &HoldsUpTo) -> Came {
    Came::unknown("NOT WRITTEN YET")
}
