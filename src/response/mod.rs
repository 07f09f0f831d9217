//! HTTP response caching as a [`tower`](https://docs.rs/tower) layer: [`CacheResponse`].
//!
//! # The life of a request
//! The [service](CacheResponseService) names what is asked for (`key`), and looks: what lies fresh in memory is answered at
//! once, in full or in part (`answer`). Anything else is fetched (`fetch`): looked up in the backend (`slots`), waited for if
//! another request's handler is at it already (`flight`), or led (`lead`): the handler runs, on a task of its own as soon as
//! its client has gone away (`detached`), and its response is stored if it may be (`policy`). A body that comes in pieces goes
//! to the client as it comes, from a task that copies it on its way.
//!
//! # What keeps responses apart
//! The key is the wire format's and does not say all. So each entry records the host, path, query, key function's word and
//! headers that it was made for, and is checked against the request on every read, in every process. Whatever goes wrong with
//! keys, nobody gets an answer to another question.
//!
//! # Files
//! `directives` (Cache-Control), `structured` (the syntax of newer fields), `policy` and `storable` (may it be stored, how
//! long), `key`, `authority`, `query` and `original` (what is asked for), `vary` (which requests say the same), `stored` and
//! `wire` (entries, and as JSON), `slots` and `own_keys` (where they lie), `purge` and `known` (what purges leave), `flight`
//! (one handler at a time), `detached` and `permits` (what goes on though nobody waits), `answer` and `status` (what the client
//! gets), `body` and `copy` (what comes in pieces), `buffers` (how much of it waits), `exact` (what is stored has memory of its
//! own), `future`, `fetch`, `lead`, `freshen`, `service`, `layer`, `control` (purges); `core` and `settings` are what they
//! share.

#![forbid(unsafe_code)]

mod answer;
mod clock;
mod entry;
mod event;
mod fetch;
mod future;
mod http;
mod layer;
mod outcome;
mod policy;
mod purging;
mod request;
mod service;
mod settings;
mod stats;
mod storage;

pub use answer::body::CacheBody;
pub use future::ResponseFuture;
pub use layer::CacheResponse;
pub use policy::tags::CacheTags;
pub use service::CacheResponseService;
pub use stats::ResponseStats;
