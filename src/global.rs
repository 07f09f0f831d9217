//! The backend of the whole process, and the functions that work on it.
//!
//! It is built when it is first asked for, from [`Config::from_env`], under a lock, so that it is built once. If that fails, the
//! error is returned and not kept: the next call tries again.
//!
//! Each thread keeps a pointer of its own to the backend, with its own reference count, so that threads which read at the same
//! time write nothing that the others need. A number that only changes with the backend tells a thread when to ask again.

use crate::backend::{CacheBackend, CacheBackendExt, Cacheable, Load, Own, UpdateTtl};
use crate::config::Config;
use crate::error::Error;
use crate::sync::{AtomicU64, Mutex, Ordering};
use crate::time::Ttl;
use serde_core::{Serialize, de::DeserializeOwned};
use std::cell::RefCell;
use std::future::Future;
use std::sync::Arc;

static BACKEND: Mutex<Option<Arc<dyn CacheBackend>>> = Mutex::new(None);
/// The number of the current backend. It changes under the lock, when the backend does.
static GENERATION: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static MINE: RefCell<Option<(u64, Handle)>> = const { RefCell::new(None) };
}

/// A thread's own pointer to the backend.
type Handle = Arc<Arc<dyn CacheBackend>>;

fn current() -> Result<Handle, Error> {
    // Acquire: pairs with the Release in `replace`; it matters only to a caller that has heard of the change by other means.
    let generation = GENERATION.load(Ordering::Acquire);
    let mine = MINE.with_borrow(|mine| match mine {
        Some((of, handle)) if *of == generation => Some(Arc::clone(handle)),
        _ => None,
    });
    match mine {
        Some(handle) => Ok(handle),
        None => current_slow(),
    }
}

#[cold]
fn current_slow() -> Result<Handle, Error> {
    let mut current = BACKEND.lock();
    let backend = match &*current {
        Some(backend) => Arc::clone(backend),
        None => {
            let backend = Config::from_env()?.build()?;
            *current = Some(Arc::clone(&backend));
            backend
        }
    };
    // Relaxed: it changes under the lock only.
    let generation = GENERATION.load(Ordering::Relaxed);
    drop(current);
    let handle = Arc::new(backend);
    let mine = Some((generation, Arc::clone(&handle)));
    // It is dropped outside of the borrow: it may be the last pointer to a user's backend.
    let old = MINE.with_borrow_mut(|old| std::mem::replace(old, mine));
    drop(old);
    Ok(handle)
}

fn replace(backend: Option<Arc<dyn CacheBackend>>) {
    let mut current = BACKEND.lock();
    let old = std::mem::replace(&mut *current, backend);
    // Release: pairs with the Acquire in `current`.
    GENERATION.fetch_add(1, Ordering::Release);
    drop(current);
    MINE.with_borrow_mut(Option::take);
    drop(old);
}

/// The backend that `cache_get` and its siblings work on; built from the environment and `.env` ([`Config::from_env`]) when it
/// is first asked for.
///
/// # Errors
/// [`Error::is_invalid_config`] if the environment asks for what cannot be built. The next call tries again.
///
/// ```
/// use nori_cache::{CacheBackendExt, get_backend};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), nori_cache::Error> {
/// let backend = get_backend()?;
/// backend.verify().await?;
/// backend.set("greeting", "hello", Duration::from_secs(60)).await?;
/// # Ok(())
/// # }
/// ```
pub fn get_backend() -> Result<Arc<dyn CacheBackend>, Error> {
    current().map(|handle| Arc::clone(&*handle))
}

/// Makes `backend` the one that `cache_get` and its siblings work on, from their next call on. For `main`, before it starts
/// anything.
///
/// Other threads let go of the former one when they next use the cache, or end.
///
/// ```
/// use nori_cache::{MemoryCacheBackend, cache_get, cache_set_default, set_backend};
/// use std::sync::Arc;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), nori_cache::Error> {
/// set_backend(Arc::new(MemoryCacheBackend::new(100)));
/// cache_set_default("key", 7).await?;
/// assert_eq!(cache_get("key").await?, Some(7));
/// # Ok(())
/// # }
/// ```
pub fn set_backend(backend: Arc<dyn CacheBackend>) {
    replace(Some(backend));
}

/// Forgets the backend: the next call builds one from the environment.
///
/// Tests of one binary share its backend and run side by side: better to give each a backend of its own, as the guide says.
pub fn reset_backend() {
    replace(None);
}

