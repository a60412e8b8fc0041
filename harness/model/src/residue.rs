//! What faults have left behind on nodes: surveys from before and after, line by line.

use std::collections::BTreeMap;

use crate::{
    event::{Event, Record, Stage},
    timeline::Timeline,
};

/// How a survey's line begins that tells the node's own address.
pub const ADDRESS: &str = "address ";
/// How a survey's line begins that tells when the node itself was started: another one's node is another node, too.
pub const STARTED: &str = "started ";
/// How a survey's line begins that tells how a unit fares: one that is down on an unhealthy cluster is the
/// cluster's own failure, which the health check judges.
pub const STATE: &str = "state of ";
/// How a survey's line begins that tells what a load made. It is removed through the API, so where the cluster is
/// unhealthy its being left is the cluster's own failure. Where etcd does not answer there is no such line, so that one
/// that is gone says nothing.
pub const NAMESPACE: &str = "namespace of ours: ";

/// One node's surveys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surveys {
    /// Before the baseline.
    pub before: Option<Vec<String>>,
    /// After everything was undone.
    pub after: Option<Vec<String>>,
}

/// Surveys by node.
pub type ByNode = BTreeMap<String, Surveys>;

/// Takes in one record.
pub(crate) fn push(surveys: &mut ByNode, stage: Stage, node: &str, lines: &[String]) {
    let of_node = surveys.entry(node.to_owned()).or_default();
    let which = match stage {
        Stage::Before => &mut of_node.before,
        Stage::After => &mut of_node.after,
    };
    *which = Some(lines.to_vec());
}

/// The surveys among records.
#[must_use]
pub fn surveys<'a>(records: impl IntoIterator<Item = &'a Record>) -> ByNode {
    let mut surveys = ByNode::new();
    for record in records {
        if let Event::Surveyed { stage, node, lines } = &record.event {
            push(&mut surveys, *stage, node, lines);
        }
    }
    surveys
}

/// The same of what is known so far; empty for records of which no survey was made.
pub(crate) fn missing(timeline: &Timeline) -> Vec<String> {
    let well = timeline.after.as_ref().is_some_and(Vec::is_empty);
    residue(&timeline.surveys, well)
}

/// What differs between before and after, each in a sentence. Where the cluster is not `well`, units that are down
/// are its own failure.
#[must_use]
pub fn residue(surveys: &ByNode, well: bool) -> Vec<String> {
    let mut sentences = Vec::new();
    for (node, found) in surveys {
        match (&found.before, &found.after) {
            (Some(before), Some(after)) => sentences.extend(compared(node, before, after, well)),
            (Some(_), None) => {
                sentences.push(format!("{node} was not looked at afterwards for what faults may have left"));
            }
            (None, Some(_)) => {
                sentences.push(format!("{node} was not looked at before: what was left there is not known"));
            }
            (None, None) => {}
        }
    }
    sentences
}

fn compared(node: &str, before: &[String], after: &[String], well: bool) -> Vec<String> {
    let mut sentences = Vec::new();
    let weighs = |line: &&String| well || ![STATE, NAMESPACE].iter().any(|begin| line.starts_with(begin));
    let new: Vec<&String> = beyond(after, before).into_iter().filter(weighs).collect();
    let gone = beyond(before, after).into_iter().filter(weighs);
    let gone: Vec<&String> = gone.filter(|line| !line.starts_with(NAMESPACE)).collect();
    let (now, earlier) = (addresses(&new), addresses(&gone));
    if !now.is_empty() || !earlier.is_empty() {
        let told = |found: &[&str]| if found.is_empty() { "none".to_owned() } else { found.join(", ") };
        let (now, earlier) = (told(&now), told(&earlier));
        sentences.push(format!("{node} has another address than before: {now}, it was {earlier}"));
    }
    if new.iter().any(|line| line.starts_with(STARTED)) {
        sentences.push(format!("{node} was started anew meanwhile, and not by the experiment"));
    }
    for (what, lines) in [("", new), ("gone since before: ", gone)] {
        let told = |line: &&String| line.starts_with(ADDRESS) || line.starts_with(STARTED);
        let rest: Vec<&str> = lines.into_iter().filter(|line| !told(line)).map(String::as_str).collect();
        if !rest.is_empty() {
            sentences.push(format!("left behind on {node}: {what}{}", rest.join("; ")));
        }
    }
    sentences
}

fn addresses<'a>(lines: &[&'a String]) -> Vec<&'a str> {
    lines.iter().filter_map(|line| line.strip_prefix(ADDRESS)).collect()
}

