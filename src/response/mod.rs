//! HTTP response caching as a [`tower`](https://docs.rs/tower) layer: [`CacheResponse`].
//!
//! # The life of a request
//! The [service](CacheResponseService) makes a question (`request`) of a request, and looks: what is found fresh in memory
//! is answered (`answer`) at once, in full or in part. Anything else is fetched (`fetch`): it is looked up in the backend (`storage`),
//! waits for another request's handler if there is one already, or leads. A leader runs the handler, on a task of its own as soon as
//! its client has gone away, and stores the response if it may be (`policy`). A body that comes in pieces goes to the client as it
//! comes, from a task that copies it on its way. What became of the request is its outcome (`outcome`), from which counters, events
//! and `Cache-Status` come.
//!
//! # What keeps responses apart
//! The key is the wire format's and does not say all. So each stored response records the host, path, query, key function's word and
//! headers that it was made for (`entry`), and is checked against the question on every read, in every process. Whatever
//! goes wrong with keys, nobody gets an answer to another question.
//!
//! # Rooms
//! A folder is a room. Each imports only from those above it here, and no two files import each other.
//!
//! | room | what is in it |
//! |---|---|
//! | `clock` | times of day |
//! | `http` | HTTP as its RFCs have it; knows nothing of this cache |
//! | `policy` | whether a response may be stored, and for how long |
//! | `request` | what a request asks for: its key, conditions and directives, or why it is passed through |
//! | `entry` | stored responses, for how long they may be served, and how they are written |
//! | `settings` | what a layer is told |
//! | `stats`, `outcome` | what became of a request, and how often |
//! | `event` | what is told of it |
//! | `storage` | where stored responses lie in the backend, and what purges leave there |
//! | `answer` | heads and bodies as clients get them |
//! | `fetch` | what happens to a request that cannot be answered at once |
//! | `future`, `service`, `layer`, `purging` | what users see |

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
