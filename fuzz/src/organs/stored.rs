//! Stored responses of any bytes: never a panic, and what reads as one is written so that it reads the same.

use crate::response::clock::UnixMillis;
use crate::response::entry::stored_response::StoredResponse;

/// Headers that are of one connection, or of one client.
const NEVER_READ: [&str; 6] = [
    "connection",
    "keep-alive",
    "set-cookie",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Reads the input as a stored response, and says whether it is one.
pub fn run(input: &[u8]) -> bool {
    let Ok(stored) = serde_json::from_slice::<StoredResponse>(input) else {
        return false;
    };
    assert!((200..600).contains(&stored.status.as_u16()));
    assert!(
        NEVER_READ
            .iter()
            .all(|name| !stored.headers.contains_key(*name))
    );
    let length = stored.headers.get("content-length");
    assert!(length.is_none_or(|length| *length == *stored.body.len().to_string()));
    let now = UnixMillis::new(1_800_000_000_000);
    let _ = (
        stored.age(now),
        stored.is_fresh(now),
        stored.serves_if_error(now),
    );
    let _ = stored.serves_while_revalidating(now);
    let text = serde_json::to_vec(&stored).expect("it can be written");
    let again: StoredResponse = serde_json::from_slice(&text).expect("it can be read");
    assert_eq!(again.status, stored.status);
    assert_eq!(again.body, stored.body);
    assert_eq!(
        format!("{:?}", again.origin),
        format!("{:?}", stored.origin)
    );
    assert_eq!(
        (again.lifetime, again.observed_purge),
        (stored.lifetime, stored.observed_purge)
    );
    assert_eq!(
        (again.observed_tags, again.tags),
        (stored.observed_tags, stored.tags)
    );
    true
}
