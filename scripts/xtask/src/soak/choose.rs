//! What is killed next, and when: all of it from the seed.

use std::time::Duration;

use anyhow::{Context as _, Result};
use rand::{RngExt as _, SeedableRng, rngs::StdRng};
use recoup_clusters::{Cluster, LOAD_PREPARED};
use recoup_engine::{ETCD_FILLING, FLAGS_LIFE, choose::cluster_lacks};
use recoup_model::{
    plan::Plan,
    spec::{SUITES, Step, load},
};

/// The soak's own experiments, for faults that no suite holds for so short a time.
const OWN: [(&str, &str); 1] = [("soak/short", include_str!("short.yaml"))];
/// Longer holds would only make a soak longer.
const LONGEST_HOLD_S: f64 = 60.0;
/// From the steps' end on: the undo itself and a little of what comes after it.
const AFTER_S: f64 = 7.0;
/// Baselines to try: the shortest that the fastest probe's rate allows is taken. Nothing is judged, but a baseline in
/// which no change of the cluster comes to its end would begin again.
const BASELINES: [&str; 2] = ["5s", "10s"];
/// A node that removes what a load made waits for the namespace's end: twenty looks, each up to a second and a half on
/// a busy machine.
const REMOVING: Duration = Duration::from_secs(30);

/// An experiment and the suite file that makes it.
pub struct Candidate {
    /// The plan, with its short baseline.
    pub plan: Plan,
    /// The suite file's text.
    pub text: String,
}

impl Candidate {
    /// For how long nodes may keep what is armed, but for their deadlines' grace.
    pub fn armed_for(&self) -> Duration {
        let hold = self.plan.steps.iter().map(armed_for).max().unwrap_or_default();
        // Flags may be armed beside the faults, and are kept for longer.
        if self.plan.flags.is_empty() { hold } else { hold.max(FLAGS_LIFE) }
    }
}

fn armed_for(step: &Step) -> Duration {
    let hold = step.hold().unwrap_or_default().0;
    match step {
        Step::FillEtcd(_) => hold + ETCD_FILLING,
        Step::Load(_) => hold + LOAD_PREPARED + REMOVING,
        _ => hold,
    }
}

/// What to do to one run.
pub struct Choice {
    /// Index of the experiment.
    pub index: usize,
    /// The run's seed.
    pub seed: u64,
    /// How far into the run it is killed, from 0 to 1.
    pub share: f64,
}

/// The built-in experiments of a profile that are short enough and the soak's own, each in a suite file of its own.
///
/// # Errors
/// Where a suite cannot be shortened.
pub fn candidates(profile: &str, only: &str) -> Result<Vec<Candidate>> {
    let mut found = Vec::new();
    for (name, text) in SUITES.iter().chain(&OWN) {
        let file = format!("{name}.yaml");
        for plan in load(&file, text, &[profile]).unwrap_or_default() {
            let holds = plan.steps.iter().filter_map(Step::hold).map(|hold| hold.0.as_secs_f64());
            if plan.profile != profile
                || !plan.id.starts_with(only)
                || holds.fold(0.0, f64::max) > LONGEST_HOLD_S
            {
                continue;
            }
            let short = BASELINES.iter().find_map(|baseline| {
                let text = alone(text, &plan.id, baseline);
                let plans = load(&file, &text, &[profile]).ok()?;
                (plans.len() == 1).then_some(())?;
                Some(Candidate { plan: plans.into_iter().find(|one| one.id == plan.id)?, text })
            });
            found.push(short.with_context(|| format!("{}: no suite file with a short baseline", plan.id))?);
        }
    }
    Ok(found)
}

/// Those that a cluster can carry; the others are told.
pub fn carried(mut candidates: Vec<Candidate>, cluster: &dyn Cluster) -> Vec<Candidate> {
    candidates.retain(|one| {
        let lacks = cluster_lacks(&one.plan, cluster);
        if !lacks.is_empty() {
            eprintln!("{} is left out: {}", one.plan.id, lacks.join("; "));
        }
        lacks.is_empty()
    });
    candidates
}

/// The suite with that variant alone. By its text: read without its types, YAML takes a key such as `on` for a
/// boolean.
fn alone(whole: &str, id: &str, baseline: &str) -> String {
    // A single variant called `default` adds nothing to the id.
    let variant = id.split('/').nth(2).unwrap_or("default");
    let (mut text, mut listed, mut kept) = (String::new(), false, true);
    for line in whole.lines() {
        let indented = line.len() - line.trim_start().len();
        let empty = line.trim().is_empty() || line.trim_start().starts_with('#');
        if !empty && indented <= 2 {
            listed = line.trim_end() == "  variants:";
            kept = true;
        }
        if listed && let Some(name) = line.strip_prefix("    - name: ") {
            kept = name.trim() == variant;
        }
        if kept && !line.starts_with("  baseline:") {
            text += line;
            text.push('\n');
        }
        if line.trim_end() == "spec:" {
            text += &format!("  baseline: {baseline}\n");
        }
    }
    text
}

