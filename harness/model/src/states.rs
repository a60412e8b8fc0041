//! What the cluster says of itself: leaders, lease holders, nodes and pods over time.

use std::time::Duration;

use crate::{
    milestone::{Found, told},
    observation::{NodeState, Observation, Observed, PodState},
    time::Offset,
    timeline::{Moment, Series, Timeline},
};

fn series_of(timeline: &Timeline, wanted: impl Fn(&Observation) -> bool) -> Option<&Series> {
    timeline.series.iter().find(|series| wanted(&series.stream.observation))
}

/// The holder before the fault, and since then who held when: sent, done, holder.
type Holders<'t> = (&'t str, Vec<(Offset, Offset, &'t str)>);

/// The last holder that was told before the fault, and since then who held when: sent, done, holder.
pub(crate) fn holders<'t>(timeline: &'t Timeline, lease: &str, fault: Moment) -> Option<Holders<'t>> {
    let series = series_of(timeline, |o| matches!(o, Observation::Lease { name } if name == lease))?;
    let all: Vec<(Offset, Offset, &str)> = told(series)
        .filter_map(|(sent, done, told)| match told {
            Observed::Lease { holder, .. } => Some((sent, done, holder.as_str())),
            _ => None,
        })
        .collect();
    let before = all.iter().rev().find(|(_, done, holder)| *done <= fault.low && !holder.is_empty())?.2;
    Some((before, all.into_iter().filter(|(_, done, _)| *done > fault.low).collect()))
}

pub(crate) fn new_holder(timeline: &Timeline, lease: &str, fault: Moment) -> Found {
    let Some((before, since)) = holders(timeline, lease, fault) else {
        return Found::Unknown(format!("no holder of {lease} was seen before the fault"));
    };
    let is_new = |holder: &str| !holder.is_empty() && holder != before;
    match since.iter().position(|(_, _, holder)| is_new(holder)) {
        Some(n) => {
            let low = since[..n].last().map_or(fault.low, |(sent, _, _)| (*sent).max(fault.low));
            let at = since[n].1;
            Found::At(Moment { low, at, high: at })
        }
        None => Found::Never,
    }
}

/// One member's word: when it was asked, when it ended, whom it follows (none where it did not answer).
pub(crate) struct Word<'t> {
    pub(crate) member: usize,
    pub(crate) sent: Offset,
    pub(crate) done: Offset,
    pub(crate) answer: Option<(Option<&'t str>, u64)>,
}

/// All members' words in the order in which they came, and how many members are asked.
pub(crate) fn words(timeline: &Timeline) -> (usize, Vec<Word<'_>>) {
    let members =
        timeline.series.iter().filter(|s| matches!(s.stream.observation, Observation::EtcdStatus { .. }));
    let mut all = Vec::new();
    let mut count = 0;
    for (member, series) in members.enumerate() {
        count += 1;
        all.extend(series.attempts.iter().filter(|a| a.good() || a.bad()).map(|a| Word {
            member,
            sent: a.sent,
            done: a.done,
            answer: match a.told() {
                Some(Observed::Member { leader, term, .. }) => Some((leader.as_deref(), *term)),
                _ => None,
            },
        }));
    }
    all.sort_by_key(|word| word.done);
    (count, all)
}

/// The leader that a majority followed last before the fault.
pub(crate) fn leader_before<'t>(count: usize, words: &[Word<'t>], fault: Moment) -> Option<&'t str> {
    let mut last = vec![None; count];
    for word in words.iter().filter(|word| word.done <= fault.low) {
        if let Some((leader, _)) = word.answer {
            last[word.member] = leader;
        }
    }
    last.iter()
        .flatten()
        .find(|one| last.iter().flatten().filter(|other| other == one).count() * 2 > count)
        .copied()
}

