//! Who can talk to whom: packet filters of the nodes.

use std::cell::Cell;

use recoup_model::action::DropRule;

use super::World;

/// One end of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Party {
    /// A node, by index.
    Node(usize),
    /// The load balancer.
    Balancer,
    /// The observer.
    Outside,
}

/// A rule in force with the packets it has dropped.
#[derive(Debug)]
pub(crate) struct Filter {
    pub(crate) rule: DropRule,
    pub(crate) packets: Cell<u64>,
}

impl Filter {
    fn covers(&self, peer: Option<&str>, port: u16) -> bool {
        covers(&self.rule.peers, &self.rule.ports, peer, port)
    }
}

/// A rule of those peers and ports is about packets of that port between its node and that peer.
pub(crate) fn covers(peers: &[String], ports: &[u16], peer: Option<&str>, port: u16) -> bool {
    (peers.is_empty() || peer.is_some_and(|peer| peers.iter().any(|p| p == peer)))
        && (ports.is_empty() || ports.contains(&port))
}

impl World {
    pub(crate) fn address(&self, party: Party) -> Option<&str> {
        match party {
            Party::Node(node) => Some(&self.nodes[node].address),
            Party::Balancer => Some(&self.balancer_address),
            Party::Outside => None,
        }
    }

    /// The rules that drop packets of that TCP port between the two. A node's talk with itself goes over
    /// the loopback device, which no rule covers.
    fn dropping(&self, a: Party, b: Party, port: u16) -> impl Iterator<Item = &Filter> {
        let ways = [(a, b), (b, a)];
        ways.into_iter().filter(move |_| a != b).flat_map(move |(here, peer)| {
            let filters = match here {
                Party::Node(node) => self.nodes[node].filters.as_slice(),
                Party::Balancer | Party::Outside => &[],
            };
            filters.iter().filter(move |filter| filter.covers(self.address(peer), port))
        })
    }

    /// True where packets would pass.
    pub(crate) fn open(&self, a: Party, b: Party, port: u16) -> bool {
        self.dropping(a, b, port).next().is_none()
    }

    /// Sends a packet: true where it passes. One that is dropped is counted, as a kernel does.
    pub(crate) fn send(&self, a: Party, b: Party, port: u16) -> bool {
        let dropped =
            self.dropping(a, b, port).inspect(|filter| filter.packets.set(filter.packets.get() + 1));
        dropped.count() == 0
    }
}
