//! Snapshots of the cache, which another one restores.

use super::{MOST_KEYS, NEVER, Stored, Subject, name};
use crate::cache::Cache;
use crate::time::{ManualClock, Ttl};

/// Values come back as their serial numbers.
type Restored = Cache<String, u32>;

fn with_room_for(max_keys: usize) -> Restored {
    let cache = Cache::builder().max_keys(max_keys).shards(1);
    let cache = cache.clock(ManualClock::new()).build();
    cache.expect("a valid configuration")
}

impl Subject {
    fn snapshot(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let written = self.cache.snapshot(&mut bytes);
        assert_eq!(
            written.expect("memory takes all"),
            self.entries.len() as u64
        );
        bytes
    }

    /// All that is alive comes back, or what was used last of it. What has an end may be gone, as time passes for the machine.
    pub(super) fn is_restored(&self, room: u8) {
        let room = 1 + usize::from(room) % MOST_KEYS;
        let other = with_room_for(room);
        let restored = other.restore(&mut self.snapshot().as_slice());
        let restored = restored.expect("it is a snapshot");
        assert!(restored >= other.len() && other.len() <= room);
        for (key, serial) in other.iter() {
            let known = self.entries.iter().find(|it| name(it.key) == *key);
            let known = known.expect("nothing else was there");
            assert_eq!(serial, known.serial);
            match other.ttl(key.as_str()) {
                None | Some(Ttl::Never) => assert_eq!(known.limit, NEVER),
                Some(Ttl::After(left)) => {
                    assert!(left.as_millis() <= (known.limit - self.now()).into());
                }
            }
        }
        let lasts = |it: &&Stored| it.limit == NEVER;
        let lasting = self.entries.iter().filter(lasts).count();
        if lasting == self.entries.len() {
            assert_eq!(other.len(), lasting.min(room));
        }
        // Those that are pinned are in no order.
        if self.is_exact() && !self.entries.iter().any(|it| it.is_pinned) {
            let skipped = self.entries.len().saturating_sub(room);
            for it in self.entries[skipped..].iter().filter(lasts) {
                assert_eq!(other.peek(name(it.key).as_str()), Some(it.serial));
            }
        }
    }

    /// A snapshot that was cut short, or in which a byte was changed, is refused, and the cache stays as it was.
    pub(super) fn is_refused_if_damaged(&self, at: u16, change: u8) {
        let mut bytes = self.snapshot();
        let at = usize::from(at) % bytes.len();
        match change {
            0 => bytes.truncate(at),
            _ => bytes[at] ^= change,
        }
        let other = with_room_for(MOST_KEYS);
        other.insert("own".to_owned(), 1);
        let error = other.restore(&mut bytes.as_slice());
        assert!(error.is_err_and(|error| error.is_damaged()));
        assert_eq!((other.len(), other.get("own")), (1, Some(1)));
    }
}
