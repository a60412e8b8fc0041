//! `slow:` packets between a node and named parties held back, lost or let through slowly, by rules that carry the
//! run's tag. That they are is shown by handshakes that pass the rule, and by what the rule itself counts.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use recoup_model::{
    action::{ActionReport, NodeAction},
    degrade::SlowRule,
    spec::SlowFault,
    time::Span,
};
use tokio::time::{Instant, sleep};

use crate::{
    armed::{DEADLINE_GRACE, Last},
    context::{Broken, Context, StepContext, describe},
    handshake::{Path, grew, median, path},
};

/// Handshakes are repeated until they are as late as they should be, for a busy machine delays one now and then.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// So many handshakes make a median …
const HANDSHAKES: u32 = 11;
/// … or fewer, for they should not take much longer than this altogether.
const HANDSHAKES_TAKE: Duration = Duration::from_secs(3);
/// The same of the last look, which holds the undo up.
const LAST_HANDSHAKES_TAKE: Duration = Duration::from_millis(400);
/// A handshake is given up after 5 s; with more delay than this a machine that is busy as well loses all of them.
const LONGEST_HANDSHAKE: Duration = Duration::from_secs(4);
/// Within this the rule must have lost a packet where it loses some, and seen one where it delays none.
const TRAFFIC_LIMIT: Duration = Duration::from_secs(30);

/// One node with its rule.
struct Slowed {
    node: String,
    rule: SlowRule,
    /// A handshake that passes the rule, with its median before; none where nobody is known to listen.
    path: Option<(Path, Duration)>,
}

pub(super) async fn inject(context: &Context, step: u32, fault: &SlowFault) -> Result<(), Broken> {
    let nodes = context.targets(&fault.on, 1).await?;
    let text = format!("{} ({}): {}", nodes.join(", "), fault.on, words(fault));
    let step = context.step(step, "slow", &nodes, text);
    let tag = format!("{}-{}", context.cluster.fingerprint().cluster, step.step);
    let mut slowed = Vec::new();
    for node in &nodes {
        slowed.push(before(&step, node, &nodes, fault, &tag).await?);
    }
    let remove = NodeAction::SlowRemove { tag: tag.clone() };
    let arming = nodes.iter().map(|node| step.arm(node, remove.clone(), fault.hold.0));
    let armed = futures::future::try_join_all(arming).await?;
    let adding = slowed.iter().map(|one| {
        let life = Span(fault.hold.0 + DEADLINE_GRACE);
        let (rule, seed) = (one.rule.clone(), context.draw());
        step.inject(&one.node, NodeAction::SlowAdd { rule, life, seed, by: None })
    });
    let added = futures::future::join_all(adding).await;
    let last = slowed.iter().flat_map(|one| last_looks(&step, one, fault));
    step.undo_after(fault.hold.0, armed, last.collect());
    let added = added.into_iter().collect::<Result<Vec<_>, _>>()?;
    for (one, report) in slowed.iter().zip(&added) {
        let by = report.how.as_deref().unwrap_or("means unknown");
        if let Some((path, before)) = &one.path {
            late(&step, one, path, *before, by, fault.hold.0).await?;
        }
        if let Some(check) = counters(one) {
            let look = NodeAction::SlowCount { tag: tag.clone() };
            let limit = TRAFFIC_LIMIT.min(fault.hold.0 / 2);
            let rule = one.rule.clone();
            step.evidence(&one.node, &format!("{check}, by {by}"), &look, limit, move |seen| {
                counts(&rule, seen, 0)
            })
            .await?;
        }
    }
    Ok(())
}

/// What is done to packets, for people.
fn words(fault: &SlowFault) -> String {
    let mut words = Vec::new();
    if !fault.delay.0.is_zero() {
        words.push(format!("{} late", fault.delay));
    }
    if !fault.jitter.0.is_zero() {
        words.push(format!("give or take {}", fault.jitter));
    }
    if fault.loss.0 > 0 {
        words.push(format!("{} lost", fault.loss));
    }
    if let Some(bandwidth) = fault.bandwidth {
        words.push(format!("at most {bandwidth} a second"));
    }
    let ports = if fault.ports.is_empty() { String::new() } else { format!(", ports {:?}", fault.ports) };
    format!("packets {}{ports}", words.join(", "))
}

/// The rule for a node, and how long handshakes that will pass it take without it.
async fn before(
    step: &StepContext,
    node: &str,
    nodes: &[String],
    fault: &SlowFault,
    tag: &str,
) -> Result<Slowed, Broken> {
    let fingerprint = step.context.cluster.fingerprint();
    let peers = step.context.addresses_of(fault.peers, node);
    if fault.peers.is_some() && peers.is_empty() {
        // No peers would mean everybody.
        return Err(Broken::NoTarget(format!("{node} has none of the peers that the step names")));
    }
    let rule = SlowRule {
        tag: tag.to_owned(),
        peers,
        ports: fault.ports.clone(),
        delay: fault.delay,
        jitter: fault.jitter,
        loss: fault.loss,
        bandwidth: fault.bandwidth,
    };
    let mut known = None;
    if let Some(path) = path(&fingerprint.nodes, node, nodes, &rule)
        && !rule.delay.0.is_zero()
        && path.late(rule.delay.0) <= LONGEST_HANDSHAKE
    {
        let report = step.look(&path.from, &path.ask(HANDSHAKES)).await?;
        known = median(&report).map(|median| (path, median));
    }
    Ok(Slowed { node: node.to_owned(), rule, path: known })
}

