//! Time to live, and the clocks it is measured with.

mod clock;
mod coarse;
mod ttl;

#[cfg(feature = "tower")]
pub(crate) use clock::wall_millis_soon;
pub use clock::{Clock, ManualClock};
pub use ttl::Ttl;
