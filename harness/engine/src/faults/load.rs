//! `load:` requests for the API servers, on schedule whatever the answers.

use recoup_clusters::{LOAD_PREPARED, LoadWanted};
use recoup_model::{action::NodeAction, event::Event, load::Schedule, spec::LoadStep, topology::NodeRole};
use tokio::time::Instant;

use crate::{
    context::{Broken, Context},
    load::Generator,
};

pub(super) async fn run(context: &Context, step: u32, load: &LoadStep) -> Result<(), Broken> {
    let step = context.step(step, "load", &[], words(load));
    let clock = context.recorder.clock();
    let wanted = LoadWanted { connections: load.connections, size: load.size.0 };
    // Any of them clears for the cluster. Its own deadline is not to do it before the load is over.
    let node = context.cluster.fingerprint().with_role(NodeRole::ControlPlane).next();
    let node = node.map(|node| node.name.clone()).unwrap_or_default();
    let armed = step.arm(&node, NodeAction::LoadClear, LOAD_PREPARED + load.hold.0).await?;
    let target = context.cluster.load(&wanted).await?;
    let generator = Generator {
        target,
        schedule: Schedule::new(load, context.draw()),
        connections: load.connections,
        timeout: load.timeout.0,
        step: step.step,
        clock,
        cancel: context.cancel.clone(),
    };
    let begin = Instant::now();
    let began = clock.offset(begin);
    let (number, end) = (step.step, began.plus(load.hold.0));
    context.recorder.record(Event::LoadStarted { step: number, began, ended: clock.now() });
    context.background(async move {
        let context = &step.context;
        let recorder = context.recorder.clone();
        let totals = generator.run(begin, move |slice| drop(recorder.record(Event::LoadSlice(slice)))).await;
        let totals = totals.map_err(|error| Broken::Panicked(error.to_string()))?;
        let seen =
            format!("{} of {} requests left, {} had good answers", totals.sent, totals.due, totals.answered);
        step.record_evidence(
            "the API servers",
            "requests of the load were answered",
            totals.answered > 0,
            seen,
        );
        let began = end.min(clock.now());
        if let Err(error) = armed.undo().await {
            // It needs API servers that answer. Where none does, that is the cluster's failure, and to be judged: the
            // ledger keeps what is left, and it is tried again at the end.
            let message = format!("what the load made could not be removed yet: {error}");
            context.recorder.record(Event::Note { message });
        }
        context.recorder.record(Event::LoadEnded { step: number, began, ended: clock.now() });
        Ok(())
    });
    Ok(())
}

/// As in `50/s to 400/s in 8 steps of get 6, list 1 over 12 connections, ended after 2m`.
fn words(load: &LoadStep) -> String {
    let rate = match (load.rate, load.ramp) {
        (_, Some(ramp)) => format!("{} to {} in {} steps", ramp.from, ramp.to, ramp.steps),
        (Some(rate), None) => rate.to_string(),
        (None, None) => "no requests".into(),
    };
    let mix = load.mix.iter().filter(|(_, weight)| **weight > 0);
    let mix: Vec<String> = mix.map(|(verb, weight)| format!("{} {weight}", verb.name())).collect();
    format!("{rate} of {} over {} connections, ended after {}", mix.join(", "), load.connections, load.hold)
}
