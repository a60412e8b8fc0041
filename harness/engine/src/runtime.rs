//! The runtimes that runs are made in.

use std::io;

use recoup_model::topology::ProviderKind;
use tokio::runtime::{Builder, Runtime};

/// The right one for a provider's clusters.
///
/// # Errors
/// Where the system refuses it.
pub fn of(provider: ProviderKind) -> io::Result<Runtime> {
    match provider {
        ProviderKind::Sim => virtual_time(),
        ProviderKind::Kind => real_time(),
    }
}

/// For real clusters: probes and recorder share two threads, so that neither waits for the other.
///
/// # Errors
/// Where the system gives no threads.
pub fn real_time() -> io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(2).enable_all().build()
}

/// For the simulation: its clock jumps to the next thing that happens.
///
/// # Errors
/// Where the system refuses it.
pub fn virtual_time() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().start_paused(true).build()
}
