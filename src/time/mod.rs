//! Time to live, and the clocks it is measured with.

mod clock;
mod coarse;
mod epoch;
mod manual;
mod packed;
mod recently;
mod ticker;
mod ttl;

pub use clock::Clock;
#[cfg(feature = "backend")]
pub(crate) use clock::wall_millis;
#[cfg(any(feature = "backend", feature = "tower"))]
pub(crate) use clock::wall_millis_soon;
pub use manual::ManualClock;
pub(crate) use packed::Packed;
#[cfg(feature = "backend")]
pub(crate) use recently::millis as recent_millis;
pub use ttl::Ttl;
