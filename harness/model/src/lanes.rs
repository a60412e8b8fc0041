//! States over time, as lanes of a report.

use std::collections::BTreeMap;

use crate::{
    milestone::told,
    observation::{Observation, Observed},
    states::{node_lists, words},
    time::Offset,
    timeline::Timeline,
    verdict::{StateLane, StateSpan},
};

/// Lanes of the raft leader by node, the lease holders by node, and each node's Ready condition.
#[must_use]
pub fn lanes(timeline: &Timeline) -> Vec<StateLane> {
    let mut lanes = vec![lane("raft leader", leaders(timeline))];
    for series in &timeline.series {
        if let Observation::Lease { name } = &series.stream.observation {
            let values = told(series).filter_map(|(_, done, told)| match told {
                Observed::Lease { holder, .. } if holder.is_empty() => Some((done, "nobody".to_owned())),
                // client-go's identity is the host's name, `_`, and a random id.
                Observed::Lease { holder, .. } => {
                    Some((done, holder.split('_').next().unwrap_or_default().to_owned()))
                }
                _ => None,
            });
            lanes.push(lane(&format!("holder of {name}"), values.collect()));
        }
    }
    let lists = node_lists(timeline);
    for node in &timeline.nodes {
        let values = lists.iter().filter_map(|(_, done, nodes)| {
            let state = nodes.iter().find(|state| state.name == *node)?;
            Some((
                *done,
                if state.ready == "True" { "Ready".into() } else { format!("Ready={}", state.ready) },
            ))
        });
        lanes.push(lane(&format!("node {node}"), values.collect()));
    }
    lanes.retain(|lane| !lane.spans.is_empty());
    lanes
}

/// Whom most of the answering members follow, after each answer.
fn leaders(timeline: &Timeline) -> Vec<(Offset, String)> {
    let mut names: BTreeMap<&str, &str> = BTreeMap::new();
    for series in &timeline.series {
        if let Observation::EtcdStatus { member } = &series.stream.observation {
            names.extend(told(series).filter_map(|(_, _, told)| match told {
                Observed::Member { id, .. } => Some((id.as_str(), member.as_str())),
                _ => None,
            }));
        }
    }
    let (count, words) = words(timeline);
    let mut last: Vec<Option<Option<&str>>> = vec![None; count];
    let mut values = Vec::new();
    for word in &words {
        last[word.member] = word.answer.map(|(leader, _)| leader);
        let mut votes: BTreeMap<Option<&str>, usize> = BTreeMap::new();
        last.iter().flatten().for_each(|vote| *votes.entry(*vote).or_default() += 1);
        // A leader that anybody follows stands before "nobody", which a member says while it looks on.
        if let Some((leader, _)) = votes.into_iter().max_by_key(|(leader, votes)| (leader.is_some(), *votes))
        {
            let name = leader.map_or("nobody", |id| names.get(id).copied().unwrap_or(id));
            values.push((word.done, name.to_owned()));
        }
    }
    values
}

fn lane(name: &str, mut values: Vec<(Offset, String)>) -> StateLane {
    values.sort_by_key(|(at, _)| *at);
    let mut spans: Vec<StateSpan> = Vec::new();
    for (at, value) in values {
        match spans.last_mut() {
            Some(last) => {
                last.to = at;
                if last.value != value {
                    spans.push(StateSpan { from: at, to: at, value });
                }
            }
            None => spans.push(StateSpan { from: at, to: at, value }),
        }
    }
    StateLane { name: name.to_owned(), spans }
}
