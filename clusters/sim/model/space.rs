//! etcd's quota: how full it is, and the alarm that refuses every write.

use recoup_model::{action::Process, degrade::EtcdSpace};

use super::World;

/// etcd's default quota, 2 GiB (server/storage/quota.go, `DefaultQuotaBytes`).
const DEFAULT_QUOTA: u64 = 2 << 30;
/// What a small cluster's objects take.
const OBJECTS: u64 = 8 << 20;
/// So much is filled in and no more, as on a kind node.
const MOST: u64 = 256 << 20;
/// The flag that sets a member's quota.
pub(crate) const QUOTA: &str = "quota-backend-bytes";

/// What is filled in.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Space {
    filled: u64,
    /// The alarm is raised: no member takes a write.
    pub(crate) full: bool,
    /// The node through whose member it was filled.
    pub(crate) by: Option<usize>,
}

impl World {
    fn quota(&self, node: usize) -> u64 {
        let flags = self.nodes[node].changed.flags.get(&Process::Etcd);
        flags.and_then(|flags| flags.get(QUOTA)?.parse().ok()).unwrap_or(DEFAULT_QUOTA)
    }

    /// What that node's member says of itself.
    ///
    /// # Errors
    /// Where it does not answer.
    pub(crate) fn space(&self, node: usize) -> Result<EtcdSpace, String> {
        if node >= self.planes || !self.works(node, Process::Etcd) {
            return Err("the etcd member of this node does not tell its size and quota".to_owned());
        }
        let used = OBJECTS + self.space.filled;
        let alarms = if self.space.full { vec!["NOSPACE".to_owned()] } else { Vec::new() };
        Ok(EtcdSpace { size: used, in_use: used, quota: self.quota(node), alarms })
    }

    /// Fills it through that node's member.
    ///
    /// # Errors
    /// Where the member cannot commit, an alarm is raised already, or the quota is too large.
    pub(crate) fn fill(&mut self, node: usize) -> Result<(), String> {
        let space = self.space(node)?;
        let left = space.quota.saturating_sub(space.in_use);
        if self.space.full {
            return Err("an alarm is raised already: NOSPACE".to_owned());
        }
        if left > MOST {
            return Err(format!(
                "{left} bytes are left of etcd's quota of {}, more than the {MOST} that are filled: give the \
                 experiment a smaller one, as in 'flags: {{etcd: {{quota-backend-bytes: \"67108864\"}}}}'",
                space.quota
            ));
        }
        if self.commits_through(node).is_none() {
            return Err("etcd refuses a write for another reason than its quota: no leader".to_owned());
        }
        self.space.filled += left;
        self.space.full = true;
        self.space.by = Some(node);
        Ok(())
    }

    /// Frees it on every member; false where there was nothing.
    ///
    /// # Errors
    /// Where a member does not answer: the alarm stays.
    pub(crate) fn free(&mut self, node: usize) -> Result<bool, String> {
        self.space(node)?;
        if self.space.filled == 0 && !self.space.full {
            return Ok(false);
        }
        if let Some(missing) = (0..self.planes).find(|plane| self.commits_through(*plane).is_none()) {
            return Err(format!("etcd at {} does not do maintenance/defragment", self.nodes[missing].name));
        }
        self.space = Space::default();
        Ok(true)
    }
}
