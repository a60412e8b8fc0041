//! What the harness itself costs the machine that it measures on, and who else uses the cluster's.

use std::{sync::Arc, time::Duration};

use recoup_clusters::Cluster;
use recoup_model::{event::Event, machine::Processors};
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep},
};

use crate::recorder::Recorder;

/// Between two readings.
const PERIOD: Duration = Duration::from_secs(5);

/// What a process uses.
#[derive(Clone, Copy, Debug)]
pub struct Used {
    /// Processor time since it began, in milliseconds.
    pub cpu_ms: u64,
    /// That of its children that have ended, in milliseconds.
    pub children_ms: u64,
    /// Resident memory, in KiB.
    pub rss_kib: u64,
}

/// Records processor time and memory until dropped. Nothing on systems without /proc.
pub(crate) fn watch(recorder: &Recorder) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let recorder = recorder.clone();
    tasks.spawn(async move {
        while let Some(Used { cpu_ms, rss_kib, .. }) = used() {
            recorder.record(Event::Overhead { cpu_ms, rss_kib });
            sleep(PERIOD).await;
        }
    });
    tasks
}

/// Records who uses the machine of the cluster's nodes until dropped. Nothing where that cannot be told.
pub(crate) fn watch_machine(cluster: &Arc<dyn Cluster>, recorder: &Recorder) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let (cluster, recorder) = (Arc::clone(cluster), recorder.clone());
    // What this process uses is of another clock than the simulated machine's.
    let simulated = cluster.fingerprint().simulated();
    tasks.spawn(async move {
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match cluster.processors().await {
                Ok(Some(processors)) => {
                    let harness_ms = if simulated { 0 } else { cpu_ms().map_or(0, |(own, _)| own) };
                    recorder.record(Event::Processors(Processors { harness_ms, ..processors }));
                }
                Ok(None) => return,
                // One reading less: the next one tells of the time since the last.
                Err(error) => tracing::debug!(%error, "who uses the machine could not be read"),
            }
        }
    });
    tasks
}

/// What this process has used by now; nothing on systems without /proc.
#[must_use]
pub fn used() -> Option<Used> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let rss_kib = rss.trim().trim_end_matches("kB").trim().parse().ok()?;
    let (cpu_ms, children_ms) = cpu_ms()?;
    Some(Used { cpu_ms, children_ms, rss_kib })
}

/// Processor time of this process, and of its children that have ended, in milliseconds.
fn cpu_ms() -> Option<(u64, u64)> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The program's name, in parentheses, may hold anything; fields are counted from behind it: user and system
    // time, then the children's.
    let fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11).take(4);
    let ticks: Vec<u64> = fields.map_while(|field| field.parse().ok()).collect();
    let [user, system, of_children, in_system] = ticks.try_into().ok()?;
    // Linux counts in hundredths of a second towards user space on every architecture (USER_HZ).
    Some(((user + system) * 10, (of_children + in_system) * 10))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn reads_what_this_process_uses() {
        let Some(Used { rss_kib, .. }) = used() else { panic!("nothing was read") };
        assert!((1_000..10_000_000).contains(&rss_kib), "{rss_kib} KiB");
    }
}
