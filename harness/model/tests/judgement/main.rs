//! The judgement of invented records.

mod common;
mod evidence;
mod judge;
mod load;
mod metrics;
mod oracles;
mod run;
mod slowdown;
mod watchers;
