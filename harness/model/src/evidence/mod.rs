//! What the record itself shows of a fault, beside what was looked at on the node: the one that was hit had
//! its role, and what was silenced was heard no more. One file per kind of evidence.
//!
//! Nothing is demanded here that a healthy run could fail to show: each file says what its probes can miss.

mod gather;
mod load;
mod node_lease;
mod quorum;
mod roles;
mod silence;

pub(crate) use gather::{Evidence, gather};
