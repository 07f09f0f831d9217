//! What is written in the place of the function.
//!
//! The function itself keeps its body and becomes `NAME_uncached`. `NAME` asks the cache first. Beside them are `NAME_cache_key` and
//! `NAME_cache_remove`, which take the arguments that are in the key. All of them are functions, so that they can stand wherever the
//! function can: in a module, in another function, in an `impl`.
//!
//! Whatever is not the user's is named by its whole path, and variables have names that the user's cannot meet.

mod asynchronous;
mod attributes;
mod plain;

use crate::errors::Errors;
use crate::function::{Argument, Function};
use crate::key;
use crate::options::Options;
use attributes::Attributes;
use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::{FnArg, Pat, Receiver, Result, parse_quote};

/// # Errors
/// Whatever is wrong with the function or the options.
pub(crate) fn expand(options: &Options, function: &Function) -> Result<TokenStream> {
    let mut errors = Errors::default();
    key::check(function, options, &mut errors);
    if function.is_async() {
        asynchronous::check(options, &mut errors);
    } else {
        plain::check(function, options, &mut errors);
    }
    errors.end()?;
    let parts = Parts::new(options, function);
    let uncached = uncached(options, function, &parts);
    let cached = if function.is_async() {
        asynchronous::expand(options, function, &parts)
    } else {
        plain::expand(options, function, &parts)
    };
    Ok(quote!(#cached #uncached))
}

/// What both kinds of function need.
struct Parts {
    attributes: Attributes,
    receiver: Option<Receiver>,
    /// Whether it stands in an `impl`, so that the others are called by `Self::`.
    is_associated: bool,
    uncached: Ident,
    key: Ident,
    remove: Ident,
}

impl Parts {
    fn new(options: &Options, function: &Function) -> Self {
        Self {
            attributes: Attributes::new(&function.attrs),
            receiver: function.receiver(),
            is_associated: function.receiver.is_some()
                || options.associated.is_some()
                || function.names_self_type().is_some(),
            uncached: function.companion("uncached"),
            key: function.companion("cache_key"),
            remove: function.companion("cache_remove"),
        }
    }

    /// The path by which a companion is called.
    fn path(&self, name: &Ident) -> TokenStream {
        if self.is_associated {
            quote!(Self::#name)
        } else {
            name.to_token_stream()
        }
    }

    /// What a function that takes these arguments has in its parentheses.
    fn inputs<'a>(&self, arguments: impl IntoIterator<Item = &'a Argument>) -> TokenStream {
        let receiver = self.receiver.iter();
        let arguments = arguments
            .into_iter()
            .map(|Argument { name, ty }| quote!(#name: #ty));
        quote!(#(#receiver,)* #(#arguments),*)
    }

    /// What a call hands on.
    fn values<'a>(&self, arguments: impl IntoIterator<Item = &'a Argument>) -> TokenStream {
        let receiver = self.receiver.iter().map(|receiver| &receiver.self_token);
        let names = arguments.into_iter().map(|argument| &argument.name);
        quote!(#(#receiver,)* #(#names),*)
    }
}

/// The function as it was written, by its other name.
fn uncached(options: &Options, function: &Function, parts: &Parts) -> TokenStream {
    let Function { vis, body, .. } = function;
    let attributes = &parts.attributes.of_original;
    let about = format!(
        "The function that `{}` caches: runs always, and does not touch the cache.",
        function.sig.ident
    );
    let mut sig = function.sig.clone();
    sig.ident = parts.uncached.clone();
    for input in &mut sig.inputs {
        if let FnArg::Typed(typed) = input
            && let Pat::Ident(pat) = &*typed.pat
            && options.mention(&pat.ident.unraw().to_string())
        {
            // The options use it, if the body does not.
            typed.attrs.push(parse_quote!(#[allow(unused_variables)]));
        }
    }
    quote! {
        #[doc = #about]
        #(#attributes)*
        #[allow(dead_code)]
        #vis #sig #body
    }
}

/// A variable of ours.
fn variable(name: &str) -> Ident {
    Ident::new(name, Span::mixed_site())
}
