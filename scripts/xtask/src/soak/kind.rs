//! The soak on a real cluster: the program is killed from outside, as a user or an operating system would.

use std::{
    fs::{self, File},
    ops::Range,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context as _, Result, bail, ensure};
use recoup_clusters::{Cluster, Profile, Provider, Wanted, kind::KindProvider};
use recoup_engine::{EVENTS, ledger, reader::Records};
use recoup_model::{
    action::{NodeAction, Unit},
    event::{Event, Phase},
};
use tokio::runtime::Runtime;

use super::{
    Soak,
    choose::{Candidate, candidates, carried, choose, length},
    kill::{Heal, Kill, OVER, REAPER_LIMIT_MS},
    process::{end_reaper, is_reaper, reaper_gone, reaper_of},
    survey::{Survey, differences, survey},
};

/// From the process' start to the baseline, until a run has shown how long it takes: looking at the cluster, the
/// workload, the health check.
const SETUP_S: f64 = 15.0;
/// A node's own deadline is this long after the end of the hold; and a machine may be busy.
const DEADLINE_GRACE: Duration = Duration::from_secs(15 + 15);
/// A killed static pod's restart may be delayed by up to five minutes.
const HEALTHY_LIMIT: Duration = Duration::from_secs(600);
/// Unhealthy for so long, the cluster is helped by forgetting the restart delays.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two looks at the nodes.
const LOOK: Duration = Duration::from_millis(500);

struct Place<'a> {
    soak: &'a Soak,
    recoup: PathBuf,
    runs: PathBuf,
    runtime: Runtime,
    provider: KindProvider,
    cluster: Arc<dyn Cluster>,
    nodes: Vec<String>,
    before: Survey,
}

/// Kills until there are as many as were asked for.
///
/// # Errors
/// Where there is no healthy cluster of that name, or it does not get healthy again.
pub fn soak(
    root: &Path,
    soak: &Soak,
    mut numbers: Range<u64>,
    told: &mut dyn FnMut(Kill) -> Result<()>,
) -> Result<()> {
    let recoup = soak.recoup.clone().unwrap_or_else(|| root.join("target/debug/recoup"));
    let recoup = recoup.canonicalize().with_context(|| format!("{}: build it first", recoup.display()))?;
    let runs = tempfile::Builder::new().prefix("recoup-soak-").tempdir()?.keep().canonicalize()?;
    eprintln!("runs: {}", runs.display());
    let runtime = recoup_engine::runtime::real_time()?;
    let (provider, cluster) = runtime.block_on(connect(&soak.name))?;
    let profile = cluster.fingerprint().profile.clone();
    let nodes = cluster.fingerprint().nodes.iter().map(|node| node.name.clone()).collect();
    let mut place =
        Place { soak, recoup, runs, runtime, provider, cluster, nodes, before: Survey::default() };
    place.healthy(Instant::now())?;
    place.before = place.survey();
    let candidates = carried(candidates(&profile, &soak.only)?, &*place.cluster);
    ensure!(!candidates.is_empty(), "no experiment on profile {profile} begins with {:?}", soak.only);
    let mut setup = SETUP_S;
    while let Some(number) = numbers.next() {
        let mut kill = place.one(number, &candidates, &mut setup)?;
        // One more in place of one that was none.
        numbers.end += u64::from(!kill.happened());
        let failures = kill.failures();
        eprintln!(
            "{number}: {} killed after {:.1} s in {}, {} armed{}; reaper {}, clean {}, {}",
            kill.experiment,
            Duration::from_millis(kill.at_ms).as_secs_f64(),
            kill.phase,
            kill.armed,
            if kill.alone { ", reaper killed too" } else { "" },
            ms(kill.reaper_ms),
            ms(kill.clean_ms),
            some_of(&failures)
        );
        if !kill.residue.is_empty() {
            place.put_right(&mut kill);
        }
        told(kill)?;
    }
    // What is worth a look stays.
    if fs::read_dir(place.runs.join("runs")).is_ok_and(|mut left| left.next().is_none()) {
        fs::remove_dir_all(&place.runs).ok();
    }
    Ok(())
}

/// The first few in words: all of them stand in the file.
fn some_of(failures: &[String]) -> String {
    match failures {
        [] => "all right".to_owned(),
        [first] => first.clone(),
        [first, rest @ ..] => format!("{first}; and {} more", rest.len()),
    }
}

fn ms(value: Option<u64>) -> String {
    value.map_or("–".into(), |ms| format!("{ms} ms"))
}

/// The cluster as it is: a soak neither makes nor replaces one.
async fn connect(name: &str) -> Result<(KindProvider, Arc<dyn Cluster>)> {
    let provider = KindProvider::new();
    let listed = provider.list().await?;
    let one = listed
        .into_iter()
        .find(|one| one.name == name)
        .with_context(|| format!("there is no cluster {name}"))?;
    let profile = one.profile.with_context(|| format!("cluster {name} was not made by recoup"))?;
    let wanted = Wanted {
        profile: Profile::load(&profile)?,
        name: name.to_owned(),
        image: None,
        version: None,
        adopt: true,
        seed: 0,
        making: recoup_clusters::Making::default(),
    };
    let (cluster, _) = provider.obtain(&wanted, &|message| eprintln!("{message}")).await?;
    Ok((provider, cluster))
}

