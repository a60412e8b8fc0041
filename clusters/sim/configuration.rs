//! What the simulated cluster is set to: the model's own times, and the profile's leases.

use recoup_model::{
    configuration::{Balancer, Configuration, Count, Setting, names},
    time::Span,
    topology::NodeRole,
};

use super::model::{World, lease::ELECTED, timing};
use crate::{LeaderElection, Profile};

/// Where the values come from.
const SOURCE: &str = "the simulation's model";

/// The model's times as a cluster's settings.
pub(super) fn configuration(profile: &Profile) -> Configuration {
    let minor = timing::KUBERNETES.split('.').nth(1).and_then(|minor| minor.parse().ok()).unwrap_or_default();
    let mut config = profile.configuration(minor);
    let election = timing::HEARTBEAT * timing::ELECTION_TICKS;
    let settings = [
        (names::ETCD_HEARTBEAT, timing::HEARTBEAT),
        (names::ETCD_ELECTION, election),
        (names::NODE_GRACE, timing::NODE_GRACE),
        (names::NODE_MONITOR, timing::NODE_MONITOR),
        (names::NODE_LEASE_RENEWAL, timing::NODE_LEASE),
        (names::KUBELET_RESTART, timing::RESTART_SEC),
        (names::CONTAINERD_RESTART, timing::RESTART_SEC),
        (names::TOLERATION, timing::TOLERATION),
        (names::PROXY_SYNC, timing::PROXY_SYNC),
    ];
    config.settings.extend(settings.map(|(name, value)| (name.to_owned(), Setting::new(value, SOURCE))));
    config.balancer = (profile.count(NodeRole::ControlPlane) > 1).then(|| Balancer {
        program: "haproxy".into(),
        interval: Setting::new(timing::LB_INTERVAL, SOURCE),
        timeout: Setting::new(timing::LB_INTERVAL, SOURCE),
        fall: Count::new(timing::LB_FALL, SOURCE),
        rise: Count::new(timing::LB_RISE, SOURCE),
        connect: Setting::new(timing::LB_CONNECT, SOURCE),
    });
    config
}

/// `usual`, with the leader elections as the control planes' flags have them now.
pub(super) fn live(usual: &Configuration, world: &World) -> Configuration {
    let mut config = usual.clone();
    for (component, (process, lease)) in ELECTED.iter().enumerate() {
        let Some(election) = config.elections.get_mut(*lease) else { continue };
        let instances: Vec<_> = (0..world.planes).map(|plane| world.election_of(component, plane)).collect();
        for (setting, flag, of) in [
            (&mut election.lease_duration, "lease-duration", |times: &LeaderElection| times.lease_duration),
            (&mut election.renew_deadline, "renew-deadline", |times: &LeaderElection| times.renew_deadline),
            (&mut election.retry_period, "retry-period", |times: &LeaderElection| times.retry_period),
        ] as [(_, _, fn(&LeaderElection) -> Span); 3]
        {
            let flagged = |span: Span| match span == setting.value {
                true => setting.clone(),
                false => Setting::new(span.0, format!("--leader-elect-{flag} of {process}")),
            };
            let together = instances.iter().map(|times| flagged(of(times))).reduce(|all, one| all.and(&one));
            if let Some(together) = together {
                if together.most.is_some() {
                    config
                        .doubts
                        .push(format!("--leader-elect-{flag} of {process} differs between instances"));
                }
                *setting = together;
            }
        }
    }
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_are_the_profiles_and_the_rest_the_models() {
        let short = configuration(&Profile::load("ha-short-lease").expect("it is valid"));
        let lease = &short.election("kube-scheduler").lease_duration;
        assert_eq!((lease.value, lease.source.as_str()), (Span::seconds(5), "profile ha-short-lease"));
        assert_eq!(short.setting(names::NODE_GRACE).value, Span(timing::NODE_GRACE));
        assert_eq!(short.minor, 33);
        let single = configuration(&Profile::load("single").expect("it is valid"));
        assert_eq!((single.control_planes, single.balancer), (1, None));
    }
}
