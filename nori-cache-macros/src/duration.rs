//! Times to live as people write them: `5m`, `1h 30m`, `250ms`.

use std::fmt::Display;

/// From the longest to the shortest, in milliseconds.
const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// A time in milliseconds: whole numbers, each with its unit, from the longest unit to the shortest.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    let mut rest = text.trim();
    let mut units = UNITS.iter();
    let mut sum = 0_u64;
    while !rest.is_empty() {
        let (number, after) = split(rest, |c| c.is_ascii_digit());
        let (unit, after) = split(after.trim_start(), |c| c.is_alphabetic());
        if number.is_empty() {
            return Err(fault(text, "a whole number must stand before each unit"));
        }
        if unit.is_empty() {
            return Err(fault(text, format_args!("{number} has no unit")));
        }
        if !UNITS.iter().any(|(name, _)| *name == unit) {
            return Err(fault(text, format_args!("`{unit}` is not a unit")));
        }
        let Some((_, millis)) = units.find(|(name, _)| *name == unit) else {
            let why = format_args!(
                "`{unit}` comes too late: the longest unit comes first, and each once"
            );
            return Err(fault(text, why));
        };
        let part = number
            .parse()
            .ok()
            .and_then(|n: u64| n.checked_mul(*millis));
        sum = part
            .and_then(|part| sum.checked_add(part))
            .ok_or_else(|| fault(text, "that is too long"))?;
        rest = after.trim_start();
    }
    if sum == 0 {
        return Err(fault(text, "nothing would be cached for no time"));
    }
    Ok(sum)
}

/// What the text begins with, and the rest.
fn split(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(|c| !belongs(c)).unwrap_or(text.len());
    text.split_at(end)
}

fn fault(text: &str, why: impl Display) -> String {
    format!(
        "`{text}` is no time to live: {why}. Write it as \"5m\", \"1h 30m\" or \"250ms\" (units: d, h, m, s, ms), as \"never\", or as an expression"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_sums_of_numbers_with_units() {
        for (text, millis) in [
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            (" 1 h  30 m ", 5_400_000),
            ("250ms", 250),
            ("1s 1ms", 1_001),
            ("2d", 172_800_000),
            ("0d 1ms", 1),
            ("1d1h1m1s1ms", 90_061_001),
            ("18446744073709551615ms", u64::MAX),
        ] {
            assert_eq!(parse(text), Ok(millis), "{text}");
        }
    }

    #[test]
    fn what_could_be_misread_is_refused() {
        for (text, why) in [
            ("", "for no time"),
            ("0s", "for no time"),
            ("300", "300 has no unit"),
            ("5m 30", "30 has no unit"),
            ("m", "a whole number"),
            ("1.5h", "1 has no unit"),
            ("-5m", "a whole number"),
            ("5 minutes", "`minutes` is not a unit"),
            ("5M", "`M` is not a unit"),
            ("5µs", "`µs` is not a unit"),
            ("30m 1h", "`h` comes too late"),
            ("1s 1s", "`s` comes too late"),
            ("18446744073709551615d", "too long"),
            ("99999999999999999999ms", "too long"),
            ("18446744073709551615ms 1h", "comes too late"),
            ("18446744073709551s 999999ms", "too long"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
