//! Load on the API servers: when which request is due, what is recorded of it, and what that comes to.

mod histogram;
mod result;
mod schedule;
mod slice;

pub use histogram::Histogram;
pub(crate) use result::results;
pub use result::{LoadResult, LoadSecond, LoadStage, VerbTimes};
pub use schedule::{Due, Schedule, Stage};
pub use slice::{ON_TIME, SLICE, Slice, VerbSlice};
