//! What instances of lease-holding components wrote, from the audit logs that API servers keep on their nodes.
//!
//! In kubeadm's layout controller-manager and scheduler talk to their own node's API server, in Kubernetes 1.20 as in
//! 1.36, so that the address a request came from names the instance. A line is written as its request ends,
//! without a buffer between (mode `blocking`): a killed API server takes at most the requests under way along.

use std::{net::IpAddr, time::Duration};

use futures::future::try_join_all;
use jiff::Timestamp;
use recoup_model::{observation::Failure, streams::LEASES, topology::Node};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Container, Docker, Role, cluster::observer, docker::succeeded};
use crate::{Acted, ClusterError};

/// What is logged.
const POLICY: &str = include_str!("audit-policy.yaml");
/// Where the policy lies in a control plane.
const POLICY_FILE: &str = "/etc/kubernetes/audit/policy.yaml";
/// Where the log lies in a control plane.
const LOGS: &str = "/var/log/kubernetes/audit";
/// The file that is written.
const LOG: &str = "/var/log/kubernetes/audit/audit.log";
/// Where static pods' manifests lie.
const MANIFEST: &str = "/etc/kubernetes/manifests/kube-apiserver.yaml";
/// Size at which a new file is begun, in MiB: some 15,000 writes.
const FILE_MIB: u32 = 16;
/// Files that are kept beside that one.
const KEPT: usize = 2;
/// Reads and filters the logs.
const SCRIPT: &str = include_str!("scripts/audit.sh");
/// All nodes are asked at once, and each answers within this.
const PATIENCE: Duration = Duration::from_secs(15);

/// kubeadm's settings of the API server; the fields are the same in all versions of its configuration.
pub(super) fn api_server() -> Value {
    json!({
        "extraArgs": {
            "audit-log-path": LOG,
            "audit-policy-file": POLICY_FILE,
            "audit-log-maxsize": FILE_MIB.to_string(),
            "audit-log-maxbackup": KEPT.to_string(),
        },
        "extraVolumes": [
            // As long as the file is not there the kubelet tries again.
            {"name": "audit-policy", "hostPath": POLICY_FILE, "mountPath": POLICY_FILE, "readOnly": true, "pathType": "File"},
            {"name": "audit-log", "hostPath": LOGS, "mountPath": LOGS, "readOnly": false, "pathType": "DirectoryOrCreate"},
        ],
    })
}

/// Writes the policy into control planes, before their API servers first start.
///
/// Through Docker rather than as a mount of kind's: a file of this machine could vanish under a cluster that
/// lives on, and an engine elsewhere does not see it at all.
///
/// # Errors
/// Where a node cannot be written to.
pub(super) async fn install(docker: &Docker, containers: &[Container]) -> Result<(), ClusterError> {
    let planes = containers.iter().filter(|container| container.role == Role::ControlPlane);
    let writes = planes.map(|plane| async move {
        docker.shell(&plane.name, &format!("mkdir -p $(dirname {POLICY_FILE})")).await?;
        docker.write_file(&plane.name, POLICY_FILE, 0o644, POLICY.as_bytes()).await
    });
    try_join_all(writes).await.map(drop)
}

/// Whether all API servers log by this very policy.
pub(super) async fn offered(docker: &Docker, containers: &[Container]) -> bool {
    let script =
        format!("grep -qF -e --audit-log-path={LOG} {MANIFEST} && test -d {LOGS} && cat {POLICY_FILE}");
    let planes = containers.iter().filter(|container| container.role == Role::ControlPlane);
    let asked = planes.map(|plane| docker.shell(&plane.name, &script));
    match try_join_all(asked).await {
        Ok(policies) => policies.iter().all(|policy| policy == POLICY),
        Err(error) => {
            tracing::debug!(%error, "no audit log");
            false
        }
    }
}

