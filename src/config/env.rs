//! Where settings come from: the environment, and the file `.env`.

use crate::backend::redact;
use crate::error::Error;
use std::collections::HashMap;
use std::env::VarError;
use std::fmt::Display;
use std::io::ErrorKind;
use std::time::Duration;

/// The file that is read beside the environment: in the working directory, and nowhere else.
const DOT_ENV: &str = ".env";

/// Variables by name.
pub(super) struct Variables<'v> {
    get: Box<dyn Fn(&'static str) -> Result<Option<String>, Error> + 'v>,
}

impl<'v> Variables<'v> {
    /// The process's variables, and those of `file` that it lacks.
    pub(super) fn from_env(file: &'v HashMap<String, String>) -> Self {
        let get = move |name| match std::env::var(name) {
            Ok(value) => Ok(Some(value)),
            Err(VarError::NotPresent) => Ok(file.get(name).cloned()),
            Err(VarError::NotUnicode(_)) => {
                Err(Error::invalid_config(name, "not UTF-8", "text in UTF-8"))
            }
        };
        Self { get: Box::new(get) }
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
        self.number_from(1, name, most)
    }

    /// How many, which may be none.
    pub(super) fn count(&self, name: &'static str) -> Result<Option<usize>, Error> {
        let count = self.number_from(0, name, usize::MAX as u64)?;
        Ok(count.map(|count| usize::try_from(count).unwrap_or(usize::MAX)))
    }

    fn number_from(&self, least: u64, name: &'static str, most: u64) -> Result<Option<u64>, Error> {
        let Some(text) = self.get(name)? else {
            return Ok(None);
        };
        match text.trim().parse() {
            Ok(number) if (least..=most).contains(&number) => Ok(Some(number)),
            Ok(number) if number > most => {
                Err(not_a_number(name, &text, format_args!("at most {most}")))
            }
            _ => Err(not_a_number(name, &text, format_args!("at least {least}"))),
        }
    }
}

impl Variables<'_> {
    /// A share that is allowed.
    pub(super) fn share(
        &self,
        name: &'static str,
        is_allowed: impl Fn(f64) -> bool,
        allowed: &str,
    ) -> Result<Option<f64>, Error> {
        let Some(text) = self.get(name)? else {
            return Ok(None);
        };
        match text.trim().parse() {
            Ok(share) if is_allowed(share) => Ok(Some(share)),
            _ => Err(Error::invalid_config(name, redact::value(&text), allowed)),
        }
    }

    /// A time in milliseconds or in seconds, as the unit says.
    pub(super) fn time(
        &self,
        name: &'static str,
        unit: Duration,
    ) -> Result<Option<Duration>, Error> {
        let millis = u64::try_from(unit.as_millis()).unwrap_or(u64::MAX);
        let number = self.number(name, u64::MAX / millis.max(1))?;
        Ok(number.map(|number| Duration::from_millis(number.saturating_mul(millis))))
    }
}

fn not_a_number(name: &'static str, text: &str, bound: impl Display) -> Error {
    let allowed = format!("a whole number, {bound}");
    Error::invalid_config(name, redact::value(text), allowed)
}

/// What the file `.env` in the working directory says; nothing if there is none.
///
/// Directories above are not searched: whoever can write to one of them, `/tmp` say, would choose the Redis of every program
/// that starts below it. Only a regular file is read: a directory of that name is somebody's virtual environment.
pub(super) fn dot_env() -> Result<HashMap<String, String>, Error> {
    match std::fs::metadata(DOT_ENV) {
        Ok(found) if found.is_file() => (),
        Ok(_) => return Ok(HashMap::new()),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(HashMap::new()),
        Err(error) => return Err(unreadable(&dotenvy::Error::Io(error))),
    }
    dotenvy::from_path_iter(DOT_ENV)
        .and_then(Iterator::collect)
        .map_err(|error| unreadable(&error))
}

/// Adds to an error that the value comes from the file, if it does.
pub(super) fn blamed(error: Error, file: &HashMap<String, String>) -> Error {
    let in_file = |name| std::env::var_os(name).is_none() && file.contains_key(name);
    match error.setting() {
        Some(name) if in_file(name) => error.given_in(DOT_ENV),
        _ => error,
    }
}

/// Says what is wrong with `.env`, but does not quote it: it may hold a password.
fn unreadable(error: &dotenvy::Error) -> Error {
    let given = match error {
        dotenvy::Error::LineParse(_, at) => format!("malformed, in column {at} of a line"),
        dotenvy::Error::Io(error) => format!("unreadable: {error}"),
        _ => "unreadable".to_owned(),
    };
    Error::invalid_config(DOT_ENV, given, "lines of the form NAME=value")
}

/// Whether this looks like the URL of a Redis. Whether it is one is found out when the backend is built.
pub(super) fn is_redis_url(url: &str) -> bool {
    let Some((scheme, rest)) = url.split_once("://") else {
        return false;
    };
    let known = ["redis", "rediss", "valkey", "valkeys", "unix"];
    // `redis+unix`, `redis+sentinel` and the like.
    let first = scheme.split(['+', '-']).next().unwrap_or_default();
    known.contains(&first) && !rest.is_empty() && !rest.contains(char::is_whitespace)
}
