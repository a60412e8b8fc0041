//! `cargo xtask docs`: writes the generated parts of the documentation, or says where they are stale.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, Result, bail};
use recoup_model::{plan::Plan, spec::builtin};

use crate::{
    controls, reference,
    tables::{replace, table},
};

/// Writes every generated part, or with `check` fails where one would change.
///
/// # Errors
/// Where a source cannot be read, a marker is missing, or (with `check`) a part is stale.
pub fn run(root: &Path, check: bool) -> Result<()> {
    let read = |path: &str| fs::read_to_string(root.join(path)).with_context(|| path.to_owned());
    let exit_rs = read("harness/cli/src/exit.rs")?;
    let codes = reference::exit_codes(&exit_rs)?.into_iter().map(|(code, what)| vec![code, what]);
    let profiles = profiles(root)?;
    let profiles: Vec<&str> = profiles.iter().map(String::as_str).collect();
    let plans = builtin(&profiles)?;
    let mut readme = read("README.md")?;
    readme = replace(&readme, "suites", &suites(&plans)).context("README.md")?;
    let controls = controls::rows(root, &plans, &profiles)?;
    readme = replace(&readme, "controls", &controls).context("README.md")?;
    readme = replace(&readme, "exit codes", &table(&["code", "meaning"], codes)).context("README.md")?;
    let pages = [("README.md", readme), ("docs/reference.md", reference::page(&exit_rs)?)];

    let mut stale = Vec::new();
    for (path, new) in pages {
        let file = root.join(path);
        if fs::read_to_string(&file).is_ok_and(|old| old == new) {
            continue;
        }
        stale.push(path);
        if !check {
            if let Some(dir) = file.parent() {
                fs::create_dir_all(dir)?;
            }
            fs::write(&file, new).with_context(|| path.to_owned())?;
            println!("wrote {path}");
        }
    }
    match (stale.is_empty(), check) {
        (true, _) => println!("the generated parts are as the source has them"),
        (false, true) => bail!("stale: {}; run `cargo xtask docs`", stale.join(", ")),
        (false, false) => {}
    }
    Ok(())
}

/// The profiles' names: files of clusters/profiles.
fn profiles(root: &Path) -> Result<Vec<String>> {
    let dir = root.join("clusters/profiles");
    let entries = fs::read_dir(&dir).with_context(|| dir.display().to_string())?;
    let names =
        entries.map(|entry| Ok(entry?.path().file_stem().unwrap_or_default().to_string_lossy().into_owned()));
    names.collect()
}

/// One row per experiment: its variants, the quick set's marked.
fn suites(plans: &[Plan]) -> String {
    let mut rows: Vec<(String, Vec<String>)> = Vec::new();
    let mut places = BTreeMap::new();
    for plan in plans {
        let mut parts = plan.id.splitn(3, '/');
        let name: Vec<&str> = parts.by_ref().take(2).collect();
        let name = name.join("/");
        let place = *places.entry(name.clone()).or_insert_with(|| {
            let file = format!("[{name}](suites/{name}.yaml)");
            rows.push((plan.hypothesis.clone(), vec![file, plan.profile.clone()]));
            rows.len() - 1
        });
        let variant = parts.next().unwrap_or("default");
        rows[place].1.push(if plan.smoke { format!("**{variant}**") } else { variant.to_owned() });
    }
    let rows = rows.into_iter().map(|(hypothesis, mut cells)| {
        let variants = cells.split_off(2).join(", ");
        cells.extend([variants, hypothesis]);
        cells
    });
    table(&["experiment", "profile", "variants", "hypothesis"], rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stale generated parts are found where developers look first: in `cargo test`.
    #[test]
    fn the_generated_parts_are_fresh() {
        run(&crate::root().unwrap(), true).unwrap();
    }

    #[test]
    fn the_example_of_the_readme_is_a_suite() {
        let root = crate::root().unwrap();
        let readme = fs::read_to_string(root.join("README.md")).unwrap();
        let (_, rest) = readme.split_once("```yaml\n").unwrap();
        let (example, _) = rest.split_once("```").unwrap();
        let profiles = profiles(&root).unwrap();
        let profiles: Vec<&str> = profiles.iter().map(String::as_str).collect();
        let plans =
            recoup_model::spec::load("README.md", example, &profiles).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(plans.len(), 1);
    }

    #[test]
    fn every_builtin_experiment_is_in_the_table_once() {
        let root = crate::root().unwrap();
        let profiles = profiles(&root).unwrap();
        let profiles: Vec<&str> = profiles.iter().map(String::as_str).collect();
        let table = suites(&builtin(&profiles).unwrap());
        for (name, _) in recoup_model::spec::SUITES {
            assert_eq!(table.matches(&format!("| [{name}](")).count(), 1, "{name}\n{table}");
        }
        assert!(table.contains("**"), "no experiment of the quick set is marked:\n{table}");
    }
}
