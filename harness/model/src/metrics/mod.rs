//! What the components say of themselves: which series are read, how, and which of them moved.
//!
//! A reading ([`Reader`]) keeps the few series of [`CATALOGUE`] out of the thousands that a component tells, summed
//! over all labels that are not asked for. Counters and histograms are recorded as they stand: what happened between
//! two readings is their difference, so that a reading that is missing loses no event.

mod catalogue;
mod exposition;
mod histogram;
mod moved;
mod moves;
mod readings;

pub use catalogue::{CATALOGUE, Kind, Metric, Source, Unit, find, of};
pub use exposition::{Reader, STARTED, condense};
pub use moved::{MetricMove, Statistic};

pub(crate) use moved::all;
pub(crate) use moves::moves;
pub(crate) use readings::{read_since, silent};
