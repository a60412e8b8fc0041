//! The interval of each milestone of a plan.

use std::{collections::BTreeMap, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    api, data_plane, election, node, noticed, raft, restart,
    scene::{Missing, Scene},
    sum::Sum,
};
use crate::{
    configuration::Configuration,
    plan::Plan,
    spec::{Milestone, Rate, When, Within},
    time::Span,
};

/// The interval in which a milestone must come, with its arithmetic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Prediction {
    /// No sooner than this: else something was not what it seemed.
    pub low: Span,
    /// No later than this.
    pub high: Span,
    /// How the two follow from settings, a line each: `low` or `high`, the addend, what it is, and in brackets
    /// where it was read.
    pub arithmetic: Vec<String>,
}

/// The intervals of a plan's milestones, where there are formulas and the cluster's settings fit them.
#[must_use]
pub fn predict(plan: &Plan, config: &Configuration) -> BTreeMap<String, Prediction> {
    let found = plan.milestones.iter().filter_map(|milestone| {
        let prediction = one(plan, milestone, config).ok()?;
        Some((milestone.name.clone(), prediction))
    });
    found.collect()
}

/// The milestones whose budget is to be predicted and cannot be on this cluster, each with the reason.
#[must_use]
pub fn unpredicted(plan: &Plan, config: &Configuration) -> Vec<(String, String)> {
    let wanted = plan.milestones.iter().filter(|milestone| milestone.within == Some(Within::Predicted));
    wanted
        .filter_map(|milestone| Some((milestone.name.clone(), one(plan, milestone, config).err()?.words())))
        .collect()
}

/// There is a formula for that milestone, though some cluster's settings may not fit it.
#[must_use]
pub fn has_formula(plan: &Plan, milestone: &Milestone) -> bool {
    // Formulas depend on what is done; a cluster's settings decide only whether the fault lasts long enough.
    let config = Configuration::documented(USUAL, 3);
    one(plan, milestone, &config).err() != Some(Missing::Formula)
}

/// The minor version whose documented settings are taken where no cluster is at hand: the one that recoup installs.
pub const USUAL: u32 = 36;

fn one(plan: &Plan, milestone: &Milestone, config: &Configuration) -> Result<Prediction, Missing> {
    type Area = fn(&Scene<'_>) -> Result<Sum, Missing>;
    const AREAS: [Area; 7] =
        [election::sum, raft::sum, api::sum, node::sum, restart::sum, data_plane::sum, noticed::sum];
    let scene = Scene { plan, milestone, config };
    let mut missing = Missing::Formula;
    for area in AREAS {
        match area(&scene) {
            Ok(sum) => {
                let (detection, by) = detection(plan, milestone);
                return Ok(sum.done(detection, &by));
            }
            Err(Missing::Formula) => {}
            Err(short) => missing = short,
        }
    }
    Err(missing)
}

/// How long until the probe of a milestone has seen what happened: the next attempt, and its answer.
fn detection(plan: &Plan, milestone: &Milestone) -> (Duration, String) {
    let probes = &plan.probes;
    let rate = |name: &str, rate: Option<Rate>| {
        let both = rate.map_or(Duration::ZERO, |rate| rate.period.0 + rate.patience());
        (both, format!("probe `{name}`"))
    };
    match &milestone.when {
        When::NewHolder(_) => rate("leases", probes.leases()),
        When::NewLeader | When::NoLeader | When::CaughtUp => rate("etcd", probes.etcd()),
        When::NotReady | When::Ready | When::Tainted | When::Evicted | When::Replaced => {
            rate("nodes", probes.nodes())
        }
        When::StaleGone => rate("workload", probes.workload()),
        // An attempt every 2 s, each with as long for its answer.
        When::Deleted => (Duration::from_secs(4), "step `deletePods`: every 2s, 2s each".into()),
        When::Fails(pattern) | When::Succeeds(pattern) | When::Stable(pattern) => {
            let parts: Vec<&str> = pattern.0.split('/').collect();
            match parts.as_slice() {
                ["api", _, _, "reused"] => rate("api", probes.api()),
                ["api", ..] => rate("newConnections", probes.new_connections()),
                ["etcd", ..] => rate("etcd", probes.etcd()),
                ["workload", ..] => rate("workload", probes.workload()),
                ["health", ..] => rate("health", probes.health()),
                ["lease", ..] => rate("leases", probes.leases()),
                // The operation's own length is an addend already; its deadline is not waited for.
                ["converge"] => {
                    (probes.convergence().unwrap_or_else(none).period.0, "probe `convergence`".into())
                }
                ["schedule"] => {
                    (probes.scheduling().unwrap_or_else(none).period.0, "probe `scheduling`".into())
                }
                _ => rate("nodes", probes.nodes()),
            }
        }
    }
}

fn none() -> Rate {
    Rate { period: Span::default(), timeout: Span::default(), slow: None }
}