/// The value under `key`, or `None` when it is missing or expired: [`CacheBackendExt::get`].
///
/// # Errors
/// Of this and all its siblings: those of [`get_backend`] and of the method of [`CacheBackendExt`] they call.
///
/// ```
/// use nori_cache::{cache_get, cache_set};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), nori_cache::Error> {
/// cache_set("cache_get:key", vec![1, 2], Duration::from_secs(60)).await?;
/// let value: Option<Vec<i32>> = cache_get("cache_get:key").await?;
/// assert_eq!(value.unwrap(), [1, 2]);
/// # Ok(())
/// # }
/// ```
pub async fn cache_get<T>(key: &str) -> Result<Option<T>, Error>
where
    T: DeserializeOwned + Clone + Send + 'static,
{
    current()?.get(key).await
}

/// As [`cache_get`], but shares the value with the store where it is in memory: [`CacheBackendExt::get_shared`].
pub async fn cache_get_shared<T>(key: &str) -> Result<Option<Arc<T>>, Error>
where
    T: DeserializeOwned + Send + Sync + 'static,
{
    current()?.get_shared(key).await
}

/// Stores a value: [`CacheBackendExt::set`].
pub async fn cache_set<T>(key: &str, value: T, ttl: impl Into<Ttl>) -> Result<(), Error>
where
    T: Serialize + Send + Sync + 'static,
{
    current()?.set(key, value, ttl).await
}

/// Stores a value that the caller keeps: [`CacheBackendExt::set_ref`].
pub async fn cache_set_ref<T>(key: &str, value: &T, ttl: impl Into<Ttl>) -> Result<(), Error>
where
    T: ToOwned<Owned: Serialize + Send + Sync + 'static> + Serialize + Sync + ?Sized + 'static,
{
    current()?.set_ref(key, value, ttl).await
}

/// Stores a value for as long as is configured (`CACHE_DEFAULT_TTL`, 300 s): [`CacheBackendExt::set_default`].
pub async fn cache_set_default<T>(key: &str, value: T) -> Result<(), Error>
where
    T: Serialize + Send + Sync + 'static,
{
    current()?.set_default(key, value).await
}

/// Stores a value with tags, by each of which it can be removed: [`CacheBackendExt::set_tagged`].
pub async fn cache_set_tagged<T>(
    key: &str,
    value: T,
    ttl: impl Into<Ttl>,
    tags: &[&str],
) -> Result<(), Error>
where
    T: Serialize + Send + Sync + 'static,
{
    current()?.set_tagged(key, value, ttl, tags).await
}

/// Removes all entries that were stored with this tag, in one step: [`CacheBackendExt::remove_by_tag`].
///
/// ```
/// use nori_cache::{cache_get, cache_remove_by_tag, cache_set_tagged};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), nori_cache::Error> {
/// let minute = Duration::from_secs(60);
/// cache_set_tagged("tagged:user:42", "ana", minute, &["tagged:users"]).await?;
/// cache_remove_by_tag("tagged:users").await?;
/// assert_eq!(cache_get::<String>("tagged:user:42").await?, None);
/// # Ok(())
/// # }
/// ```
pub async fn cache_remove_by_tag(tag: &str) -> Result<(), Error> {
    current()?.remove_by_tag(tag).await
}

/// Removes a key, and says whether something live was there: [`CacheBackendExt::delete`].
pub async fn cache_delete(key: &str) -> Result<bool, Error> {
    current()?.delete(key).await
}

/// Removes all entries of this cache, and nothing that is not its own: [`CacheBackendExt::flush`].
pub async fn cache_flush() -> Result<(), Error> {
    current()?.flush().await
}

