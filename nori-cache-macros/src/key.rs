//! What the key of a call is made of.
//!
//! Each argument is a part of it, or is skipped by name: one that was merely forgotten would give an answer to those who did not ask for
//! it.

use crate::errors::Errors;
use crate::function::{Argument, Function};
use crate::options::{KeyOption, Options};
use crate::template::Template;
use proc_macro2::TokenStream;
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;

/// The arguments that are not skipped.
pub(crate) fn keyed<'a>(function: &'a Function, options: &Options) -> Vec<&'a Argument> {
    let arguments = function.arguments.iter();
    let kept = |argument: &&Argument| !options.skips(&argument.name.unraw().to_string());
    arguments.filter(kept).collect()
}

/// Checks that each argument is in the key or skipped, and not both.
pub(crate) fn check(function: &Function, options: &Options, errors: &mut Errors) {
    let names: Vec<String> = function
        .arguments
        .iter()
        .map(|argument| argument.name.unraw().to_string())
        .collect();
    let is_there = |name: &str| names.iter().any(|other| other == name);
    let has_self = function.receiver.is_some();
    for skipped in &options.skip {
        let name = skipped.unraw().to_string();
        if !(is_there(&name) || name == "self" && has_self) {
            errors.at(
                skipped.span(),
                format_args!("there is no argument `{name}` to skip"),
            );
        } else if options.key.as_ref().is_some_and(|key| key.mentions(&name)) {
            errors.at(
                skipped.span(),
                format_args!("`{name}` is in the key, and skipped"),
            );
        }
    }
    if let Some(KeyOption::Template(template)) = &options.key {
        for (place, _) in &template.parts {
            let name = &place.argument;
            if !(is_there(name) || name == "self" && has_self) {
                errors.at(
                    template.literal.span(),
                    format_args!(
                        "`{{{name}}}` is not an argument of `{}`",
                        function.sig.ident
                    ),
                );
            }
        }
    }
    let changed = function.arguments.iter().zip(&names);
    let changed =
        changed.filter_map(|(argument, name)| Some((argument.is_changed()?, name.as_str())));
    let changed_self = function.changes_self().map(|span| (span, "self"));
    for (span, name) in changed
        .chain(changed_self)
        .filter(|(_, name)| !options.skips(name))
    {
        let message = format!(
            "when the function does not run, it does not change `{name}`: return what it would change, or, if answers do not depend on it, `skip({name})`"
        );
        errors.at(span, message);
    }
    let missing = |name: &str| {
        let key = options.key.as_ref();
        !options.skips(name) && key.is_some_and(|key| !key.mentions(name))
    };
    for (argument, name) in function.arguments.iter().zip(&names) {
        if missing(name) {
            let how = match &options.key {
                Some(KeyOption::Template(_)) => format!("Write `{{{name}}}` into the key"),
                _ => format!("Use `{name}` in the key"),
            };
            let message = format!(
                "`{name}` is not in the key: calls that differ in it alone would get each other's answers. {how}, or, if that is right, `skip({name})`"
            );
            errors.at(argument.name.span(), message);
        }
    }
    if let Some(receiver) = &function.receiver
        && function.is_async()
        && !options.skips("self")
        && options.key.as_ref().is_none_or(|key| !key.mentions("self"))
    {
        let message = "`self` is not in the key: what of it do answers depend on? Write that into the key, as in `key = \"…:{self.tenant}\"`, \
            or, if they do not, `skip(self)`";
        errors.at(receiver.span(), message);
    }
}

/// The expression for the key that a template makes: a `String`.
pub(crate) fn from_template(
    template: &Template,
    function: &Function,
    krate: &syn::Path,
) -> TokenStream {
    let Template { head, parts, .. } = template;
    let parts = parts.iter().map(|(place, text)| {
        let root = root(&place.argument, function);
        let fields = &place.fields;
        let span = root.span();
        (quote_spanned!(span=> &#root #(.#fields)*), text.as_str())
    });
    built(&quote!(#krate::__macros::Key::new(#head)), parts)
}

/// The expression for the key of a function without a template: its path, and its arguments in parentheses.
pub(crate) fn from_arguments(
    function: &Function,
    options: &Options,
    uncached: &TokenStream,
) -> TokenStream {
    let krate = options.krate();
    let head = quote!(#krate::__macros::Key::of(&#uncached).text("("));
    let arguments = keyed(function, options);
    if arguments.is_empty() {
        return quote!(#head.text(")").end());
    }
    let last = arguments.len() - 1;
    let parts = arguments.iter().enumerate().map(|(nth, argument)| {
        let name = &argument.name;
        let text = if nth == last { ")" } else { "," };
        (quote_spanned!(name.span()=> &#name), text)
    });
    built(&head, parts)
}

/// A key that begins with `head`, and ends with parts, each with the text behind it.
fn built<'a>(
    head: &TokenStream,
    parts: impl ExactSizeIterator<Item = (TokenStream, &'a str)>,
) -> TokenStream {
    let count = parts.len();
    let parts = parts.enumerate().map(|(nth, (part, text))| {
        let rest = (!text.is_empty()).then(|| quote!(.text(#text)));
        if nth + 1 == count {
            return quote!(.last_part(#part) #rest);
        }
        // A template has been checked for that.
        let end = text.chars().next().unwrap_or_default();
        quote!(.part(#part, #end) #rest)
    });
    quote!(#head #(#parts)* .end())
}

/// The token of an argument.
fn root(name: &str, function: &Function) -> TokenStream {
    let argument = function
        .arguments
        .iter()
        .find(|argument| argument.name.unraw() == name);
    match (argument, &function.receiver) {
        (Some(argument), _) => argument.name.to_token_stream(),
        (None, Some(receiver)) => receiver.self_token.to_token_stream(),
        (None, None) => format_ident!("{name}").to_token_stream(),
    }
}
