//! `limit:` a component's processor time and block I/O limited by its control group.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use recoup_model::{
    action::{ActionReport, NodeAction, ProcessId},
    degrade::{Limit, Limited},
    event::Event,
    spec::LimitFault,
};
use tokio::time::{Instant, sleep};

use crate::{
    armed::Last,
    context::{Broken, Context, StepContext, describe},
};

/// By then the limit must have held the component back: even an idle one wakes up many times a second.
const BITES_LIMIT: Duration = Duration::from_secs(15);
/// Between two looks, each of which takes processor time itself.
const LOOK: Duration = Duration::from_secs(1);
/// Over a shorter time a rate says nothing: the kernel grants I/O in slices of 100 ms, and a look takes up to 0.5 s.
const RATE_OVER: Duration = Duration::from_secs(3);
/// From this share of its limit on, a rate is the limit's and not the component's own.
const SATURATED: f64 = 0.75;
/// Above so many times the limit it was none. The kernel counts what is sent to it, some of which still waits.
const EXCEEDED: f64 = 2.0;

/// A look and its time.
type Look = (Instant, Limited);
/// The processes that were limited, and the look that showed the limit at work; none before that.
type Bitten = Arc<Mutex<Option<(Vec<ProcessId>, Look)>>>;

pub(super) async fn inject(context: &Context, step: u32, fault: &LimitFault) -> Result<(), Broken> {
    let nodes = context.targets(&fault.on, 1).await?;
    let (process, limit, hold) = (fault.process, fault.to, fault.hold.0);
    let text = format!("{process} on {} limited to {limit} ({})", nodes.join(", "), fault.on);
    let step = context.step(step, "limit", &nodes, text);
    let arming = nodes.iter().map(|node| step.arm(node, NodeAction::LimitClear { process }, hold));
    let armed = futures::future::try_join_all(arming).await?;
    let set = NodeAction::LimitSet { process, limit };
    let injected = futures::future::join_all(nodes.iter().map(|node| step.inject(node, set.clone()))).await;
    let look = NodeAction::LimitCount { process };
    let mut bitten = Vec::new();
    let mut last = Vec::new();
    for node in &nodes {
        let since = Bitten::default();
        last.push(Last {
            node: node.clone(),
            check: format!("the limit still holds {process} back when it is to be lifted"),
            look: look.clone(),
            shows: Box::new(still(step.clone(), node.clone(), limit, Arc::clone(&since))),
        });
        bitten.push(since);
    }
    step.undo_after(hold, armed, last);
    injected.into_iter().collect::<Result<Vec<_>, _>>()?;
    let check = format!("the limit holds {process} back");
    let evidence = nodes.iter().zip(&bitten).map(|(node, since)| async {
        let found = bites(&step, node, &check, &look, limit, hold).await?;
        *since.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
        Ok::<_, Broken>(())
    });
    futures::future::try_join_all(evidence).await.map(drop)
}

/// Looks until the limit has held the component back, and records what came of it. Gives the processes and the last
/// look.
async fn bites(
    step: &StepContext,
    node: &str,
    check: &str,
    look: &NodeAction,
    limit: Limit,
    hold: Duration,
) -> Result<(Vec<ProcessId>, Look), Broken> {
    let deadline = Instant::now() + BITES_LIMIT.min(hold.mul_f64(0.6));
    let first = step.look(node, look).await?;
    let began = (Instant::now(), first.limited.clone().unwrap_or_default());
    loop {
        sleep(LOOK).await;
        let seen = step.look(node, look).await?;
        let now = (Instant::now(), seen.limited.clone().unwrap_or_default());
        let held = held_back(&limit, &began, &now);
        if held.is_ok() || now.0 >= deadline {
            let why = held.as_ref().map_or_else(Clone::clone, Clone::clone);
            step.record_evidence(node, check, held.is_ok(), format!("{why}; {}", describe(&seen)));
            return Ok((ids(&first), now));
        }
    }
}

fn ids(report: &ActionReport) -> Vec<ProcessId> {
    report.processes.iter().map(|process| process.id.clone()).collect()
}

