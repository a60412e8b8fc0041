//! An open loop of requests: each leaves when it is due, whatever became of those before it.
//!
//! A closed loop, which waits for an answer before it asks again, asks less of a server that stalls, and then tells
//! that hardly a request was slow. Here the time of an answer counts from when the request was due.

mod generator;
mod tally;

pub use generator::{Generator, MOST_UNDER_WAY, Totals};