/// A later term's leader, whoever it is: a member that is back within an election timeout may win again.
pub(crate) fn new_leader(timeline: &Timeline, fault: Moment) -> Found {
    let (count, words) = words(timeline);
    if leader_before(count, &words, fault).is_none() {
        return Found::Unknown("no raft leader was seen before the fault".into());
    }
    let told_before = words.iter().filter(|word| word.done <= fault.low);
    let before = told_before.filter_map(|word| word.answer.map(|(_, term)| term)).max().unwrap_or_default();
    let mut follows: Vec<Option<(&str, u64)>> = vec![None; count];
    // Until when each member is known not to have followed a new leader.
    let mut not_yet = vec![fault.low; count];
    for word in words.iter().filter(|word| word.done > fault.low) {
        follows[word.member] = word.answer.and_then(|(leader, term)| Some((leader?, term)));
        match follows[word.member].filter(|(_, term)| *term > before) {
            Some(leader)
                if follows.iter().flatten().filter(|other| **other == leader).count() * 2 > count =>
            {
                // The truth came when so many as make a majority followed; the least moments that
                // are known for so many bound it from below.
                not_yet.sort();
                let low = not_yet.get(count / 2).copied().unwrap_or(fault.low);
                return Found::At(Moment { low: low.min(word.done), at: word.done, high: word.done });
            }
            Some(_) => {}
            None if word.answer.is_some() => not_yet[word.member] = word.sent.max(fault.low),
            None => {}
        }
    }
    Found::Never
}

pub(crate) fn no_leader(timeline: &Timeline, fault: Moment) -> Found {
    let (count, words) = words(timeline);
    let mut knows: Vec<Option<bool>> = vec![None; count];
    let mut low = fault.low;
    let mut period = Duration::ZERO;
    let mut last = vec![fault.low; count];
    for word in &words {
        knows[word.member] = word.answer.map(|(leader, _)| leader.is_some());
        if word.done <= fault.low {
            continue;
        }
        period = period.max(word.done.since(last[word.member]));
        last[word.member] = word.sent;
        if knows.iter().flatten().next().is_some() && knows.iter().flatten().all(|knows| !knows) {
            return Found::At(Moment { low, at: word.done, high: word.done });
        }
        if knows[word.member] == Some(true) {
            low = low.max(word.sent);
        }
    }
    if count == 0 { Found::Unknown("no member is asked".into()) } else { Found::NotSeen(period) }
}

/// The hit members that went away are back, and have applied what others had.
pub(crate) fn caught_up(timeline: &Timeline, fault: Moment) -> Found {
    let targets = timeline.targets();
    let applied = |told: &Observed| match told {
        Observed::Member { applied, .. } => Some(*applied),
        _ => None,
    };
    let members: Vec<(&str, &Series)> = timeline
        .series
        .iter()
        .filter_map(|series| match &series.stream.observation {
            Observation::EtcdStatus { member } => Some((member.as_str(), series)),
            _ => None,
        })
        .collect();
    let hit: Vec<_> = members.iter().filter(|(member, _)| targets.iter().any(|t| t == member)).collect();
    if hit.is_empty() {
        return Found::Unknown("no member of a hit node is asked".into());
    }
    let mut latest: Option<Moment> = None;
    for (member, series) in hit {
        let Some(lost) = series.attempts.iter().find(|a| a.bad() && a.done >= fault.low) else { continue };
        let others =
            || members.iter().filter(|(other, _)| other != member).flat_map(|(_, series)| told(series));
        let mut low = lost.sent.max(fault.low);
        let mut found = None;
        for attempt in series.attempts.iter().filter(|attempt| attempt.sent > lost.sent) {
            if let Some(told) = attempt.told() {
                let seen = others().filter(|(_, done, _)| *done <= attempt.sent);
                let largest = seen.filter_map(|(_, _, told)| applied(told)).max();
                if applied(told) >= largest {
                    found = Some(Moment { low, at: attempt.done, high: attempt.done });
                    break;
                }
            }
            if attempt.told().is_some() || attempt.bad() {
                low = attempt.sent;
            }
        }
        let Some(found) = found else { return Found::Never };
        latest = latest.filter(|earlier| earlier.at > found.at).or(Some(found));
    }
    latest.map_or_else(|| Found::NotSeen(Duration::from_millis(100)), Found::At)
}

