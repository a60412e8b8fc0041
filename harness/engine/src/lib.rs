//! Runs experiments against a cluster: faults, probes, the undo ledger, the recorder.

pub mod choose;
pub mod heal;
pub mod ledger;
pub mod load;
pub mod overhead;
pub mod probes;
pub mod reader;
pub mod reaper;
pub mod recorder;
pub mod runtime;

mod acts;
mod armed;
mod backoff;
mod context;
mod ending;
mod experiment;
mod faults;
mod flags;
mod handshake;
mod residue;
mod session;
mod targets;
mod watchers;

pub use ending::{Ending, Left};
pub use faults::ETCD_FILLING;
pub use flags::FLAGS_LIFE;
pub use session::{EVENTS, EngineError, Listener, Session, Settings, TRIES};
