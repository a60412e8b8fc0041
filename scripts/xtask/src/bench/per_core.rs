//! A thread on every core that does the same over and over until it is told to end.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use super::machine::cores;

/// The threads; they end when this is dropped.
pub struct PerCore {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl PerCore {
    /// Starts them. `begin` is called with the core's number on each thread, and what it returns until the end.
    pub fn start<W: FnMut()>(begin: impl Fn(u32) -> W + Clone + Send + 'static) -> PerCore {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = (0..cores()).map(|core| {
            let (stop, begin) = (Arc::clone(&stop), begin.clone());
            thread::spawn(move || {
                let mut work = begin(core);
                while !stop.load(Ordering::Relaxed) {
                    work();
                }
            })
        });
        let threads = threads.collect();
        PerCore { stop, threads }
    }
}

impl Drop for PerCore {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
