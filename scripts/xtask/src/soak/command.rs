//! `cargo xtask soak`: arguments, the file of kills, the table.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};

use super::{kill::Kill, kind, sim, table};

/// The arguments.
#[derive(Args)]
pub struct Soak {
    /// How often to kill.
    #[arg(long, default_value_t = 100)]
    pub kills: u64,
    /// On which clusters.
    #[arg(long, value_enum, default_value_t = On::Kind)]
    pub cluster: On,
    /// Experiments, moments and targets come from it.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The kind cluster: one that recoup made, healthy, and used by nobody else meanwhile.
    #[arg(long, default_value = "recoup-ha")]
    pub name: String,
    /// The program that is killed [default: target/debug/recoup].
    #[arg(long)]
    pub recoup: Option<PathBuf>,
    /// Every so-many-th kill ends the reaper at the same moment, so that only the nodes' own deadlines are left;
    /// 0 for never.
    #[arg(long, default_value_t = 5)]
    pub alone: u64,
    /// A line of JSON per kill goes here [default: target/soak-CLUSTER-SEED.jsonl].
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// Go on with the kills that this file does not hold yet, by the same seed, and add to it.
    #[arg(long, conflicts_with = "out")]
    pub resume: Option<PathBuf>,
    /// Only experiments whose id begins so.
    #[arg(long, default_value = "")]
    pub only: String,
}

/// Where runs are killed.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum On {
    /// A real cluster.
    Kind,
    /// Simulated ones, under virtual time.
    Sim,
}

/// Kills, and prints the table.
///
/// # Errors
/// Where there is no cluster to do it on, or something was left behind.
pub fn run(root: &Path, soak: &Soak) -> Result<()> {
    let name = match soak.cluster {
        On::Kind => "kind",
        On::Sim => "sim",
    };
    let default = || root.join(format!("target/soak-{name}-{}.jsonl", soak.seed));
    let path = soak.resume.clone().or_else(|| soak.out.clone()).unwrap_or_else(default);
    let mut kills = if soak.resume.is_some() { read(&path)? } else { Vec::new() };
    if soak.resume.is_none() && path.exists() {
        fs::rename(&path, path.with_extension("jsonl.old")).with_context(|| path.display().to_string())?;
    }
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .with_context(|| path.display().to_string())?;
    let first = kills.len() as u64;
    let done = kills.iter().filter(|kill| kill.happened()).count() as u64;
    let mut told = |kill: Kill| -> Result<()> {
        let line = serde_json::to_string(&kill)?;
        writeln!(file, "{line}")?;
        kills.push(kill);
        Ok(())
    };
    match soak.cluster {
        On::Kind => kind::soak(root, soak, first..first + soak.kills.saturating_sub(done), &mut told)?,
        On::Sim => sim::soak(soak, first..first + soak.kills.saturating_sub(done), &mut told)?,
    }
    print!("{}", table::table(name, &kills));
    eprintln!("kills: {}", path.display());
    let bad = kills.iter().filter(|kill| !kill.failures().is_empty()).count();
    if bad > 0 {
        bail!("{bad} of {} kills were not put right as they must be", kills.len());
    }
    Ok(())
}

fn read(path: &Path) -> Result<Vec<Kill>> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let lines = text.lines().enumerate();
    lines
        .map(|(index, line)| {
            serde_json::from_str(line).with_context(|| format!("{}:{}", path.display(), index + 1))
        })
        .collect()
}
