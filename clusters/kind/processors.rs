//! Who uses the processors that a cluster's nodes run on, as far as this machine can tell.

use std::fs;

use bollard::query_parameters::StatsOptionsBuilder;
use futures::{StreamExt, future::try_join_all};
use recoup_model::machine::Processors;

use super::{Container, Docker, docker::failed};
use crate::ClusterError;

/// Another one at each boot of a kernel, and the same in all its containers.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// What a kernel counts its processors' time in towards programs is hundredths of a second (`USER_HZ`).
const TICK_MS: u64 = 10;

/// The containers whose use of processors is the cluster's.
pub(super) struct Meter {
    containers: Vec<String>,
}

impl Meter {
    /// None where the nodes run under another kernel than this process, so that its counters tell nothing of theirs.
    pub(super) async fn new(docker: &Docker, containers: &[Container]) -> Option<Meter> {
        let first = containers.first()?;
        let there = docker.shell(&first.name, &format!("cat {BOOT_ID}")).await.ok()?;
        let here = fs::read_to_string(BOOT_ID).ok()?;
        let containers = containers.iter().map(|container| container.name.clone()).collect();
        (here.trim() == there.trim()).then_some(Meter { containers })
    }

    /// All counters as they are now; what recoup itself used is left for the caller. None where the kernel's own cannot
    /// be read.
    pub(super) async fn read(&self, docker: &Docker) -> Result<Option<Processors>, ClusterError> {
        let Some(total) = total() else { return Ok(None) };
        let used = try_join_all(self.containers.iter().map(|name| docker.processor_ms(name))).await?;
        Ok(Some(Processors { cluster_ms: used.iter().sum(), ..total }))
    }
}

impl Docker {
    /// Processor time of a container's processes since it was started, in milliseconds.
    ///
    /// # Errors
    /// Where the engine does not answer, or does not tell.
    async fn processor_ms(&self, container: &str) -> Result<u64, ClusterError> {
        let once = StatsOptionsBuilder::default().stream(false).one_shot(true).build();
        let mut answers = std::pin::pin!(self.engine.stats(container, Some(once)));
        let answer =
            answers.next().await.transpose().map_err(failed(format!("ask what {container} uses")))?;
        let nanos = answer.and_then(|answer| answer.cpu_stats?.cpu_usage?.total_usage);
        nanos.map(|nanos| nanos / 1_000_000).ok_or_else(|| ClusterError::Missing {
            missing: format!("{container}'s processor time in Docker's statistics"),
            remedy: "see what `docker stats` tells of it".into(),
        })
    }
}

/// This machine's counters, the cluster's and recoup's own shares left at 0; none on systems without /proc/stat.
#[must_use]
pub fn total() -> Option<Processors> {
    sums(&fs::read_to_string("/proc/stat").ok()?)
}

fn sums(text: &str) -> Option<Processors> {
    let mut lines = text.lines();
    let mut ticks = lines.next()?.strip_prefix("cpu ")?.split_whitespace().map(str::parse::<u64>);
    let mut next = || ticks.next()?.ok().map(|ticks| ticks * TICK_MS);
    let (user, nice, system) = (next()?, next()?, next()?);
    let idle_ms = next()? + next()?;
    let (interrupts, soft, stolen_ms) = (next()?, next()?, next()?);
    let count = lines.take_while(|line| line.starts_with("cpu")).count();
    Some(Processors {
        count: u32::try_from(count).unwrap_or(u32::MAX),
        busy_ms: user + nice + system + interrupts + soft,
        idle_ms,
        stolen_ms,
        ..Processors::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_counters_are_read() {
        let text = "cpu  100 5 50 1000 20 3 4 9 0 0\ncpu0 50 5 25 500 10 3 4 9 0 0\ncpu1 50 0 25 500 10 0 0 0 0 0\nintr 77\n";
        let wanted =
            Processors { count: 2, busy_ms: 1620, idle_ms: 10_200, stolen_ms: 90, ..Processors::default() };
        assert_eq!(sums(text), Some(wanted));
        assert_eq!(sums("intr 77\n"), None);
    }
}
