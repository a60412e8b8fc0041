//! What every node looks like, and how that differs from before.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;
use recoup_clusters::Nodes;
use recoup_model::{action::NodeAction, residue::NAMESPACE};

/// The lines of each node's survey.
pub type Survey = BTreeMap<String, Vec<String>>;

/// Looks at all nodes. A node that cannot be looked at shows as a line that says so.
pub async fn survey(nodes: &dyn Nodes, names: &[String]) -> Survey {
    let looks = names.iter().map(|name| async move {
        let lines = match nodes.act(name, &NodeAction::Survey).await {
            Ok(report) => report.survey,
            Err(error) => vec![format!("it cannot be surveyed: {error}")],
        };
        (name.clone(), lines)
    });
    join_all(looks).await.into_iter().collect()
}

/// Lines that came and lines that went, with their node. That a namespace is not told says nothing.
#[must_use]
pub fn differences(before: &Survey, after: &Survey) -> Vec<String> {
    let mut found = Vec::new();
    let empty = Vec::new();
    for node in before.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
        let (old, new) = (before.get(node).unwrap_or(&empty), after.get(node).unwrap_or(&empty));
        found.extend(new.iter().filter(|line| !old.contains(line)).map(|line| format!("{node}: + {line}")));
        let gone = old.iter().filter(|line| !new.contains(line) && !line.starts_with(NAMESPACE));
        found.extend(gone.map(|line| format!("{node}: - {line}")));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_came_and_one_that_went_are_both_told() {
        let survey = |lines: &[&str]| {
            Survey::from([("n".to_owned(), lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>())])
        };
        assert!(differences(&survey(&["a", "b"]), &survey(&["a", "b"])).is_empty());
        assert_eq!(differences(&survey(&["a", "b"]), &survey(&["b", "c"])), ["n: + c", "n: - a"]);
        assert_eq!(differences(&survey(&["a"]), &Survey::new()), ["n: - a"]);
        let load = "namespace of ours: recoup-load";
        assert_eq!(differences(&survey(&["a"]), &survey(&["a", load])), [format!("n: + {load}")]);
        assert!(differences(&survey(&["a", load]), &survey(&["a"])).is_empty());
    }
}
