//! Packets held back: by netem where the kernel has it, else by recoup's own program on the node, to which the
//! packet filter hands them.

use std::{borrow::Cow, net::IpAddr};

use recoup_model::{
    action::NodeAction,
    degrade::{SlowMeans, SlowRule},
    time::Span,
};

use super::{deadlines::seconds, drop_rules, program::program, scripts::Script};
use crate::ClusterError;

/// The program as this build compiled it; empty where that was not possible.
static PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/recoup-delay"));
/// Names a static Linux build of harness/delay to use instead.
const OVERRIDE: &str = "RECOUP_DELAY_BIN";

/// The program that holds packets back and times handshakes (harness/delay): a static one for Linux.
///
/// # Errors
/// [`ClusterError::Missing`] where this build could not compile it.
pub fn delay_program() -> Result<Cow<'static, [u8]>, ClusterError> {
    program(PROGRAM, OVERRIDE, "the program that holds packets back", "harness/delay")
}

/// What this build can do with a node that has these means, as the trial prints them.
pub(super) fn works(printed: &str) -> bool {
    let has = |means: SlowMeans| printed.lines().any(|line| line == means.name());
    // Handshakes are timed by the program, whatever holds packets.
    delay_program().is_ok() && (has(SlowMeans::Netem) || has(SlowMeans::Nfqueue))
}

pub(super) fn script(action: &NodeAction) -> Result<Script, String> {
    match action {
        NodeAction::SlowAdd { rule, life, seed, by } => add(rule, *life, *seed, *by),
        NodeAction::SlowRemove { tag } => Ok(Script::slow_remove(drop_rules::comment(tag)?)),
        NodeAction::SlowCount { tag } => Ok(Script::slow_count(drop_rules::comment(tag)?)),
        NodeAction::RoundTrips { to, times } => {
            let mut words = vec![times.to_string()];
            for party in to {
                party
                    .parse::<std::net::SocketAddr>()
                    .map_err(|_| format!("{party:?} is not ADDRESS:PORT"))?;
                words.push(party.clone());
            }
            match to.is_empty() {
                true => Err("nobody to time handshakes with is named".to_owned()),
                false => Ok(Script::round_trips(words)),
            }
        }
        other => Err(format!("{} is not about a slow network", other.name())),
    }
}

fn add(rule: &SlowRule, life: Span, seed: u64, by: Option<SlowMeans>) -> Result<Script, String> {
    let comment = drop_rules::comment(&rule.tag)?;
    if rule.jitter > rule.delay {
        return Err(format!("a jitter of {} is more than the delay of {}", rule.jitter, rule.delay));
    }
    if rule.loss.0 > 1_000_000 {
        return Err(format!("{} of all packets cannot be lost", rule.loss));
    }
    let (arriving, leaving) = (matches(rule, &comment, "-s")?, matches(rule, &comment, "-d")?);
    Ok(Script::slow_add(vec![
        comment,
        by.map_or("any", SlowMeans::name).to_owned(),
        seconds(life.0).to_string(),
        seed.to_string(),
        rule.delay.0.as_micros().to_string(),
        rule.jitter.0.as_micros().to_string(),
        rule.loss.0.to_string(),
        rule.bandwidth.map_or(0, |bandwidth| bandwidth.0).to_string(),
        if rule.peers.is_empty() { "any" } else { "named" }.to_owned(),
        arriving.v4.join("\n"),
        arriving.v6.join("\n"),
        leaving.v4.join("\n"),
        leaving.v6.join("\n"),
    ]))
}

/// The packets of a rule, in words of iptables, where `party` (`-s` or `-d`) names the other side. The script adds
/// chain, device and target, which only the node knows.
fn matches(rule: &SlowRule, comment: &str, party: &str) -> Result<drop_rules::Rules, String> {
    let mut rules = drop_rules::Rules::default();
    let ports: Vec<String> = if rule.ports.is_empty() {
        vec![String::new()]
    } else {
        let both = |port: &u16| [format!("-p tcp --sport {port} "), format!("-p tcp --dport {port} ")];
        rule.ports.iter().flat_map(both).collect()
    };
    let line = |of: &str, port: &str| format!("{of}{port}-m comment --comment {comment}");
    if rule.peers.is_empty() {
        rules.v4 = ports.iter().map(|port| line("", port)).collect();
        rules.v6.clone_from(&rules.v4);
    }
    for peer in &rule.peers {
        let address: IpAddr = peer.parse().map_err(|_| format!("{peer:?} is not an IP address"))?;
        let family = if address.is_ipv4() { &mut rules.v4 } else { &mut rules.v6 };
        family.extend(ports.iter().map(|port| line(&format!("{party} {address} "), port)));
    }
    Ok(rules)
}

#[cfg(test)]
mod netem_tests;

#[cfg(test)]
mod tests {
    use recoup_model::quantity::Percent;

    use super::*;

    fn rule(peers: &[&str], ports: &[u16]) -> SlowRule {
        SlowRule {
            tag: "run-1/2".into(),
            peers: peers.iter().map(ToString::to_string).collect(),
            ports: ports.to_vec(),
            delay: Span::millis(100),
            jitter: Span::millis(10),
            loss: Percent::default(),
            bandwidth: None,
        }
    }

    #[test]
    fn a_rule_names_the_other_party_on_the_side_where_packets_are_held() {
        let named = rule(&["172.18.0.7", "fc00::7"], &[2380]);
        let arriving = matches(&named, "recoup:x", "-s").unwrap();
        assert_eq!(
            arriving.v4,
            [
                "-s 172.18.0.7 -p tcp --sport 2380 -m comment --comment recoup:x",
                "-s 172.18.0.7 -p tcp --dport 2380 -m comment --comment recoup:x"
            ]
        );
        assert_eq!(arriving.v6.len(), 2);
        let leaving = matches(&named, "recoup:x", "-d").unwrap();
        assert!(leaving.v6.iter().all(|line| line.starts_with("-d fc00::7 ")), "{leaving:?}");
        let all = matches(&rule(&[], &[]), "recoup:x", "-s").unwrap();
        assert_eq!(all.v4, ["-m comment --comment recoup:x"]);
        assert_eq!(all.v4, all.v6);
    }

    #[test]
    fn what_cannot_be_a_rule_is_refused() {
        let add = |rule: SlowRule| {
            script(&NodeAction::SlowAdd { rule, life: Span::seconds(9), seed: 1, by: None }).map(drop)
        };
        assert_eq!(add(rule(&["172.18.0.7"], &[2380])), Ok(()));
        assert!(add(rule(&["worker"], &[])).is_err_and(|error| error.contains("worker")));
        assert!(add(SlowRule { tag: "a b".into(), ..rule(&[], &[]) }).is_err());
        assert!(add(SlowRule { jitter: Span::seconds(1), ..rule(&[], &[]) }).is_err());
        assert!(add(SlowRule { loss: Percent(1_000_001), ..rule(&[], &[]) }).is_err());
        for to in [vec![], vec!["172.18.0.7".to_owned()], vec!["-x".to_owned()]] {
            assert!(
                script(&NodeAction::RoundTrips { to: to.clone(), times: 3 }).is_err(),
                "{to:?} was taken"
            );
        }
    }

    #[test]
    fn this_build_holds_a_linux_program_and_needs_it() {
        if cfg!(target_os = "linux") {
            assert!(PROGRAM.starts_with(b"\x7fELF"), "{} bytes", PROGRAM.len());
        }
        assert!(works("netem\nnfqueue\n") && works("nfqueue\n") && !works("") && !works("tc: no\n"));
    }
}
