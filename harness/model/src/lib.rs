//! The pure part of recoup: suite files, plans, events, and the judgement of what was recorded.
//!
//! Nothing here waits, prints or reaches a cluster; the same record always gives the same verdict.

pub mod action;
mod aftermath;
pub mod assertion;
pub mod capacity;
pub mod compare;
pub mod configuration;
pub mod degrade;
pub mod event;
mod evidence;
pub mod judge;
pub mod lanes;
pub mod load;
pub mod machine;
pub mod metrics;
pub mod milestone;
pub mod observation;
mod oracle;
pub mod outage;
pub mod parts;
pub mod plan;
mod precondition;
pub mod predict;
pub mod quantity;
mod relapse;
pub mod repetition;
pub mod residue;
pub mod run;
mod slowdown;
pub mod spec;
pub mod stall;
mod standstill;
mod states;
pub mod stats;
pub mod streams;
pub mod time;
pub mod timeline;
pub mod topology;
pub mod verdict;
pub mod yaml;

pub use judge::{Live, judge, settled};
pub use run::{RecordError, run_result};
pub use yaml::{Problem, SuiteError};
