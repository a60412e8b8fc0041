//! Measurements of the measuring itself: known outages against what recoup's probes make of them, and what the
//! probing costs. What measures is the engine's schedule, recorder and clock, the client that asks API servers,
//! and the model's outages; only the servers and their truth are the bench's own.

mod accuracy;
mod cell;
mod cluster;
mod command;
mod delay;
mod explain;
mod freeze;
mod heartbeat;
mod load;
mod machine;
mod measure;
mod netns;
mod open_loop;
mod overhead;
mod per_core;
mod score;
mod script;
mod serve;
mod table;
mod target;
mod tool;
mod witness;

pub use command::{Bench, run};
