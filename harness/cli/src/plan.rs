//! `recoup plan`: what will happen, to whom, and which budgets decide. Touches nothing.

use std::time::Duration;

use anyhow::Result;
use recoup_clusters::Profile;
use recoup_engine::choose::profile_lacks;
use recoup_model::{
    plan::Plan,
    predict::{USUAL, predict, unpredicted},
    spec::requirements,
    time::Span,
    topology::NodeRole,
};

use crate::{args, exit::Exit, output::print, select::select, words};

/// Says on stdout what a run of the selection would do.
///
/// # Errors
/// Where the selection is wrong.
pub fn plan(args: &args::Plan) -> Result<Exit> {
    let plans = select(&args.selection)?;
    let mut text = String::new();
    let (mut least, mut most) = (Duration::ZERO, Duration::ZERO);
    for plan in &plans {
        text += &describe(plan)?;
        let (from, to) = words::duration(plan);
        least += from;
        most += to;
    }
    let range = format!("{} to {}", words::about(least), words::about(most));
    text += &format!(
        "{}, {range} beside setting up and health checks. Nothing was touched.\n",
        words::count(plans.len(), "experiment")
    );
    print(&text)?;
    Ok(Exit::Passed)
}

/// Seconds as the arithmetic writes them.
fn seconds(span: Span) -> String {
    let text = format!("{:.3}", span.0.as_secs_f64());
    format!("{}s", text.trim_end_matches('0').trim_end_matches('.'))
}

fn describe(plan: &Plan) -> Result<String> {
    let profile = Profile::load(&plan.profile)?;
    let (least, most) = words::duration(plan);
    let mut text = format!("{}\n", plan.id);
    let mut line = |head: &str, body: String| text += &format!("  {head:<11} {body}\n");
    line("believed", plan.hypothesis.split_whitespace().collect::<Vec<_>>().join(" "));
    let (planes, workers) = (profile.count(NodeRole::ControlPlane), profile.count(NodeRole::Worker));
    line(
        "cluster",
        format!(
            "profile {}: {}, {}",
            profile.name,
            words::count(planes, "control plane"),
            words::count(workers, "worker")
        ),
    );
    let needs = requirements(plan);
    let abilities: Vec<String> = needs.capabilities.iter().map(|one| format!("{one:?}")).collect();
    let nodes = format!(
        "{}, {}",
        words::count(needs.control_planes, "control plane"),
        words::count(needs.workers, "worker")
    );
    line("needs", format!("at least {nodes}; {}", abilities.join(", ")));
    for lack in profile_lacks(plan, &profile) {
        line("LACKING", format!("{lack}: it would be skipped"));
    }
    let tolerations =
        plan.workload.toleration_seconds.map(|s| format!(", evicted after {s} s")).unwrap_or_default();
    line("workload", words::count(plan.workload.replicas as usize, "pod") + &tolerations);
    line("duration", format!("{} to {}", words::about(least), words::about(most)));
    line("baseline", format!("{} of undisturbed probing", plan.baseline));
    for (index, step) in plan.steps.iter().enumerate() {
        line(&format!("step {}", index + 1), words::step(step));
    }
    line(
        "recovery",
        format!("good for {} counts as stable; observed for up to {}", plan.stable, plan.observe),
    );
    let config = profile.configuration(USUAL);
    let predictions = predict(plan, &config);
    let unpredicted = unpredicted(plan, &config);
    let read = format!(
        "documented for Kubernetes 1.{USUAL} and profile {}; a run reads the cluster's own",
        profile.name
    );
    line("settings", read);
    for milestone in &plan.milestones {
        line("measured", words::milestone(milestone));
        if let Some(prediction) = predictions.get(&milestone.name) {
            line("", format!("  predicted {} to {}", seconds(prediction.low), seconds(prediction.high)));
            for addend in &prediction.arithmetic {
                line("", format!("    {addend}"));
            }
        }
        for (_, why) in unpredicted.iter().filter(|(name, _)| *name == milestone.name) {
            line("", format!("  no interval is predicted: {why}"));
        }
    }
    for assertion in &plan.assertions {
        line("asserted", words::assertion(assertion));
    }
    text.push('\n');
    Ok(text)
}
