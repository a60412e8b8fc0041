//! Which point of view belongs to which group of lanes, and what it is called there.

use std::collections::BTreeMap;

use recoup_model::{
    spec::When,
    verdict::{ExperimentResult, RunResult, StateLane, StreamResult},
};

/// The groups, in the order in which they are drawn: from the outside in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Group {
    LoadBalancer,
    Server,
    Etcd,
    Leases,
    Controllers,
    Nodes,
    Workload,
    Health,
    Other,
}

impl Group {
    /// The group's heading.
    pub(super) fn title(self) -> &'static str {
        match self {
            Group::LoadBalancer => "API through the load balancer",
            Group::Server => "API, each server by itself",
            Group::Etcd => "etcd members",
            Group::Leases => "Leases",
            Group::Controllers => "Controllers at work",
            Group::Nodes => "Nodes and pods, as the API tells",
            Group::Workload => "Workload, asked from each node",
            Group::Health => "Health checks on the nodes",
            Group::Other => "Other points of view",
        }
    }
}

/// Node names without what they all begin with: the cluster's name.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    prefixes: Vec<String>,
}

impl Names {
    /// For all clusters of a run.
    pub(super) fn of(run: &RunResult) -> Names {
        Names { prefixes: run.clusters.iter().map(|cluster| format!("{}-", cluster.cluster)).collect() }
    }

    /// A node's short name.
    pub(super) fn short<'a>(&self, node: &'a str) -> &'a str {
        self.prefixes.iter().find_map(|prefix| node.strip_prefix(prefix.as_str())).unwrap_or(node)
    }

    /// A text in which nodes may be named, with their short names.
    pub(super) fn shorten(&self, text: &str) -> String {
        let word = |c: char| c.is_alphanumeric() || c == '-';
        let mut out = text.to_owned();
        for prefix in &self.prefixes {
            let mut parts = out.split(prefix.as_str());
            let mut shorter = parts.next().unwrap_or_default().to_owned();
            for part in parts {
                // Only at a word's start, and only where a name is left.
                if shorter.ends_with(word) || !part.starts_with(word) {
                    shorter += prefix;
                }
                shorter += part;
            }
            out = shorter;
        }
        out
    }
}

/// A stream's group and its name in there.
pub(super) fn place(stream: &str, names: &Names) -> (Group, String) {
    let word = |kind: &str, conn: &str| {
        let what = match kind {
            "read" => "read",
            "cached" => "read from cache",
            "write" => "write",
            other => other,
        };
        if conn == "new" { format!("{what}, new connection") } else { what.to_owned() }
    };
    let parts: Vec<&str> = stream.split('/').collect();
    match parts.as_slice() {
        ["api", kind, "lb", conn] => (Group::LoadBalancer, word(kind, conn)),
        ["api", kind, node, conn] => (Group::Server, format!("{}: {}", names.short(node), word(kind, conn))),
        ["etcd", what, node] => (Group::Etcd, format!("{}: {what}", names.short(node))),
        ["lease", name] => (Group::Leases, format!("reading {name}")),
        ["converge"] => (Group::Controllers, "Deployment scaled".into()),
        ["schedule"] => (Group::Controllers, "pod given a node".into()),
        ["nodes"] => (Group::Nodes, "listing nodes".into()),
        ["pods"] => (Group::Nodes, "listing pods".into()),
        ["workload", "service", node] => (Group::Workload, format!("{}: Service", names.short(node))),
        ["workload", "pod", node] => (Group::Workload, format!("{}: pod on it", names.short(node))),
        ["health", component, node] => (Group::Health, format!("{}: {component}", names.short(node))),
        _ => (Group::Other, stream.to_owned()),
    }
}

/// A state lane's group: told by the words that the judge names it with.
pub(super) fn place_state(lane: &StateLane) -> Group {
    let name = lane.name.to_lowercase();
    let has = |word: &str| name.contains(word);
    if has("holder") || has("lease") {
        Group::Leases
    } else if has("leader") || has("raft") || has("etcd") {
        Group::Etcd
    } else if has("ready") || has("node") || has("taint") {
        Group::Nodes
    } else if has("pod") || has("workload") {
        Group::Workload
    } else {
        Group::Other
    }
}

/// What one group shows.
#[derive(Debug)]
pub(super) struct Lanes<'a> {
    pub(super) group: Group,
    pub(super) states: Vec<&'a StateLane>,
    pub(super) streams: Vec<(String, &'a StreamResult)>,
}

/// A state lane that tells something: its value changed or was not known for a while, or a milestone
/// waited for its change, so that standing still is the finding.
pub(super) fn told(lane: &StateLane, experiment: &ExperimentResult) -> bool {
    let awaited = |when: &When| match when {
        When::NewHolder(lease) => lane.name.contains(lease.as_str()),
        When::NewLeader | When::NoLeader => place_state(lane) == Group::Etcd,
        _ => false,
    };
    lane.spans.len() > 1
        || (!lane.spans.is_empty() && experiment.intervals.iter().any(|i| awaited(&i.milestone.when)))
}

fn of<'m, 'a>(groups: &'m mut BTreeMap<Group, Lanes<'a>>, group: Group) -> &'m mut Lanes<'a> {
    groups.entry(group).or_insert_with(|| Lanes { group, states: Vec::new(), streams: Vec::new() })
}

/// The lanes to draw, by group, and the streams that are only counted: those that saw no outage.
/// Writes through the load balancer are drawn in any case: a calm lane is an answer too.
pub(super) fn arrange<'a>(
    experiment: &'a ExperimentResult,
    names: &Names,
) -> (Vec<Lanes<'a>>, Vec<&'a StreamResult>) {
    let mut groups: BTreeMap<Group, Lanes<'a>> = BTreeMap::new();
    let mut calm = Vec::new();
    for lane in experiment.states.iter().filter(|lane| told(lane, experiment)) {
        of(&mut groups, place_state(lane)).states.push(lane);
    }
    // A reading of metrics is no request that somebody waits for: what they told has its own table.
    for stream in experiment.streams.iter().filter(|stream| !stream.name.starts_with("metrics/")) {
        let (group, label) = place(&stream.name, names);
        if stream.outages.is_empty() && stream.name != "api/write/lb/reused" {
            calm.push(stream);
        } else {
            of(&mut groups, group).streams.push((label, stream));
        }
    }
    let mut groups: Vec<Lanes<'a>> = groups.into_values().collect();
    for lanes in &mut groups {
        lanes.streams.sort_by(|a, b| a.0.cmp(&b.0));
    }
    (groups, calm)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_find_their_group_and_a_short_name() {
        let names = Names { prefixes: vec!["recoup-ha-".into()] };
        let placed = |stream: &str| place(stream, &names);
        assert_eq!(placed("api/write/lb/reused"), (Group::LoadBalancer, "write".into()));
        assert_eq!(
            placed("api/read/recoup-ha-control-plane2/new"),
            (Group::Server, "control-plane2: read, new connection".into())
        );
        assert_eq!(placed("workload/service/recoup-ha-worker"), (Group::Workload, "worker: Service".into()));
        assert_eq!(placed("something/else"), (Group::Other, "something/else".into()));
        assert_eq!(names.shorten("held by recoup-ha-control-plane now"), "held by control-plane now");
        assert_eq!(names.shorten("(recoup-ha-worker, my-recoup-ha-worker)"), "(worker, my-recoup-ha-worker)");
    }
}
