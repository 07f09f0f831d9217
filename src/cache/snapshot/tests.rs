use super::unix_millis;
use crate::{Cache, ManualClock, Ttl};
use std::time::Duration;

#[test]
fn time_goes_on_between_a_snapshot_and_its_restoration() {
    let clock = ManualClock::new();
    let before = Cache::builder().clock(clock).build().unwrap();
    before.insert_with_ttl(1, "a minute", Duration::from_secs(60));
    before.insert_with_ttl(2, "an hour", Duration::from_secs(3_600));
    before.insert_with_ttl(3, "for ever", Ttl::Never);
    let mut bytes = Vec::new();
    let earliest = unix_millis();
    before.snapshot(&mut bytes).unwrap();
    let latest = unix_millis();

    let restored = |at: u64| {
        let builder = Cache::<i32, String>::builder().clock(ManualClock::new());
        let after = builder.build().unwrap();
        let count = after.restore_at(&mut bytes.as_slice(), at).unwrap();
        let ttls = [1, 2, 3].map(|key| after.ttl(&key));
        assert_eq!(count, ttls.iter().flatten().count());
        ttls
    };
    let [minute, hour, ever] = restored(latest + 60_000);
    assert_eq!(minute, None);
    let Some(Ttl::After(hour)) = hour else {
        panic!("{hour:?}");
    };
    let passed = Duration::from_millis(60_000)..=Duration::from_millis(latest - earliest + 60_000);
    assert!(
        passed.contains(&(Duration::from_secs(3_600) - hour)),
        "{hour:?}"
    );
    assert_eq!(ever, Some(Ttl::Never));
    // A time of day that was set back gives no entry more than it had left.
    let [minute, hour, ever] = restored(0);
    assert_eq!(minute, Some(Ttl::After(Duration::from_secs(60))));
    assert_eq!(hour, Some(Ttl::After(Duration::from_secs(3_600))));
    assert_eq!(ever, Some(Ttl::Never));
    // Nor is a time far ahead more than all of it.
    assert_eq!(restored(u64::MAX), [None, None, Some(Ttl::Never)]);
}
