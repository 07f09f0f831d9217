//! What is sent and not waited for, by who cannot wait: a destructor.

use super::driver::Driver;
use super::{Route, Servers};
use crate::backend::alarm;
use crate::backend::redis::command::Scripted;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// A script on one key, to be run some time.
pub(in crate::backend::redis) struct Errand {
    route: Route,
    driver: Arc<Driver>,
    budget: Duration,
    key: Vec<u8>,
    scripted: Scripted,
}

impl Servers {
    /// Runs a task on the thread that drives connections: one of our own, not a caller's. Whether there is such a thread.
    pub(in crate::backend::redis) fn spawn(
        &self,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> bool {
        match self.driver.runtime() {
            Ok(runtime) => {
                runtime.spawn(task);
                true
            }
            Err(_) => false,
        }
    }

    /// `key` says which server it goes to.
    pub(in crate::backend::redis) fn errand(&self, key: Vec<u8>, scripted: Scripted) -> Errand {
        Errand {
            route: self.route.clone(),
            driver: Arc::clone(&self.driver),
            budget: self.budget,
            key,
            scripted,
        }
    }
}

impl Errand {
    /// Sends it, from a task on the driver, once and within the usual time. What becomes of it nobody is told.
    pub(in crate::backend::redis) fn run(self) {
        let Ok(runtime) = self.driver.runtime() else {
            return;
        };
        runtime.spawn(async move {
            let deadline = alarm::after(self.budget);
            // Nobody is there to be told.
            let _ = self.route.run(&self.key, &self.scripted, deadline).await;
        });
    }
}
