//! The table of controls: what is broken on purpose, and whether it was caught.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, Result};
use recoup_model::{plan::Plan, spec::controls, topology::ProviderKind};

use crate::tables::table;

/// By control, by Kubernetes version: what real clusters said, as `UPDATE_CONTROLS=1` notes it.
const CAUGHT: &str = "suites/controls/caught.json";

/// One row per control.
///
/// # Errors
/// Where a control's file is wrong, or what was noted cannot be read or names no control.
pub fn rows(root: &Path, plans: &[Plan], profiles: &[&str]) -> Result<String> {
    let controls = controls(plans, profiles)?;
    let path = root.join(CAUGHT);
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let mut kept: BTreeMap<String, BTreeMap<String, bool>> = serde_json::from_str(&text)?;
    let rows: Vec<Vec<String>> = controls
        .iter()
        .map(|control| {
            let real = kept.remove(&control.name).unwrap_or_default();
            // The simulation's are asserted by every `cargo test`.
            let mut caught = vec!["sim: yes".to_owned()];
            if control.spec.on.contains(&ProviderKind::Kind) {
                let said = |(version, caught): (&String, &bool)| {
                    format!("kind {version}: {}", if *caught { "yes" } else { "**no**" })
                };
                caught.extend(real.iter().map(said));
                if real.is_empty() {
                    caught.push("kind: not run yet".to_owned());
                }
            }
            let due = |provider| control.spec.expect.with(provider).to_string();
            let (sim, kind) = (due(ProviderKind::Sim), due(ProviderKind::Kind));
            let real = control.spec.on.contains(&ProviderKind::Kind);
            let due = if real && kind != sim { format!("{sim} (kind: {kind}, with a note)") } else { sim };
            let file = format!("[{0}](suites/controls/{0}.yaml)", control.name);
            vec![file, control.spec.why.clone(), control.plan.id.clone(), due, caught.join(", ")]
        })
        .collect();
    anyhow::ensure!(kept.is_empty(), "{CAUGHT} names what is no control: {:?}", kept.keys());
    Ok(table(&["control", "what must be noticed", "by", "verdict due", "caught"], rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use recoup_model::spec::{CONTROLS, builtin};

    #[test]
    fn every_control_is_in_the_table_once() {
        let plans = builtin(&["single", "ha", "ha-short-lease"]).unwrap();
        let table = rows(&crate::root().unwrap(), &plans, &["single", "ha", "ha-short-lease"]).unwrap();
        for (name, _) in CONTROLS {
            assert_eq!(table.matches(&format!("| [{name}](")).count(), 1, "{name}\n{table}");
        }
    }
}
