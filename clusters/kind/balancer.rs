//! The load balancer's checks from its own configuration: HAProxy's up to kind 0.31, Envoy's from 0.32 on.

use std::time::Duration;

use recoup_model::{
    configuration::{Balancer, Count, Setting},
    yaml,
};
use serde_json::Value;

use super::settings::{go, units};

/// Where HAProxy's configuration lies in the load balancer's container.
pub(super) const HAPROXY: &str = "/usr/local/etc/haproxy/haproxy.cfg";
/// Where Envoy's clusters are described.
pub(super) const ENVOY: [&str; 2] = ["/home/envoy/cds.yaml", "/home/envoy/envoy.yaml"];

/// What `haproxy.cfg` says, and HAProxy's defaults for the rest.
pub(super) fn haproxy(text: &str) -> Balancer {
    let mut balancer = Balancer::haproxy();
    let mut check = None;
    let mut servers: Vec<Balancer> = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split('#').next().unwrap_or_default().split_whitespace().collect();
        match words.as_slice() {
            ["timeout", "connect", value, ..] => {
                set(&mut balancer.connect, haproxy_time(value), "timeout connect of haproxy.cfg");
            }
            ["timeout", "check", value, ..] => check = haproxy_time(value),
            ["default-server", settings @ ..] => {
                apply(&mut balancer, settings, "default-server of haproxy.cfg")
            }
            ["server", _, _, settings @ ..] => {
                let mut server = balancer.clone();
                apply(&mut server, settings, "server of haproxy.cfg");
                servers.push(server);
            }
            _ => {}
        }
    }
    // Servers may differ: the intervals cover all, and the slowest number of checks counts.
    if let Some(first) = servers.first().cloned() {
        balancer = servers.iter().skip(1).fold(first, |all, one| Balancer {
            interval: all.interval.and(&one.interval),
            fall: if one.fall.value > all.fall.value { one.fall.clone() } else { all.fall },
            rise: if one.rise.value > all.rise.value { one.rise.clone() } else { all.rise },
            ..all
        });
    }
    balancer.timeout = match check {
        // Then the interval limits the connection alone, and this what follows (HAProxy, "timeout check").
        Some(check) => {
            let most = balancer.interval.most().0.min(balancer.connect.most().0) + check;
            Setting::new(most, "timeout check of haproxy.cfg, after the connection's own limit")
        }
        None => Setting {
            source: format!("{}, which limits a check", balancer.interval.source),
            ..balancer.interval.clone()
        },
    };
    balancer
}

fn set(setting: &mut Setting, value: Option<Duration>, source: &str) {
    if let Some(value) = value {
        *setting = Setting::new(value, source);
    }
}

fn apply(balancer: &mut Balancer, words: &[&str], source: &str) {
    for pair in words.windows(2) {
        match pair {
            ["inter", value] => {
                set(&mut balancer.interval, haproxy_time(value), &format!("inter of {source}"))
            }
            ["fall", value] => {
                balancer.fall = value.parse().map_or(balancer.fall.clone(), |fall| Count::new(fall, source));
            }
            ["rise", value] => {
                balancer.rise = value.parse().map_or(balancer.rise.clone(), |rise| Count::new(rise, source));
            }
            _ => {}
        }
    }
}

/// A time of HAProxy's: milliseconds where no unit stands behind it.
fn haproxy_time(text: &str) -> Option<Duration> {
    match text.parse() {
        Ok(millis) => Some(Duration::from_millis(millis)),
        Err(_) => units(text, |unit| match unit {
            "us" => Some(1e-6),
            "ms" => Some(1e-3),
            "s" => Some(1.0),
            "m" => Some(60.0),
            "h" => Some(3600.0),
            "d" => Some(86_400.0),
            _ => None,
        }),
    }
}

/// What Envoy's file says of its health checks; none where it describes none.
pub(super) fn envoy(text: &str) -> Option<Balancer> {
    let file: Value = yaml::parse("envoy.yaml", text).ok()?;
    let checks = find(&file, "health_checks")?;
    let check = checks.as_array()?.first()?;
    let mut balancer = Balancer::envoy();
    let time = |value: &Value| value.as_str().and_then(go);
    let source = |name: &str| format!("{name} of Envoy's health check");
    set(&mut balancer.interval, check.get("interval").and_then(time), &source("interval"));
    set(&mut balancer.timeout, check.get("timeout").and_then(time), &source("timeout"));
    let count = |name: &str| {
        let value = check.get(name)?;
        u32::try_from(value.as_u64().or_else(|| value.get("value")?.as_u64())?).ok()
    };
    if let Some(fall) = count("unhealthy_threshold") {
        balancer.fall = Count::new(fall, source("unhealthy_threshold"));
    }
    if let Some(rise) = count("healthy_threshold") {
        balancer.rise = Count::new(rise, source("healthy_threshold"));
    }
    let connect = find(&file, "connect_timeout").and_then(time);
    set(&mut balancer.connect, connect, "connect_timeout of Envoy's cluster");
    Some(balancer)
}

/// The first value of that key, however deep.
fn find<'v>(value: &'v Value, key: &str) -> Option<&'v Value> {
    match value {
        Value::Object(map) => map.get(key).or_else(|| map.values().find_map(|inner| find(inner, key))),
        Value::Array(list) => list.iter().find_map(|inner| find(inner, key)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use recoup_model::time::Span;

    use super::*;

    #[test]
    fn kinds_haproxy_checks_by_defaults() {
        let read = haproxy(include_str!("../tests/settings/haproxy.cfg"));
        assert_eq!((read.interval.value, read.timeout.value), (Span::seconds(2), Span::seconds(2)));
        assert_eq!((read.fall.value, read.rise.value, read.connect.value), (3, 2, Span::seconds(5)));
        assert_eq!(read.interval.source, "default of HAProxy");
        assert_eq!(read.connect.source, "timeout connect of haproxy.cfg");
    }

    #[test]
    fn what_haproxy_is_told_goes_before_its_defaults() {
        let text = "defaults\n  timeout connect 3s\n  timeout check 500\nbackend b\n  default-server inter 1s fall 2\n  \
                    server a 10.0.0.1:6443 check # inter 99s\n  server b 10.0.0.2:6443 check inter 4000 fall 5 rise 1\n";
        let read = haproxy(text);
        assert_eq!((read.interval.value, read.interval.most()), (Span::seconds(1), Span::seconds(4)));
        assert_eq!((read.fall.value, read.rise.value), (5, 2));
        assert_eq!(read.timeout.value, Span::millis(3500), "the connection's 3 s, then 500 ms");
    }

    #[test]
    fn envoys_health_check_is_read() {
        let text = "resources:\n- \"@type\": type.googleapis.com/envoy.config.cluster.v3.Cluster\n  name: kube_apiservers\n  \
                    connect_timeout: 0.25s\n  health_checks:\n  - timeout: 3s\n    interval: 2s\n    unhealthy_threshold: 2\n    \
                    healthy_threshold: 1\n    http_health_check: {path: /healthz}\n";
        let read = envoy(text).expect("a check");
        assert_eq!(
            (read.interval.value, read.timeout.value, read.fall.value),
            (Span::seconds(2), Span::seconds(3), 2)
        );
        assert_eq!(read.connect.value, Span::millis(250));
        assert_eq!(read.interval.source, "interval of Envoy's health check");
        assert_eq!(envoy("static_resources: {}\n"), None);
    }
}
