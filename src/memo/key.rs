//! [`Key`]: string keys from templates.
//!
//! No two lists of arguments have the same key. An argument ends where the text that follows it in the template begins, so it must not
//! contain the first character of that text: there, that character is percent-encoded, and so is `%`. What follows the last argument is
//! the end of the key, which needs no such care. So keys read as the template does: `user:42:en`, and `user:a%3Ab:en` where it matters.

use std::any::type_name;
use std::fmt::{self, Display, Write};

/// What an argument must be to stand in a template: it is told from others by its text.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot stand in a key: it does not implement `Display`",
    label = "this argument is a part of the key",
    note = "write the key as an expression, as in `key = format!(\"user:{{id:?}}\")`",
    note = "or leave the argument out of the key, with `skip(…)`"
)]
pub trait KeyPart: Display {}

impl<T: Display + ?Sized> KeyPart for T {}

/// Bytes that a key has for arguments before it allocates again.
const ROOM: usize = 48;

/// A key that grows by the pieces of its template.
#[derive(Debug)]
pub struct Key(String);

impl Key {
    /// A key that begins with this text.
    pub fn new(text: &str) -> Self {
        let mut key = String::with_capacity(text.len() + ROOM);
        key.push_str(text);
        Self(key)
    }

    /// A key that begins with the path of a function, which is given as the one that is called `…_uncached`.
    ///
    /// Not by `module_path!`, which two functions in the bodies of others have in common, and methods of several types.
    pub fn of<F>(_: &F) -> Self {
        let path = type_name::<F>();
        Self::new(path.strip_suffix("_uncached").unwrap_or(path))
    }

    /// What stands between arguments.
    #[must_use]
    pub fn text(mut self, text: &str) -> Self {
        self.0.push_str(text);
        self
    }

    /// An argument that is followed by a text which begins with `end`.
    ///
    /// # Panics
    /// If its `Display` fails, as `to_string` does.
    #[must_use]
    pub fn part(mut self, part: &(impl KeyPart + ?Sized), end: char) -> Self {
        let mut escaped = Escaped {
            key: &mut self.0,
            end,
        };
        write!(escaped, "{part}").expect("an argument's Display does not fail");
        self
    }

    /// The last argument.
    ///
    /// # Panics
    /// As [`part`](Self::part).
    #[must_use]
    pub fn last_part(mut self, part: &(impl KeyPart + ?Sized)) -> Self {
        write!(self.0, "{part}").expect("an argument's Display does not fail");
        self
    }

    /// The whole key.
    pub fn end(self) -> String {
        self.0
    }
}

/// Writes to a key, without the character that ends an argument.
struct Escaped<'a> {
    key: &'a mut String,
    end: char,
}

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for piece in text.split_inclusive(['%', self.end]) {
            let last = piece.chars().next_back();
            match last.filter(|&last| last == '%' || last == self.end) {
                None => self.key.push_str(piece),
                Some(last) => {
                    self.key.push_str(&piece[..piece.len() - last.len_utf8()]);
                    for byte in last.encode_utf8(&mut [0; 4]).bytes() {
                        write!(self.key, "%{byte:02X}")?;
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeSet, HashSet};

    #[test]
    fn keys_read_as_their_templates() {
        let key = |a: &str, b: &str| Key::new("k:").part(a, ':').text(":").last_part(b).end();
        assert_eq!(key("42", "en"), "k:42:en");
        assert_eq!(key("a:b", "c:d%"), "k:a%3Ab:c:d%");
        assert_eq!(key("50%", ""), "k:50%25:");
        assert_eq!(key("", "ü"), "k::ü");
        let key = Key::new("").part("a→b", '→').text("→ ").last_part(&1.5);
        assert_eq!(key.text("!").end(), "a%E2%86%92b→ 1.5!");
    }

    /// Writes its text one character at a time, as a `Display` may.
    struct Dripping<'a>(&'a str);

    impl Display for Dripping<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.chars().try_for_each(|c| f.write_char(c))
        }
    }

    /// All texts of up to two of these pieces: characters that end arguments, and what stands for them.
    fn texts() -> Vec<String> {
        let pieces = [
            "",
            ":",
            "%3A",
            "%",
            "%25",
            "%253A",
            ",",
            "%2C",
            "→",
            "%E2%86%92",
            "x",
            "%78",
            "é",
        ];
        let two = |first: &'static str| pieces.map(|second| [first, second].concat());
        let texts: BTreeSet<String> = pieces.into_iter().flat_map(two).collect();
        texts.into_iter().collect()
    }

    // The ends are such as the macro allows: no digits of `%3A`.
    #[test]
    fn no_two_lists_of_arguments_share_a_key() {
        let texts = texts();
        for (end, rest) in [(':', ""), (',', "→"), ('→', ":"), ('x', "%3A"), ('é', "é")] {
            let (text, mut keys) = (format!("{end}{rest}"), HashSet::new());
            for a in &texts {
                for b in &texts {
                    let key = Key::new(rest).part(&Dripping(a), end).text(&text);
                    let key = key.last_part(b).text(rest).end();
                    assert!(keys.insert(key), "{a:?} {end} {b:?}");
                }
            }
        }
    }

    /// Lists that differ only in where their characters are.
    #[test]
    fn characters_that_move_from_one_argument_to_the_next_are_seen() {
        let text = ":%3A:%253A,:";
        for ends in [[':', ':'], [':', ','], [',', ':']] {
            let mut keys = HashSet::new();
            for first in 0..=text.len() {
                for second in first..=text.len() {
                    let parts = [&text[..first], &text[first..second], &text[second..]];
                    let key = Key::new("")
                        .part(parts[0], ends[0])
                        .text(&ends[0].to_string());
                    let key = key.part(parts[1], ends[1]).text(&ends[1].to_string());
                    assert!(keys.insert(key.last_part(parts[2]).end()), "{parts:?}");
                }
            }
        }
    }
}
