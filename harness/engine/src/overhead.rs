//! What the harness itself costs the machine that it measures on.

use std::time::Duration;

use recoup_model::event::Event;
use tokio::{task::JoinSet, time::sleep};

use crate::recorder::Recorder;

/// Between two readings.
const PERIOD: Duration = Duration::from_secs(5);

/// Records processor time and memory until dropped. Nothing on systems without /proc.
pub fn watch(recorder: &Recorder) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let recorder = recorder.clone();
    tasks.spawn(async move {
        while let Some(event) = read() {
            recorder.record(event);
            sleep(PERIOD).await;
        }
    });
    tasks
}

fn read() -> Option<Event> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The program's name, in parentheses, may hold anything; fields are counted from behind it.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let rss_kib = rss.trim().trim_end_matches("kB").trim().parse().ok()?;
    // Linux counts in hundredths of a second towards user space on every architecture (USER_HZ).
    Some(Event::Overhead { cpu_ms: (user + system) * 10, rss_kib })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn reads_what_this_process_uses() {
        let Some(Event::Overhead { rss_kib, .. }) = read() else { panic!("nothing was read") };
        assert!((1_000..10_000_000).contains(&rss_kib), "{rss_kib} KiB");
    }
}
