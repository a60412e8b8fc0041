//! The reaper: a process beside the harness that outlives it. It holds the reading end of a pipe whose writing end the
//! harness alone has; when that closes without the word of an orderly end, the harness was killed, and the reaper does
//! what the run's ledger says: it undoes every fault through the nodes, and deletes clusters that the run made and
//! was to delete, or had only half made.

mod child;
mod watch;

pub use child::{Command, Reaper};
pub use watch::{LOG, Outcome, reap, watch};

/// What the harness writes into the pipe at its orderly end.
const END: &str = "end\n";
/// What the reaper writes to its stdout once it is on watch.
const WATCHING: &str = "watching\n";
