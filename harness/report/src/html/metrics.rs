//! Would an operator have seen it: the components' own metrics that moved.

use maud::{Markup, html};
use recoup_model::{metrics::MetricMove, verdict::ExperimentResult};

use super::lanes::Names;
use crate::metrics::{NOTE, moved, name, ratio, tells, value, whose};

/// The metrics that moved, and folded those that did not; nothing where none were read.
pub(super) fn metrics(experiment: &ExperimentResult, names: &Names) -> Markup {
    let found: Vec<&MetricMove> = moved(experiment).collect();
    let calm: Vec<&MetricMove> = experiment.metrics.iter().filter(|one| !one.moved).collect();
    html! {
        @if !experiment.metrics.is_empty() {
            h3 { "Would an operator have seen it?" }
            @if found.is_empty() {
                p { "None of the metrics that were read moved." }
            } @else {
                (table(&found, names))
            }
            @if !calm.is_empty() {
                details {
                    summary { (calm.len()) " readings of metrics that did not move" }
                    (table(&calm, names))
                }
            }
            p.note { (NOTE) }
        }
    }
}

fn table(rows: &[&MetricMove], names: &Names) -> Markup {
    html! {
        div.wide {
            table {
                thead { tr { th { "instance" } th { "metric" } th { "before" } th { "during" } th { "after" } th { "grew" } th { "what it tells" } } }
                tbody {
                    @for one in rows {
                        tr {
                            td { (names.shorten(&whose(one))) }
                            td { (name(one)) }
                            @for told in [one.before, one.during, one.after] { td { (value(one, told)) } }
                            td { (ratio(one)) }
                            td.quiet { (tells(one)) }
                        }
                    }
                }
            }
        }
    }
}