/// Lines that are more often in `these` than in `those`, as often as that.
fn beyond<'a>(these: &'a [String], those: &[String]) -> Vec<&'a String> {
    let mut left: BTreeMap<&String, usize> = BTreeMap::new();
    those.iter().for_each(|line| *left.entry(line).or_default() += 1);
    let more = |line: &&'a String| match left.get_mut(*line) {
        Some(count) if *count > 0 => {
            *count -= 1;
            false
        }
        _ => true,
    };
    these.iter().filter(more).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Offset;

    const QUIET: [&str; 3] =
        ["address 172.18.0.3/16", "manifest etcd.yaml: sha256 1", "state of kubelet.service: active"];

    fn left(records: &(Vec<Record>, bool)) -> Vec<String> {
        residue(&surveys(&records.0), records.1)
    }

    fn records(before: &[&str], after: Option<&[&str]>, problems: &[&str]) -> (Vec<Record>, bool) {
        let texts = |lines: &[&str]| lines.iter().map(ToString::to_string).collect::<Vec<_>>();
        let survey =
            |stage, lines: &[&str]| Event::Surveyed { stage, node: "cp1".into(), lines: texts(lines) };
        let mut events = vec![survey(Stage::Before, before)];
        events.extend(after.map(|lines| survey(Stage::After, lines)));
        (events.into_iter().map(|event| Record { at: Offset(0), event }).collect(), problems.is_empty())
    }

    #[test]
    fn a_node_that_is_as_it_was_has_nothing_left() {
        assert_eq!(left(&records(&QUIET, Some(&QUIET), &[])), [""; 0]);
        assert_eq!(left(&(Vec::new(), true)), [""; 0], "a record without surveys");
    }

    #[test]
    fn no_line_differs_silently() {
        let more: Vec<&str> = QUIET.iter().copied().chain(["stopped process: etcd"]).collect();
        assert_eq!(left(&records(&QUIET, Some(&more), &[])), ["left behind on cp1: stopped process: etcd"]);
        let gone = left(&records(&more, Some(&QUIET), &[]));
        assert_eq!(gone, ["left behind on cp1: gone since before: stopped process: etcd"]);
        let twice: Vec<&str> = more.iter().copied().chain(["stopped process: etcd"]).collect();
        assert_eq!(left(&records(&more, Some(&twice), &[])).len(), 1, "a second one of the same words");
        let unlooked = left(&records(&QUIET, None, &[]));
        assert!(unlooked[0].contains("was not looked at afterwards"), "{unlooked:?}");
    }

    #[test]
    fn another_address_is_named_so() {
        let moved: Vec<&str> =
            ["address 172.18.0.9/16"].into_iter().chain(QUIET[1..].iter().copied()).collect();
        assert_eq!(
            left(&records(&QUIET, Some(&moved), &["unhealthy"])),
            ["cp1 has another address than before: 172.18.0.9/16, it was 172.18.0.3/16"]
        );
    }

    /// Docker was restarted under a run, and its cluster was not healthy afterwards.
    #[test]
    fn a_node_that_somebody_started_anew_is_named_so() {
        let with = |tick: &'static str| [&QUIET[..], &[tick]].concat();
        let (before, after) =
            (with("started at tick 100 of its machine"), with("started at tick 900 of its machine"));
        assert_eq!(
            left(&records(&before, Some(&after), &["unhealthy"])),
            ["cp1 was started anew meanwhile, and not by the experiment"]
        );
        assert_eq!(left(&records(&before, Some(&before), &[])), [""; 0]);
    }

    #[test]
    fn a_unit_that_is_down_is_the_unhealthy_clusters_own_failure() {
        let down: Vec<&str> =
            QUIET[..2].iter().copied().chain(["state of kubelet.service: failed"]).collect();
        assert_eq!(left(&records(&QUIET, Some(&down), &["node cp1 is not ready"])), [""; 0]);
        assert_eq!(left(&records(&QUIET, Some(&down), &[])).len(), 2, "nobody else would tell");
    }

    #[test]
    fn what_a_load_made_is_left_on_a_healthy_cluster_and_says_nothing_where_it_is_not_told() {
        let more = [&QUIET[..], &["namespace of ours: recoup-load"]].concat();
        let told = left(&records(&QUIET, Some(&more), &[]));
        assert_eq!(told, ["left behind on cp1: namespace of ours: recoup-load"]);
        assert_eq!(left(&records(&QUIET, Some(&more), &["no API server answers"])), [""; 0]);
        assert_eq!(left(&records(&more, Some(&QUIET), &[])), [""; 0]);
    }
}
