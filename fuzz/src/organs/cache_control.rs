//! `Cache-Control` fields of any bytes: never a panic, and more text never makes a response more cacheable.
//! As a structured field, the same bytes are read whole or not at all.

use crate::response::http::directives::Directives;
use crate::response::http::structured::dictionary;

/// Reads the input as lines of a field.
pub fn run(input: &[u8]) {
    let mut all = Directives::default();
    for line in input.split(|&byte| byte == b'\n') {
        let before = all.clone();
        all.add_line(line);
        assert!(all.no_store >= before.no_store && all.private >= before.private);
        assert!(all.no_cache >= before.no_cache && all.must_revalidate >= before.must_revalidate);
        for (old, new) in [
            (before.max_age, all.max_age),
            (before.s_maxage, all.s_maxage),
        ] {
            assert!(old.is_none_or(|old| new.is_some_and(|new| new <= old)));
        }
        assert!(!all.malformed || all.no_store);
    }
    // The order of lines makes no difference, nor does case.
    let mut other = Directives::default();
    for line in input
        .to_ascii_uppercase()
        .split(|&byte| byte == b'\n')
        .rev()
    {
        other.add_line(line);
    }
    assert_eq!(all, other);
    // No member is lost behind another.
    let mut one = Directives::default();
    one.add_line(&[b"no-store,", input].concat());
    assert!(one.no_store);
    let Some(members) = dictionary(input) else {
        return;
    };
    for (at, (name, _)) in members.iter().enumerate() {
        assert!(members[..at].iter().all(|(other, _)| other != name));
    }
    assert_eq!(dictionary(&[input, b", &"].concat()), None);
    if !members.is_empty() {
        assert!(dictionary(&[b"first, ", input].concat()).is_some());
        assert!(dictionary(&[input, b" ,\tlast=(1 2);x"].concat()).is_some());
    }
}
