//! HTTP as its RFCs have it: fields, dates, validators, ranges, freshness. Nothing here knows of this cache.

pub(crate) mod cache_status;
pub(crate) mod content;
pub(crate) mod date;
pub(crate) mod directives;
pub(crate) mod fields;
pub(crate) mod freshness;
pub(crate) mod range;
pub(crate) mod structured;
pub(crate) mod text;
pub(crate) mod validators;
pub(crate) mod vary;
