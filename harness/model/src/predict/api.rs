//! API servers and the load balancer in front of them.

use std::time::Duration;

use super::{
    allowance::{API_START, DRAIN, ETCD_KEEPALIVE, GRPC, LB_RETRIES, PING, RESUME, grpc},
    raft, restart,
    scene::{Blow, How, Missing, Scene},
    sum::Sum,
};
use crate::{
    action::Process,
    configuration::Balancer,
    spec::{Target, When},
};

/// Which streams of the API a pattern names: endpoint and connection.
fn streams(when: &When) -> Option<(&str, &str)> {
    let (When::Stable(pattern) | When::Succeeds(pattern)) = when else { return None };
    let mut parts = pattern.0.split('/');
    let all = (parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next());
    match all {
        ("api", _, endpoint, conn, None) => Some((endpoint, conn)),
        _ => None,
    }
}

/// The interval of a milestone of the API.
pub(super) fn sum(scene: &Scene<'_>) -> Result<Sum, Missing> {
    let (endpoint, conn) = streams(&scene.milestone.when).ok_or(Missing::Formula)?;
    let server = scene.only(Process::KubeApiserver).filter(|blow| blow.times == 1 && blow.count == 1);
    let member = scene.only(Process::Etcd).filter(|blow| blow.times == 1);
    let balancer = scene.config.balancer.as_ref();
    match (endpoint, balancer, server, member) {
        ("lb", Some(balancer), Some(blow), _) if conn == "new" => {
            taken_out(scene, balancer, &blow, !frozen(&blow))
        }
        ("lb", Some(balancer), Some(blow), _) => kept(scene, balancer, &blow),
        // Without a load balancer the only API server is the one that was hit.
        ("lb" | "@target", None, Some(blow), _) | ("@target", Some(_), Some(blow), _) => {
            server_back(scene, &blow)
        }
        // An API server without its member answers its health check, but too late or with an error.
        ("lb", Some(balancer), None, Some(blow)) if conn == "new" && !raft::loses_quorum(scene, &blow) => {
            taken_out(scene, balancer, &blow, false)
        }
        ("@others", _, None, Some(blow))
            if *blow.on == Target::RaftLeader
                && !raft::loses_quorum(scene, &blow)
                && !scene.counts_from_undo() =>
        {
            Ok(raft::election(scene.config, &blow))
        }
        ("@target" | "*", _, None, Some(blow)) => member_back(scene, &blow),
        ("lb", None, None, Some(blow)) => member_back(scene, &blow),
        _ => Err(Missing::Formula),
    }
}

fn frozen(blow: &Blow<'_>) -> bool {
    matches!(blow.how, How::Stop(_))
}

/// Until the load balancer gives a broken server no new connection any more.
///
/// A check begins an interval after the end of the one before. Luck may do it sooner: behind a load balancer that
/// takes its servers in turn, only some connections meet the broken one.
fn taken_out(scene: &Scene<'_>, balancer: &Balancer, blow: &Blow<'_>, refused: bool) -> Result<Sum, Missing> {
    if scene.counts_from_undo() {
        return Err(Missing::Formula);
    }
    let fall = balancer.fall.value;
    let sum = match blow.how {
        How::Term if refused => Sum::new().allow(&DRAIN),
        How::Term => Sum::new().allow(&super::allowance::HAND_OVER),
        _ => Sum::new(),
    };
    let interval = &balancer.interval;
    let checks = format!("{fall} checks of the load balancer begin (fall: {})", balancer.fall.source);
    let sum = sum.high(interval.most().0 * fall, &checks, &interval.source);
    let timeout = &balancer.timeout;
    Ok(match refused {
        true => sum,
        false => sum.high(
            timeout.most().0 * fall,
            &format!("and {fall} of them run into their time-out"),
            &timeout.source,
        ),
    })
}

/// Until a kept connection through the load balancer leads to a server again.
fn kept(scene: &Scene<'_>, balancer: &Balancer, blow: &Blow<'_>) -> Result<Sum, Missing> {
    match blow.how {
        // The load balancer leaves a frozen server its connections: their client gives them up, or the thaw ends it.
        How::Stop(hold) if hold < PING.value => Ok(scene.undone(hold).any_time().allow(&RESUME)),
        How::Stop(_) if scene.counts_from_undo() => Ok(Sum::new().allow(&RESUME)),
        How::Stop(_) => Ok(Sum::new()
            .allow(&PING)
            .high_setting(&balancer.connect, "a new one may be given to a server that cannot be reached")),
        _ => {
            let sum = taken_out(scene, balancer, blow, true)?;
            Ok(if balancer.program == "haproxy" {
                sum.allow(&LB_RETRIES)
            } else {
                sum.high_setting(&balancer.connect, "a connection that leads to no server is given up")
            })
        }
    }
}

/// Until a hit API server answers again.
fn server_back(scene: &Scene<'_>, blow: &Blow<'_>) -> Result<Sum, Missing> {
    Ok(match blow.how {
        How::Kill => restart::container(Sum::new()).allow(&API_START),
        How::Term => restart::container(Sum::new().allow(&DRAIN)).allow(&API_START),
        How::Stop(hold) => scene.undone(hold).allow(&RESUME),
        How::Held(hold) => restart::manifest(scene.undone(hold), scene.config).allow(&API_START),
    })
}

/// Until API servers whose members were hit answer again: the members are back, and each server's client of its
/// member has noticed.
fn member_back(scene: &Scene<'_>, blow: &Blow<'_>) -> Result<Sum, Missing> {
    let back = raft::member_back(scene, blow)?;
    Ok(match blow.how {
        // The connection outlives a short freeze.
        How::Stop(hold) if hold < ETCD_KEEPALIVE => back,
        _ => noticed(back, scene, blow),
    })
}

fn noticed(back: Sum, scene: &Scene<'_>, blow: &Blow<'_>) -> Sum {
    let pause: Duration = grpc(raft::outage(&back, scene, blow));
    back.high(pause, GRPC.0, GRPC.1)
}

/// Until a majority is back and writes go through every API server: what controllers and deletions wait for.
pub(super) fn writes_back(scene: &Scene<'_>) -> Result<Sum, Missing> {
    let blow = scene.only(Process::Etcd).filter(|blow| blow.times == 1 && raft::loses_quorum(scene, blow));
    member_back(scene, &blow.ok_or(Missing::Formula)?)
}
