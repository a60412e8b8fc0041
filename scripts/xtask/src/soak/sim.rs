//! The soak on simulated clusters, under virtual time: the session's future is dropped, which undoes nothing, and the
//! ledger's file is all that the reaper gets.

use std::{ops::Range, sync::Arc, time::Duration};

use anyhow::Result;
use recoup_clusters::{Cluster, Nodes, PROFILES, Profile, Provider, Wanted, sim::SimProvider};
use recoup_engine::{Listener, Session, Settings, ledger, reaper};
use recoup_model::event::Event;
use std::sync::Mutex;
use tokio::{runtime::Builder, time::Instant};

use super::{
    Soak,
    choose::{Candidate, candidates, carried, choose, length},
    kill::{Heal, Kill, OVER},
    survey::{Survey, differences, survey},
};

/// The simulation's set-up takes about this long.
const SETUP_S: f64 = 3.0;
/// A node's own deadline is this long after the end of the hold.
const DEADLINE_GRACE: Duration = Duration::from_secs(15 + 5);
/// Faults end the restart of what they hit; static pods' manifests are looked for every 20 s.
const HEALTHY_LIMIT: Duration = Duration::from_secs(900);

/// Kills until there are as many as were asked for.
///
/// # Errors
/// Where a session cannot be started.
pub fn soak(soak: &Soak, mut numbers: Range<u64>, told: &mut dyn FnMut(Kill) -> Result<()>) -> Result<()> {
    let mut all = Vec::new();
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).build()?;
    for profile in PROFILES {
        let cluster = runtime.block_on(made(&SimProvider::new(), profile, soak.seed))?;
        all.extend(carried(candidates(profile, &soak.only)?, &*cluster));
    }
    anyhow::ensure!(!all.is_empty(), "no experiment begins with {:?}", soak.only);
    while let Some(number) = numbers.next() {
        let runtime = Builder::new_current_thread().enable_all().start_paused(true).build()?;
        let kill = runtime.block_on(one(soak, number, &all))?;
        // One more in place of one that was none.
        numbers.end += u64::from(!kill.happened());
        told(kill)?;
        if (number + 1).is_multiple_of(100) {
            eprintln!("{} kills", number + 1);
        }
    }
    Ok(())
}

async fn made(provider: &SimProvider, profile: &str, seed: u64) -> Result<Arc<dyn Cluster>> {
    let wanted = Wanted {
        profile: Profile::load(profile)?,
        name: format!("recoup-{profile}"),
        image: None,
        version: None,
        adopt: false,
        seed,
        making: recoup_clusters::Making::default(),
    };
    Ok(provider.obtain(&wanted, &|_| ()).await?.0)
}

