//! What builders of backends say of loads.

use super::Flights;
use crate::error::Error;

/// What a backend's builder says of loads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LoadLimits {
    /// How many loaders run at a time; `None` without a limit.
    pub(crate) max_loads: Option<usize>,
    pub(crate) max_waiting: usize,
}

impl Default for LoadLimits {
    fn default() -> Self {
        Self {
            max_loads: None,
            max_waiting: 1_024,
        }
    }
}

impl LoadLimits {
    /// Flights within these limits; `name` is what an error calls the first of them.
    ///
    /// # Errors
    /// [`Error::is_invalid_config`] if no load may ever run.
    pub(crate) fn apply(self, flights: Flights, name: &'static str) -> Result<Flights, Error> {
        match self.max_loads {
            None => Ok(flights),
            Some(0) => Err(Error::invalid_config(name, 0, "at least 1")),
            Some(max_loads) => Ok(flights.with_max_loads(max_loads, self.max_waiting)),
        }
    }
}
