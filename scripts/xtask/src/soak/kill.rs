//! One kill and what came of it.

use serde::{Deserialize, Serialize};

/// A dead harness' faults must be gone after this long.
pub const REAPER_LIMIT_MS: u64 = 15_000;

/// One kill. Times are milliseconds from the kill, unless said otherwise.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Kill {
    /// Its number, from 0.
    pub kill: u64,
    /// The killed run's seed.
    pub seed: u64,
    /// The experiment.
    pub experiment: String,
    /// When it was killed, from the process' start.
    pub at_ms: u64,
    /// The phase that it was in: the record's last, or that there was none yet.
    pub phase: String,
    /// Undos that were pending then: armed faults.
    pub armed: usize,
    /// What they were, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<String>,
    /// The reaper was killed as well.
    pub alone: bool,
    /// When the reaper was gone; none where there was none yet, or it was killed.
    pub reaper_ms: Option<u64>,
    /// When every node was as before the first kill.
    pub clean_ms: Option<u64>,
    /// What was left on nodes, or missing there, when the time for that was over.
    pub residue: Vec<String>,
    /// Undos that the reaper left in the ledger.
    pub left: usize,
    /// What `recoup heal` found afterwards, where it had something to look at.
    pub heal: Option<Heal>,
    /// By how much the kill is later than the record's last event, where probes were running.
    pub lost_ms: Option<u64>,
    /// `recoup judge` took the record for a run that did not end properly.
    pub incomplete: Option<bool>,
    /// When the cluster was healthy again.
    pub healthy_ms: Option<u64>,
}

/// What `recoup heal` said of the ledger's undos.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Heal {
    /// It had to change something.
    pub undone: usize,
    /// Nothing was left to undo.
    pub nothing: usize,
    /// It could not.
    pub failed: usize,
}

/// The phase of a run that had ended by itself before its moment came: no kill.
pub const OVER: &str = "over";

impl Kill {
    /// False where the run had ended before.
    #[must_use]
    pub fn happened(&self) -> bool {
        self.phase != OVER
    }

    /// What a later look found that had not been told before.
    pub fn found_later(&mut self, left: Vec<String>) {
        self.residue.extend(left);
        self.residue.sort();
        self.residue.dedup();
        if !self.residue.is_empty() {
            self.clean_ms = None;
        }
    }

    /// Everything that is not as it must be, in words.
    #[must_use]
    pub fn failures(&self) -> Vec<String> {
        let mut found: Vec<String> = self.residue.clone();
        if self.alone {
            match &self.heal {
                Some(heal) if heal.undone + heal.failed > 0 => {
                    found.push(format!(
                        "the nodes' deadlines left {} undos to `recoup heal`",
                        heal.undone + heal.failed
                    ));
                }
                None if self.armed > 0 => found.push("`recoup heal` found no undo in the ledger".into()),
                _ => {}
            }
        } else {
            if self.reaper_ms.is_some_and(|ms| ms > REAPER_LIMIT_MS) {
                found.push(format!("the reaper needed {} ms", self.reaper_ms.unwrap_or_default()));
            }
            if self.armed > 0 && self.reaper_ms.is_none() {
                found.push("there was no reaper".into());
            }
            if self.left > 0 {
                found.push(format!("the reaper left {} undos", self.left));
            }
        }
        if self.incomplete == Some(false) {
            found.push("the killed run's record passes for a whole one".into());
        }
        found
    }
}