async fn one(soak: &Soak, number: u64, candidates: &[Candidate]) -> Result<Kill> {
    let choice = choose(soak.seed, number, candidates.len());
    let candidate = &candidates[choice.index];
    let plan = candidate.plan.clone();
    let alone = soak.alone > 0 && (number + 1).is_multiple_of(soak.alone);
    let runs = tempfile::tempdir()?;
    let provider = Arc::new(SimProvider::new());
    let cluster = made(&provider, &plan.profile, choice.seed).await?;
    let nodes: Vec<String> = cluster.fingerprint().nodes.iter().map(|node| node.name.clone()).collect();
    let before = survey(&*cluster, &nodes).await;

    let phase = Arc::new(Mutex::new("cluster".to_owned()));
    let mut session = start(runs.path(), choice.seed, &provider, &phase)?;
    let dir = session.dir().to_owned();
    let began = Instant::now();
    let at = Duration::from_secs_f64(choice.share * (SETUP_S + length(&plan)));
    let running = plan.clone();
    // A task of its own, so that it is dropped wherever it stands.
    let mut run = tokio::spawn(async move { session.experiment(&running).await.map(|_| ()) });
    let over = tokio::time::timeout(at, &mut run).await.is_ok();
    run.abort();
    if !over {
        // Cancelled: that it is gone is all there is to know.
        let _ = run.await;
    }
    // What it had spawned is dropped with it, each at its next turn: time stands still until all of them had theirs.
    tokio::time::sleep(Duration::from_millis(1)).await;
    let killed = Instant::now();
    let armed = ledger::peek(&dir)?;
    let mut kill = Kill {
        kill: number,
        seed: choice.seed,
        experiment: plan.id.clone(),
        at_ms: millis(killed.duration_since(began)),
        phase: if over { OVER.into() } else { phase.lock().map(|phase| phase.clone()).unwrap_or_default() },
        armed: armed.len(),
        faults: armed.iter().map(|entry| format!("{} on {}", entry.undo.name(), entry.node)).collect(),
        alone,
        ..Kill::default()
    };
    if alone {
        let limit = candidate.armed_for() + DEADLINE_GRACE;
        until_clean(&mut kill, &before, &*cluster, &nodes, killed, limit).await;
        let healed = recoup_engine::heal::heal(runs.path(), &*provider, None).await?;
        let count =
            |which: fn(&recoup_engine::heal::Healed) -> bool| healed.iter().filter(|one| which(one)).count();
        let heal = Heal {
            undone: count(|one| matches!(one.outcome, Ok(true))),
            nothing: count(|one| matches!(one.outcome, Ok(false))),
            failed: count(|one| one.outcome.is_err()),
        };
        kill.heal = (heal != Heal::default()).then_some(heal);
    } else {
        let shared: Arc<dyn Provider> = provider.clone();
        reaper::reap(&dir, move |_| Arc::clone(&shared), &|_| ()).await?;
        kill.reaper_ms = Some(millis(killed.elapsed()));
        until_clean(&mut kill, &before, &*cluster, &nodes, killed, Duration::from_secs(15)).await;
        kill.left = ledger::peek(&dir)?.len();
    }
    while !cluster.health().await.is_empty() {
        anyhow::ensure!(
            killed.elapsed() < HEALTHY_LIMIT,
            "kill {number}: {} does not get healthy",
            kill.experiment
        );
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    kill.healthy_ms = Some(millis(killed.elapsed()));
    kill.found_later(differences(&before, &survey(&*cluster, &nodes).await));
    Ok(kill)
}

fn start(
    runs: &std::path::Path,
    seed: u64,
    provider: &Arc<SimProvider>,
    phase: &Arc<Mutex<String>>,
) -> Result<Session> {
    let settings = Settings {
        runs: runs.to_owned(),
        seed,
        name: None,
        image: None,
        version: None,
        adopt: false,
        delete: false,
        tries: 1,
        reaper: None,
        cancel: tokio_util::sync::CancellationToken::new(),
    };
    let phase = Arc::clone(phase);
    let listener: Listener = Arc::new(move |record| {
        if let Event::PhaseStarted { phase: now } = &record.event
            && let Ok(mut phase) = phase.lock()
        {
            *phase = format!("{now:?}").to_lowercase();
        }
    });
    let provider: Arc<dyn Provider> = provider.clone();
    Ok(Session::start(settings, provider, &[], listener)?)
}

async fn until_clean(
    kill: &mut Kill,
    before: &Survey,
    nodes: &dyn Nodes,
    names: &[String],
    killed: Instant,
    limit: Duration,
) {
    loop {
        kill.residue = differences(before, &survey(nodes, names).await);
        if kill.residue.is_empty() {
            kill.clean_ms = Some(millis(killed.elapsed()));
            return;
        }
        if killed.elapsed() >= limit {
            return;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{super::command::On, *};

    #[test]
    fn the_soaks_own_experiments_leave_nothing_with_the_reaper_and_without() {
        let soak = Soak {
            kills: 48,
            cluster: On::Sim,
            seed: 1,
            name: String::new(),
            recoup: None,
            alone: 2,
            out: None,
            resume: None,
            only: "soak/".into(),
        };
        let mut kills = Vec::new();
        let mut told = |kill: Kill| {
            kills.push(kill);
            Ok(())
        };
        super::soak(&soak, 0..soak.kills, &mut told).expect("it is simulated");
        for kill in &kills {
            assert_eq!(kill.failures(), [""; 0], "{kill:?}");
        }
        for one in candidates("ha", "soak/").expect("some") {
            for alone in [false, true] {
                let met =
                    |kill: &&Kill| kill.experiment == one.plan.id && kill.alone == alone && kill.armed > 0;
                assert!(kills.iter().any(|kill| met(&kill)), "{}, alone: {alone}", one.plan.id);
            }
        }
    }
}