/// What components wrote within the last while, by the time at which an API server got it.
///
/// # Errors
/// Where a log cannot be read, does not go back so far, or holds a write of an instance that cannot be told.
pub(super) async fn acts(
    docker: &Docker,
    nodes: &[Node],
    planes: &[&str],
    last: Duration,
) -> Result<Vec<Acted>, Failure> {
    let began = Instant::now();
    let asked = planes.iter().map(|plane| read(docker, plane, last, began));
    let logs = try_join_all(asked).await?;
    // The nodes are containers on one kernel, whose clock is one: the answer that took least time dates all.
    let now = logs.iter().min_by_key(|log| log.unsure).map(|log| log.asked).unwrap_or_default();
    let mut acts = Vec::new();
    for log in &logs {
        if log.oldest.is_some_and(|oldest| ago(now, oldest) < last) {
            return Err(observer(format!("the audit log on {} does not go back {last:?}", log.plane)));
        }
        for line in &log.lines {
            if let Some((received, act)) =
                act(line, nodes, now).map_err(|why| observer(format!("audit log on {}: {why}", log.plane)))?
                && act.ago <= last
            {
                acts.push((received, act));
            }
        }
    }
    acts.sort_by_key(|(received, _)| *received);
    Ok(acts.into_iter().map(|(_, act)| act).collect())
}

/// The younger lines of one API server's log.
#[derive(Debug, Default, PartialEq)]
struct Log {
    plane: String,
    /// The node's clock when the question was sent …
    asked: Timestamp,
    /// … give or take this.
    unsure: Duration,
    /// The first line's time, where older ones may have been dropped.
    oldest: Option<Timestamp>,
    lines: Vec<String>,
}

async fn read(docker: &Docker, plane: &str, last: Duration, began: Instant) -> Result<Log, Failure> {
    let seconds = (last.as_secs() + 2).to_string();
    let kept = KEPT.to_string();
    let argv = ["sh", "-c", SCRIPT, "sh", LOGS, &seconds, &kept];
    let output = docker
        .exec_within(PATIENCE, plane, &argv, None)
        .await
        .and_then(|output| succeeded(plane, &argv[..1], output));
    let output = output.map_err(|error| observer(format!("the audit log on {plane}: {error}")))?;
    let took = began.elapsed();
    log(plane, &String::from_utf8_lossy(&output.stdout), took)
        .map_err(|why| observer(format!("the audit log on {plane}: {why}")))
}

/// The script's answer, which took that long.
fn log(plane: &str, text: &str, took: Duration) -> Result<Log, String> {
    let mut log = Log { plane: plane.to_owned(), ..Log::default() };
    let (mut began, mut ended) = (None, None);
    for line in text.lines() {
        match line.split_once(' ') {
            Some(("began", clock)) => began = Some(seconds(clock)?),
            Some(("ended", clock)) => ended = Some(seconds(clock)?),
            Some(("oldest", line)) => log.oldest = Some(parse(line)?.request_received_timestamp),
            Some(("line", line)) => log.lines.push(line.to_owned()),
            _ => return Err(format!("the script said {line:?}")),
        }
    }
    let (Some(began), Some(ended)) = (began, ended) else {
        return Err("it was read in part only".to_owned());
    };
    // Whatever the script did not take itself was the way there and back; half of it is as good a guess as any.
    log.unsure = took.saturating_sub(ago(ended, began)) / 2;
    log.asked = began.checked_sub(log.unsure).map_err(|error| error.to_string())?;
    Ok(log)
}

/// The clock as `date +%s.%N` prints it.
fn seconds(clock: &str) -> Result<Timestamp, String> {
    let parts =
        clock.split_once('.').and_then(|(whole, nanos)| Some((whole.parse().ok()?, nanos.parse().ok()?)));
    let (whole, nanos) = parts.ok_or_else(|| format!("{clock:?} is no time"))?;
    Timestamp::new(whole, nanos).map_err(|error| error.to_string())
}

fn ago(now: Timestamp, then: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(then)).unwrap_or_default()
}

