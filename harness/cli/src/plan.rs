//! `recoup plan`: what will happen, to whom, and which budgets decide. Changes nothing: a cluster that is named has its
//! settings read, and is never made, replaced or deleted.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::Result;
use recoup_clusters::{Cluster, ClusterError, Making, Profile, Wanted};
use recoup_engine::choose::{Choice, cluster_lacks, profile_lacks, provider};
use recoup_model::{
    action::StaticPod,
    configuration::{Configuration, Setting, names},
    plan::Plan,
    predict::{USUAL, predict, unpredicted},
    spec::{Flags, requirements},
    time::Span,
    topology::{NodeRole, ProviderKind},
};

use crate::{
    args,
    exit::{Exit, Told},
    output::{print, real_time, virtual_time},
    select::select,
    words,
};

/// Says on stdout what a run of the selection would do.
///
/// # Errors
/// Where the selection is wrong, or the cluster that is named is not there or does not answer.
pub fn plan(args: &args::Plan) -> Result<Exit> {
    let plans = select(&args.selection)?;
    // It outlives what was read: connections belong to it.
    let runtime = if args.cluster == Choice::Sim { virtual_time()? } else { real_time()? };
    let sources = runtime.block_on(sources(args, &plans))?;
    let mut text = String::new();
    for (profile, source) in &sources {
        text += &format!("settings for profile {profile}: {}\n", source.whose);
        for doubt in &source.config.doubts {
            text += &format!("  in doubt: {doubt}\n");
        }
    }
    text.push('\n');
    let (mut least, mut most) = (Duration::ZERO, Duration::ZERO);
    for plan in &plans {
        // There is one for the profile of each plan.
        let Some(source) = sources.get(&plan.profile) else { continue };
        let config = with_flags(&source.config, &plan.flags);
        let plan = with_predictions(plan, &config);
        text += &describe(&plan, &config, source.cluster.as_deref())?;
        let (from, to) = words::duration(&plan);
        least += from;
        most += to;
    }
    let range = format!("{} to {}", words::about(least), words::about(most));
    let end = if named(args) { "Settings were read, nothing was changed" } else { "Nothing was touched" };
    text += &format!(
        "{}, {range} beside setting up and health checks. {end}.\n",
        words::count(plans.len(), "experiment")
    );
    print(&text)?;
    Ok(Exit::Passed)
}

/// The experiment with what is predicted of it from documented defaults.
///
/// # Errors
/// Where its profile is none.
pub fn foreseen(plan: &Plan) -> Result<Plan> {
    let source = documented(&Profile::load(&plan.profile)?);
    Ok(with_predictions(plan, &with_flags(&source.config, &plan.flags)))
}

/// `config` has the plan's own flags in it.
fn with_predictions(plan: &Plan, config: &Configuration) -> Plan {
    Plan { predictions: predict(plan, config), ..plan.clone() }
}

/// What the intervals of a profile's experiments are computed from.
struct Source {
    /// Whose settings they are, in words.
    whose: String,
    config: Configuration,
    /// None where they are documented ones.
    cluster: Option<Arc<dyn Cluster>>,
}

/// The arguments name a cluster, by its provider or by what must fit it.
fn named(args: &args::Plan) -> bool {
    let making = &args.making;
    let by_name = args.adopt.is_some() || making.name.is_some();
    by_name || making.image.is_some() || making.kubernetes.is_some() || args.cluster != Choice::Auto
}

/// By profile.
async fn sources(args: &args::Plan, plans: &[Plan]) -> Result<BTreeMap<String, Source>> {
    let mut sources = BTreeMap::new();
    for plan in plans {
        if sources.contains_key(&plan.profile) {
            continue;
        }
        let profile = Profile::load(&plan.profile)?;
        let source = if named(args) { read(args, profile).await? } else { documented(&profile) };
        sources.insert(plan.profile.clone(), source);
    }
    Ok(sources)
}

fn documented(profile: &Profile) -> Source {
    let whose = format!(
        "documented defaults of Kubernetes 1.{USUAL} and profile {}; a run reads the cluster's own, as `recoup plan \
         --cluster kind` does",
        profile.name
    );
    Source { whose, config: profile.configuration(USUAL), cluster: None }
}

/// Reads the settings of the cluster that a run with these arguments would use.
async fn read(args: &args::Plan, profile: Profile) -> Result<Source> {
    let making = &args.making;
    let kind = if args.cluster == Choice::Sim { ProviderKind::Sim } else { ProviderKind::Kind };
    if kind == ProviderKind::Sim
        && (args.adopt.is_some() || making.image.is_some() || making.kubernetes.is_some())
    {
        let message = "--adopt, --image and --kubernetes need a real cluster";
        return Err(Told::new(Exit::Usage, message).help("say --cluster kind").into());
    }
    let usual = format!("recoup-{}", profile.name);
    let mut wanted = Wanted {
        name: args.adopt.clone().or_else(|| making.name.clone()).unwrap_or_else(|| usual.clone()),
        profile,
        image: making.image.clone(),
        version: making.kubernetes.clone(),
        adopt: args.adopt.is_some(),
        seed: 0,
        making: Making::default(),
    };
    let provider = provider(kind);
    // A simulated cluster is there as soon as it is asked for, and gone with this process.
    if kind == ProviderKind::Kind {
        match provider.nodes(&wanted.name).await {
            Err(ClusterError::NoSuchCluster(_)) => return Err(absent(&wanted, &usual).into()),
            found => drop(found?),
        }
        // Says no where a run would: somebody else's cluster, another profile's, another image.
        provider.usable(&wanted).await?;
        // What is adopted is never replaced, and should it vanish now, none is made in its place.
        wanted.adopt = true;
        wanted.making = Making::new(|name| Err(ClusterError::NoSuchCluster(name.to_owned())));
    }
    let (cluster, _) = provider.obtain(&wanted, &|message| eprintln!("{message}")).await?;
    let found = cluster.fingerprint();
    let sort = if found.simulated() { "SIMULATED" } else { "kind" };
    let whose = format!("read from {sort} cluster {}, Kubernetes {}", found.cluster, found.kubernetes);
    Ok(Source { whose, config: cluster.configuration().clone(), cluster: Some(cluster) })
}

