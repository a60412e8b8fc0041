//! How each predicted interval was computed, folded below the waterfall.

use maud::{Markup, html};
use recoup_model::verdict::ExperimentResult;

use crate::{figures, predicted};

/// Every prediction beside what was measured, with its sums; nothing where nothing was predicted.
pub(super) fn predictions(experiment: &ExperimentResult) -> Markup {
    let with = || experiment.intervals.iter().filter_map(|i| Some((i, i.prediction.as_ref()?)));
    html! {
        @if with().next().is_some() {
            details {
                summary { "How the " (with().count()) " predicted intervals follow from the cluster's settings" }
                @for (interval, prediction) in with() {
                    p {
                        b { (interval.milestone.name) } ": predicted " (predicted::bounds(prediction))
                        ", measured " (figures::long(&interval.measure)) "."
                    }
                    ul {
                        @for (what, addends) in predicted::sums(prediction) {
                            li {
                                (what)
                                ul { @for addend in addends { li.quiet { (addend) } } }
                            }
                        }
                    }
                }
            }
        }
    }
}
