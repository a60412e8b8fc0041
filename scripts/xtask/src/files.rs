//! House rules for files: sizes, words, paths that stay inside, links that lead somewhere, suites that are listed.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use anyhow::{Context as _, Result};
use recoup_model::spec::SUITES;

use crate::output;

/// A file of more lines than this is two files.
const LONGEST: usize = 500;
/// Kinds of files that people write by hand and read whole.
const WRITTEN: [&str; 5] = [".rs", ".sh", ".css", "scripts/setup", ".ci/run"];
/// The one file that may look beside the repository.
const LOOKS_OUTSIDE: &str = ".ci/run";
/// This file, which must name the words.
const HERE: &str = "scripts/xtask/src/files.rs";

/// Words that have no place in files of an ending (none: in any), and why.
const WORDS: &[(&str, &str, &str)] = &[
    (".rs", "todo!(", "write it or leave it out"),
    (".rs", "unimplemented!(", "write it or leave it out"),
    (".rs", "process::exit", "it skips every destructor, and with them the undoing of faults"),
    (".rs", "#[allow(", "use #[expect(…, reason = …)]: it says why, and ends when it is no longer needed"),
    ("", "TODO", "an open end belongs into an issue"),
    ("", "FIXME", "an open end belongs into an issue"),
    ("", "/home/", "a path of one machine"),
    ("", "/Users/", "a path of one machine"),
    ("", "registry.k8s.io", "nothing is pulled from a registry"),
    ("", "k8s.gcr.io", "nothing is pulled from a registry"),
    ("", "quay.io", "nothing is pulled from a registry"),
    ("", "ghcr.io", "nothing is pulled from a registry"),
];

/// Every breach of a rule.
pub fn check(root: &Path) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    let mut suites = BTreeSet::new();
    let git = ["ls-files", "--cached", "--others", "--exclude-standard", "-z"];
    for path in output(Command::new("git").current_dir(root).args(git))?.split('\0') {
        // Listed, but deleted since: git says so until that is committed.
        if path.is_empty() || !root.join(path).is_file() {
            continue;
        }
        if let Some(name) = path.strip_prefix("suites/").and_then(|name| name.strip_suffix(".yaml")) {
            suites.insert(name.to_owned());
        }
        let bytes = fs::read(root.join(path)).with_context(|| path.to_owned())?;
        // A picture has no lines.
        let Ok(text) = String::from_utf8(bytes) else { continue };
        problems.extend(breaches(path, &text));
        if path.ends_with(".md") {
            let dir = root.join(path).parent().map(Path::to_owned).unwrap_or_default();
            let dead = links(&text).into_iter().filter(|link| !dir.join(link).exists());
            problems.extend(dead.map(|link| format!("{path}: the link to {link} leads nowhere")));
        }
    }
    let listed: BTreeSet<String> = SUITES.iter().map(|(name, _)| (*name).to_owned()).collect();
    // Controls are suites that must fail; they test the harness and are not compiled in.
    for name in suites.difference(&listed).filter(|name| !name.starts_with("controls/")) {
        problems.push(format!("suites/{name}.yaml is not listed in harness/model/src/spec/builtin.rs"));
    }
    Ok(problems)
}

/// Links and pictures of a Markdown text that lead to files.
fn links(text: &str) -> Vec<&str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
    targets.filter(|target| !target.is_empty() && !target.contains("://")).collect()
}

fn breaches(path: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let lines = text.lines().count();
    if lines > LONGEST && WRITTEN.iter().any(|kind| path.ends_with(kind)) {
        found.push(format!("{path}: {lines} lines, more than {LONGEST}"));
    }
    let depth = path.matches('/').count();
    let outside = "../".repeat(depth + 1);
    for (index, line) in text.lines().enumerate() {
        let mut say = |what: &str| found.push(format!("{path}:{}: {what}", index + 1));
        if path != HERE {
            // A folder of kind's Envoy image, the same everywhere.
            let line = line.replace("/home/envoy/", "");
            for (_, word, why) in
                WORDS.iter().filter(|(end, word, _)| path.ends_with(end) && line.contains(word))
            {
                say(&format!("{word:?}: {why}"));
            }
        }
        // Relative to the file; a script's own folder is the root's child, so the rule is one step lenient there.
        if path != LOOKS_OUTSIDE && line.contains(&outside) {
            say("a path that leaves the repository");
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_file_is_found_unless_it_is_generated() {
        let text = "x\n".repeat(LONGEST + 1);
        assert_eq!(breaches("a/b.rs", &text).len(), 1);
        assert!(breaches("suites/schema.json", &text).is_empty());
        assert!(breaches("a/b.rs", &"x\n".repeat(LONGEST)).is_empty());
    }

    #[test]
    fn a_word_is_found_with_its_place() {
        let found = breaches("a/b.rs", "fine\n// TODO: later\n");
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("a/b.rs:2: \"TODO\""), "{found:?}");
        assert!(breaches("a.md", "no process::exit").is_empty(), "a document may speak of it");
    }

    #[test]
    fn links_are_those_to_files() {
        let text = "[a](b.md#part) ![p](docs/p.png) [here](#part) [out](https://example.org/x) no (link)";
        assert_eq!(links(text), ["b.md", "docs/p.png"]);
    }

    #[test]
    fn a_path_may_go_up_but_not_out() {
        assert!(breaches("a/b/c.rs", "include_str!(\"../../x\")").is_empty());
        assert_eq!(breaches("a/b/c.rs", "include_str!(\"../../../x\")").len(), 1);
        assert_eq!(breaches("README.md", "see ../other").len(), 1);
    }
}
