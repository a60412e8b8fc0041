//! Who acted: what the instances of lease-holding components wrote, from the API servers' own logs.

use std::{collections::BTreeMap, time::Duration};

use recoup_clusters::Cluster;
use recoup_model::{
    configuration::Configuration,
    event::{Act, Event, Phase},
    observation::{Failure, FailureClass},
    time::{Offset, Span},
};
use tokio::time::timeout;

use crate::recorder::Recorder;

/// client-go waits for a retry period times 1 to 2.2 between two attempts.
const RETRY_JITTER: f64 = 2.2;
/// The logs of a few minutes, read by a command on each node.
const LIMIT: Duration = Duration::from_secs(60);

/// Reads and records what was written since the baseline began. What cannot be read is recorded as such.
pub async fn record(cluster: &dyn Cluster, configuration: &Configuration, recorder: &Recorder) {
    let now = recorder.clock().now();
    let last = now.since(baseline(recorder));
    let answer = timeout(LIMIT, cluster.acts(last)).await;
    let answer = answer.unwrap_or_else(|_| {
        let message = format!("the API servers' logs were not read within {LIMIT:?}");
        Err(Failure::new(FailureClass::Observer, message))
    });
    let (mut acts, failure) = match answer {
        Ok(acted) => {
            let act = |one: recoup_clusters::Acted| Act {
                lease: one.lease,
                node: one.node,
                at: now.minus(one.ago),
                verb: one.verb,
                object: one.object,
            };
            (acted.into_iter().map(act).collect(), None)
        }
        Err(failure) => (Vec::new(), Some(failure)),
    };
    acts.sort_by_key(|act: &Act| act.at);
    recorder.record(Event::Acted { acts, grace: grace(configuration), failure });
}

/// A holder that could not renew notices at its renew deadline, counted from its last renewal; one that is thawed
/// between two may count from the thaw, and then be within an attempt.
fn grace(configuration: &Configuration) -> BTreeMap<String, Span> {
    let elections = configuration.elections.iter();
    let grace = elections.map(|(lease, election)| {
        let retry = election.retry_period.value.0.mul_f64(RETRY_JITTER);
        (lease.clone(), Span(election.renew_deadline.value.0 + retry))
    });
    grace.collect()
}

/// When the last baseline began; with none, the experiment.
fn baseline(recorder: &Recorder) -> Offset {
    let records = recorder.experiment();
    let begun = records.iter().rev().find_map(|record| match record.event {
        Event::PhaseStarted { phase: Phase::Baseline } => Some(record.at),
        _ => None,
    });
    begun.or(records.first().map(|record| record.at)).unwrap_or_default()
}
