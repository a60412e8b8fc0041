//! etcd: elections, and members that come back.

use std::time::Duration;

use super::{
    allowance::{ACT, ETCD_START, HAND_OVER, RESUME, VOTES},
    restart,
    scene::{Blow, How, Missing, Scene},
    sum::Sum,
};
use crate::{
    action::Process,
    configuration::{Configuration, names},
    spec::{Target, When},
};

/// From the loss of the leader to the next: followers wait for once to twice the election timeout, counted from
/// the last heartbeat that they heard; a split vote costs another round.
pub(super) fn election(config: &Configuration, blow: &Blow<'_>) -> Sum {
    let (election, beat) = (config.setting(names::ETCD_ELECTION), config.setting(names::ETCD_HEARTBEAT));
    let round = Sum::new()
        .low(election.value.0, "election timeout, drawn from once to twice", &election.source)
        .low_less(beat.most().0, "the last heartbeat was up to one interval before", &beat.source)
        .low_less(beat.most().0, "the first tick after it comes within one interval", &beat.source)
        .high(election.most().0 * 2, "election timeout, drawn from once to twice", &election.source)
        .high(election.most().0 * 2, "another round after a split vote", &election.source)
        .allow(&VOTES);
    match blow.how {
        How::Term => round.any_time().allow(&HAND_OVER),
        _ => round,
    }
}

/// The votes of members that are there again.
fn vote(sum: Sum, config: &Configuration) -> Sum {
    let election = config.setting(names::ETCD_ELECTION);
    sum.high(election.most().0 * 2, "election timeout, drawn from once to twice", &election.source)
        .high(election.most().0 * 2, "another round after a split vote", &election.source)
        .allow(&VOTES)
}

/// Until a hit member takes part again.
pub(super) fn member_back(scene: &Scene<'_>, blow: &Blow<'_>) -> Result<Sum, Missing> {
    let back = match blow.how {
        How::Kill | How::Term if blow.times > 1 => return Err(Missing::Formula),
        How::Kill => restart::container(Sum::new()).allow(&ETCD_START),
        How::Term => restart::container(Sum::new().allow(&HAND_OVER)).allow(&ETCD_START),
        How::Stop(hold) => scene.undone(hold).allow(&RESUME),
        How::Held(hold) => restart::manifest(scene.undone(hold), scene.config).allow(&ETCD_START),
    };
    Ok(vote(back, scene.config))
}

/// The fault took so many members that the others are no majority.
pub(super) fn loses_quorum(scene: &Scene<'_>, blow: &Blow<'_>) -> bool {
    (scene.config.control_planes - blow.count.min(scene.config.control_planes)) * 2
        <= scene.config.control_planes
}

/// The interval of a milestone of etcd.
pub(super) fn sum(scene: &Scene<'_>) -> Result<Sum, Missing> {
    let blow = scene.only(Process::Etcd).ok_or(Missing::Formula)?;
    let leads = *blow.on == Target::RaftLeader && blow.times == 1;
    match &scene.milestone.when {
        When::NewLeader if leads && !scene.counts_from_undo() => {
            let sum = election(scene.config, &blow);
            super::scene::lasting(sum, blow.hold())
        }
        When::NoLeader
            if matches!(blow.how, How::Held(_))
                && loses_quorum(scene, &blow)
                && !scene.counts_from_undo() =>
        {
            Ok(no_leader(scene, &blow))
        }
        When::CaughtUp => member_back(scene, &blow),
        When::Stable(pattern) | When::Succeeds(pattern) => match pattern.0.as_str() {
            "etcd/put/@target" | "etcd/status/@target" | "etcd/put/*" | "etcd/status/*" => {
                member_back(scene, &blow)
            }
            "etcd/put/@others" if leads && !scene.counts_from_undo() => Ok(election(scene.config, &blow)),
            _ => Err(Missing::Formula),
        },
        _ => Err(Missing::Formula),
    }
}

/// A leader looks once in an election timeout whether it has heard from a majority since its last look.
fn no_leader(scene: &Scene<'_>, blow: &Blow<'_>) -> Sum {
    let (election, beat) =
        (scene.config.setting(names::ETCD_ELECTION), scene.config.setting(names::ETCD_HEARTBEAT));
    let acts = ACT.value * blow.count.saturating_sub(1);
    Sum::new()
        .low(election.value.0, "the leader hears from no majority for an election timeout", &election.source)
        .low_less(beat.most().0, "it was heard from up to a heartbeat before", &beat.source)
        .high(
            election.most().0 * 2,
            "it looks once in an election timeout, at what came since its last look",
            &election.source,
        )
        .high(acts, "the members are taken one after the other", ACT.source)
}

/// How long writes through the hit members' API servers have failed by then.
pub(super) fn outage(sum: &Sum, scene: &Scene<'_>, blow: &Blow<'_>) -> Duration {
    let before =
        if scene.counts_from_undo() { blow.hold().unwrap_or_default() + ACT.value } else { Duration::ZERO };
    before + sum.so_far()
}
