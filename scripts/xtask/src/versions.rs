//! `cargo xtask versions`: the Kubernetes versions of clusters/versions.yaml, for people and for a workflow's matrix.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use recoup_model::yaml;
use serde::{Deserialize, Serialize};

/// The one list of versions. The provider that uses it reads its other fields.
const FILE: &str = "clusters/versions.yaml";

#[derive(Deserialize)]
struct Versions {
    versions: Vec<Version>,
}

#[derive(Deserialize, Serialize)]
struct Version {
    kubernetes: String,
    image: String,
    /// The kind release that the image belongs to.
    kind: String,
}

/// Prints the versions, one a line with its image and kind release, or as a JSON list of objects.
///
/// # Errors
/// Where the file cannot be read, is empty or names a version twice.
pub fn run(root: &Path, json: bool) -> Result<()> {
    let text = fs::read_to_string(root.join(FILE)).with_context(|| FILE.to_owned())?;
    let versions = parse(&text)?;
    if json {
        println!("{}", serde_json::to_string(&versions)?);
    } else {
        for Version { kubernetes, image, kind } in versions {
            println!("{kubernetes}  {image}  kind {kind}");
        }
    }
    Ok(())
}

fn parse(text: &str) -> Result<Vec<Version>> {
    let Versions { versions } = yaml::parse(FILE, text)?;
    ensure!(!versions.is_empty(), "{FILE} names no version: a matrix of none would pass");
    for (index, Version { kubernetes, .. }) in versions.iter().enumerate() {
        let twice = versions[..index].iter().any(|earlier| earlier.kubernetes == *kubernetes);
        ensure!(!twice, "{FILE} names {kubernetes} twice");
    }
    Ok(versions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_without_versions_or_with_one_twice_is_refused() {
        let entry = "  - {kubernetes: \"1.33\", image: a, kind: v0}\n";
        assert_eq!(parse(&format!("versions:\n{entry}")).unwrap().len(), 1);
        assert!(parse("versions: []").is_err());
        assert!(parse(&format!("versions:\n{entry}{entry}")).is_err());
    }

    #[test]
    fn the_list_of_this_repository_is_read() {
        run(&crate::root().unwrap(), true).unwrap();
    }
}