/// A line of the log, as far as it is of interest (audit.k8s.io/v1, level Metadata).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    stage: String,
    verb: String,
    #[serde(default)]
    user_agent: String,
    #[serde(default, rename = "sourceIPs")]
    source_ips: Vec<IpAddr>,
    object_ref: Option<ObjectRef>,
    response_status: Option<ResponseStatus>,
    request_received_timestamp: Timestamp,
}

#[derive(Deserialize)]
struct ObjectRef {
    #[serde(default)]
    resource: String,
    #[serde(default)]
    subresource: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
struct ResponseStatus {
    #[serde(default)]
    code: u16,
}

fn parse(line: &str) -> Result<Line, String> {
    serde_json::from_str(line).map_err(|error| format!("a line cannot be read: {error}"))
}

/// The write that a line tells of; none where it was not done, or is no component's.
fn act(line: &str, nodes: &[Node], now: Timestamp) -> Result<Option<(Timestamp, Acted)>, String> {
    let line = parse(line)?;
    let component = LEASES
        .iter()
        .find(|lease| line.user_agent.strip_prefix(**lease).is_some_and(|rest| rest.starts_with('/')));
    let done = line.response_status.as_ref().is_some_and(|status| (200..300).contains(&status.code));
    let Some(lease) = component.filter(|_| {
        done && line.stage == "ResponseComplete" && !line.user_agent.ends_with("/leader-election")
    }) else {
        return Ok(None);
    };
    let from = line.source_ips.first().ok_or("a write has no source")?;
    let node = nodes.iter().find(|node| node.address == *from).ok_or_else(|| {
        format!("a write of {lease} came from {from}, which is no node: whose it is cannot be told")
    })?;
    let object = line.object_ref.map(|object| object.to_string()).unwrap_or_default();
    let received = line.request_received_timestamp;
    let act = Acted {
        lease: (*lease).to_owned(),
        node: node.name.clone(),
        ago: ago(now, received),
        verb: line.verb,
        object,
    };
    Ok(Some((received, act)))
}

impl std::fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.resource)?;
        if !self.subresource.is_empty() {
            write!(f, "/{}", self.subresource)?;
        }
        let place: Vec<&str> = [&self.namespace, &self.name]
            .into_iter()
            .map(String::as_str)
            .filter(|part| !part.is_empty())
            .collect();
        if place.is_empty() { Ok(()) } else { write!(f, " {}", place.join("/")) }
    }
}

#[cfg(test)]
mod tests {
    use recoup_model::topology::NodeRole;

    use super::*;

    const NOW: &str = "2026-11-21T17:00:30Z";

    fn nodes() -> Vec<Node> {
        let node = |name: &str, last| Node {
            name: name.into(),
            role: NodeRole::ControlPlane,
            zone: None,
            address: IpAddr::from([172, 18, 0, last]),
        };
        vec![node("cp", 3), node("cp2", 4)]
    }

    fn line(agent: &str, from: &str, code: u16) -> String {
        json!({
            "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata", "auditID": "x", "stage": "ResponseComplete",
            "requestURI": "/api/v1/namespaces/default/pods/web-1/binding", "verb": "create",
            "user": {"username": "system:kube-scheduler"}, "sourceIPs": [from], "userAgent": agent,
            "objectRef": {"resource": "pods", "namespace": "default", "name": "web-1", "apiVersion": "v1", "subresource": "binding"},
            "responseStatus": {"metadata": {}, "code": code},
            "requestReceivedTimestamp": "2026-11-21T17:00:20.500000Z", "stageTimestamp": "2026-11-21T17:00:20.600000Z",
        })
        .to_string()
    }

    fn told(line: &str) -> Result<Option<Acted>, String> {
        act(line, &nodes(), NOW.parse().unwrap()).map(|found| found.map(|(_, act)| act))
    }

