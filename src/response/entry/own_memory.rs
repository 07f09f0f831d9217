//! Stored responses take the memory that they show, and no more.
//!
//! A body or a header may be a slice of something larger, such as a file or the buffer that a connection was read into. A stored
//! slice would keep all of that alive, and nobody can ask how large it is. So what is stored gets memory of its own. Only a large
//! body that others hold as well is taken as it is: few buffers are much larger, and a copy would be as large again.

use crate::response::policy::storable::are_short;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};

/// A body of at least this many bytes is a large one.
const LARGE: usize = 256 * 1024;

/// A body as it is stored. It is copied only if others hold the same memory.
pub(crate) fn body(bytes: Bytes) -> Bytes {
    if bytes.len() >= LARGE && !bytes.is_unique() {
        return bytes;
    }
    cut(bytes.into())
}

/// Bytes in no more memory than they need.
pub(crate) fn cut(mut bytes: Vec<u8>) -> Bytes {
    bytes.shrink_to_fit();
    Bytes::from(bytes)
}

/// Puts the values of all headers into one piece of memory. `None` if that is too much.
pub(crate) fn headers(headers: &mut HeaderMap) -> Option<()> {
    if !are_short(headers) {
        return None;
    }
    let length = headers.values().map(HeaderValue::len).sum();
    let mut own = Vec::with_capacity(length);
    for value in headers.values() {
        own.extend_from_slice(value.as_bytes());
    }
    let mut rest = Bytes::from(own);
    for value in headers.values_mut() {
        let text = rest.split_to(value.len());
        // It was a value before.
        let mut own = HeaderValue::from_maybe_shared(text).ok()?;
        own.set_sensitive(value.is_sensitive());
        *value = own;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::response::policy::storable::MAX_HEADER_BYTES;

    #[test]
    fn headers_say_the_same_in_memory_of_their_own() {
        let mut all = HeaderMap::new();
        let secret = {
            let mut secret = HeaderValue::from_static("secret");
            secret.set_sensitive(true);
            secret
        };
        all.insert("x-empty", HeaderValue::from_static(""));
        all.append("x-many", HeaderValue::from_static("one"));
        all.append("x-many", HeaderValue::from_bytes(b"\xff\t two").unwrap());
        all.insert("x-secret", secret);
        all.append("x-many", HeaderValue::from_static("three"));
        let before = all.clone();
        assert_eq!(headers(&mut all), Some(()));
        assert_eq!(all, before);
        assert!(all["x-secret"].is_sensitive() && !all["x-many"].is_sensitive());
        headers(&mut HeaderMap::new()).unwrap();
    }

    #[test]
    fn too_long_ones_are_refused() {
        for (length, want) in [(MAX_HEADER_BYTES, Some(())), (MAX_HEADER_BYTES + 1, None)] {
            let mut all = HeaderMap::new();
            let value = HeaderValue::try_from("x".repeat(length)).unwrap();
            all.insert("x-long", value);
            assert_eq!(headers(&mut all), want);
        }
    }

    #[test]
    fn only_what_others_hold_is_copied_and_only_if_it_is_small() {
        for size in [1000, LARGE] {
            let own = Bytes::from(vec![b'x'; size]);
            let place = own.as_ptr();
            assert_eq!(body(own).as_ptr(), place, "{size}");
        }
        let shared = Bytes::from(vec![b'x'; 2 * LARGE]);
        for (size, want) in [(10, false), (LARGE - 1, false), (LARGE, true)] {
            let part = body(shared.slice(10..10 + size));
            assert_eq!(part, shared[10..10 + size]);
            assert_eq!(
                shared.as_ptr_range().contains(&part.as_ptr()),
                want,
                "{size}"
            );
        }
    }

    #[test]
    fn the_last_part_of_a_large_buffer_frees_the_rest() {
        let mut buffer = Vec::with_capacity(LARGE);
        buffer.extend([b'x'; 1000]);
        let part = body(Bytes::from(buffer).slice(990..));
        assert_eq!(part, "xxxxxxxxxx");
        assert_eq!(Vec::from(part).capacity(), 10);
    }
}
