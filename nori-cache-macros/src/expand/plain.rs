//! Functions that are not `async`, over a typed cache of their own.

use super::{Parts, variable};
use crate::errors::Errors;
use crate::function::{Argument, Function, borrows};
use crate::key;
use crate::options::{KeyOption, Options};
use proc_macro2::TokenStream;
use quote::{ToTokens, quote, quote_spanned};
use syn::Type;
use syn::spanned::Spanned;

pub(super) fn check(function: &Function, options: &Options, errors: &mut Errors) {
    let associated = [
        function.receiver.as_ref().map(|receiver| receiver.span()),
        options.associated,
        function.names_self_type(),
    ];
    if let Some(span) = associated.into_iter().flatten().next() {
        let message = "a function in an `impl` is cached only if it is `async`: a cache in a `static` knows no `Self`. Put `#[cached]` on a function \
            outside of the `impl`, and call it from this one";
        errors.at(span, message);
    }
    if let Some((span, _)) = options.backend {
        let message = "`backend` is for `async` functions: this one has a typed cache of its own, which `max_keys` bounds";
        errors.at(span, message);
    }
    if let Some(KeyOption::Expression { ty: None, expr }) = &options.key {
        let message = "the type of the key is missing: `key: TYPE = …`";
        errors.at(expr.span(), message);
    }
    if options.key.is_none() {
        for argument in key::keyed(function, options) {
            let owned = match &argument.ty {
                Type::Reference(reference) => reference.elem.to_token_stream(),
                ty => ty.to_token_stream(),
            };
            if let Some(span) = borrows(owned) {
                let name = &argument.name;
                let message = format!(
                    "`{name}` borrows what the cache would have to own: name a key that does not, as in `key: String = {name}.to_string()`"
                );
                errors.at(span, message);
            }
        }
    }
}

pub(super) fn expand(options: &Options, function: &Function, parts: &Parts) -> TokenStream {
    let krate = options.krate();
    let Function {
        vis, sig, returns, ..
    } = function;
    let (name, generics, bounds) = (&sig.ident, &sig.generics, &sig.generics.where_clause);
    let Parts {
        uncached,
        key: key_name,
        remove: remove_name,
        ..
    } = parts;
    let (of_cached, of_companions) = (&parts.attributes.of_cached, &parts.attributes.of_companions);
    let cache_name = function.companion("cache");
    let (all, values) = (
        parts.inputs(&function.arguments),
        parts.values(&function.arguments),
    );
    let key_inputs = parts.inputs(key::keyed(function, options));

    let (value_type, helper) = match function.ok_type() {
        Some(ok) => (ok, quote!(result)),
        None => (returns, quote!(value)),
    };
    let is_result = function.ok_type().is_some();
    let key = Key::new(options, function);
    let (key_type, key_expr) = (&key.ty, &key.expr);
    let key_variable = variable("key");
    // As it is, where it need not be owned to be looked for.
    let (made, given) = match &key.borrowed {
        Some(borrowed) => (TokenStream::new(), borrowed.clone()),
        None => (
            quote!(let #key_variable: #key_type = #key_expr;),
            quote!(&#key_variable),
        ),
    };
    let ttl = options.ttl();
    let max_keys = match &options.max_keys {
        Some((_, expr)) => quote!(::core::option::Option::Some(#expr)),
        None => quote!(::core::option::Option::None),
    };
    let mismatch = if is_result {
        format!(
            "`{}` is not the standard library's `Result`, as which it is written",
            returns.to_token_stream()
        )
    } else {
        "the returned type is a `Result` by another name, and its errors would be cached: write `Result<…, …>`".to_owned()
    };
    let check = quote_spanned! {returns.span()=>
        const _: () = {
            #[allow(unused_imports)]
            use #krate::__macros::NotResult as _;
            ::core::assert!(#krate::__macros::Returned::<#returns>::IS_RESULT == #is_result, #mismatch);
        };
    };
    let call = quote_spanned! {returns.span()=>
        #krate::__macros::#helper(#cache_name(), #given, move || #uncached(#values))
    };
    let text = name.to_string();
    let about_cache = format!("The cache of `{name}`.");
    let about_key =
        format!("The key under which what `{name}` returns for these arguments is stored.");
    let about_remove = format!(
        "Removes what is stored of `{name}` for these arguments, and says whether something live was there."
    );
    quote! {
        #(#of_cached)*
        #[allow(clippy::all, clippy::pedantic)]
        #vis fn #name #generics (#all) -> #returns #bounds {
            #made
            #call
        }

        #[doc = #about_cache]
        #of_companions
        #vis fn #cache_name() -> &'static #krate::Cache<#key_type, #value_type> {
            #check
            static __NORI_CACHE: ::std::sync::LazyLock<#krate::Cache<#key_type, #value_type>> =
                ::std::sync::LazyLock::new(|| #krate::__macros::cache(
                    ::core::concat!(::core::module_path!(), "::", #text),
                    #max_keys,
                    #ttl,
                ));
            &__NORI_CACHE
        }

        #[doc = #about_key]
        #of_companions
        #vis fn #key_name #generics (#key_inputs) -> #key_type #bounds {
            #key_expr
        }

        #[doc = #about_remove]
        #of_companions
        #vis fn #remove_name #generics (#key_inputs) -> bool #bounds {
            let #key_variable: #key_type = #key_expr;
            #krate::Cache::remove(#cache_name(), &#key_variable)
        }
    }
}

struct Key {
    ty: TokenStream,
    expr: TokenStream,
    /// A reference to the key, or to what is like it, where there is one already.
    borrowed: Option<TokenStream>,
}

impl Key {
    fn new(options: &Options, function: &Function) -> Self {
        match &options.key {
            Some(KeyOption::Template(template)) => Self {
                ty: quote!(::std::string::String),
                expr: key::from_template(template, function, &options.krate()),
                borrowed: None,
            },
            Some(KeyOption::Expression { ty, expr }) => Self {
                ty: ty.to_token_stream(),
                expr: expr.to_token_stream(),
                borrowed: None,
            },
            None => Self::of_arguments(&key::keyed(function, options)),
        }
    }

    /// The argument, if it is one; else the tuple of all.
    fn of_arguments(arguments: &[&Argument]) -> Self {
        if let [argument] = arguments {
            let (ty, expr) = owned(argument);
            let is_reference = matches!(argument.ty, Type::Reference(_));
            let borrowed = is_reference.then(|| argument.name.to_token_stream());
            return Self { ty, expr, borrowed };
        }
        let parts = arguments.iter().map(|argument| owned(argument));
        let (types, exprs): (Vec<_>, Vec<_>) = parts.unzip();
        Self {
            ty: quote!((#(#types),*)),
            expr: quote!((#(#exprs),*)),
            borrowed: None,
        }
    }
}

/// The type of an argument that is owned, and the expression for it.
fn owned(argument: &Argument) -> (TokenStream, TokenStream) {
    let Argument { name, ty } = argument;
    match ty {
        Type::Reference(reference) => {
            let elem = &reference.elem;
            (
                quote_spanned!(elem.span()=> <#elem as ::std::borrow::ToOwned>::Owned),
                quote_spanned!(name.span()=> ::std::borrow::ToOwned::to_owned(#name)),
            )
        }
        _ => (
            ty.to_token_stream(),
            quote_spanned!(name.span()=> ::core::clone::Clone::clone(&#name)),
        ),
    }
}
