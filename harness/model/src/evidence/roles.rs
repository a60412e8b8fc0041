//! The node that was hit had its role when it was hit: by the last answers before the injection.
//!
//! A step names a role and the engine asks who has it; between that answer and the injection the role may
//! move, and then the fault was another than the one that was to be tried. The probes ask every 100 and
//! 200 ms, so a healthy run always has an answer of the last seconds, unless an earlier step took the
//! answers away: then the choice itself could only follow older ones, and none is demanded here.

use std::{collections::BTreeMap, time::Duration};

use super::gather::{Evidence, held, length};
use crate::{
    milestone::told,
    observation::{Observation, Observed},
    spec::Target,
    states::{Word, words},
    time::Offset,
    timeline::Timeline,
};

/// An older answer says nothing about now. The longest period of these probes is far below it, and it leaves
/// room for a few attempts that a busy machine loses.
const RECENT: Duration = Duration::from_secs(2);

pub(super) fn roles(timeline: &Timeline) -> Vec<Evidence> {
    let mut all = Vec::new();
    let first = timeline.faults().next().map(|(n, ..)| n);
    for (step, spec, trace) in timeline.faults() {
        let Some(trace) = trace else { continue };
        // The choice was made for all of the step's nodes at once, before the first was hit.
        let nodes = trace.targets.iter().filter_map(|node| Some((node, held(trace, node)?)));
        let Some(hit) = nodes.clone().map(|(_, held)| held.began).min() else { continue };
        for (node, _) in nodes {
            let (check, found) = match spec.on() {
                Some(Target::RaftLeader) => (
                    format!("{node} was the raft leader when it was hit"),
                    raft(timeline, node, trace.started, hit, true),
                ),
                Some(Target::RaftFollower) => (
                    format!("{node} followed the raft leader when it was hit"),
                    raft(timeline, node, trace.started, hit, false),
                ),
                Some(Target::LeaseHolder(lease)) => (
                    format!("{node} held the lease {lease} when it was hit"),
                    holder(timeline, lease, node, trace.started, hit),
                ),
                _ => continue,
            };
            let (held, seen) = match found {
                Role::Shown(held, seen) => (held, seen),
                Role::NotAsked => continue,
                // With the API or the members down already, the engine had to go by older answers too.
                Role::NoAnswer(_) if first != Some(step) => continue,
                Role::NoAnswer(why) => (false, why),
            };
            all.push(Evidence { step, node: node.clone(), check, held, seen });
        }
    }
    all
}

enum Role {
    /// The record tells.
    Shown(bool, String),
    /// The probe is off.
    NotAsked,
    /// It was asked and nobody answered lately.
    NoAnswer(String),
}

/// Whom each member followed by its last recent answer before a moment.
fn votes<'t, 'w>(words: &'w [Word<'t>], at: Offset) -> BTreeMap<usize, &'w Word<'t>> {
    let recent = words.iter().filter(|word| word.done <= at && at.since(word.sent) <= RECENT);
    let mut last = BTreeMap::new();
    for word in recent {
        last.insert(word.member, word);
    }
    last.retain(|_, word: &mut &Word<'_>| word.answer.is_some());
    last
}

/// The leader that most of those who answer follow.
fn led<'t>(votes: &BTreeMap<usize, &Word<'t>>) -> Option<(&'t str, usize)> {
    let named = || votes.values().filter_map(|word| word.answer.and_then(|(leader, _)| leader));
    let mut found = named().map(|leader| (leader, named().filter(|other| *other == leader).count()));
    found.find(|(_, count)| count * 2 > votes.len())
}

fn raft(timeline: &Timeline, node: &str, chosen: Offset, hit: Offset, leader: bool) -> Role {
    let (count, words) = words(timeline);
    if count == 0 {
        return Role::NotAsked;
    }
    let ids = ids(timeline);
    let Some((own, own_id)) = ids.iter().find_map(|(n, name, id)| (*name == node).then_some((*n, *id)))
    else {
        return Role::NoAnswer(format!("{node} never told who it is"));
    };
    let votes_then = votes(&words, hit);
    let Some((led_by, followers)) = led(&votes_then) else {
        let (answers, span) = (votes_then.len(), length(RECENT));
        return Role::NoAnswer(format!("{answers} of {count} members told of a leader within {span} before"));
    };
    let name = |id: &str| {
        ids.iter()
            .find(|(_, _, other)| *other == id)
            .map_or_else(|| id.to_owned(), |(_, name, _)| (*name).to_owned())
    };
    let mut seen = format!("{followers} of {count} members followed {}", name(led_by));
    if let Some((before, _)) = led(&votes(&words, chosen)).filter(|(before, _)| *before != led_by) {
        seen += &format!("; leadership moved from {} between choice and injection", name(before));
    }
    if leader {
        return Role::Shown(led_by == own_id, seen);
    }
    let Some(word) = votes_then.get(&own) else {
        return Role::NoAnswer(format!("{node} had not answered within {} before", length(RECENT)));
    };
    let follows = word.answer.and_then(|(leader, _)| leader);
    Role::Shown(led_by != own_id && follows == Some(led_by), seen)
}

/// Number, node and id of every member that has told its id.
fn ids(timeline: &Timeline) -> Vec<(usize, &str, &str)> {
    let members = timeline.series.iter().filter_map(|series| match &series.stream.observation {
        Observation::EtcdStatus { member } => Some((member.as_str(), series)),
        _ => None,
    });
    let id = |told: &'_ Observed| matches!(told, Observed::Member { .. });
    members
        .enumerate()
        .filter_map(|(n, (name, series))| match told(series).find(|(_, _, told)| id(told))?.2 {
            Observed::Member { id, .. } => Some((n, name, id.as_str())),
            _ => None,
        })
        .collect()
}

fn holder(timeline: &Timeline, lease: &str, node: &str, chosen: Offset, hit: Offset) -> Role {
    let mut asked = timeline
        .series
        .iter()
        .filter(|series| matches!(&series.stream.observation, Observation::Lease { name } if name == lease));
    let Some(series) = asked.next() else { return Role::NotAsked };
    let told_before = |at: Offset| {
        told(series).rfind(|(sent, done, _)| *done <= at && at.since(*sent) <= RECENT).and_then(
            |(sent, _, told)| match told {
                Observed::Lease { holder, .. } => Some((sent, holder.as_str())),
                _ => None,
            },
        )
    };
    let Some((sent, holder)) = told_before(hit) else {
        return Role::NoAnswer(format!("nobody told who held it within {} before", length(RECENT)));
    };
    // client-go's identity is the host's name, `_`, and a random id.
    let holds = |holder: &str| holder.split('_').next() == Some(node);
    let mut seen = format!("{holder} held it {} before", length(hit.since(sent)));
    if let Some((_, before)) = told_before(chosen).filter(|(_, before)| *before != holder) {
        seen += &format!("; it moved from {before} between choice and injection");
    }
    Role::Shown(holds(holder), seen)
}
