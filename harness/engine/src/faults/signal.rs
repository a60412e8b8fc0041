//! `signal:` a signal to a component's process. KILL and TERM end it, STOP freezes it until CONT.

use std::time::Duration;

use recoup_model::{
    action::{ActionReport, NodeAction, Process, ProcessId, Signal},
    event::Event,
    spec::SignalFault,
    time::Offset,
};
use tokio::time::{Instant, sleep};

use crate::{
    armed::{Armed, Last},
    context::{Broken, Context, StepContext},
};

/// How long a process may take to end after SIGTERM: kube-apiserver drains for up to a minute.
const TERM_LIMIT: Duration = Duration::from_secs(75);
/// The kernel needs no time to kill or freeze; the table is read again in case it is busy.
const AT_ONCE: Duration = Duration::from_secs(5);
/// A static pod's restart back-off grows to five minutes.
const RETURN_LIMIT: Duration = Duration::from_secs(330);
/// Between two looks for the process that returns: each is an exec on the node.
const RETURN_PERIOD: Duration = Duration::from_millis(200);

pub(super) async fn inject(context: &Context, step: u32, fault: &SignalFault) -> Result<(), Broken> {
    let nodes = context.targets(&fault.on, 1).await?;
    let node = nodes[0].clone();
    let role = fault.on.to_string();
    let text = format!("{} to {} on {node} ({role}), {} times", fault.signal, fault.process, fault.times);
    let step = context.step(step, "signal", &nodes, text.trim_end_matches(", 1 times").to_owned());
    if fault.signal == Signal::Stop {
        return freeze(&step, &node, fault).await;
    }
    let mut last = end(&step, &node, fault).await?;
    for _ in 1..fault.times {
        come_back(&step, &node, fault.process, &last).await?;
        sleep(fault.every.unwrap_or_default().0).await;
        last = end(&step, &node, fault).await?;
    }
    let (process, watched) = (fault.process, step.clone());
    context.background(async move { come_back(&watched, &node, process, &last).await.map(drop) });
    Ok(())
}

/// Sends the signal and waits until the very processes that got it are gone.
/// Gives them, with an offset just before the signal.
async fn end(
    step: &StepContext,
    node: &str,
    fault: &SignalFault,
) -> Result<(Vec<ProcessId>, Offset), Broken> {
    let look = NodeAction::Inspect { process: fault.process };
    let ran: Vec<ProcessId> = step.look(node, &look).await?.processes.into_iter().map(|p| p.id).collect();
    let before = step.context.recorder.clock().now();
    let action = NodeAction::Signal { process: fault.process, signal: fault.signal, only: None };
    let report = step.inject(node, action).await?;
    let hit: Vec<ProcessId> = report.processes.iter().map(|p| p.id.clone()).collect();
    let check = format!("the {} that got {} is gone", fault.process, fault.signal);
    if hit.is_empty() {
        step.record_evidence(node, &check, false, "there was no such process to signal".into());
        return Ok((hit, before));
    }
    // That a stranger is not among them afterwards would say nothing.
    if let Some(stranger) = hit.iter().find(|id| !ran.contains(id)) {
        let seen = format!("process {} got it, which was none of them before", stranger.pid);
        step.record_evidence(node, &check, false, seen);
        return Ok((hit, before));
    }
    let limit = if fault.signal == Signal::Term { TERM_LIMIT } else { AT_ONCE };
    step.evidence(node, &check, &look, limit, |seen| seen.processes.iter().all(|p| !hit.contains(&p.id)))
        .await?;
    Ok((hit, before))
}

/// Waits for another process in the place of those that are gone (since the given offset at the earliest),
/// and records between which looks it came.
async fn come_back(
    step: &StepContext,
    node: &str,
    component: Process,
    gone_since: &(Vec<ProcessId>, Offset),
) -> Result<(), Broken> {
    let (gone, mut missing) = (&gone_since.0, gone_since.1);
    let clock = step.context.recorder.clock();
    let deadline = Instant::now() + RETURN_LIMIT;
    while Instant::now() < deadline && !step.context.cancel.is_cancelled() {
        let asked = clock.now();
        let report = step.look(node, &NodeAction::Inspect { process: component }).await?;
        if let Some(process) = report.processes.into_iter().find(|p| !gone.contains(&p.id)) {
            let (step_number, node, seen) = (step.step, node.to_owned(), clock.now());
            step.context.recorder.record(Event::ProcessBack {
                step: step_number,
                node,
                missing,
                seen,
                process,
            });
            return Ok(());
        }
        missing = asked;
        sleep(RETURN_PERIOD).await;
    }
    Ok(())
}

async fn freeze(step: &StepContext, node: &str, fault: &SignalFault) -> Result<(), Broken> {
    let look = NodeAction::Inspect { process: fault.process };
    let found = step.look(node, &look).await?;
    let hold = fault.hold.unwrap_or_default().0;
    let arming = found.processes.iter().map(|p| {
        let only = Some(p.id.clone());
        step.arm(node, NodeAction::Signal { process: fault.process, signal: Signal::Cont, only }, hold)
    });
    let armed: Vec<Armed> = futures::future::try_join_all(arming).await?;
    let hit: Vec<ProcessId> = found.processes.into_iter().map(|p| p.id).collect();
    for id in &hit {
        let only = Some(id.clone());
        step.inject(node, NodeAction::Signal { process: fault.process, signal: Signal::Stop, only }).await?;
    }
    let frozen = {
        let hit = hit.clone();
        move |seen: &ActionReport| {
            let stopped = |id: &ProcessId| seen.processes.iter().any(|p| p.id == *id && p.state == 'T');
            !hit.is_empty() && hit.iter().all(stopped)
        }
    };
    let process = fault.process;
    let last = Last {
        node: node.to_owned(),
        check: format!("the {process} is still stopped when it is to be thawed"),
        look: look.clone(),
        shows: Box::new(frozen.clone()),
    };
    step.undo_after(hold, armed, vec![last]);
    let check = format!("the {process} is stopped");
    step.evidence(node, &check, &look, AT_ONCE, frozen).await?;
    Ok(())
}
