//! Which TCP handshake passes a slow rule, and by how much it must be late.

use std::time::Duration;

use recoup_model::{
    action::{ActionReport, NodeAction},
    degrade::SlowRule,
    topology::{Node, NodeRole},
};

/// Where control planes listen, and nobody else: etcd for clients and for peers, and the API server.
const PLANES_LISTEN: [u16; 3] = [2379, 2380, 6443];
/// Where every node's kubelet listens.
const ALL_LISTEN: [u16; 1] = [10250];
/// A handshake may be late by this more or less, whatever the delay: a busy machine's scheduling.
const SLACK: Duration = Duration::from_millis(2);
/// … and by a fifth of the delay.
const SHARE: u32 = 5;

/// A handshake between two nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// The node that asks.
    pub from: String,
    /// `ADDRESS:PORT` of the one that listens.
    pub to: String,
    /// How often a packet of the handshake is held: at both ends where both nodes are slowed.
    times: u32,
}

impl Path {
    /// The look that times it.
    #[must_use]
    pub fn ask(&self, times: u32) -> NodeAction {
        NodeAction::RoundTrips { to: vec![self.to.clone()], times }
    }

    /// By how much it is late where each packet that is held is held for so long.
    #[must_use]
    pub fn late(&self, delay: Duration) -> Duration {
        delay * self.times
    }

    /// How far from that it may be.
    #[must_use]
    pub fn tolerance(&self, rule: &SlowRule) -> Duration {
        SLACK + self.late(rule.jitter.0) + self.late(rule.delay.0) / SHARE
    }
}

/// It grew by what the rule delays, as far as a machine can tell.
#[must_use]
pub fn grew(path: &Path, rule: &SlowRule, by: Duration) -> bool {
    by.abs_diff(path.late(rule.delay.0)) <= path.tolerance(rule)
}

/// The median of the handshakes that came about.
#[must_use]
pub fn median(report: &ActionReport) -> Option<Duration> {
    report.round_trips.get(report.round_trips.len() / 2).map(|middle| middle.0)
}

/// A handshake that passes the rule of the slowed node `node`, of all that are slowed; none where no port of the
/// rule is known to be listened on.
///
/// A packet is held once per slowed end, whichever way it takes: a rule holds one of the two directions. Somebody
/// else asks the slowed node where that can be, as clients do, else it asks somebody; another slowed node is the
/// last choice.
#[must_use]
pub fn path(nodes: &[Node], node: &str, slowed: &[String], rule: &SlowRule) -> Option<Path> {
    let own = nodes.iter().find(|known| known.name == node)?;
    let is_slowed = |other: &Node| slowed.contains(&other.name);
    let mut others: Vec<&Node> = nodes
        .iter()
        .filter(|other| other.name != node)
        .filter(|other| rule.peers.is_empty() || rule.peers.contains(&other.address.to_string()))
        .collect();
    // A stable order, those that are not slowed first.
    others.sort_by_key(|other| is_slowed(other));
    let pairs = others.iter().flat_map(|other| [(*other, own, *other), (own, *other, *other)]);
    let mut found: Vec<(bool, Path)> = pairs
        .filter_map(|(from, to, other)| {
            let port = port(to, &rule.ports)?;
            let times = 1 + u32::from(is_slowed(other));
            let to = std::net::SocketAddr::new(to.address, port).to_string();
            Some((is_slowed(other), Path { from: from.name.clone(), to, times }))
        })
        .collect();
    found.sort_by_key(|(both, _)| *both);
    found.into_iter().next().map(|(_, path)| path)
}

/// A port of the rule at which that node listens.
fn port(node: &Node, ports: &[u16]) -> Option<u16> {
    let planes = PLANES_LISTEN.iter().filter(|_| node.role == NodeRole::ControlPlane);
    // With all ports the kubelet's is the one that least depends on anything else.
    let mut listens = ALL_LISTEN.iter().chain(planes);
    listens.find(|port| ports.is_empty() || ports.contains(port)).copied()
}

#[cfg(test)]
mod tests {
    use recoup_model::time::Span;

    use super::*;

    fn nodes() -> Vec<Node> {
        let node = |number: u8, role| Node {
            name: format!("n{number}"),
            role,
            zone: None,
            address: [172, 18, 0, number].into(),
        };
        let planes = (1..=3).map(|number| node(number, NodeRole::ControlPlane));
        planes.chain([node(4, NodeRole::Worker)]).collect()
    }

    fn rule(peers: &[u8], ports: &[u16]) -> SlowRule {
        SlowRule {
            tag: "t".into(),
            peers: peers.iter().map(|number| format!("172.18.0.{number}")).collect(),
            ports: ports.to_vec(),
            delay: Span::millis(100),
            jitter: Span::millis(10),
            loss: recoup_model::quantity::Percent::default(),
            bandwidth: None,
        }
    }

    fn found(slowed: &[&str], rule: &SlowRule) -> Option<(String, String, u32)> {
        let slowed: Vec<String> = slowed.iter().map(ToString::to_string).collect();
        path(&nodes(), &slowed[0], &slowed, rule).map(|path| (path.from, path.to, path.times))
    }

    #[test]
    fn a_peer_asks_the_slowed_member() {
        let told = found(&["n2"], &rule(&[1, 3], &[2380]));
        assert_eq!(told, Some(("n1".into(), "172.18.0.2:2380".into(), 1)));
    }

    #[test]
    fn somebody_who_is_not_slowed_asks_where_there_is_one() {
        let told = found(&["n1", "n2", "n3"], &rule(&[], &[6443]));
        assert_eq!(told, Some(("n4".into(), "172.18.0.1:6443".into(), 1)));
        let told = found(&["n1", "n2", "n3"], &rule(&[2, 3], &[2380]));
        assert_eq!(told, Some(("n2".into(), "172.18.0.1:2380".into(), 2)), "both ends hold a packet");
    }

    #[test]
    fn a_slowed_worker_asks_a_control_plane_where_only_those_listen() {
        let told = found(&["n4"], &rule(&[], &[6443]));
        assert_eq!(told, Some(("n4".into(), "172.18.0.1:6443".into(), 1)));
        let all = found(&["n4"], &rule(&[], &[]));
        assert_eq!(all, Some(("n1".into(), "172.18.0.4:10250".into(), 1)));
    }

    #[test]
    fn nobody_is_asked_at_a_port_that_nobody_is_known_to_listen_on() {
        assert_eq!(found(&["n2"], &rule(&[], &[12380])), None);
        assert_eq!(found(&["n2"], &rule(&[9], &[2380])), None, "a peer that is no node");
    }

    #[test]
    fn late_is_neither_less_nor_much_more_than_the_delay() {
        let rule = rule(&[1], &[2380]);
        let once = Path { from: "a".into(), to: "b".into(), times: 1 };
        for (millis, good) in [(0, false), (60, false), (68, true), (100, true), (132, true), (140, false)] {
            assert_eq!(grew(&once, &rule, Duration::from_millis(millis)), good, "{millis} ms");
        }
        assert!(grew(&Path { times: 2, ..once }, &rule, Duration::from_millis(200)));
    }
}
