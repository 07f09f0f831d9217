//! Dictionaries of structured fields: RFC 8941 §4.2.2. A field that breaks a rule anywhere has no members at all.

/// What a member of a dictionary is, as far as directives look at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bare {
    Integer(i64),
    Boolean(bool),
    /// A string or a token.
    Text,
    /// A decimal, bytes, or a list in parentheses.
    Other,
}

/// The members of a dictionary, in order; of two with one name the last one holds.
pub(crate) fn dictionary(text: &[u8]) -> Option<Vec<(&[u8], Bare)>> {
    let mut parser = Parser { rest: text };
    let mut members: Vec<(&[u8], Bare)> = Vec::new();
    parser.skip(b" ");
    while !parser.rest.is_empty() {
        let key = parser.key()?;
        let value = if parser.eats(b'=') {
            parser.item_or_list()?
        } else {
            Bare::Boolean(true)
        };
        parser.parameters()?;
        members.retain(|(other, _)| *other != key);
        members.push((key, value));
        parser.skip(b" \t");
        if parser.rest.is_empty() {
            break;
        }
        if !parser.eats(b',') {
            return None;
        }
        parser.skip(b" \t");
        // A comma has something after it.
        parser.rest.first()?;
    }
    Some(members)
}

struct Parser<'a> {
    rest: &'a [u8],
}

impl<'a> Parser<'a> {
    fn skip(&mut self, bytes: &[u8]) {
        self.take(|byte| bytes.contains(&byte));
    }

    fn eats(&mut self, byte: u8) -> bool {
        let rest = self.rest.strip_prefix(&[byte]);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn take(&mut self, is_part: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.rest.iter().position(|&byte| !is_part(byte));
        let (taken, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        taken
    }

    fn key(&mut self) -> Option<&'a [u8]> {
        let key = self.take(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.*".contains(&byte)
        });
        let first = key.first()?;
        (first.is_ascii_lowercase() || *first == b'*').then_some(key)
    }

    fn item_or_list(&mut self) -> Option<Bare> {
        if !self.eats(b'(') {
            return self.bare();
        }
        loop {
            self.skip(b" ");
            if self.eats(b')') {
                return Some(Bare::Other);
            }
            self.bare()?;
            self.parameters()?;
            if ![b' ', b')'].contains(self.rest.first()?) {
                return None;
            }
        }
    }

    fn parameters(&mut self) -> Option<()> {
        while self.eats(b';') {
            self.skip(b" ");
            self.key()?;
            if self.eats(b'=') {
                self.bare()?;
            }
        }
        Some(())
    }

    fn bare(&mut self) -> Option<Bare> {
        match *self.rest.first()? {
            b'-' | b'0'..=b'9' => self.number(),
            b'"' => self.string(),
            b'?' => self.boolean(),
            b':' => self.bytes(),
            b'*' | b'A'..=b'Z' | b'a'..=b'z' => {
                self.take(|byte| {
                    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte)
                });
                Some(Bare::Text)
            }
            _ => None,
        }
    }

    fn number(&mut self) -> Option<Bare> {
        let sign = if self.eats(b'-') { -1 } else { 1 };
        let whole = self.take(|byte| byte.is_ascii_digit());
        if !self.eats(b'.') {
            let text = std::str::from_utf8(whole).ok()?;
            let number: i64 = text.parse().ok().filter(|_| whole.len() <= 15)?;
            return Some(Bare::Integer(sign * number));
        }
        let fraction = self.take(|byte| byte.is_ascii_digit());
        let fits = (1..=12).contains(&whole.len()) && (1..=3).contains(&fraction.len());
        fits.then_some(Bare::Other)
    }

    fn string(&mut self) -> Option<Bare> {
        self.eats(b'"');
        loop {
            self.take(|byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\');
            if self.eats(b'"') {
                return Some(Bare::Text);
            }
            if !self.eats(b'\\') || !(self.eats(b'"') || self.eats(b'\\')) {
                return None;
            }
        }
    }

    fn boolean(&mut self) -> Option<Bare> {
        self.eats(b'?');
        if self.eats(b'1') {
            Some(Bare::Boolean(true))
        } else if self.eats(b'0') {
            Some(Bare::Boolean(false))
        } else {
            None
        }
    }

    fn bytes(&mut self) -> Option<Bare> {
        self.eats(b':');
        self.take(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte));
        self.eats(b':').then_some(Bare::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc8941_4_2_2_dictionaries() {
        let one = |value| Some(vec![(&b"a"[..], value)]);
        for (text, want) in [
            ("", Some(vec![])),
            ("   ", Some(vec![])),
            ("a", one(Bare::Boolean(true))),
            ("a;x;y=2", one(Bare::Boolean(true))),
            ("a=?0", one(Bare::Boolean(false))),
            ("a=-5", one(Bare::Integer(-5))),
            ("a=999999999999999", one(Bare::Integer(999_999_999_999_999))),
            ("a=1, a=2;x=1 ", one(Bare::Integer(2))),
            ("  a=1", one(Bare::Integer(1))),
            (r#"a="x, \" \\ y""#, one(Bare::Text)),
            ("a=Foo/bar:9", one(Bare::Text)),
            ("a=1.5", one(Bare::Other)),
            ("a=:aGk=:", one(Bare::Other)),
            ("a=(1 \"x\";q=1  y )", one(Bare::Other)),
            ("a=()", one(Bare::Other)),
        ] {
            assert_eq!(dictionary(text.as_bytes()), want, "{text}");
        }
        let two = dictionary(b"must-revalidate \t,\t max-age=600").unwrap();
        assert_eq!(two[0], (&b"must-revalidate"[..], Bare::Boolean(true)));
        assert_eq!(two[1], (&b"max-age"[..], Bare::Integer(600)));
    }

    #[test]
    fn rfc8941_4_2_what_breaks_a_rule_is_nothing_at_all() {
        for text in [
            "a=1, &&&&&",
            "A=1",
            "1=1",
            "a=",
            "a =1",
            "a= 1",
            "a=1,",
            "a=1,,b=2",
            ",a=1",
            "a=1 b=2",
            "a=1000000000000000",
            "a=1.",
            "a=1.2345",
            "a=.5",
            "a=-",
            "a=\"x",
            "a=\"\\n\"",
            "a=\"\u{fc}\"",
            "a=?2",
            "a=?",
            "a=?10",
            "a=:a",
            "a=(1",
            "a=(1,2)",
            "a=(1\"x\")",
            "a;",
            "a;X",
            "\ta=1",
            "a=1\n",
            "a=@1",
        ] {
            assert_eq!(dictionary(text.as_bytes()), None, "{text:?}");
        }
    }
}
