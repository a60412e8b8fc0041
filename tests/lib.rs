//! What the test programs share: a run on a simulated cluster, a cluster that misbehaves on purpose,
//! and the one session of all experiments in `suites.rs`.

pub mod faulty;
pub mod live;
pub mod offline;
