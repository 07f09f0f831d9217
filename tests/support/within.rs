//! Limits of time that a machine which stalls does not break.

use std::pin::pin;
use std::time::Duration;
use tokio::time::sleep;

/// Runs `work`, and says how long it took, in time that this process had: while all of it stands still, as on a machine
/// that has others to serve, none goes by.
///
/// # Panics
/// If that is `limit` or more.
pub async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> (T, Duration) {
    const TURN: Duration = Duration::from_millis(10);
    let mut work = pin!(work);
    let mut had = Duration::ZERO;
    loop {
        tokio::select! {
            biased;
            answer = &mut work => return (answer, had),
            () = sleep(TURN) => had += TURN,
        }
        assert!(had < limit, "not done within {limit:?}");
    }
}
