//! What is sent and not waited for, by who cannot wait: a destructor.

use super::announced::Telling;
use super::driver::Driver;
use super::{Route, Servers};
use crate::backend::alarm;
use crate::backend::redis::command::Scripted;
use crate::backend::redis::notice::Channel;
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
    channel: Option<Channel>,
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

    /// `key` says which server it goes to, and that is what others are told of.
    pub(in crate::backend::redis) fn errand(&self, key: Vec<u8>, scripted: Scripted) -> Errand {
        Errand {
            route: self.route.clone(),
            driver: Arc::clone(&self.driver),
            budget: self.budget,
            key,
            scripted,
            channel: self.channel.clone(),
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
            let telling = self
                .channel
                .as_ref()
                .map_or(Telling::Nothing, Telling::Keys);
            let running = self.route.run(&self.key, &self.scripted, deadline, telling);
            let _ = running.await;
        });
    }
}
