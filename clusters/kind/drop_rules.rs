//! Drop rules in the words of iptables.

use std::net::IpAddr;

use recoup_model::action::DropRule;

/// A comment of xt_comment holds 255 characters.
const LONGEST_TAG: usize = 200;

/// Lines for iptables-restore, by family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rules {
    pub(super) v4: Vec<String>,
    pub(super) v6: Vec<String>,
}

/// The comment that marks a tag's rules.
///
/// # Errors
/// A tag that would not survive iptables-save's quoting.
pub(super) fn comment(tag: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    if tag.is_empty() || tag.len() > LONGEST_TAG || !tag.chars().all(fits) {
        return Err(format!(
            "{tag:?} is no tag of a rule: up to {LONGEST_TAG} letters, digits and any of - _ . / are"
        ));
    }
    Ok(format!("recoup:{tag}"))
}

/// The rules: each direction on its own, what the node sends and gets itself and what it forwards for its pods.
///
/// They go to the head of the built-in chains: kube-proxy's accept rules come after. Where no peer is
/// named, the loopback interface is left alone: a node that is cut off still reaches itself.
///
/// # Errors
/// A tag or an address that iptables would not take.
pub(super) fn rules(rule: &DropRule) -> Result<Rules, String> {
    let comment = comment(&rule.tag)?;
    let mut rules = Rules::default();
    let ports: Vec<String> = if rule.ports.is_empty() {
        vec![String::new()]
    } else {
        let both = |port: &u16| [format!(" -p tcp --sport {port}"), format!(" -p tcp --dport {port}")];
        rule.ports.iter().flat_map(both).collect()
    };
    let line = |chain: &str, of: &str, port: &str| {
        format!("-I {chain} 1{of}{port} -m comment --comment {comment} -j DROP")
    };
    if rule.peers.is_empty() {
        for port in &ports {
            for (chain, of) in [("INPUT", " ! -i lo"), ("OUTPUT", " ! -o lo"), ("FORWARD", "")] {
                rules.v4.push(line(chain, of, port));
                rules.v6.push(line(chain, of, port));
            }
        }
    }
    for peer in &rule.peers {
        let address: IpAddr = peer.parse().map_err(|_| format!("{peer:?} is not an IP address"))?;
        let family = if address.is_ipv4() { &mut rules.v4 } else { &mut rules.v6 };
        for port in &ports {
            for (chain, way) in [("INPUT", "-s"), ("OUTPUT", "-d"), ("FORWARD", "-s"), ("FORWARD", "-d")] {
                family.push(line(chain, &format!(" {way} {address}"), port));
            }
        }
    }
    Ok(rules)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(peers: &[&str], ports: &[u16]) -> DropRule {
        DropRule {
            tag: "run-1/2".into(),
            peers: peers.iter().map(ToString::to_string).collect(),
            ports: ports.to_vec(),
        }
    }

    #[test]
    fn peers_and_ports_are_dropped_both_ways() {
        let rules = rules(&rule(&["172.18.0.7", "fc00::7"], &[2380])).expect("fine");
        assert_eq!(rules.v4.len(), 8, "four ways, source and destination port: {:#?}", rules.v4);
        assert_eq!(rules.v6.len(), 8);
        let wanted =
            "-I OUTPUT 1 -d 172.18.0.7 -p tcp --dport 2380 -m comment --comment recoup:run-1/2 -j DROP"
                .to_owned();
        assert!(rules.v4.contains(&wanted), "{:#?}", rules.v4);
        assert!(rules.v6.iter().all(|line| line.contains("fc00::7")));
    }

    #[test]
    fn a_node_that_is_cut_off_still_reaches_itself() {
        let rules = rules(&rule(&[], &[])).expect("fine");
        assert_eq!(rules.v4.len(), 3);
        assert!(rules.v4.iter().filter(|line| line.contains("PUT")).all(|line| line.contains("lo ")));
        assert_eq!(rules.v4, rules.v6);
    }

    #[test]
    fn a_strange_tag_or_address_is_refused() {
        assert!(rules(&rule(&["worker2"], &[])).is_err());
        for tag in ["", "two words", "a\n-F", "\"", &"x".repeat(300)] {
            assert!(comment(tag).is_err(), "{tag:?} was taken");
        }
    }
}
