//! [`MadeFor`]: which question a stored response answers.

use crate::response::policy::settings::Rules;
use crate::response::request::question::Question;
use http::header::HeaderName;

/// Who has stored a response.
#[derive(Debug, Clone)]
pub(crate) enum Origin {
    /// The Python original, which does not say what a response was made for. It goes by the time that the route's owner gives.
    Foreign,
    Ours(MadeFor),
}

/// The question that a response answers, as far as questions are told apart.
#[derive(Debug, Clone)]
pub(crate) struct MadeFor {
    /// The rules by which the response may be stored.
    pub(crate) rules: Rules,
    /// The host, behind the scheme if the request names one.
    pub(crate) host: Box<str>,
    pub(crate) target: Box<str>,
    /// What the key function said.
    pub(crate) own: Option<Box<str>>,
    /// The selecting fields, and what the request said in them.
    pub(crate) vary: Vec<(HeaderName, Option<Box<str>>)>,
    /// Which variants of the key it belongs with; 0 for a response that lies under the key itself.
    pub(crate) family: u64,
}

impl MadeFor {
    /// This question, told apart from others by these fields.
    pub(crate) fn new(question: &Question, fields: &[HeaderName]) -> Self {
        let key = &question.key;
        let said = fields
            .iter()
            .map(|name| (name.clone(), question.says(name)));
        Self {
            rules: key.rules,
            host: key.host().into(),
            target: key.target().into(),
            own: key.own().map(Box::from),
            vary: said.collect(),
            family: 0,
        }
    }

    /// Whether a question is about the same resource, by the same rules, whatever its fields say.
    #[inline]
    pub(crate) fn is_resource(&self, question: &Question) -> bool {
        let key = &question.key;
        self.rules == key.rules
            && *self.host == *key.host()
            && key.has_target(&self.target)
            && self.own.as_deref() == key.own()
    }

    /// Whether a question is this one.
    #[inline]
    pub(crate) fn matches(&self, question: &Question) -> bool {
        self.is_resource(question)
            && self
                .vary
                .iter()
                .all(|(name, said)| says_same(question, name, said.as_deref()))
    }
}

#[inline]
fn says_same(question: &Question, name: &HeaderName, said: Option<&str>) -> bool {
    match (question.headers().get(name), said) {
        (None, None) => true,
        (Some(_), Some(said)) => question.says(name).as_deref() == Some(said),
        _ => false,
    }
}
