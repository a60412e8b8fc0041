//! A node's settings from the text that `scripts/settings.sh` prints.

use std::{collections::BTreeMap, time::Duration};

use recoup_model::yaml;
use serde::Deserialize;

/// What stands before each part.
const HEAD: &str = "=== recoup: ";

/// The parts of one node's text by their names, as in `manifest etcd`.
#[derive(Clone, Debug, Default)]
pub(super) struct Parts(BTreeMap<String, String>);

impl Parts {
    /// Splits what the script printed.
    pub(super) fn read(text: &str) -> Parts {
        let mut parts = BTreeMap::new();
        let mut current: Option<(String, String)> = None;
        for line in text.lines() {
            if let Some(name) = line.strip_prefix(HEAD) {
                parts.extend(current.replace((name.trim().to_owned(), String::new())));
            } else if let Some((_, body)) = &mut current {
                body.push_str(line);
                body.push('\n');
            }
        }
        parts.extend(current);
        Parts(parts)
    }

    /// The part of that name, where it was printed.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The flags of a static pod; its environment's etcd variables count as flags too, as etcd reads them.
    ///
    /// # Errors
    /// Why there are none: no manifest, or one that cannot be read.
    pub(super) fn pod_flags(&self, pod: &str) -> Result<Flags, String> {
        let text =
            self.get(&format!("manifest {pod}")).ok_or_else(|| format!("there is no manifest {pod}.yaml"))?;
        let read: Pod = yaml::parse(&format!("{pod}.yaml"), text).map_err(|error| error.to_string())?;
        let container = read.spec.containers.into_iter().next();
        let container = container.ok_or_else(|| format!("{pod}.yaml has no container"))?;
        let mut flags = Flags::default();
        for variable in container.env {
            if let Some(name) = variable.name.strip_prefix("ETCD_") {
                flags.0.insert(name.to_lowercase().replace('_', "-"), variable.value);
            }
        }
        // A flag on the command line goes before the environment.
        flags.0.extend(Flags::read(container.command.iter().chain(&container.args).map(String::as_str)).0);
        Ok(flags)
    }

    /// The running kubelet's flags, which go before its file.
    pub(super) fn kubelet_flags(&self) -> Option<Flags> {
        self.get("kubelet flags").map(|text| Flags::read(text.lines()))
    }

    /// The kubelet's file.
    ///
    /// # Errors
    /// Why it cannot be had.
    pub(super) fn kubelet(&self) -> Result<Kubelet, String> {
        let text = self.get("kubelet config").ok_or("there is no /var/lib/kubelet/config.yaml")?;
        yaml::parse("config.yaml", text).map_err(|error| error.to_string())
    }

    /// The scheduler's file, where it has one.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub(super) fn scheduler(&self) -> Option<Result<LeaderElection, String>> {
        let read = |text| yaml::parse::<Scheduler>("the scheduler's configuration", text);
        self.get("scheduler config")
            .map(|text| read(text).map(|file| file.leader_election).map_err(|error| error.to_string()))
    }

    /// A unit's `Restart` and the pause before it.
    pub(super) fn unit(&self, unit: &str) -> Option<(String, Duration)> {
        let text = self.get(&format!("unit {unit}"))?;
        let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
        Some((value("Restart=")?.to_owned(), systemd(value("RestartUSec=")?)?))
    }
}

/// Flags by their name without dashes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Flags(BTreeMap<String, String>);

impl Flags {
    /// Reads `--name=value` and `--name value`; one without a value is `true`.
    fn read<'a>(words: impl Iterator<Item = &'a str>) -> Flags {
        let mut flags = BTreeMap::new();
        let mut open: Option<String> = None;
        for word in words {
            match (word.strip_prefix("--"), open.take()) {
                (Some(flag), before) => {
                    flags.extend(before.map(|name| (name, "true".to_owned())));
                    match flag.split_once('=') {
                        Some((name, value)) => drop(flags.insert(name.to_owned(), value.to_owned())),
                        None => open = Some(flag.to_owned()),
                    }
                }
                (None, Some(name)) => drop(flags.insert(name, word.to_owned())),
                (None, None) => {}
            }
        }
        flags.extend(open.map(|name| (name, "true".to_owned())));
        Flags(flags)
    }

    /// A flag's value.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A feature gate whose name holds all of these words.
    pub(super) fn gate(&self, words: &[&str]) -> Option<(String, bool)> {
        let gates = self.get("feature-gates")?.split(',');
        gates.filter_map(|gate| gate.split_once('=')).find_map(|(name, value)| {
            let fits = words.iter().all(|word| name.contains(word));
            fits.then(|| (name.trim().to_owned(), value.trim() == "true"))
        })
    }
}

#[derive(Deserialize)]
struct Pod {
    spec: PodSpec,
}

#[derive(Deserialize)]
struct PodSpec {
    containers: Vec<Container>,
}

#[derive(Deserialize)]
struct Container {
    #[serde(default)]
    command: Vec<String>,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    env: Vec<Variable>,
}

#[derive(Deserialize)]
struct Variable {
    name: String,
    #[serde(default)]
    value: String,
}