/// Handshakes that take longer by what the rule delays, neither less nor much more.
async fn late(
    step: &StepContext,
    one: &Slowed,
    path: &Path,
    before: Duration,
    by: &str,
    hold: Duration,
) -> Result<(), Broken> {
    let ask = path.ask(times(path, &one.rule, HANDSHAKES_TAKE));
    let check = format!("handshakes of {} with {} are late", path.from, path.to);
    let deadline = Instant::now() + HANDSHAKE_LIMIT.min(hold / 2);
    loop {
        let seen = step.look(&path.from, &ask).await?;
        let grown = median(&seen).map(|now| now.saturating_sub(before));
        let effective = grown.is_some_and(|grown| grew(path, &one.rule, grown));
        if effective || Instant::now() >= deadline {
            let counted = step.look(&one.node, &NodeAction::SlowCount { tag: one.rule.tag.clone() }).await?;
            let seen = format!(
                "median before {before:.1?}, now {}, wanted {:.1?} more; by {by}: {}",
                describe(&seen),
                path.late(one.rule.delay.0),
                describe(&counted)
            );
            step.record_evidence(&one.node, &check, effective, seen);
            return Ok(());
        }
        sleep(Duration::from_millis(150)).await;
    }
}

/// What only the rule's own counters show, in words; none where handshakes show everything.
fn counters(one: &Slowed) -> Option<&'static str> {
    match (one.rule.loss.0 > 0, one.path.is_some()) {
        (true, _) => Some("the rule loses packets"),
        (false, false) => Some("packets pass the rule"),
        (false, true) => one.rule.bandwidth.map(|_| "packets pass the rule"),
    }
}

/// The rule has counted more than so many.
fn counts(rule: &SlowRule, seen: &ActionReport, more_than: u64) -> bool {
    let Some(slowed) = &seen.slowed else { return false };
    match rule.loss.0 > 0 {
        true => slowed.lost > more_than,
        // What the means measures must be what was asked for; netem measures nothing.
        false => {
            let held = slowed.p50.0;
            let at_least = rule.delay.0.saturating_sub(rule.jitter.0);
            slowed.packets > more_than && (held.is_zero() || held >= at_least)
        }
    }
}

/// So many handshakes that they take about so long.
fn times(path: &Path, rule: &SlowRule, altogether: Duration) -> u32 {
    let each = path.late(rule.delay.0 + rule.jitter.0).max(Duration::from_millis(1));
    u32::try_from(altogether.as_micros() / each.as_micros()).unwrap_or(HANDSHAKES).clamp(1, HANDSHAKES)
}

/// Before it is undone, the rule still works: handshakes are still late, and its counters have grown since the half.
fn last_looks(step: &StepContext, one: &Slowed, fault: &SlowFault) -> Vec<Last> {
    let mut last = Vec::new();
    if let Some((path, before)) = one.path.clone() {
        let rule = one.rule.clone();
        last.push(Last {
            node: path.from.clone(),
            check: format!("handshakes with {} are still late when the rule is to go", path.to),
            look: path.ask(times(&path, &rule, LAST_HANDSHAKES_TAKE)),
            shows: Box::new(move |seen| {
                // So few say nothing of being too late.
                let grown = median(seen).map(|now| now.saturating_sub(before));
                grown.is_some_and(|grown| {
                    grown >= path.late(rule.delay.0).saturating_sub(path.tolerance(&rule))
                })
            }),
        });
    }
    if counters(one).is_some() {
        last.push(still_counting(step, one, fault.hold.0));
    }
    last
}

/// Rules that somebody has flushed hold nothing back any more: the counter must grow in the second half as well.
fn still_counting(step: &StepContext, one: &Slowed, hold: Duration) -> Last {
    let half = Arc::new(AtomicU64::new(u64::MAX));
    let look = NodeAction::SlowCount { tag: one.rule.tag.clone() };
    let (counting, noted) = (step.clone(), Arc::clone(&half));
    let (node, asked, rule) = (one.node.clone(), look.clone(), one.rule.clone());
    step.context.background(async move {
        sleep(hold / 2).await;
        let slowed = counting.look(&node, &asked).await?.slowed.unwrap_or_default();
        let counted = if rule.loss.0 > 0 { slowed.lost } else { slowed.packets };
        noted.store(counted, Ordering::Relaxed);
        Ok(())
    });
    let rule = one.rule.clone();
    Last {
        node: one.node.clone(),
        check: "the rule had packets in the second half of the hold as well".into(),
        look,
        shows: Box::new(move |seen| counts(&rule, seen, half.load(Ordering::Relaxed))),
    }
}
