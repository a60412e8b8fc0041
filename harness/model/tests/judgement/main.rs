//! The judgement of invented records.

mod common;
mod evidence;
mod judge;
mod load;
mod oracles;
mod run;
mod watchers;