impl Place<'_> {
    fn survey(&self) -> Survey {
        self.runtime.block_on(async {
            match self.provider.nodes(&self.soak.name).await {
                Ok(nodes) => survey(&*nodes, &self.nodes).await,
                Err(error) => self
                    .nodes
                    .iter()
                    .map(|node| (node.clone(), vec![format!("it cannot be surveyed: {error}")]))
                    .collect(),
            }
        })
    }

    fn one(&self, number: u64, candidates: &[Candidate], setup: &mut f64) -> Result<Kill> {
        let choice = choose(self.soak.seed, number, candidates.len());
        let candidate = &candidates[choice.index];
        let at = Duration::from_secs_f64(choice.share * (*setup + length(&candidate.plan)));
        let alone = self.soak.alone > 0 && (number + 1).is_multiple_of(self.soak.alone);
        let (mut child, began) = self.start(number, choice.seed, candidate)?;
        let over = wait(&mut child, began + at)?;
        let run = self.run_of(number);
        let reaper = run.as_deref().and_then(reaper_of);
        let mut kill = Kill {
            kill: number,
            seed: choice.seed,
            experiment: candidate.plan.id.clone(),
            alone,
            ..Kill::default()
        };
        if let (true, false, Some(pid), Some(run)) = (alone, over, reaper, &run)
            && is_reaper(pid, run)
        {
            end_reaper(pid, run)?;
        }
        // SIGKILL, to that process alone.
        child.kill().or_else(|error| if over { Ok(()) } else { Err(error) })?;
        let (killed, killed_at) = (Instant::now(), SystemTime::now());
        child.wait()?;
        kill.at_ms = millis(killed.duration_since(began));
        if let Some(run) = &run {
            let armed = ledger::peek(run)?;
            kill.armed = armed.len();
            kill.faults =
                armed.iter().map(|entry| format!("{} on {}", entry.undo.name(), entry.node)).collect();
            let read = read(run, killed_at);
            (kill.phase, kill.lost_ms) = (read.phase, read.lost_ms);
            if let Some(baseline) = read.baseline {
                // Half of the old, so that one slow start does not rule.
                *setup = f64::midpoint(*setup, baseline);
            }
        } else {
            kill.phase = "start".into();
        }
        if over {
            kill.phase = OVER.into();
        }
        self.watch(&mut kill, candidate, run.as_deref(), reaper, killed);
        if let Some(run) = &run {
            kill.left = ledger::peek(run)?.len();
            if kill.alone {
                kill.heal = self.heal(number)?;
            }
            kill.incomplete = if over { None } else { self.incomplete(run) };
        }
        self.healthy(killed)?;
        kill.healthy_ms = Some(millis(killed.elapsed()));
        // An etcd that does not answer does not tell of what a load made.
        kill.found_later(differences(&self.before, &self.survey()));
        if kill.failures().is_empty() {
            fs::remove_dir_all(self.place_of(number)).ok();
            fs::remove_file(self.runs.join(format!("{number}.log"))).ok();
        }
        Ok(kill)
    }

    fn start(&self, number: u64, seed: u64, candidate: &Candidate) -> Result<(Child, Instant)> {
        let suite = self.runs.join("suite.yaml");
        fs::write(&suite, &candidate.text)?;
        let log = File::create(self.runs.join(format!("{number}.log")))?;
        let mut command = Command::new(&self.recoup);
        // Adopted: a cluster that is sick after all is a failure here, not one to be replaced.
        command.arg("run").arg(&suite).args(["--cluster", "kind", "--adopt", &self.soak.name]);
        command.arg("--seed").arg(seed.to_string()).arg("--runs").arg(self.place_of(number));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        Ok((command.spawn()?, Instant::now()))
    }

    /// Where the runs of one kill are kept: a run that died before it made its directory must not be taken for the
    /// one before.
    fn place_of(&self, number: u64) -> PathBuf {
        self.runs.join("runs").join(number.to_string())
    }

    /// The run's directory, with its links resolved, as the reaper knows it.
    fn run_of(&self, number: u64) -> Option<PathBuf> {
        let entries = fs::read_dir(self.place_of(number)).ok()?;
        entries.flatten().map(|entry| entry.path()).find(|path| path.is_dir())?.canonicalize().ok()
    }

    /// Waits for whoever is to put it right, and says when that was.
    fn watch(
        &self,
        kill: &mut Kill,
        candidate: &Candidate,
        run: Option<&Path>,
        reaper: Option<u32>,
        killed: Instant,
    ) {
        if let (false, Some(run), Some(pid)) = (kill.alone, run, reaper) {
            // Four times what it may take: how long it did take is to be known.
            let gone = reaper_gone(pid, run, Duration::from_millis(4 * REAPER_LIMIT_MS));
            kill.reaper_ms = Some(if gone { millis(killed.elapsed()) } else { 4 * REAPER_LIMIT_MS });
        }
        let limit = if kill.alone && kill.armed > 0 {
            candidate.armed_for() + DEADLINE_GRACE
        } else {
            Duration::from_millis(REAPER_LIMIT_MS)
        };
        loop {
            kill.residue = differences(&self.before, &self.survey());
            if kill.residue.is_empty() {
                kill.clean_ms = Some(millis(killed.elapsed()));
                return;
            }
            if killed.elapsed() >= limit {
                return;
            }
            std::thread::sleep(LOOK);
        }
    }

    /// What `recoup heal` says of the killed run; none where there was nothing in its ledger.
    fn heal(&self, number: u64) -> Result<Option<Heal>> {
        let mut command = Command::new(&self.recoup);
        let said = command.arg("heal").arg("--runs").arg(self.place_of(number)).output()?;
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        let count = |what: &str| said.lines().filter(|line| line.contains(what)).count();
        let heal = Heal {
            undone: count(": undone"),
            nothing: count(": nothing was left"),
            failed: count("NOT UNDONE"),
        };
        Ok((heal != Heal::default()).then_some(heal))
    }

    /// Does `recoup judge` see that the run did not end? None where the record holds no line to judge.
    fn incomplete(&self, run: &Path) -> Option<bool> {
        let judged = Command::new(&self.recoup).arg("judge").arg(run).output().ok()?;
        let said = String::from_utf8_lossy(&judged.stderr);
        if said.contains("no complete line") || !run.join(EVENTS).exists() {
            return None;
        }
        Some(judged.status.code() == Some(3) && said.contains("did not end properly"))
    }

    /// Waits until nothing is wrong with the cluster.
    fn healthy(&self, since: Instant) -> Result<()> {
        self.runtime.block_on(async {
            let mut helped = false;
            loop {
                let problems = self.cluster.health().await;
                if problems.is_empty() {
                    return Ok(());
                }
                if since.elapsed() > HEALTHY_LIMIT {
                    bail!("{} does not get healthy again: {}", self.soak.name, problems.join("; "));
                }
                if since.elapsed() > PATIENCE && !helped {
                    helped = true;
                    // Where nobody answers there is nobody to help yet.
                    for (node, _) in self.cluster.in_backoff().await.unwrap_or_default() {
                        self.cluster.act(&node, &NodeAction::UnitRestart { unit: Unit::Kubelet }).await.ok();
                    }
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        })
    }

    /// What is left behind must not be taken for the next kill's.
    fn put_right(&self, kill: &mut Kill) {
        match self.heal(kill.kill) {
            Ok(healed) if kill.heal.is_none() => kill.heal = healed,
            Ok(_) => {}
            Err(error) => eprintln!("recoup heal: {error:#}"),
        }
        let left = differences(&self.before, &self.survey());
        if !left.is_empty() {
            eprintln!("NOT PUT RIGHT by recoup heal either: {}", some_of(&left));
        }
    }
}

/// Waits until then; true where the process ended before.
fn wait(child: &mut Child, until: Instant) -> Result<bool> {
    ensure!(until > Instant::now() - Duration::from_secs(3600), "the clock is wrong");
    loop {
        if child.try_wait()?.is_some() {
            return Ok(true);
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        std::thread::sleep(left.min(Duration::from_millis(50)));
    }
}

struct Read {
    phase: String,
    /// Seconds from the run's start to its first baseline.
    baseline: Option<f64>,
    lost_ms: Option<u64>,
}

/// How far a killed run came by its record.
fn read(run: &Path, killed: SystemTime) -> Read {
    let mut read = Read { phase: "cluster".into(), baseline: None, lost_ms: None };
    let Ok(records) = Records::open(run) else { return read };
    let mut last = None;
    for record in records.map_while(Result::ok) {
        let at = Duration::from_secs_f64(record.at.seconds());
        last = Some(at);
        if let Event::PhaseStarted { phase } = &record.event {
            if *phase == Phase::Baseline && read.baseline.is_none() {
                read.baseline = Some(at.as_secs_f64());
            }
            read.phase = format!("{phase:?}").to_lowercase();
        }
    }
    // The record's clock starts with its file.
    let made = fs::metadata(run.join(EVENTS)).and_then(|meta| meta.created()).ok();
    let lived = made.and_then(|made| killed.duration_since(made).ok());
    let probing = ["baseline", "fault", "recovery"].contains(&read.phase.as_str());
    if let (true, Some(lived), Some(last)) = (probing, lived, last) {
        read.lost_ms = Some(millis(lived.saturating_sub(last)));
    }
    read
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