/// The choice for one kill. Each depends on the seed and its own number alone, so that a soak can be resumed.
pub fn choose(seed: u64, kill: u64, of: usize) -> Choice {
    let mut dice = StdRng::seed_from_u64(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ kill);
    Choice { index: dice.random_range(0..of), seed: dice.random_range(1..1_000_000), share: dice.random() }
}

/// How long the plan takes from its baseline to a little after its last undo, in seconds.
pub fn length(plan: &Plan) -> f64 {
    let mut at = plan.baseline.0.as_secs_f64();
    let mut end = at;
    for step in &plan.steps {
        match step {
            Step::Wait(wait) => at += wait.0.as_secs_f64(),
            Step::Signal(fault) => {
                let every = fault.every.unwrap_or_default().0.as_secs_f64();
                at += f64::from(fault.times.saturating_sub(1)) * every;
            }
            _ => {}
        }
        end = at.max(end).max(at + step.hold().unwrap_or_default().0.as_secs_f64());
    }
    end + AFTER_S
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// A new kind of step needs a candidate: one here, where no suite is short enough.
    #[test]
    fn every_kind_of_fault_is_met() {
        let schema = schemars::schema_for!(Step).to_value();
        let kinds = schema["oneOf"].as_array().expect("a kind each");
        let mut kinds: BTreeSet<&str> =
            kinds.iter().map(|kind| kind["required"][0].as_str().expect("its key")).collect();
        assert!(kinds.remove("wait") && kinds.contains("signal"), "{kinds:?}");
        let found = candidates("ha", "").expect("some");
        let steps = found.iter().flat_map(|one| &one.plan.steps);
        let met: BTreeSet<&str> = steps.map(Step::key).filter(|key| *key != "wait").collect();
        assert_eq!(met, kinds);
    }

    #[test]
    fn the_soaks_own_are_picked_by_their_name_and_short() {
        let found = candidates("ha", "soak/").expect("some");
        let ids: Vec<&str> = found.iter().map(|one| one.plan.id.as_str()).collect();
        assert_eq!(ids, ["soak/short/unit", "soak/short/drop", "soak/short/pause", "soak/short/load"]);
        assert!(found.iter().all(|one| length(&one.plan) <= 35.0));
        assert!(candidates("single", "soak/").expect("none").is_empty());
    }

    #[test]
    fn a_nodes_deadline_is_waited_for_whatever_the_fault() {
        let found = candidates("ha", "").expect("some");
        let armed = |id: &str| {
            let one = found.iter().find(|one| one.plan.id == id).unwrap_or_else(|| panic!("no {id}"));
            one.armed_for().as_secs()
        };
        assert_eq!((armed("soak/short/unit"), armed("soak/short/load")), (20, 20 + 90 + 30));
        // Its flags are kept for longer than its deadline lasts.
        assert_eq!(armed("etcd/full-disk"), FLAGS_LIFE.as_secs());
        let full = found.iter().find(|one| one.plan.id == "etcd/full-disk").expect("it is short");
        assert_eq!(full.plan.steps.iter().map(armed_for).max(), Some(Duration::from_secs(20 + 120)));
    }

    #[test]
    fn each_candidate_is_one_experiment_with_the_same_steps_and_a_short_baseline() {
        let mut plans = recoup_model::spec::builtin(recoup_clusters::PROFILES).expect("they are fine");
        for (name, text) in OWN {
            plans.extend(load(name, text, recoup_clusters::PROFILES).expect("it loads"));
        }
        let found = candidates("ha", "").expect("some");
        assert!(found.len() > 10, "{}", found.len());
        for one in &found {
            let loaded = load("x.yaml", &one.text, &["ha"]).expect("it loads");
            assert_eq!(loaded.len(), 1, "{}", one.plan.id);
            let original = plans.iter().find(|plan| plan.id == one.plan.id).expect("it is there");
            assert_eq!(one.plan.steps, original.steps);
            assert!(one.plan.baseline <= original.baseline && length(&one.plan) > AFTER_S);
        }
    }

    #[test]
    fn a_choice_depends_on_seed_and_number_alone() {
        let of = |seed, kill| {
            let choice = choose(seed, kill, 20);
            (choice.index, choice.seed, choice.share.to_bits())
        };
        assert_eq!(of(1, 7), of(1, 7));
        assert_ne!(of(1, 7), of(1, 8));
        assert_ne!(of(1, 7), of(2, 7));
        let shares: Vec<f64> = (0..1000).map(|kill| choose(1, kill, 20).share).collect();
        assert!(shares.iter().all(|share| (0.0..1.0).contains(share)));
        let mean = shares.iter().sum::<f64>() / 1000.0;
        assert!((0.45..0.55).contains(&mean), "{mean}");
    }
}
