//! `async` functions, over a backend.

use super::{Parts, variable};
use crate::errors::Errors;
use crate::function::{Argument, Function};
use crate::key;
use crate::mentions::mentions;
use crate::options::{KeyOption, Options};
use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;

pub(super) fn check(options: &Options, errors: &mut Errors) {
    if let Some((span, _)) = options.max_keys {
        let message = "`max_keys` bounds the cache of a function that is not `async`; a backend has bounds of its own";
        errors.at(span, message);
    }
    if let Some(KeyOption::Expression { ty: Some(ty), .. }) = &options.key {
        let message = "the keys of backends are strings: no type is needed here";
        errors.at(ty.span(), message);
    }
}

pub(super) fn expand(options: &Options, function: &Function, parts: &Parts) -> TokenStream {
    let krate = options.krate();
    let Function {
        vis, sig, returns, ..
    } = function;
    let (name, generics, bounds) = (&sig.ident, &sig.generics, &sig.generics.where_clause);
    let Parts {
        key: key_name,
        remove: remove_name,
        ..
    } = parts;
    let (of_cached, of_companions) = (&parts.attributes.of_cached, &parts.attributes.of_companions);
    let uncached = parts.path(&parts.uncached);
    let (all, values) = (
        parts.inputs(&function.arguments),
        parts.values(&function.arguments),
    );
    let keyed = key::keyed(function, options);
    let key_inputs = parts.inputs(keyed.iter().copied());
    let to_remove = needed_to_remove(function, options);
    let remove_inputs = parts.inputs(to_remove);

    let key_expr = key(options, function, parts);
    let ttl_expr = options.ttl();
    let (key, ttl, backend) = (variable("key"), variable("ttl"), variable("backend"));
    let called = variable("called");
    let (held, removable) = match &options.backend {
        None => (
            quote! {
                let #backend = #krate::__macros::process_backend();
                let #backend = ::core::option::Option::as_deref(&#backend);
            },
            quote! {
                let #backend = #krate::get_backend()?;
                let #backend = &*#backend;
            },
        ),
        Some((_, expr)) => {
            let found = quote_spanned! {expr.span()=>
                let #backend = &(#expr);
                let #backend = {
                    use #krate::__macros::Backend as _;
                    #backend.__nori_cache_backend()
                };
            };
            (
                quote!(#found let #backend = ::core::option::Option::Some(#backend);),
                found,
            )
        }
    };
    // Bounds on what is returned are told where that is written.
    let call = quote_spanned! {returns.span()=>
        (&&&#krate::__macros::Returned::<#returns>::TYPE)
            .__nori_cache_kind()
            .call(#backend, &#key, #ttl, move || #uncached(#values))
    };
    let about_key =
        format!("The key under which what `{name}` returns for these arguments is stored.");
    let about_remove = format!(
        "Removes what is stored of `{name}` for these arguments, and says whether something live was there."
    );
    quote! {
        #(#of_cached)*
        #[allow(clippy::all, clippy::pedantic)]
        #vis async fn #name #generics (#all) -> #returns #bounds {
            let #key: ::std::string::String = #key_expr;
            let #ttl: ::core::option::Option<#krate::Ttl> = #ttl_expr;
            #held
            let #called = {
                #[allow(unused_imports)]
                use #krate::__macros::{ResultKind as _, SharedResultKind as _, ValueKind as _};
                #call
            };
            #called.await
        }

        #[doc = #about_key]
        #of_companions
        #vis fn #key_name #generics (#key_inputs) -> ::std::string::String #bounds {
            #key_expr
        }

        #[doc = #about_remove]
        #[doc = ""]
        #[doc = "# Errors"]
        #[doc = "If the backend fails."]
        #of_companions
        #vis async fn #remove_name #generics (#remove_inputs) -> ::core::result::Result<bool, #krate::Error> #bounds {
            let #key: ::std::string::String = #key_expr;
            #removable
            #krate::CacheBackendExt::delete(#backend, &#key).await
        }
    }
}

/// The expression for the key.
fn key(options: &Options, function: &Function, parts: &Parts) -> TokenStream {
    match &options.key {
        Some(KeyOption::Template(template)) => {
            key::from_template(template, function, &options.krate())
        }
        Some(KeyOption::Expression { expr, .. }) => quote_spanned! {expr.span()=>
            ::core::convert::Into::<::std::string::String>::into(#expr)
        },
        None => key::from_arguments(function, options, &parts.path(&parts.uncached)),
    }
}

/// The arguments that are in the key, and those that lead to the backend.
fn needed_to_remove<'a>(function: &'a Function, options: &Options) -> Vec<&'a Argument> {
    let is_needed = |argument: &&Argument| {
        let name = argument.name.unraw().to_string();
        let finds_backend = options
            .backend
            .as_ref()
            .is_some_and(|(_, expr)| mentions(expr, &name));
        finds_backend || !options.skips(&name)
    };
    function.arguments.iter().filter(is_needed).collect()
}
