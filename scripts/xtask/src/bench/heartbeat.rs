//! When the machine let nothing run: what was so in that time nobody knows.

use std::{
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use recoup_engine::recorder::Clock;
use recoup_model::time::Offset;

use super::per_core::PerCore;

/// Between two looks: a stall that begins between them is noticed for so much less.
const BEAT: Duration = Duration::from_millis(1);
/// Shorter delays are usual: a timer's own, and a thread's turn.
const USUAL: Duration = Duration::from_millis(2);

/// A time in which a thread that only sleeps was not woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stall {
    /// When it was to be woken.
    pub from: Offset,
    /// When it was.
    pub to: Offset,
}

/// Threads, one on each core, that sleep and notice when they are not woken in time.
pub struct Heartbeat {
    stalls: Arc<Mutex<Vec<Stall>>>,
    threads: PerCore,
}

impl Heartbeat {
    /// Begins to beat.
    pub fn start(clock: Clock) -> Heartbeat {
        let stalls = Arc::<Mutex<Vec<Stall>>>::default();
        let noted = Arc::clone(&stalls);
        let threads = PerCore::start(move |core| {
            stay_on(core);
            let noted = Arc::clone(&noted);
            move || {
                let (due, from) = (Instant::now() + BEAT, clock.now().plus(BEAT));
                thread::sleep(BEAT);
                if due.elapsed() > USUAL {
                    let stall = Stall { from, to: clock.now() };
                    noted.lock().unwrap_or_else(PoisonError::into_inner).push(stall);
                }
            }
        });
        Heartbeat { stalls, threads }
    }

    /// Ends it: every stall of any thread.
    pub fn stop(self) -> Arc<[Stall]> {
        drop(self.threads);
        self.stalls.lock().unwrap_or_else(PoisonError::into_inner).as_slice().into()
    }
}

/// Keeps the calling thread on that core, where the kernel lets it: a hypervisor takes one core at a time.
fn stay_on(core: u32) {
    use rustix::thread::{CpuSet, sched_setaffinity};
    let mut only = CpuSet::new();
    only.set(usize::try_from(core).unwrap_or_default());
    let _ = sched_setaffinity(None, &only);
}

/// The longest, in milliseconds.
pub fn worst(stalls: &[Stall]) -> f64 {
    let longest = stalls.iter().map(|stall| stall.to.since(stall.from)).max();
    longest.unwrap_or_default().as_secs_f64() * 1e3
}
