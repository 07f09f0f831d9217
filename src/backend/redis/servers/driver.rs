//! The driver: one thread in the process, with a runtime of its own, on which all connections live.
//!
//! A connection that lived on the runtime of the caller that happened to make it would end with that runtime, and the calls of
//! all others with it; on a runtime that nobody drives for a moment it would stand still. So connections belong to no caller's
//! runtime. Callers send to them from wherever they run, on any executor, on a runtime that is shutting down or on none.
//!
//! Every backend has a share in the driver. Its thread starts with the first connection and ends with the last share. It runs
//! only our own code and the library's: values are encoded and decoded by those who call.

use crate::error::Error;
use crate::sync::{Mutex, thread};
use std::process;
use std::sync::{Arc, Weak, mpsc};
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// The one that new backends share.
static CURRENT: Mutex<Weak<Driver>> = Mutex::new(Weak::new());

#[derive(Debug, Default)]
pub(super) struct Driver(Mutex<Option<Thread>>);

#[derive(Debug)]
struct Thread {
    handle: Handle,
    /// The process that the thread runs in: the child of a fork has none of its parent's threads, and gets one of its own.
    process: u32,
    /// The thread ends when this is dropped.
    _stop: oneshot::Sender<()>,
}

impl Driver {
    /// A share in the process's driver.
    pub(super) fn share() -> Arc<Self> {
        let mut current = CURRENT.lock();
        current.upgrade().unwrap_or_else(|| {
            let driver = Arc::default();
            *current = Arc::downgrade(&driver);
            driver
        })
    }

    /// The runtime of the thread, which is started unless it runs.
    ///
    /// # Errors
    /// [`Error::is_connection`] if the system has no thread for it. The next call tries again.
    pub(super) fn runtime(&self) -> Result<Handle, Error> {
        let mut thread = self.0.lock();
        if let Some(thread) = &*thread
            && thread.process == process::id()
        {
            return Ok(thread.handle.clone());
        }
        let started = start().map_err(|error| {
            let text = format!("cannot start the thread that drives connections: {error}");
            Error::connection(text)
        })?;
        let handle = started.handle.clone();
        *thread = Some(started);
        Ok(handle)
    }
}

fn start() -> std::io::Result<Thread> {
    let (stop, stopped) = oneshot::channel::<()>();
    let (sender, runtime) = mpsc::channel();
    // The runtime is made where it ends: it must not be dropped in a caller's async code.
    let work = move || match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => {
            let _ = sender.send(Ok(runtime.handle().clone()));
            // Nothing is ever sent: this is the sender's end.
            let _ = runtime.block_on(stopped);
            // A name that is being looked up may take the system a while.
            runtime.shutdown_background();
        }
        Err(error) => {
            let _ = sender.send(Err(error));
        }
    };
    thread::Builder::new()
        .name("nori-cache-redis".to_owned())
        .spawn(work)?;
    let handle = runtime.recv().map_err(std::io::Error::other)??;
    Ok(Thread {
        handle,
        process: process::id(),
        _stop: stop,
    })
}
