//! What was silenced was heard no more: the API server that was hit refused or hung, by its own address; so
//! did the member, the kubelet's and kube-proxy's health ports.
//!
//! A probe sees an outage for certain only where that is longer than its period, and where the requests
//! hang, longer than period and deadline together. So this is demanded of faults that hold for longer, and of an API
//! server that is ended, which needs seconds to answer again. Of the others that are ended and come back by
//! themselves (a member answers a second later, kube-proxy perhaps sooner) it is told where it was seen; the
//! node's own evidence suffices.

use std::time::Duration;

use super::gather::{Evidence, Held, held, length};
use crate::{
    action::{Process, Signal, Unit},
    observation::{Endpoint, HealthPort, Observation},
    spec::Step,
    time::Offset,
    timeline::{Series, Timeline},
};

/// For a machine that is late with an attempt.
const SLACK: Duration = Duration::from_millis(500);
/// From its start to its first answer an API server needs more than this: it connects to etcd and fills its
/// caches first. Measured from SIGKILL to ready: 5.7 s.
const API_SERVER_START: Duration = Duration::from_secs(2);
/// The ports of API server and member for their clients.
const API_PORT: u16 = 6443;
const CLIENT_PORT: u16 = 2379;

/// A component that a step silences.
struct Silenced {
    process: Process,
    /// Its requests hang; else they are refused.
    hangs: bool,
    /// For at least this long; none where it may be back before anybody asks.
    lasts: Option<Duration>,
}

fn silenced(step: &Step) -> Vec<Silenced> {
    let of = |process, hangs, lasts| Silenced { process, hangs, lasts };
    match step {
        Step::Signal(fault) if fault.signal == Signal::Stop => {
            vec![of(fault.process, true, fault.hold.map(|hold| hold.0))]
        }
        Step::Signal(fault) => {
            let api = fault.process == Process::KubeApiserver;
            vec![of(fault.process, false, api.then_some(API_SERVER_START))]
        }
        // One that may end gently may take all of the hold for it.
        Step::StaticPod(fault) => vec![of(fault.pod.process(), false, fault.kill.then_some(fault.hold.0))],
        Step::Unit(fault) if fault.unit == Unit::Kubelet => {
            vec![of(Process::Kubelet, false, Some(fault.hold.0))]
        }
        // The health ports are asked from the node itself, which is frozen too.
        Step::Pause(fault) => vec![
            of(Process::KubeApiserver, true, Some(fault.hold.0)),
            of(Process::Etcd, true, Some(fault.hold.0)),
        ],
        // The probes come from outside of the cluster: only a filter against everybody stops them.
        Step::Drop(fault) if fault.peers.is_none() => {
            let cut = |port| fault.ports.is_empty() || fault.ports.contains(&port);
            let both = [(Process::KubeApiserver, API_PORT), (Process::Etcd, CLIENT_PORT)];
            let hit = both.into_iter().filter(|(_, port)| cut(*port));
            hit.map(|(process, _)| of(process, true, Some(fault.hold.0))).collect()
        }
        Step::Unit(_) | Step::Drop(_) | Step::KillContainer(_) | Step::DeletePods(_) | Step::Wait(_) => {
            Vec::new()
        }
        // Slow is not silent.
        Step::Slow(_) | Step::Limit(_) | Step::FillEtcd(_) | Step::Load(_) => Vec::new(),
    }
}

/// The stream asks that component of that node, by its own address.
fn asks(observation: &Observation, process: Process, node: &str) -> bool {
    match observation {
        Observation::ApiRead { via: Endpoint::Node(via), .. }
        | Observation::ApiWrite { via: Endpoint::Node(via), .. } => {
            process == Process::KubeApiserver && via == node
        }
        Observation::EtcdStatus { member } => process == Process::Etcd && member == node,
        Observation::Health { node: on, component: HealthPort::Kubelet } => {
            process == Process::Kubelet && on == node
        }
        Observation::Health { node: on, component: HealthPort::KubeProxy } => {
            process == Process::KubeProxy && on == node
        }
        _ => false,
    }
}

pub(super) fn silence(timeline: &Timeline) -> Vec<Evidence> {
    let first = timeline.faults().next().map(|(n, ..)| n);
    let mut all = Vec::new();
    for (step, spec, trace) in timeline.faults() {
        let Some(trace) = trace else { continue };
        for node in &trace.targets {
            let Some(held) = held(trace, node) else { continue };
            for silenced in silenced(spec) {
                let streams = timeline.series.iter();
                let streams = streams.filter(|s| asks(&s.stream.observation, silenced.process, node));
                let streams: Vec<&Series> = streams.collect();
                let Some((held, seen)) = looked(&streams, &silenced, held, first == Some(step)) else {
                    continue;
                };
                let check = format!("{} of {node} stopped answering", silenced.process);
                all.push(Evidence { step, node: node.clone(), check, held, seen });
            }
        }
    }
    all
}

/// None where nothing was seen and nothing had to be.
fn looked(streams: &[&Series], silenced: &Silenced, held: Held, first: bool) -> Option<(bool, String)> {
    let certain = |series: &&&Series| {
        let rate = &series.stream.rate;
        let least = rate.period.0 + if silenced.hangs { rate.patience() } else { Duration::ZERO } + SLACK;
        silenced.lasts.is_some_and(|lasts| lasts > least)
    };
    let answered_before = |series: &&&Series| {
        let before = series.attempts.iter().rev().filter(|a| a.done <= held.began);
        before.filter(|a| a.good() || a.bad()).take(1).any(|attempt| attempt.good())
    };
    let until = held.until.unwrap_or(Offset(u64::MAX));
    let failed = streams.iter().filter(answered_before).filter_map(|series| {
        let bad = series.attempts.iter().filter(|a| a.bad() && a.done >= held.began && a.sent <= until);
        bad.min_by_key(|attempt| attempt.done).map(|attempt| (attempt.done, series.stream.name.as_str()))
    });
    let failed = failed.min();
    // Whoever is frozen can answer nothing: an answer shows that another process was hit, or a wrong address.
    let frozen = silenced.hangs && held.until.is_some();
    let answers = streams.iter().flat_map(|series| &series.attempts).filter(|attempt| {
        frozen && attempt.told().is_some() && attempt.sent >= held.since.plus(SLACK) && attempt.done <= until
    });
    let answers = answers.count();
    if answers > 0 {
        return Some((false, format!("{answers} requests were answered while it lasted")));
    }
    if let Some((at, name)) = failed {
        return Some((true, format!("{name} failed {} after the injection", length(at.since(held.began)))));
    }
    if !streams.iter().any(|series| certain(&series)) {
        return None;
    }
    if streams.iter().filter(certain).any(|series| answered_before(&series)) {
        return Some((false, "no request failed after the injection".into()));
    }
    // An earlier step may have silenced it already; before the first there is no excuse.
    first.then(|| (false, "it did not answer before it was hit either".into()))
}
