//! Callers' own errors: for who calls the loader, and for who waits.

use super::*;
use std::fmt;

/// As a program has it.
#[derive(Debug, PartialEq)]
enum Failed {
    NoRow(u32),
    Cache(String),
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRow(row) => write!(f, "no row {row}"),
            Self::Cache(text) => f.write_str(text),
        }
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Cache(error.to_string())
    }
}

/// As `anyhow::Error`: made from every error, and no error itself.
struct Anyhow(Box<dyn std::error::Error + Send + Sync>);

impl<E: std::error::Error + Send + Sync + 'static> From<E> for Anyhow {
    fn from(error: E) -> Self {
        Self(Box::new(error))
    }
}

impl fmt::Display for Anyhow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Two callers, of whom the second waits: what they get.
async fn two<E>(store: &Arc<Store>, fails: fn() -> E) -> (E, E)
where
    E: From<Error> + fmt::Display + Send + 'static,
{
    let go = Arc::new(tokio::sync::Notify::new());
    let gate = Arc::clone(&go);
    let slow = move |_| async move {
        gate.notified().await;
        Err::<u8, E>(fails())
    };
    let unused = |_| async { Ok::<u8, E>(1) };
    let leads = store.load("n").or_load(slow);
    let waits = async {
        // The first has begun by now.
        let answer = store.load("n").or_load(unused);
        let opens = async {
            tokio::task::yield_now().await;
            go.notify_one();
        };
        tokio::join!(answer, opens).0
    };
    let (first, second) = tokio::join!(leads, waits);
    (first.err().unwrap(), second.err().unwrap())
}

#[tokio::test]
async fn errors_of_a_caller_s_own_come_back() {
    let store = Store::new();
    let (own, told) = two(&store, || Failed::NoRow(7)).await;
    assert_eq!(own, Failed::NoRow(7));
    let text = "load \"n\": the loader failed: no row 7";
    assert_eq!(told, Failed::Cache(text.to_owned()));

    let (own, told) = two(&store, || "no row 7".to_owned()).await;
    assert_eq!((&*own, &*told), ("no row 7", text));

    let (own, told) = two(&store, || Anyhow::from(std::io::Error::other("no row 7"))).await;
    assert!(own.0.downcast_ref::<std::io::Error>().is_some());
    let told = told.0.downcast_ref::<Error>().unwrap();
    assert!(told.is_load());
    assert_eq!(told.to_string(), text);

    let (own, told) = two(&store, Error::closed).await;
    assert!(own.is_closed() && told.is_load());
    nothing_is_left(&*store);
}

/// The cache's own errors come the same way.
#[tokio::test]
async fn the_cache_s_errors_are_made_the_caller_s() {
    let store = Store::new();
    let hard = store.load("n").hard_timeout(MS);
    let never = |_| std::future::pending::<Result<u8, Failed>>();
    let late = Failed::Cache("load \"n\": timed out: the load took longer than 1ms".into());
    assert_eq!(hard.or_load(never).await.unwrap_err(), late);
    store.down(true);
    let strict = store.load("n").strict();
    let error = strict.or_load(|_| async { Ok::<u8, Failed>(1) }).await;
    let text = "get \"n\": no connection: unplugged";
    assert_eq!(error.unwrap_err(), Failed::Cache(text.to_owned()));
}

/// A value that can be stored as nothing is told to all, and is not the caller's own error.
#[tokio::test]
async fn what_cannot_be_represented_is_an_error() {
    let store = Store::new();
    for _ in 0..2 {
        let load = store.load("n").fail_safe(HOUR);
        let error = load.or_load(|_| async { Ok::<_, Error>(f64::NAN) }).await;
        assert!(error.unwrap_err().is_encoding());
    }
    nothing_is_left(&*store);
}
