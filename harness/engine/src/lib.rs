//! Runs experiments against a cluster: faults, probes, the undo ledger, the recorder.

pub mod choose;
pub mod heal;
pub mod ledger;
pub mod reader;
pub mod recorder;

mod context;
mod experiment;
mod faults;
mod overhead;
mod probes;
mod session;
mod targets;

pub use session::{EVENTS, EngineError, Listener, Session, Settings};
