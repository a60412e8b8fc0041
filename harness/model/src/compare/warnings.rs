//! What two runs differ in besides that which was to be compared.

use crate::{
    machine::MachineUse,
    time::Span,
    topology::{Fingerprint, NodeRole},
    verdict::{Interval, RunResult},
};

/// Only one run has figures of it.
pub(super) fn one_sided(id: &str, name: &str) -> String {
    format!("{id}: {name} was not measured in both runs, and was not compared")
}

/// A milestone of the same name that waits for something else is another one.
pub(super) fn asks_otherwise(
    id: &str,
    name: &str,
    a: &[(u32, &Interval)],
    b: &[(u32, &Interval)],
) -> Option<String> {
    let asked =
        |all: &[(u32, &Interval)]| all.first().map(|(_, i)| (i.milestone.when.clone(), i.milestone.since));
    (asked(a) != asked(b))
        .then(|| format!("{id}: {name} waits for something else in the other run, and was not compared"))
}

/// Where the settings that a time follows from differ, so may the time.
pub(super) fn predicted_otherwise(
    id: &str,
    name: &str,
    a: &[(u32, &Interval)],
    b: &[(u32, &Interval)],
) -> Option<String> {
    let of = |all: &[(u32, &Interval)]| {
        let first = all.iter().find_map(|(_, i)| i.prediction.clone());
        first.map(|prediction| (prediction.low, prediction.high))
    };
    let ((low, high), (other_low, other_high)) = (of(a)?, of(b)?);
    let seconds = |span: Span| format!("{:.1} s", span.0.as_secs_f64());
    ((low, high) != (other_low, other_high)).then(|| {
        let [low, high, other_low, other_high] = [low, high, other_low, other_high].map(seconds);
        format!(
            "{id}: {name} is predicted at {low} to {high} in the one run and at {other_low} to {other_high} in \
             the other: the clusters are set differently"
        )
    })
}

/// True where any part of the run comes from a model.
pub(super) fn simulated(run: &RunResult) -> bool {
    run.simulated
        || run.experiments.iter().any(|e| e.simulated)
        || run.clusters.iter().any(Fingerprint::simulated)
}

/// What else than the thing under test may make a difference.
pub(super) fn differences(before: &RunResult, after: &RunResult) -> Vec<String> {
    let mut found = Vec::new();
    match (simulated(before), simulated(after)) {
        (true, false) => {
            found.push(format!("{} is simulated: it proves nothing about a cluster", before.run))
        }
        (false, true) => found.push(format!("{} is simulated: it proves nothing about a cluster", after.run)),
        _ => {}
    }
    for run in [before, after] {
        if run.incomplete {
            found.push(format!("{} was interrupted, or its record is cut", run.run));
        }
        let crowded =
            run.experiments.iter().filter(|e| e.machine.as_ref().is_some_and(MachineUse::was_crowded));
        let (crowded, all) = (crowded.count(), run.experiments.len());
        if crowded > 0 {
            found.push(format!(
                "others than the cluster and recoup crowded the machine in {crowded} of {all} trials of {}",
                run.run
            ));
        }
    }
    let mut differ = |what: &str, a: &str, b: &str| {
        if a != b {
            found.push(format!("{what} differs: {a} and {b}"));
        }
    };
    differ("recoup's version", &before.recoup, &after.recoup);
    for a in &before.clusters {
        let Some(b) = after.clusters.iter().find(|b| b.profile == a.profile) else { continue };
        let named = |what: &str| {
            if before.clusters.len() > 1 {
                format!("{what} of profile {}", a.profile)
            } else {
                what.to_owned()
            }
        };
        differ(&named("the provider"), &a.provider.to_string(), &b.provider.to_string());
        differ(&named("the version of Kubernetes"), &a.kubernetes, &b.kubernetes);
        differ(&named("the version of etcd"), &a.etcd, &b.etcd);
        differ(&named("the container runtime"), &a.runtime, &b.runtime);
        differ(&named("the version of kind"), &a.kind, &b.kind);
        differ(&named("the load balancer"), &a.load_balancer, &b.load_balancer);
        differ(&named("the node image"), &a.image, &b.image);
        differ(&named("the kernel"), &a.kernel, &b.kernel);
        differ(&named("the number of cores"), &a.cpus.to_string(), &b.cpus.to_string());
        let nodes = |cluster: &Fingerprint| {
            let count = |role| cluster.with_role(role).count();
            format!("{} + {}", count(NodeRole::ControlPlane), count(NodeRole::Worker))
        };
        differ(&named("the number of nodes"), &nodes(a), &nodes(b));
    }
    let profiles = |run: &RunResult| {
        let mut all: Vec<&str> = run.clusters.iter().map(|cluster| cluster.profile.as_str()).collect();
        all.sort_unstable();
        all.dedup();
        all.join(", ")
    };
    differ("the profile", &profiles(before), &profiles(after));
    found
}
