//! Interleaved rounds of all subjects under all workloads.
//!
//! [`scenario`] says what is measured, [`cell`] measures one subject with some threads, [`latency`] and [`memory`] are
//! the two kinds of cells that are not throughput, [`contender`] hides the subjects' types so that they fit in one list,
//! [`group`] compares rows that are no subjects, [`round`] goes through that list round after round, and [`table`], [`json`] and [`curves`] write or draw what came out.

pub mod cell;
pub mod contender;
pub mod curves;
pub mod group;
pub mod json;
pub mod latency;
pub mod memory;
pub mod round;
pub mod scenario;
pub mod stats;
pub mod table;
