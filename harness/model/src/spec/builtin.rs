//! The suites that are compiled in.

use super::load;
use crate::{
    plan::Plan,
    yaml::{Problem, SuiteError},
};

/// The one list of suite files: a new one is a new line here.
macro_rules! suites {
    ($($name:literal),* $(,)?) => {
        /// The suite files by name, with their text.
        pub const SUITES: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../../../suites/", $name, ".yaml")))),*];
    };
}

suites![
    "etcd/member-loss",
    "etcd/leader-loss",
    "etcd/quorum-loss",
    "etcd/slow-member",
    "etcd/cpu-starved",
    "etcd/slow-disk",
    "etcd/full-disk",
    "apiserver/instance-loss",
    "apiserver/slow-network",
    "apiserver/load",
    "controller-manager/lease-expiry",
    "controller-manager/lease-tuning",
    "controller-manager/under-load",
    "scheduler/lease-expiry",
    "scheduler/under-load",
    "kubelet/down",
    "kubelet/crash-patterns",
    "kube-proxy/down",
];

/// The plans of all suites that are compiled in, in their order.
///
/// # Errors
/// Every problem of every file (a test keeps the list free of them where the profiles are recoup's own).
pub fn builtin(profiles: &[&str]) -> Result<Vec<Plan>, SuiteError> {
    let mut plans = Vec::new();
    let mut problems: Vec<Problem> = Vec::new();
    for (name, text) in SUITES {
        match load(&format!("suites/{name}.yaml"), text, profiles) {
            Ok(more) => plans.extend(more),
            Err(SuiteError::Invalid(more)) => problems.extend(more),
        }
    }
    SuiteError::check(problems)?;
    Ok(plans)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROFILES: [&str; 3] = ["single", "ha", "ha-short-lease"];

    fn files(dir: &std::path::Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(dir).expect("a folder of suites") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                files(&path, found);
            } else if path.extension().is_some_and(|e| e == "yaml") {
                found.push(path.with_extension("").display().to_string());
            }
        }
    }

    #[test]
    fn every_suite_loads() {
        let plans = builtin(&PROFILES).unwrap_or_else(|e| panic!("{e}"));
        let mut ids: Vec<&str> = plans.iter().map(|plan| plan.id.as_str()).collect();
        ids.sort_unstable();
        let count = ids.len();
        ids.dedup();
        assert_eq!(ids.len(), count, "an id is given twice: {ids:?}");
        assert!(plans.iter().any(|plan| plan.smoke));
    }

    #[test]
    fn every_file_of_suites_is_listed_and_named_as_its_path() {
        let root = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../suites"));
        let mut found = Vec::new();
        files(root, &mut found);
        let prefix = format!("{}/", root.display());
        let mut found: Vec<&str> = found.iter().filter_map(|path| path.strip_prefix(&prefix)).collect();
        // Controls must fail: they are tests of the harness, not suites for users.
        found.retain(|name| !name.starts_with("controls/"));
        found.sort_unstable();
        let mut listed: Vec<&str> = SUITES.iter().map(|(name, _)| *name).collect();
        listed.sort_unstable();
        assert_eq!(found, listed);
        for (name, text) in SUITES {
            let file: super::super::ExperimentFile = crate::yaml::parse(name, text).expect("a suite");
            assert_eq!(file.metadata.name, *name);
        }
    }
}
