//! Kills runs with SIGKILL at random moments and counts what is left behind: on a real cluster, where a reaper or the
//! nodes' own deadlines must put it right, and on simulated ones.

mod choose;
mod command;
mod kill;
mod kind;
mod process;
mod sim;
mod survey;
mod table;

pub use command::{Soak, run};
