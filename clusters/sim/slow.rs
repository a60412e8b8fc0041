//! Packets held back: as the model has them. Delays are the mean's; jitter shows in what is counted alone.

use std::{
    cell::Cell,
    net::{IpAddr, SocketAddr},
};

use recoup_model::{
    action::{ActionReport, NodeAction, Process},
    time::Span,
};

use super::model::{World, apiserver, dice::Dice, network::Party, raft, slow::Late, timing};

/// Where kubelets listen.
const KUBELET: u16 = 10250;

pub(super) fn act(
    world: &mut World,
    node: usize,
    action: &NodeAction,
    report: &mut ActionReport,
) -> Result<(), String> {
    match action {
        NodeAction::SlowAdd { rule, life, .. } => {
            if let Some(peer) = rule.peers.iter().find(|peer| peer.parse::<IpAddr>().is_err()) {
                return Err(format!("{peer:?} is not an IP address"));
            }
            let until = world.now + life.0;
            let late = &mut world.nodes[node].late;
            // In place of those that bear the tag already.
            late.retain(|late| late.rule.tag != rule.tag);
            late.push(Late { rule: rule.clone(), until, packets: Cell::new(0) });
            report.changed = true;
            report.how = Some("SIMULATED".into());
        }
        NodeAction::SlowRemove { tag } => {
            let late = &mut world.nodes[node].late;
            report.slowed = late.iter().find(|late| late.rule.tag == *tag).map(Late::slowed);
            late.retain(|late| late.rule.tag != *tag);
            report.changed = report.slowed.is_some();
        }
        NodeAction::SlowCount { tag } => {
            let now = world.now;
            let late = world.nodes[node].late.iter().find(|late| late.rule.tag == *tag && now < late.until);
            report.slowed = late.map(Late::slowed);
        }
        NodeAction::RoundTrips { to, times } => {
            for number in 0..*times {
                for party in to {
                    let address: SocketAddr =
                        party.parse().map_err(|_| format!("{party:?} is not ADDRESS:PORT"))?;
                    report.round_trips.extend(handshake(world, node, address, number));
                }
            }
            report.round_trips.sort();
        }
        other => return Err(format!("{} is not about a slow network", other.name())),
    }
    Ok(())
}

/// A handshake, where the other node's kernel takes it: a frozen process' kernel does.
fn handshake(world: &World, from: usize, to: SocketAddr, number: u32) -> Option<Span> {
    let process = match to.port() {
        raft::CLIENT | raft::PEER => Process::Etcd,
        apiserver::PORT => Process::KubeApiserver,
        KUBELET => Process::Kubelet,
        _ => return None,
    };
    let node = world.nodes.iter().position(|node| node.address == to.ip().to_string())?;
    let (here, there) = (Party::Node(from), Party::Node(node));
    let listens = world.running(node, process).is_some();
    if !listens || !world.send(here, there, to.port()) {
        return None;
    }
    // Drawn from the moment, so that looking does not change what others draw.
    let moment = u64::try_from(world.now.as_micros()).unwrap_or(0);
    let own = Dice::branch(u64::from(number), "handshake", moment).between(timing::HANDSHAKE);
    Some(Span(own + world.take_detour(here, there, to.port())))
}
