//! Whether a stored response that was read is one that this cache would have written.
//!
//! Others may write to a store. A stored response that breaks a rule was not written by us, so nothing else in it is believed
//! either: it counts as missing, and is replaced.

use super::made_for::Origin;
use super::stored_response::StoredResponse;
use super::stored_tag::StoredTag;
use crate::response::http::directives::Directives;
use crate::response::http::freshness::explicit_lifetime;
use crate::response::http::{content, fields};
use crate::response::policy::settings::Rules;
use crate::response::policy::storable::{self, LONGEST_LIFETIME};
use crate::response::policy::tags;
use crate::response::policy::variants::selecting_fields;
use http::header::{CACHE_STATUS, HeaderName};
use std::time::Duration;

pub(crate) fn is_credible(stored: &StoredResponse) -> bool {
    let headers = &stored.headers;
    let Ok((said, is_targeted)) = storable::directives(stored.rules(), headers) else {
        return false;
    };
    let is_unstored = |name: &HeaderName| fields::is_never_stored(name) || name == CACHE_STATUS;
    storable::check(stored.rules(), &said, stored.status, headers).is_ok()
        && storable::are_short(headers)
        && tags::are_few(stored.tags.iter().map(StoredTag::name))
        && !headers.keys().any(is_unstored)
        && content::is_whole(stored.status, headers, stored.body.len())
        && (!stored.for_authorized || storable::is_for_authorized(&said))
        && lives_as_long_as_said(stored, &said, is_targeted)
        && has_its_variant(stored)
}

/// Whether it lives no longer than its headers allow.
fn lives_as_long_as_said(stored: &StoredResponse, said: &Directives, is_targeted: bool) -> bool {
    let StoredResponse {
        headers, lifetime, ..
    } = stored;
    let Origin::Ours(made_for) = &stored.origin else {
        return !storable::must_be_validated(said, headers);
    };
    let explicit = explicit_lifetime(said, headers, is_targeted, lifetime.born);
    let most = match made_for.rules {
        Rules::Timed if storable::must_be_validated(said, headers) => return false,
        Rules::Headers | Rules::Cdn if said.no_cache => Duration::ZERO,
        _ => explicit.map_or(LONGEST_LIFETIME, |explicit| {
            explicit.lifetime.min(LONGEST_LIFETIME)
        }),
    };
    lifetime.fresh <= most
        && lifetime.while_revalidate <= LONGEST_LIFETIME
        && lifetime.if_error <= LONGEST_LIFETIME
}

/// Whether it says what the request said in the fields by which it varies.
fn has_its_variant(stored: &StoredResponse) -> bool {
    match (selecting_fields(&stored.headers), &stored.origin) {
        (Ok(names), Origin::Ours(made_for)) => {
            let is_said = |name: &HeaderName| made_for.vary.iter().any(|(other, _)| other == name);
            names.iter().all(is_said)
        }
        (Ok(names), Origin::Foreign) => names.is_empty(),
        (Err(_), _) => false,
    }
}
