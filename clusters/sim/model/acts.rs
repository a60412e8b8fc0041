//! What the two components wrote, as API servers' audit logs have it; leader election is left out.

use std::time::Duration;

use super::{
    World,
    apiserver::{Outcome, Request},
    lease::ELECTED,
    raft::Entry,
};

/// A write of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Act {
    pub(crate) at: Duration,
    /// Index into [`ELECTED`].
    pub(crate) component: usize,
    pub(crate) node: usize,
    pub(crate) verb: &'static str,
    /// As in `pods/binding recoup/workload-x`.
    pub(crate) object: String,
}

impl World {
    /// A write of that component's instance on that node was done.
    pub(crate) fn act(&mut self, component: usize, node: usize, verb: &'static str, object: String) {
        self.acts.push(Act { at: self.now, component, node, verb, object });
    }

    /// What must never be seen, for tests: a holder that was frozen while another took its lease finishes what it
    /// was about to write.
    pub(crate) fn stray(&mut self, component: usize, node: usize) {
        let elector = &self.electors[node][component];
        let deposed =
            elector.leading && !elector.strayed && elector.identity != self.leases[component].holder;
        if !self.thawed_holders_write || !deposed || self.ask_local(node, Request::Write) != Outcome::Good {
            return;
        }
        if self.commit(node, Entry::Other) {
            self.electors[node][component].strayed = true;
            let object = format!("endpoints recoup/written-by-{}", ELECTED[component].1);
            self.act(component, node, "update", object);
        }
    }
}