/// The last look: it held the component back since the evidence as well. Notes a restart.
fn still(
    step: StepContext,
    node: String,
    limit: Limit,
    since: Bitten,
) -> impl Fn(&ActionReport) -> bool + Send + Sync {
    move |seen| {
        let since = since.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((processes, bitten)) = &*since else { return false };
        let now = (Instant::now(), seen.limited.clone().unwrap_or_default());
        if ids(seen) != *processes {
            let how = if now.1.in_force { "is limited as well" } else { "is not limited" };
            let message = format!("{node}: the limited process was restarted, and the new one {how}");
            step.context.recorder.record(Event::Note { message });
        }
        held_back(&limit, bitten, &now).is_ok()
    }
}

/// Did the limit hold the component back between the two looks? Why, or why not.
fn held_back(limit: &Limit, (began, first): &Look, (ended, now): &Look) -> Result<String, String> {
    if !now.in_force {
        return Err("the limit is not in force on every process of the component".into());
    }
    let over = ended.duration_since(*began);
    let mut why_not = Vec::new();
    let mut why = Vec::new();
    if limit.cpu.is_some() {
        let throttled = now.throttled.saturating_sub(first.throttled);
        let said = format!("{throttled} periods throttled within {:.1} s", over.as_secs_f64());
        if throttled > 0 { &mut why } else { &mut why_not }.push(said);
    }
    let rates = [
        ("reads", limit.read_iops.map(u64::from), first.reads, now.reads),
        ("writes", limit.write_iops.map(u64::from), first.writes, now.writes),
        ("bytes read", limit.read_bytes.map(|bytes| bytes.0), first.read_bytes, now.read_bytes),
        ("bytes written", limit.write_bytes.map(|bytes| bytes.0), first.write_bytes, now.write_bytes),
    ];
    for (what, limit, before, after) in rates {
        let Some(limit) = limit else { continue };
        if over < RATE_OVER {
            why_not.push(format!("{what} were not counted for long enough"));
            continue;
        }
        let rate = per_second(after.saturating_sub(before), over);
        let share = rate / per_second(limit, Duration::from_secs(1));
        let said = format!("{rate:.1} {what} a second with a limit of {limit} for each disk");
        if share > EXCEEDED * f64::from(now.disks.max(1)) {
            return Err(format!("{said}: it does not bear on them"));
        }
        if share >= SATURATED { &mut why } else { &mut why_not }.push(said);
    }
    if why.is_empty() { Err(why_not.join(", ")) } else { Ok(why.join(", ")) }
}

#[expect(clippy::cast_precision_loss, reason = "a rate is compared to a quarter")]
fn per_second(count: u64, over: Duration) -> f64 {
    count as f64 / over.as_secs_f64().max(f64::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use recoup_model::quantity::Millicores;

    use super::*;

    fn after(seconds: u64, limit: Limit, now: Limited) -> Result<String, String> {
        let began = Instant::now();
        held_back(&limit, &(began, Limited::default()), &(began + Duration::from_secs(seconds), now))
    }

    const CPU: Limit = Limit {
        cpu: Some(Millicores(50)),
        read_iops: None,
        write_iops: None,
        read_bytes: None,
        write_bytes: None,
    };
    const WRITES: Limit = Limit { cpu: None, write_iops: Some(20), ..CPU };

    #[test]
    fn a_quota_that_was_never_used_up_held_nobody_back() {
        let limited = |throttled| Limited { in_force: true, periods: 40, throttled, ..Limited::default() };
        assert!(after(4, CPU, limited(1)).is_ok());
        assert!(after(4, CPU, limited(0)).is_err());
        let elsewhere = Limited { in_force: false, ..limited(40) };
        assert!(after(4, CPU, elsewhere).unwrap_err().contains("not in force"));
    }

    #[test]
    fn writes_far_below_their_limit_were_not_held_back_and_far_above_it_not_limited() {
        let limited = |writes| Limited { in_force: true, disks: 1, writes, ..Limited::default() };
        assert!(after(10, WRITES, limited(200)).is_ok());
        assert!(after(10, WRITES, limited(160)).is_ok());
        assert!(after(10, WRITES, limited(100)).is_err());
        assert!(after(10, WRITES, limited(0)).is_err());
        assert!(after(10, WRITES, limited(900)).unwrap_err().contains("does not bear"));
        assert!(after(1, WRITES, limited(20)).is_err(), "a second says nothing");
    }
}
