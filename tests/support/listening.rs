//! Listening to what `tracing` tells on a test's own thread.

use tracing::subscriber::{DefaultGuard, NoSubscriber, set_default};
use tracing::{Dispatch, Subscriber};

/// As long as this lives, its thread is listened to.
pub struct Listening {
    _guard: DefaultGuard,
    _another: Dispatch,
}

pub fn listen(subscriber: impl Subscriber + Send + Sync + 'static) -> Listening {
    Listening {
        _another: another(),
        _guard: set_default(subscriber),
    }
}

/// To be kept beside the one that listens. As long as there is a single one, the first thread to come across an event says for all
/// threads, and for good, whether it is wanted, and the thread of a test that does not listen says no (tokio-rs/tracing#2874).
pub fn another() -> Dispatch {
    Dispatch::new(NoSubscriber::default())
}
