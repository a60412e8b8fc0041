//! The judgement of invented records.

mod common;
mod judge;
mod run;
