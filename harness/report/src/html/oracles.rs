//! What must hold in every experiment, whatever its times say.

use maud::{Markup, html};
use recoup_model::verdict::{ExperimentResult, Verdict};

use super::tables::chip;

/// The oracles in words; one that could not look says why.
pub(super) fn oracles(experiment: &ExperimentResult) -> Markup {
    html! {
        @if !experiment.oracles.is_empty() {
            h3 { "What must hold whatever the times say" }
            div.wide {
                table {
                    thead { tr { th { "verdict" } th { "oracle" } th { "in words" } } }
                    tbody {
                        @for oracle in &experiment.oracles {
                            tr {
                                td {
                                    @if oracle.verdict == Verdict::Skipped { span.quiet { "– not looked at" } }
                                    @else { (chip(oracle.verdict)) }
                                }
                                td { (oracle.name) }
                                td { (oracle.detail.strip_prefix("not looked at: ").unwrap_or(&oracle.detail)) }
                            }
                        }
                    }
                }
            }
        }
    }
}