/// What recovery times follow from in a kubelet's file; `0s` stands for the default.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Kubelet {
    pub(super) file_check_frequency: Option<String>,
    pub(super) node_status_update_frequency: Option<String>,
    pub(super) node_lease_duration_seconds: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Scheduler {
    #[serde(default)]
    leader_election: LeaderElection,
}

/// A component's leader election in its own file.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct LeaderElection {
    pub(super) lease_duration: Option<String>,
    pub(super) renew_deadline: Option<String>,
    pub(super) retry_period: Option<String>,
}

/// A duration as Go writes it: `15s`, `1m30s`, `1.5s`, `100ms`.
pub(super) fn go(text: &str) -> Option<Duration> {
    const UNITS: [(&str, f64); 6] =
        [("ns", 1e-9), ("us", 1e-6), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0)];
    units(text.trim(), |unit| {
        let found = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, seconds)| *seconds);
        found.or((unit == "h").then_some(3600.0))
    })
}

/// A duration as systemd shows it: `1s`, `100ms`, `1min 30s`; none for `infinity`.
fn systemd(text: &str) -> Option<Duration> {
    units(&text.replace(' ', ""), |unit| match unit {
        "us" => Some(1e-6),
        "ms" => Some(1e-3),
        "s" => Some(1.0),
        "min" => Some(60.0),
        "h" => Some(3600.0),
        _ => None,
    })
}

/// Adds up numbers with their units.
pub(super) fn units(mut text: &str, seconds: impl Fn(&str) -> Option<f64>) -> Option<Duration> {
    if text.is_empty() {
        return None;
    }
    let mut sum = 0.0;
    while !text.is_empty() {
        let number = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (value, rest) = text.split_at(number);
        let unit = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let (unit, rest) = rest.split_at(unit);
        let value: f64 = value.parse().ok()?;
        sum += if unit.is_empty() && value == 0.0 { 0.0 } else { value * seconds(unit)? };
        text = rest;
    }
    Duration::try_from_secs_f64(sum).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: &str = include_str!("../tests/settings/control-plane-1.20.txt");

    #[test]
    fn a_real_nodes_manifests_kubelet_and_units_are_read() {
        let parts = Parts::read(NODE);
        let manager = parts.pod_flags("kube-controller-manager").expect("a manifest");
        assert_eq!(manager.get("leader-elect"), Some("true"));
        assert_eq!(manager.get("leader-elect-lease-duration"), None);
        assert_eq!(manager.gate(&["IPv6"]), Some(("IPv6DualStack".into(), true)));
        assert_eq!(manager.gate(&["Release", "LeaderElection"]), None);
        assert!(parts.pod_flags("etcd").is_ok() && parts.pod_flags("kube-apiserver").is_ok());
        let kubelet = parts.kubelet().expect("a file");
        assert_eq!(kubelet.file_check_frequency.as_deref(), Some("0s"));
        assert_eq!(kubelet.node_lease_duration_seconds, None);
        assert_eq!(parts.unit("kubelet"), Some(("always".into(), Duration::from_secs(1))));
        assert!(parts.kubelet_flags().is_some_and(|flags| flags.get("config").is_some()));
    }

    #[test]
    fn what_is_missing_is_said() {
        let parts = Parts::read("=== recoup: unit kubelet\nRestart=no\nRestartUSec=infinity\n");
        assert!(parts.pod_flags("etcd").is_err_and(|why| why.contains("etcd.yaml")));
        assert!(parts.kubelet().is_err());
        assert_eq!(parts.unit("kubelet"), None);
    }

    #[test]
    fn flags_come_in_both_forms_and_the_environment_goes_behind() {
        let flags = Flags::read(["etcd", "--a=1", "--b", "2", "--c", "--d=x=y"].into_iter());
        let get = |name| flags.get(name);
        assert_eq!(
            (get("a"), get("b"), get("c"), get("d")),
            (Some("1"), Some("2"), Some("true"), Some("x=y"))
        );
        let text = "=== recoup: manifest etcd\nspec:\n  containers:\n  - command: [etcd, --election-timeout=2000]\n    env:\n    - {name: ETCD_ELECTION_TIMEOUT, value: \"9000\"}\n    - {name: ETCD_HEARTBEAT_INTERVAL, value: \"250\"}\n";
        let flags = Parts::read(text).pod_flags("etcd").expect("a manifest");
        assert_eq!(
            (flags.get("election-timeout"), flags.get("heartbeat-interval")),
            (Some("2000"), Some("250"))
        );
    }

    #[test]
    fn durations_are_read_as_they_are_written() {
        let ms = |d: Option<Duration>| d.map(|d| d.as_millis());
        assert_eq!(ms(go("15s")), Some(15_000));
        assert_eq!(ms(go("1m30s")), Some(90_000));
        assert_eq!(ms(go("1.5s")), Some(1500));
        assert_eq!(ms(go("0")), Some(0));
        assert_eq!((go(""), go("15"), go("soon")), (None, None, None));
        assert_eq!(ms(systemd("1min 30s")), Some(90_000));
        assert_eq!(ms(systemd("100ms")), Some(100));
        assert_eq!(systemd("infinity"), None);
    }
}
