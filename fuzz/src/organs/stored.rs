//! Stored entries of any bytes: never a panic, and what reads as an entry is written so that it reads the same.

use crate::response::entry::stored_response::Entry;

/// Headers that are of one connection, or of one client.
const NEVER_READ: [&str; 6] = [
    "connection",
    "keep-alive",
    "set-cookie",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Reads the input as an entry, and says whether it is one.
pub fn run(input: &[u8]) -> bool {
    let Ok(entry) = serde_json::from_slice::<Entry>(input) else {
        return false;
    };
    assert!((200..600).contains(&entry.status.as_u16()));
    assert!(
        NEVER_READ
            .iter()
            .all(|name| !entry.headers.contains_key(*name))
    );
    let length = entry.headers.get("content-length");
    assert!(length.is_none_or(|length| *length == *entry.body.len().to_string()));
    let now = 1_800_000_000_000;
    let _ = (
        entry.age(now),
        entry.is_fresh(now),
        entry.serves_if_error(now),
    );
    let _ = entry.serves_while_revalidating(now);
    let text = serde_json::to_vec(&entry).expect("it can be written");
    let again: Entry = serde_json::from_slice(&text).expect("it can be read");
    assert_eq!(again.status, entry.status);
    assert_eq!(again.body, entry.body);
    assert_eq!(format!("{:?}", again.origin), format!("{:?}", entry.origin));
    assert_eq!(
        (again.born, again.seen, again.fresh),
        (entry.born, entry.seen, entry.fresh)
    );
    true
}