fn absent(wanted: &Wanted, usual: &str) -> Told {
    let (name, profile) = (&wanted.name, &wanted.profile.name);
    let flag = if name == usual { String::new() } else { format!(" --name {name}") };
    Told::new(Exit::NoCluster, format!("there is no kind cluster {name:?} to read settings of")).help(format!(
        "`recoup cluster up {profile}{flag}` makes it; without an argument that names a cluster, intervals follow \
         from documented defaults"
    ))
}

/// The settings with an experiment's own flags in them, which a run puts in place before it reads.
fn with_flags(config: &Configuration, flags: &Flags) -> Configuration {
    let mut config = config.clone();
    let all = flags.iter().flat_map(|(pod, args)| args.iter().map(move |(flag, text)| (*pod, flag, text)));
    for (pod, flag, text) in all {
        // etcd's are numbers of milliseconds.
        let millis = || text.parse().ok().map(Span::millis);
        let Some(span) = text.parse::<Span>().ok().or_else(millis) else { continue };
        let setting = Setting::new(span.0, format!("--{flag} of {}, by the experiment", pod.process()));
        let election = config.elections.get_mut(pod.process().program());
        let settings = &mut config.settings;
        let known = match (pod, flag.as_str(), election) {
            (_, names::flags::LEASE_DURATION, Some(election)) => Some(&mut election.lease_duration),
            (_, names::flags::RENEW_DEADLINE, Some(election)) => Some(&mut election.renew_deadline),
            (_, names::flags::RETRY_PERIOD, Some(election)) => Some(&mut election.retry_period),
            (StaticPod::KubeControllerManager, names::flags::NODE_GRACE, _) => {
                settings.get_mut(names::NODE_GRACE)
            }
            (StaticPod::KubeControllerManager, names::flags::NODE_MONITOR, _) => {
                settings.get_mut(names::NODE_MONITOR)
            }
            (StaticPod::Etcd, names::flags::ETCD_HEARTBEAT, _) => settings.get_mut(names::ETCD_HEARTBEAT),
            (StaticPod::Etcd, names::flags::ETCD_ELECTION, _) => settings.get_mut(names::ETCD_ELECTION),
            _ => None,
        };
        if let Some(known) = known {
            *known = setting;
        }
    }
    config
}

/// Seconds as the arithmetic writes them.
fn seconds(span: Span) -> String {
    let text = format!("{:.3}", span.0.as_secs_f64());
    format!("{}s", text.trim_end_matches('0').trim_end_matches('.'))
}

/// `config` has the plan's own flags in it, and its predictions follow from that.
fn describe(plan: &Plan, config: &Configuration, cluster: Option<&dyn Cluster>) -> Result<String> {
    let profile = Profile::load(&plan.profile)?;
    let (least, most) = words::duration(plan);
    let mut text = format!("{}\n", plan.id);
    let mut line = |head: &str, body: String| text += &format!("  {head:<11} {body}\n");
    line("believed", plan.hypothesis.split_whitespace().collect::<Vec<_>>().join(" "));
    let nodes_of = |role| {
        cluster.map_or_else(|| profile.count(role), |found| found.fingerprint().with_role(role).count())
    };
    let name = cluster.map(|found| format!("{}, ", found.fingerprint().cluster)).unwrap_or_default();
    line(
        "cluster",
        format!(
            "{name}profile {}: {}, {}",
            profile.name,
            words::count(nodes_of(NodeRole::ControlPlane), "control plane"),
            words::count(nodes_of(NodeRole::Worker), "worker")
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
    let lacks = cluster.map_or_else(|| profile_lacks(plan, &profile), |found| cluster_lacks(plan, found));
    for lack in lacks {
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
        format!("good for {} counts as stable; observed for up to {}", plan.stable, plan.observed()),
    );
    let unpredicted = unpredicted(plan, config);
    for (pod, args) in &plan.flags {
        let args: Vec<String> = args.iter().map(|(flag, value)| format!("--{flag}={value}")).collect();
        line("settings", format!("{} {} while it lasts", pod.process(), args.join(" ")));
    }
    for milestone in &plan.milestones {
        line("measured", words::milestone(milestone));
        if let Some(prediction) = plan.predictions.get(&milestone.name) {
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
