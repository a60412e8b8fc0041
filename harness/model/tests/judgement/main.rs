//! The judgement of invented records.

mod common;
mod evidence;
mod found;
mod judge;
mod late;
mod load;
mod metrics;
mod oracles;
mod run;
mod slowdown;
mod stalls;
mod watchers;
