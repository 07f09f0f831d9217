//! Templates of keys: `user:{id}:{lang}`.

use proc_macro2::Ident;
use syn::ext::IdentExt;
use syn::{Error, LitStr, Member, Result};

/// Text, then arguments, each with the text behind it.
pub(crate) struct Template {
    pub(crate) head: String,
    pub(crate) parts: Vec<(Place, String)>,
    pub(crate) literal: LitStr,
}

/// An argument, or a field of it: `id`, `user.id`, `self.tenant`.
pub(crate) struct Place {
    pub(crate) argument: String,
    pub(crate) fields: Vec<Member>,
}

impl Template {
    pub(crate) fn parse(literal: LitStr) -> Result<Self> {
        let fault = |message: String| Err(Error::new(literal.span(), message));
        let text = literal.value();
        let (mut head, mut parts) = (String::new(), Vec::<(Place, String)>::new());
        let mut rest = text.as_str();
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(at);
            let text = parts.last_mut().map_or(&mut head, |(_, text)| text);
            text.push_str(before);
            if let Some(after) = from.strip_prefix("{{").or(from.strip_prefix("}}")) {
                text.push_str(&from[..1]);
                rest = after;
                continue;
            }
            if from.starts_with('}') {
                return fault(
                    "there is no `{` for this `}`: a brace that is part of the key is written `}}`"
                        .to_owned(),
                );
            }
            let Some((inside, after)) = from[1..].split_once('}') else {
                return fault(
                    "there is no `}` for this `{`: a brace that is part of the key is written `{{`"
                        .to_owned(),
                );
            };
            match Place::parse(inside) {
                Ok(place) => parts.push((place, String::new())),
                Err(message) => return fault(message),
            }
            rest = after;
        }
        let text = parts.last_mut().map_or(&mut head, |(_, text)| text);
        text.push_str(rest);
        // Where an argument ends must be told by what follows; the last one ends with the key.
        for (place, text) in parts.iter().rev().skip(1) {
            let name = &place.argument;
            match text.chars().next() {
                None => {
                    return fault(format!(
                        "nothing separates `{{{name}}}` from the next argument: write a `:` between them"
                    ));
                }
                Some(end) if is_of_escapes(end) => {
                    return fault(format!(
                        "`{end}` does not separate `{{{name}}}` from what follows: begin that with a `:`"
                    ));
                }
                Some(_) => {}
            }
        }
        Ok(Self {
            head,
            parts,
            literal,
        })
    }
}

/// Whether a character can be in `%3A`, which stands for a `:` in an argument.
fn is_of_escapes(c: char) -> bool {
    c == '%' || c.is_ascii_digit() || ('A'..='F').contains(&c)
}

impl Place {
    fn parse(inside: &str) -> std::result::Result<Self, String> {
        if inside.is_empty() {
            return Err("arguments stand in a key by name, as in `{id}`".to_owned());
        }
        if let Some((name, format)) = inside.split_once(':') {
            return Err(format!(
                "`{{{name}}}` must stand in the key without the format `:{format}`, which could give different arguments the same key; \
                if none can, write `key = format!(…)`"
            ));
        }
        let mut names = inside.split('.');
        let argument = names.next().and_then(identifier);
        let fields: Option<Vec<Member>> = names.map(|name| syn::parse_str(name).ok()).collect();
        match (argument, fields) {
            (Some(argument), Some(fields)) => Ok(Self { argument, fields }),
            _ => Err(format!(
                "`{{{inside}}}` is neither an argument's name nor a field of one: for other expressions, write `key = format!(…)`"
            )),
        }
    }
}

fn identifier(text: &str) -> Option<String> {
    let parsed = syn::parse::Parser::parse_str(Ident::parse_any, text).ok()?;
    Some(parsed.unraw().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proc_macro2::Span;

    fn parse(text: &str) -> Result<Template> {
        Template::parse(LitStr::new(text, Span::call_site()))
    }

    #[test]
    fn text_and_arguments_take_turns() {
        let pieces = |text: &str| {
            let template = parse(text).unwrap();
            let mut pieces = vec![template.head];
            for (place, text) in template.parts {
                let fields = place.fields.iter().map(|field| match field {
                    Member::Named(name) => format!(".{name}"),
                    Member::Unnamed(index) => format!(".{}", index.index),
                });
                pieces.extend([place.argument + &fields.collect::<String>(), text]);
            }
            pieces
        };
        assert_eq!(pieces("config"), ["config"]);
        assert_eq!(pieces(""), [""]);
        assert_eq!(pieces("user:{id}:{lang}"), ["user:", "id", ":", "lang", ""]);
        assert_eq!(pieces("{a}/{{b}}"), ["", "a", "/{b}"]);
        assert_eq!(pieces("{{{a}}}"), ["{", "a", "}"]);
        assert_eq!(
            pieces("{self.tenant} {x.0.y}"),
            ["", "self.tenant", " ", "x.0.y", ""]
        );
        assert_eq!(pieces("{type}{{{a}9"), ["", "type", "{", "a", "9"]);
    }

    #[test]
    fn what_is_not_a_template_is_refused() {
        for (text, why) in [
            ("a}", "there is no `{`"),
            ("{a", "there is no `}`"),
            ("{a}}", "there is no `{`"),
            ("{}", "by name"),
            ("{0}", "neither"),
            ("{a b}", "neither"),
            ("{a.}", "neither"),
            ("{a()}", "neither"),
            ("{a:?}", "`:?`"),
            ("{a:04}", "`:04`"),
            ("{a}{b}", "nothing separates `{a}`"),
            ("{a}7{b}", "`7` does not separate"),
            ("{a}A{b}", "`A` does not separate"),
            ("{a}%{b}", "`%` does not separate"),
        ] {
            let Err(error) = parse(text) else {
                panic!("{text}")
            };
            assert!(error.to_string().contains(why), "{text}: {error}");
        }
        assert!(parse("{width}x{height}9").is_ok());
    }
}
