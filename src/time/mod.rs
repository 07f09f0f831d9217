//! Time to live, and the clocks it is measured with.

mod clock;
mod coarse;
mod ttl;

pub use clock::{Clock, ManualClock};
pub use ttl::Ttl;
