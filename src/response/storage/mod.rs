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
//! **By tag.** Each tag that stored responses have has a [version](crate::response::entry::stored_tag), a random number, under a key of
//! its own. A response is stored with the versions of its tags, and whoever finds it compares: if one is another, or is not there, it
//! counts as missing. A purge changes the version.
//!
//! Which tags a response has is known when its handler has answered, and a purge that comes while the handler runs has to be noticed.
//! So purges are [counted](purge_count), and a version says what the count was at the last purge of its tag. A request notes the
//! count before its handler is started; the response is stored only under versions that are no younger than that.
//!
//! - *A purge* first adds to the count, then changes the version. So the version of a purge that a request has not seen in the count
//!   is either there, and younger; or is not there yet, and what is stored before is under the old one. Purges at the same time may
//!   share a count: it is only to be greater than what requests have seen that came before the purge.
//! - *Two purges of a tag* at the same time: the version keeps the greater count, whichever comes last.
//! - *A version that is missing* was never made, or was lost. The writer makes one, with the count as it is by now, and then looks at
//!   the count again. If that has changed, there may have been a purge whose version was lost, so it takes the version away again, and
//!   what others have stored under it in between. If the count was another one already when the handler was started, the response is
//!   not stored, but the next one is, under this version. So a purge of a tag that nothing is stored under need not leave a version.
//! - *Versions that are lost*, by eviction, by a flush, or with their server, make responses misses. The next one is another one.
//! - *A count that is lost* begins anew, in a series of its own, and so does one that does not reach to what
//!   [this layer knows](known_tag_purges): then the store was set back, and versions with it, maybe. A response says what its handler
//!   has observed of the count, and counts as missing if the count has another series, or does not reach to that.
//! - *Versions beyond the count*, or of another series, are as good as none: nobody has counted these purges.
//!
//! **By prefix.** A backend cannot be searched, so nothing is removed. The purge is recorded, with a number, in one
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
//! The store may lose a mark, or a version. So the layer that purges also notes it, for the bucket of the key or of the tag, before it
//! touches the store. Both are compared: what other layers and processes have left in the store, and what this one has noted.

pub(crate) mod default_backend;
pub(crate) mod handle;
mod hash;
pub(crate) mod known_purges;
pub(crate) mod known_tag_purges;
pub(crate) mod lookup;
mod own_keys;
mod purge;
mod purge_bucket;
mod purge_count;
pub(crate) mod purge_list;
pub(crate) mod purge_marks;
mod reading;
mod removal;
mod store;
mod tag_check;
mod tag_versions;