    #[test]
    fn a_line_names_the_instance_and_what_it_did() {
        let scheduler = "kube-scheduler/v1.20.2 (linux/amd64) kubernetes/faecb19/scheduler";
        let act = told(&line(scheduler, "172.18.0.4", 201)).unwrap().unwrap();
        assert_eq!(
            (act.lease.as_str(), act.node.as_str(), act.verb.as_str()),
            ("kube-scheduler", "cp2", "create")
        );
        assert_eq!(
            (act.object.as_str(), act.ago),
            ("pods/binding default/web-1", Duration::from_millis(9500))
        );
        assert_eq!(told(&line(scheduler, "172.18.0.4", 409)), Ok(None), "what was refused was not done");
        let election = "kube-scheduler/v1.20.2 (linux/amd64) kubernetes/faecb19/leader-election";
        assert_eq!(told(&line(election, "172.18.0.4", 200)), Ok(None));
        assert_eq!(told(&line("kube-schedulers/v1", "172.18.0.4", 200)), Ok(None));
        let balancer = told(&line(scheduler, "172.18.0.9", 201)).unwrap_err();
        assert!(balancer.contains("172.18.0.9, which is no node"), "{balancer}");
        assert!(told("{\"stage\":").is_err(), "a torn line may have been a write");
    }

    #[test]
    fn the_way_there_and_back_is_taken_from_the_clock() {
        let text = format!(
            "began 1795280430.100000000\nline {}\nended 1795280430.200000000\n",
            line("kube-scheduler/v1", "172.18.0.4", 201)
        );
        let log = log("cp", &text, Duration::from_millis(180)).unwrap();
        assert_eq!(log.unsure, Duration::from_millis(40));
        assert_eq!(log.asked, seconds("1795280430.060000000").unwrap());
        assert_eq!((log.lines.len(), log.oldest), (1, None));
        assert!(super::log("cp", "began 1795280430.1\n", Duration::ZERO).unwrap_err().contains("in part"));
    }

    #[test]
    fn the_script_finds_young_lines_of_components_in_all_files() {
        let dir = tempfile::tempdir().unwrap();
        let now = Timestamp::now();
        let at = |seconds: i64| {
            (now - jiff::SignedDuration::from_secs(seconds)).strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
        };
        let entry = |agent: &str, seconds| {
            format!(
                r#"{{"stage":"ResponseComplete","verb":"create","userAgent":"{agent}/v1","sourceIPs":["172.18.0.3"],"responseStatus":{{"code":201}},"requestReceivedTimestamp":"{}"}}"#,
                at(seconds)
            ) + "\n"
        };
        let put = |name: &str, text: String| std::fs::write(dir.path().join(name), text).unwrap();
        let run = |last: &str, kept: &str| {
            let output = std::process::Command::new("sh")
                .args(["-c", SCRIPT, "sh", dir.path().to_str().unwrap(), last, kept])
                .output()
                .unwrap();
            (output.status.success(), String::from_utf8(output.stdout).unwrap())
        };
        let nowhere = dir.path().join("nowhere");
        let argv = ["-c", SCRIPT, "sh", nowhere.to_str().unwrap(), "60", "2"];
        assert!(!std::process::Command::new("sh").args(argv).output().unwrap().status.success());
        assert_eq!(
            run("60", "2").1.lines().count(),
            2,
            "an API server that had nothing to write has no file"
        );
        put(
            "audit-2026-11-21T16-00-00.000.log",
            entry("kube-scheduler", 90) + &entry("kube-controller-manager", 50),
        );
        put("audit.log", entry("kubectl", 10) + &entry("kube-scheduler", 5));
        let (_, text) = run("60", "2");
        let found = log("cp", &text, Duration::from_secs(1)).unwrap();
        assert_eq!(found.oldest, None, "no file has been dropped");
        let agents: Vec<String> = found.lines.iter().map(|line| parse(line).unwrap().user_agent).collect();
        assert_eq!(agents, ["kube-controller-manager/v1", "kube-scheduler/v1"]);
        let (_, text) = run("60", "1");
        let oldest = log("cp", &text, Duration::from_secs(1)).unwrap().oldest.unwrap();
        assert_eq!(ago(now, oldest).as_secs_f64().round(), 90.0, "older files may have been dropped");
    }
}
