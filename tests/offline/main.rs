//! The engine from end to end on simulated clusters, under paused time.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod accidents;
mod experiments;
mod flags;
mod left;
mod load;
mod predictions;
mod quiet;
mod records;
mod truth;
mod undo;
