//! `recoup heal`: undoes what killed runs left, from their ledgers alone.

use std::collections::BTreeSet;

use anyhow::Result;
use recoup_engine::{choose::provider, heal, ledger::unhealed};
use recoup_model::topology::ProviderKind;

use crate::{
    args,
    exit::{Exit, Told},
    output::{print, real_time},
};

/// Heals every cluster that a ledger names, and says what became of each undo.
///
/// # Errors
/// Where a ledger cannot be read.
pub fn heal(args: &args::Heal) -> Result<Exit> {
    let runs = &args.runs.dir;
    let kinds: BTreeSet<_> = unhealed(runs)?
        .iter()
        .flat_map(|(_, ledger)| ledger.pending())
        .map(|entry| entry.provider == ProviderKind::Kind)
        .collect();
    if kinds.is_empty() {
        print(&format!("nothing is left to undo in {}\n", runs.display()))?;
        return Ok(Exit::Passed);
    }
    let runtime = real_time()?;
    let mut left = 0;
    let mut text = String::new();
    for kind in kinds.into_iter().map(|real| if real { ProviderKind::Kind } else { ProviderKind::Sim }) {
        let healed = runtime.block_on(heal::heal(runs, provider(kind).as_ref(), None))?;
        for one in healed {
            let became = match &one.outcome {
                Ok(true) => "undone".to_owned(),
                Ok(false) => "nothing was left of it".to_owned(),
                Err(error) => {
                    left += 1;
                    format!("NOT UNDONE: {error}")
                }
            };
            text += &format!("{}: {}: {became}\n", one.run, one.what);
        }
    }
    print(&text)?;
    if left == 0 {
        return Ok(Exit::Passed);
    }
    let error = Told::new(Exit::Unhealed, format!("{left} faults could not be undone"));
    Err(error
        .help("mend what is said above, then run `recoup heal` again: what was undone is not repeated")
        .into())
}
