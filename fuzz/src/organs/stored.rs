//! Stored entries of any bytes: never a panic, and what reads as an entry is written so that it reads the same.

use crate::response::stored::Entry;

/// Reads the input as an entry.
pub fn run(input: &[u8]) {
    let Ok(entry) = serde_json::from_slice::<Entry>(input) else {
        return;
    };
    assert!(!entry.status.is_informational());
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
}
