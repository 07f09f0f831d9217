//! The loads and updates under way on a backend.

/// The loads and updates under way on a backend; each has one.
#[derive(Debug, Default)]
pub struct Flights {}
