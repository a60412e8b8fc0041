//! Who may depend on whom. The crates' own manifests decide; this reads what cargo makes of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::Command,
};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::output;

/// What one crate may not reach.
struct Rule {
    package: &'static str,
    /// Not even through another crate.
    never: &'static [&'static str],
    /// Not in its own manifest.
    not_directly: &'static [&'static str],
    why: &'static str,
}

/// Crates that reach a cluster or wait for something.
const RULES: &[Rule] = &[
    Rule {
        package: "recoup-model",
        never: &[
            "recoup-clusters",
            "recoup-engine",
            "recoup-report",
            "tokio",
            "kube",
            "bollard",
            "reqwest",
            "etcd-client",
        ],
        not_directly: &[],
        why: "the model is pure: the same record always gives the same verdict",
    },
    Rule {
        package: "recoup-report",
        never: &["recoup-clusters", "recoup-engine", "tokio", "kube", "bollard", "reqwest", "etcd-client"],
        not_directly: &[],
        why: "a report is made from what was recorded and cannot reach a cluster",
    },
    Rule {
        package: "recoup-clusters",
        never: &["recoup-engine", "recoup-report"],
        not_directly: &[],
        why: "a provider knows nothing of experiments and reports",
    },
    Rule {
        package: "recoup-engine",
        never: &["recoup-report"],
        not_directly: &["kube", "k8s-openapi", "bollard", "etcd-client", "reqwest"],
        why: "the engine sees a cluster through the provider's trait alone",
    },
    Rule {
        package: "recoup",
        never: &[],
        not_directly: &["kube", "k8s-openapi", "bollard", "etcd-client"],
        why: "the command line sees a cluster through the provider's trait alone",
    },
];

/// What each package depends on, by name: what is compiled into it, without what only its tests use.
type Graph = BTreeMap<String, BTreeSet<String>>;

/// Every arrow that points the wrong way.
pub fn check(root: &Path) -> Result<Vec<String>> {
    let json = output(Command::new(env!("CARGO")).current_dir(root).args([
        "metadata",
        "--format-version",
        "1",
        "--locked",
    ]))?;
    violations(&graph(&serde_json::from_str(&json)?)?)
}

fn graph(metadata: &Value) -> Result<Graph> {
    let list = |value: &Value, what: &str| value.as_array().cloned().with_context(|| format!("no {what}"));
    let mut names = BTreeMap::new();
    for package in list(&metadata["packages"], "packages")? {
        names.insert(package["id"].to_string(), package["name"].as_str().unwrap_or_default().to_owned());
    }
    let name = |id: &Value| names.get(&id.to_string()).cloned().with_context(|| format!("no package {id}"));
    let mut graph = Graph::new();
    for node in list(&metadata["resolve"]["nodes"], "nodes")? {
        let compiled_in = graph.entry(name(&node["id"])?).or_default();
        for dep in list(&node["deps"], "deps")? {
            let kinds = list(&dep["dep_kinds"], "dep_kinds")?;
            if kinds.iter().any(|kind| kind["kind"].as_str() != Some("dev")) {
                compiled_in.insert(name(&dep["pkg"])?);
            }
        }
    }
    Ok(graph)
}

fn violations(graph: &Graph) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for Rule { package, never, not_directly, why } in RULES {
        let direct = graph.get(*package).with_context(|| format!("there is no package {package}"))?;
        for wrong in not_directly.iter().filter(|name| direct.contains(**name)) {
            found.push(format!("{package} names {wrong} in its manifest: {why}"));
        }
        for wrong in *never {
            if let Some(way) = way(graph, package, wrong) {
                found.push(format!("{}: {why}", way.join(" -> ")));
            }
        }
    }
    // clusters/build.rs compiles it with rustc alone, for the nodes.
    for package in ["recoup-workload", "recoup-delay"] {
        if graph.get(package).is_some_and(|deps| !deps.is_empty()) {
            found.push(format!("{package} has dependencies: it is compiled with rustc alone"));
        }
    }
    for (package, deps) in graph.iter().filter(|(name, _)| name.starts_with("recoup")) {
        if package != "recoup-model" && deps.contains("serde-saphyr") {
            found.push(format!("{package} reads YAML by itself: only recoup_model::yaml does"));
        }
    }
    Ok(found)
}

/// The shortest way from one package to another.
fn way(graph: &Graph, from: &str, to: &str) -> Option<Vec<String>> {
    let mut ways = vec![vec![from.to_owned()]];
    let mut seen = BTreeSet::from([from.to_owned()]);
    while !ways.is_empty() {
        let mut longer = Vec::new();
        for way in ways {
            for next in way.last().and_then(|last| graph.get(last)).into_iter().flatten() {
                if !seen.insert(next.clone()) {
                    continue;
                }
                let mut way = way.clone();
                way.push(next.clone());
                if next == to {
                    return Some(way);
                }
                longer.push(way);
            }
        }
        ways = longer;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph_of(arrows: &[(&str, &[&str])]) -> Graph {
        let mut graph: Graph = RULES.iter().map(|rule| (rule.package.to_owned(), BTreeSet::new())).collect();
        for (from, to) in arrows {
            graph.insert((*from).to_owned(), to.iter().map(|name| (*name).to_owned()).collect());
        }
        graph
    }

    #[test]
    fn the_arrows_of_the_design_are_allowed() {
        let graph = graph_of(&[
            ("recoup", &["recoup-engine", "recoup-report"]),
            ("recoup-engine", &["recoup-clusters", "recoup-model", "tokio"]),
            ("recoup-clusters", &["recoup-model", "tokio", "kube", "bollard"]),
            ("recoup-report", &["recoup-model", "maud"]),
            ("recoup-model", &["serde", "serde-saphyr"]),
        ]);
        assert_eq!(violations(&graph).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn a_wrong_arrow_is_found_through_another_crate_and_its_way_is_named() {
        let graph = graph_of(&[("recoup-report", &["helper"]), ("helper", &["tokio"])]);
        let found = violations(&graph).unwrap();
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("recoup-report -> helper -> tokio: "), "{found:?}");
    }

    #[test]
    fn the_engine_may_reach_kube_through_clusters_but_not_name_it() {
        let arrows: &[(&str, &[&str])] =
            &[("recoup-engine", &["recoup-clusters"]), ("recoup-clusters", &["kube"])];
        assert!(violations(&graph_of(arrows)).unwrap().is_empty());
        let found = violations(&graph_of(&[("recoup-engine", &["kube"])])).unwrap();
        assert!(found[0].contains("names kube"), "{found:?}");
    }

    #[test]
    fn a_renamed_crate_is_an_error_and_not_a_rule_that_never_fires() {
        assert!(violations(&Graph::new()).is_err());
    }

    #[test]
    fn what_only_tests_use_is_no_arrow() {
        let metadata = serde_json::json!({
            "packages": [{"id": "a 1", "name": "a"}, {"id": "b 1", "name": "b"}, {"id": "c 1", "name": "c"}],
            "resolve": {"nodes": [
                {"id": "a 1", "deps": [
                    {"pkg": "b 1", "dep_kinds": [{"kind": "dev"}]},
                    {"pkg": "c 1", "dep_kinds": [{"kind": "dev"}, {"kind": null}]},
                ]},
                {"id": "b 1", "deps": []},
                {"id": "c 1", "deps": []},
            ]},
        });
        assert_eq!(graph(&metadata).unwrap()["a"], BTreeSet::from(["c".to_owned()]));
    }
}
