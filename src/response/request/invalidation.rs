//! Which stored responses a successful unsafe request makes outdated: RFC 9111 §4.4.

use super::bypass::Bypass;
use super::key::{Key, original_uri};
use super::key_settings::KeySettings;
use crate::response::policy::settings::Rules;
use http::header::{CONTENT_LOCATION, HOST, LOCATION};
use http::request::Parts;
use http::{Extensions, HeaderMap, HeaderValue, Uri};

/// The keys of a request's target, and of those targets that the response names, if they are on the same host.
pub(crate) fn outdated_keys(
    settings: &KeySettings,
    rules: Rules,
    mut get: Parts,
    response: &HeaderMap,
) -> Vec<String> {
    let base = original_uri(settings, &get).unwrap_or(&get.uri);
    let named: Vec<Uri> = [LOCATION, CONTENT_LOCATION]
        .iter()
        .filter_map(|name| resolve(base, &get.headers, response.get(name)?))
        .collect();
    let mut keys = Vec::new();
    keys.extend(key_of(settings, rules, &mut get));
    // The original URI is the request's, not that of the targets which the response names.
    get.extensions = Extensions::new();
    for uri in named {
        get.uri = uri;
        keys.extend(key_of(settings, rules, &mut get));
    }
    keys
}

fn key_of(settings: &KeySettings, rules: Rules, get: &mut Parts) -> Option<String> {
    let mut key = Key::of_whole(settings, rules, get);
    if let Err(Bypass::Host) = key {
        // It is not clear which authority is meant. Where the authority is not in the key, the response of all of them is removed.
        get.headers.remove(HOST);
        if let Some(path) = get.uri.path_and_query() {
            get.uri = Uri::from(path.clone());
        }
        key = Key::of_whole(settings, rules, get);
    }
    Some(key.ok()?.as_str().to_owned())
}

/// A target that a response names: an absolute URI on the same host, or a path. It has the authority where the request has it.
fn resolve(base: &Uri, headers: &HeaderMap, value: &HeaderValue) -> Option<Uri> {
    let uri: Uri = value.to_str().ok()?.parse().ok()?;
    let own = match base.authority() {
        Some(own) => own.as_str(),
        None => headers
            .get(HOST)
            .map_or("", |host| host.to_str().unwrap_or("")),
    };
    match uri.authority() {
        Some(named) if named.as_str().eq_ignore_ascii_case(own) => (),
        None if value.as_bytes().starts_with(b"/") => (),
        _ => return None,
    }
    let mut parts = base.clone().into_parts();
    parts.path_and_query = uri.path_and_query().cloned();
    Uri::from_parts(parts).ok()
}