/// Every list of a kind: when it was asked for, when it came, what stood in it.
fn lists<'t, T>(
    timeline: &'t Timeline,
    which: &Observation,
    list: fn(&Observed) -> Option<&Vec<T>>,
) -> Vec<(Offset, Offset, &'t [T])> {
    let series = series_of(timeline, |o| o == which);
    let told = series.into_iter().flat_map(told);
    told.filter_map(|(sent, done, told)| Some((sent, done, list(told)?.as_slice()))).collect()
}

pub(crate) fn node_lists(timeline: &Timeline) -> Vec<(Offset, Offset, &[NodeState])> {
    lists(timeline, &Observation::Nodes, |told| match told {
        Observed::Nodes(nodes) => Some(nodes),
        _ => None,
    })
}

pub(crate) fn pod_lists(timeline: &Timeline) -> Vec<(Offset, Offset, &[PodState])> {
    lists(timeline, &Observation::Pods, |told| match told {
        Observed::Pods(pods) => Some(pods),
        _ => None,
    })
}

/// The first list after the fault of which something holds, bounded by the one before.
fn first<T>(lists: &[(Offset, Offset, &[T])], after: Offset, holds: impl Fn(&[T]) -> bool) -> Found {
    let mut low = after;
    for (sent, done, list) in lists.iter().filter(|(_, done, _)| *done > after) {
        if holds(list) {
            return Found::At(Moment { low: low.min(*done), at: *done, high: *done });
        }
        low = low.max(*sent);
    }
    Found::Never
}

pub(crate) fn nodes(timeline: &Timeline, fault: Moment, holds: impl Fn(&NodeState) -> bool) -> Found {
    let targets = timeline.targets();
    first(&node_lists(timeline), fault.low, |nodes| {
        nodes.iter().any(|node| targets.contains(&node.name) && holds(node))
    })
}

pub(crate) fn ready_again(timeline: &Timeline, fault: Moment) -> Found {
    let Found::At(lost) = nodes(timeline, fault, |node| node.ready != "True") else {
        let lists = node_lists(timeline);
        let gaps =
            lists.windows(2).filter(|pair| pair[1].1 > fault.low).map(|pair| pair[1].1.since(pair[0].0));
        return Found::NotSeen(gaps.max().unwrap_or_default());
    };
    let targets = timeline.targets();
    first(&node_lists(timeline), lost.at, |nodes| {
        nodes.iter().all(|node| !targets.contains(&node.name) || node.ready == "True")
    })
}

/// The workload's pods by the last list before the fault.
pub(crate) fn pods_before(timeline: &Timeline, fault: Moment) -> Option<&[PodState]> {
    pod_lists(timeline).iter().rev().find(|(_, done, _)| *done <= fault.low).map(|(_, _, pods)| *pods)
}

const NO_PODS: &str = "no pod of the workload was seen before the fault";

pub(crate) fn evicted(timeline: &Timeline, fault: Moment) -> Found {
    let Some(before) = pods_before(timeline, fault) else { return Found::Unknown(NO_PODS.into()) };
    let targets = timeline.targets();
    let there = before.iter().filter(|pod| pod.node.as_ref().is_some_and(|node| targets.contains(node)));
    let there: Vec<&str> = there.map(|pod| pod.name.as_str()).collect();
    if there.is_empty() {
        return Found::Unknown("no pod of the workload ran on a hit node".into());
    }
    first(&pod_lists(timeline), fault.low, |pods| {
        there.iter().any(|name| pods.iter().find(|pod| pod.name == *name).is_none_or(|pod| pod.deleting))
    })
}

pub(crate) fn replaced(timeline: &Timeline, fault: Moment) -> Found {
    let Some(before) = pods_before(timeline, fault) else { return Found::Unknown(NO_PODS.into()) };
    let serves = |pod: &&PodState| pod.ready && !pod.deleting;
    let wanted = before.iter().filter(serves).count();
    first(&pod_lists(timeline), fault.low, |pods| {
        let is_new = |pod: &PodState| before.iter().all(|old| old.name != pod.name);
        pods.iter().filter(serves).count() >= wanted && pods.iter().filter(serves).any(is_new)
    })
}
