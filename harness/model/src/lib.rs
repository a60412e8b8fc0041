//! The pure part of recoup: suite files, plans, events, and the judgement of what was recorded.
//!
//! Nothing here waits, prints or reaches a cluster; the same record always gives the same verdict.

pub mod action;
pub mod event;
pub mod observation;
pub mod plan;
pub mod spec;
pub mod time;
pub mod topology;
pub mod verdict;
