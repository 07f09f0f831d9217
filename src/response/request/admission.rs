//! Which GETs and HEADs the cache can answer, by their head and body alone.

use super::bypass::Bypass;
use crate::response::http::fields;
use http::Version;
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, EXPECT, IF_MATCH, IF_UNMODIFIED_SINCE,
    TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http_body::Body;

/// Whether a plain request carries credentials. It is found out here, because one pass over all fields is cheaper than a lookup of
/// one more name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caller {
    Anonymous,
    WithCredentials,
}

/// Whether a request is a plain one, and whose.
///
/// # Errors
/// Why it is not.
pub(crate) fn check<B: Body>(parts: &Parts, body: &B) -> Result<Caller, Bypass> {
    let mut caller = Caller::Anonymous;
    for (name, value) in &parts.headers {
        let bypass = match *name {
            IF_MATCH | IF_UNMODIFIED_SINCE => Bypass::Precondition,
            CONTENT_LENGTH if value != "0" => Bypass::Content,
            TRANSFER_ENCODING | EXPECT => Bypass::Content,
            UPGRADE => Bypass::Upgrade,
            // Who hands the request on takes these fields off, so that the handler sees less than the cache.
            CONNECTION if fields::names_others(value) => Bypass::Connection,
            AUTHORIZATION => {
                caller = Caller::WithCredentials;
                continue;
            }
            _ => continue,
        };
        return Err(bypass);
    }
    // The key does not contain what a GET carries, and some handlers look at it. From HTTP/2 on no header need announce a body,
    // and trailers may follow one that is 0 bytes long.
    let may_have_trailers = parts.version >= Version::HTTP_2;
    let is_empty = !may_have_trailers && body.size_hint().exact() == Some(0);
    if !body.is_end_stream() && !is_empty {
        return Err(Bypass::Content);
    }
    Ok(caller)
}
