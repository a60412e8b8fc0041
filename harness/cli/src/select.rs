//! From what the user named to experiments: ids, beginnings of ids, files, directories.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Result;
use recoup_clusters::{PROFILES, Profile};
use recoup_engine::choose::profile_lacks;
use recoup_model::{
    SuiteError,
    plan::Plan,
    spec::{builtin, load},
};

use crate::{
    args::Selection,
    exit::{Exit, Told},
};

/// The experiments that were named, in that order, each once; all that are built in where none was.
///
/// # Errors
/// Every problem of every suite file; a name that fits nothing; a suite whose own profile cannot carry it.
pub fn select(selection: &Selection) -> Result<Vec<Plan>> {
    let known = builtin(PROFILES)?;
    let mut plans: Vec<Plan> = Vec::new();
    let mut files = Vec::new();
    for wanted in &selection.suites {
        let fitting: Vec<&Plan> = known.iter().filter(|plan| fits(&plan.id, wanted)).collect();
        let path = Path::new(wanted);
        if !fitting.is_empty() && !looks_like_path(wanted) {
            plans.extend(fitting.into_iter().cloned());
        } else if path.exists() {
            let found = suite_files(path)?;
            if found.is_empty() {
                return Err(
                    Told::new(Exit::Usage, format!("{wanted}: no suite file (*.yaml) is in there")).into()
                );
            }
            files.extend(found);
        } else {
            return Err(unknown(wanted, &known).into());
        }
    }
    let loaded = read(&files)?;
    unique(&loaded)?;
    plans.extend(loaded);
    if selection.suites.is_empty() {
        plans = known;
    }
    let mut seen = BTreeSet::new();
    plans.retain(|plan| seen.insert(plan.id.clone()));
    if selection.smoke {
        plans.retain(|plan| plan.smoke);
        if plans.is_empty() {
            let error = Told::new(Exit::Usage, "none of the experiments belongs to the quick set");
            return Err(error.help("leave --smoke out, or see `recoup list`").into());
        }
    }
    Ok(plans)
}

/// Every plan `times` times, in rounds, so that a drift of the machine does not look like a difference between
/// experiments. Rounds stay within a profile: before the second cluster is made, the first one has the machine
/// for itself, and its first trials would differ from the rest.
#[must_use]
pub fn in_rounds(plans: &[Plan], times: u32) -> Vec<Plan> {
    let profiles = plans.chunk_by(|a, b| a.profile == b.profile);
    let round = |trial: u32, plans: &[Plan]| -> Vec<Plan> {
        plans.iter().map(|plan| Plan { trial, ..plan.clone() }).collect()
    };
    profiles.flat_map(|plans| (1..=times).flat_map(move |trial| round(trial, plans))).collect()
}

/// True where `wanted` is the id or a beginning of it that ends at a `/`.
fn fits(id: &str, wanted: &str) -> bool {
    id.strip_prefix(wanted.trim_end_matches('/')).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// `etcd` is an area even where a directory of that name lies about; `./etcd` is the directory.
fn looks_like_path(wanted: &str) -> bool {
    wanted.starts_with(['.', '/']) || wanted.ends_with(".yaml") || wanted.ends_with(".yml")
}

fn unknown(wanted: &str, known: &[Plan]) -> Told {
    if looks_like_path(wanted) {
        return Told::new(Exit::Usage, format!("{wanted}: there is no such file or directory"));
    }
    let word = |text: &str| text.split('/').map(str::to_owned).collect::<Vec<_>>();
    let words = word(wanted);
    let near: BTreeSet<&str> = known
        .iter()
        .filter(|plan| word(&plan.id).iter().any(|have| words.contains(have)))
        .map(|plan| plan.id.as_str())
        .collect();
    let help = if near.is_empty() {
        "`recoup list` shows all; a file's name ends in .yaml".to_owned()
    } else {
        format!("there is {}", near.into_iter().collect::<Vec<_>>().join(", "))
    };
    Told::new(Exit::Usage, format!("{wanted:?} is neither an experiment nor a suite file")).help(help)
}

/// The file, or all suite files below the directory, sorted.
fn suite_files(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let failed = |error: std::io::Error| Told::new(Exit::Io, format!("{}: {error}", path.display()));
    let mut entries: Vec<PathBuf> = fs::read_dir(path)
        .map_err(failed)?
        .map(|entry| entry.map(|e| e.path()))
        .collect::<Result<_, _>>()
        .map_err(failed)?;
    entries.sort();
    let mut found = Vec::new();
    for entry in entries {
        if entry.is_dir() {
            found.extend(suite_files(&entry)?);
        } else if entry.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
            found.push(entry);
        }
    }
    Ok(found)
}

/// All files are read before anything is said, so that one round of mending is enough.
fn read(files: &[PathBuf]) -> Result<Vec<Plan>> {
    let mut plans = Vec::new();
    let mut problems = Vec::new();
    for path in files {
        let name = path.display().to_string();
        let text = fs::read_to_string(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::InvalidData => Told::new(Exit::Usage, format!("{name}: is not UTF-8 text")),
            _ => Told::new(Exit::Io, format!("{name}: {error}")),
        })?;
        match load(&name, &text, PROFILES) {
            Ok(loaded) => {
                for plan in &loaded {
                    carried(&name, plan)?;
                }
                plans.extend(loaded);
            }
            Err(SuiteError::Invalid(more)) => problems.extend(more),
        }
    }
    if problems.is_empty() { Ok(plans) } else { Err(SuiteError::Invalid(problems).into()) }
}

/// A suite that its own profile can never carry is a mistake in the file, not a reason to skip.
fn carried(file: &str, plan: &Plan) -> Result<()> {
    let lacks = profile_lacks(plan, &Profile::load(&plan.profile)?);
    if lacks.is_empty() {
        return Ok(());
    }
    let message =
        format!("{file}: {} cannot run on profile {:?}: {}", plan.id, plan.profile, lacks.join("; "));
    Err(Told::new(Exit::Usage, message)
        .help("set spec.profile to one with more nodes; nothing was run")
        .into())
}

fn unique(plans: &[Plan]) -> Result<()> {
    let mut seen = BTreeSet::new();
    match plans.iter().find(|plan| !seen.insert(&plan.id)) {
        Some(twice) => {
            Err(Told::new(Exit::Usage, format!("two of the files hold the experiment {}", twice.id)).into())
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trials_come_in_rounds_within_a_profile() {
        let known = builtin(PROFILES).unwrap();
        let mut plans: Vec<_> = known.into_iter().take(3).collect();
        plans[2].profile = "another".to_owned();
        let rounds = in_rounds(&plans, 2);
        let told: Vec<(&str, u32)> = rounds.iter().map(|plan| (plan.id.as_str(), plan.trial)).collect();
        let (a, b, c) = (plans[0].id.as_str(), plans[1].id.as_str(), plans[2].id.as_str());
        assert_eq!(told[..5], [(a, 1), (b, 1), (a, 2), (b, 2), (c, 1)]);
        assert_eq!(in_rounds(&plans, 1), plans);
    }

    #[test]
    fn beginnings_fit_whole_segments_only() {
        assert!(fits("etcd/leader-loss/kill", "etcd"));
        assert!(fits("etcd/leader-loss/kill", "etcd/leader-loss/"));
        assert!(fits("etcd/leader-loss/kill", "etcd/leader-loss/kill"));
        assert!(!fits("etcd/leader-loss/kill", "etcd/leader"));
        assert!(!fits("kubelet/down", "kube"));
    }
}