/// Adds one to a counter and returns the sum; `ttl` counts only where this creates the counter: [`CacheBackendExt::incr`].
///
/// ```
/// use nori_cache::cache_incr;
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), nori_cache::Error> {
/// let hour = Duration::from_secs(3600);
/// assert_eq!(cache_incr("login:ana:attempts", hour).await?, 1);
/// assert_eq!(cache_incr("login:ana:attempts", hour).await?, 2);
/// # Ok(())
/// # }
/// ```
pub async fn cache_incr(key: &str, ttl: impl Into<Ttl>) -> Result<i64, Error> {
    current()?.incr(key, ttl).await
}

/// As [`cache_incr`], by any number: [`CacheBackendExt::incr_by`].
pub async fn cache_incr_by(key: &str, by: i64, ttl: impl Into<Ttl>) -> Result<i64, Error> {
    current()?.incr_by(key, by, ttl).await
}

/// The values under `keys`, in their order: [`CacheBackendExt::get_many`].
pub async fn cache_get_many<T>(keys: &[&str]) -> Result<Vec<Option<T>>, Error>
where
    T: DeserializeOwned + Clone + Send + 'static,
{
    current()?.get_many(keys).await
}

/// Stores many values: [`CacheBackendExt::set_many`].
pub async fn cache_set_many<T>(
    entries: impl IntoIterator<Item = (&str, T)> + Send,
    ttl: impl Into<Ttl>,
) -> Result<(), Error>
where
    T: Serialize + Send + Sync + 'static,
{
    let entries: Vec<(&str, T)> = entries.into_iter().collect();
    current()?.set_many(entries, ttl).await
}

/// Removes many keys, and says how many live entries that were: [`CacheBackendExt::delete_many`].
pub async fn cache_delete_many(keys: &[&str]) -> Result<u64, Error> {
    current()?.delete_many(keys).await
}

/// How long an entry still has to live: [`CacheBackendExt::ttl`].
pub async fn cache_ttl(key: &str) -> Result<Option<Ttl>, Error> {
    current()?.ttl(key).await
}

/// Reads, modifies and writes one key: [`CacheBackendExt::atomic_update`].
///
/// ```
/// use nori_cache::cache_atomic_update;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), nori_cache::Error> {
/// let seen = cache_atomic_update("order:42:seen", None, |seen: Option<u32>| async move {
///     seen.unwrap_or_default() + 1
/// })
/// .await?;
/// assert_eq!(seen, 1);
/// # Ok(())
/// # }
/// ```
pub async fn cache_atomic_update<T, F, Fut>(
    key: &str,
    ttl: impl Into<UpdateTtl>,
    f: F,
) -> Result<T, Error>
where
    T: Cacheable,
    F: FnMut(Option<T>) -> Fut + Send,
    Fut: Future<Output = T> + Send,
{
    current()?.atomic_update(key, ttl, f).await
}

/// As [`cache_atomic_update`], for an `f` that can fail: [`CacheBackendExt::try_atomic_update`].
pub async fn cache_try_atomic_update<T, E, F, Fut>(
    key: &str,
    ttl: impl Into<UpdateTtl>,
    f: F,
) -> Result<T, E>
where
    T: Cacheable,
    E: From<Error> + Send,
    F: FnMut(Option<T>) -> Fut + Send,
    Fut: Future<Output = Result<T, E>> + Send,
{
    current()?.try_atomic_update(key, ttl, f).await
}

/// The value under `key`; if there is none, one caller loads it for all: [`CacheBackendExt::get_or_load`].
pub async fn cache_get_or_load<T, E, F, Fut>(
    key: &str,
    ttl: impl Into<Ttl>,
    f: F,
) -> Result<T, Error>
where
    T: Cacheable,
    E: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
    F: FnOnce() -> Fut + Send,
    Fut: Future<Output = Result<T, E>> + Send,
{
    current()?.get_or_load(key, ttl, f).await
}

/// A load of this key, to be told how it goes and what loads: [`CacheBackendExt::load`].
///
/// ```
/// use nori_cache::{Error, cache_load};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Error> {
/// let minute = Duration::from_secs(60);
/// let load = |_| async { Ok::<_, Error>("ana".to_owned()) };
/// let user = cache_load("user:42")?.ttl(minute).fail_safe(60 * minute).or_load(load).await?;
/// assert_eq!(user, "ana");
/// # Ok(())
/// # }
/// ```
pub fn cache_load(key: &str) -> Result<Load<'_, Own>, Error> {
    Ok(Load::new(Own(current()?), key))
}

/// The values under `keys`, in their order; what is missing is loaded with one call: [`CacheBackendExt::get_or_load_many`].
///
/// ```
/// use nori_cache::cache_get_or_load_many;
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), nori_cache::Error> {
/// let load = |missing: Vec<&'static str>| async move {
///     let lengths = missing.into_iter().map(|key| (key, key.len()));
///     Ok::<_, std::io::Error>(lengths.collect::<Vec<_>>())
/// };
/// let lengths = cache_get_or_load_many(&["length:a", "length:bcd"], Duration::from_secs(60), load).await?;
/// assert_eq!(lengths, [Some(8), Some(10)]);
/// # Ok(())
/// # }
/// ```
pub async fn cache_get_or_load_many<'k, T, K, I, E, F, Fut>(
    keys: &[&'k str],
    ttl: impl Into<Ttl>,
    f: F,
) -> Result<Vec<Option<T>>, Error>
where
    T: Cacheable,
    K: AsRef<str> + Send,
    I: IntoIterator<Item = (K, T)>,
    E: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
    F: FnMut(Vec<&'k str>) -> Fut + Send,
    Fut: Future<Output = Result<I, E>> + Send,
{
    current()?.get_or_load_many(keys, ttl, f).await
}
