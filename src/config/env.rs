//! Where settings come from, and what of them may be shown.

use crate::backend::shown;
use crate::error::Error;
use std::collections::HashMap;
use std::env::VarError;
use std::fmt::Display;

/// Variables by name.
pub(super) struct Variables<'v> {
    get: Box<dyn Fn(&'static str) -> Result<Option<String>, Error> + 'v>,
}

impl<'v> Variables<'v> {
    /// The process's, and for what it lacks those of `.env`.
    pub(super) fn from_env() -> Result<Self, Error> {
        let file = dot_env()?;
        let get = move |name| match std::env::var(name) {
            Ok(value) => Ok(Some(value)),
            Err(VarError::NotPresent) => Ok(file.get(name).cloned()),
            Err(VarError::NotUnicode(_)) => {
                Err(Error::invalid_config(name, "not UTF-8", "text in UTF-8"))
            }
        };
        Ok(Self { get: Box::new(get) })
    }

    pub(super) fn from_fn(get: impl Fn(&str) -> Option<String> + 'v) -> Self {
        Self {
            get: Box::new(move |name| Ok(get(name))),
        }
    }

    pub(super) fn get(&self, name: &'static str) -> Result<Option<String>, Error> {
        (self.get)(name)
    }

    /// A whole number from 1 to `most`.
    pub(super) fn number(&self, name: &'static str, most: u64) -> Result<Option<u64>, Error> {
        let Some(text) = self.get(name)? else {
            return Ok(None);
        };
        match text.trim().parse() {
            Ok(number) if (1..=most).contains(&number) => Ok(Some(number)),
            Ok(0) | Err(_) => Err(not_a_number(name, &text, "at least 1")),
            Ok(_) => Err(not_a_number(name, &text, format_args!("at most {most}"))),
        }
    }
}

fn not_a_number(name: &'static str, text: &str, bound: impl Display) -> Error {
    let allowed = format!("a whole number, {bound}");
    Error::invalid_config(name, shown::value(text), allowed)
}

/// What a file `.env` in the working directory, or the nearest above that has one, says.
fn dot_env() -> Result<HashMap<String, String>, Error> {
    let lines = match dotenvy::dotenv_iter() {
        Ok(lines) => lines,
        Err(error) if error.not_found() => return Ok(HashMap::new()),
        Err(error) => return Err(unreadable(&error)),
    };
    lines
        .collect::<Result<_, _>>()
        .map_err(|error| unreadable(&error))
}

/// Says what is wrong with `.env`, but does not quote it: the line may hold a password.
fn unreadable(error: &dotenvy::Error) -> Error {
    let given = match error {
        dotenvy::Error::LineParse(_, at) => format!("malformed, in column {at} of a line"),
        dotenvy::Error::Io(error) => format!("unreadable: {error}"),
        _ => "unreadable".to_owned(),
    };
    Error::invalid_config(".env", given, "lines of the form NAME=value")
}

/// Whether this can be where a Redis is. The rest is for whoever connects.
pub(super) fn is_redis_url(url: &str) -> bool {
    let Some((scheme, rest)) = url.split_once("://") else {
        return false;
    };
    let known = ["redis", "rediss", "valkey", "valkeys", "unix"];
    // `redis+unix`, `redis+sentinel` and the like.
    let first = scheme.split(['+', '-']).next().unwrap_or_default();
    known.contains(&first) && !rest.is_empty() && !rest.contains(char::is_whitespace)
}
