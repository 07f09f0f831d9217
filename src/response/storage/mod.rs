//! Where stored responses lie in the backend, and what purges leave there.
//!
//! | under | lies |
//! |---|---|
//! | `K`, the key | the response, if it is all there is to know: no `Vary` beyond what is in the key, no content coding |
//! | the signpost of `K` | the names of the fields that tell variants apart, and the family they belong to |
//! | a variant of `K` | a variant: its name is a hash of what those fields say, and of the host |
//!
//! The Python original reads `K` only, and ignores what it does not know. So what it would serve wrongly never lies there.
//!
//! Each response says what it was made for, and is checked against that on every read. Variants of another family than their
//! signpost's do not count, so who removes `K` and its signpost removes all of them.
//!
//! # Purges
//! What purges leave behind keeps responses that were asked for before them from being served after them, in every process.
//!
//! **By prefix and tag.** A backend cannot be searched, so nothing is removed. The purge is recorded, with a number, in one
//! [list](purge_list) in the backend, at which every hit looks. Responses say which purge was the last one when their handler was
//! started, and count as missing if a later one covers them.
//!
//! A list that we cannot have written is replaced by a purge of everything. So is one that does not reach to a purge which
//! [this layer knows](known_purges) was in it, and one that is missing although there was such a purge: it was lost since. A
//! response that has observed a purge to which the list does not reach counts as missing too, because what the list said about it
//! is lost.
//!
//! **By key.** The response and its variants are removed. What is left is a mark, shared by the keys of one
//! [bucket](purge_bucket), which is written first. It is a random number, so that it is never again what it was. A handler's response
//! is stored only if the mark is what it was before the handler was started, and is removed again if the mark has changed once the
//! response is stored. So either the purge sees the response, or its writer sees the purge. In the latter case the response can be
//! seen until it is removed. A purge of one key makes other keys of its bucket lose no more than the storing of a response that is
//! on its way.
//!
//! The store may lose a mark. So the layer that purges also counts, for the same bucket, before it writes the mark. Both are
//! compared: what other layers and processes have left in the store, and what this one has counted.

pub(crate) mod default_backend;
pub(crate) mod handle;
mod hash;
pub(crate) mod known_purges;
pub(crate) mod lookup;
mod own_keys;
mod purge;
mod purge_bucket;
pub(crate) mod purge_list;
pub(crate) mod purge_marks;
mod reading;
mod removal;
mod store;
