//! The function under the attribute, as far as the macro must know it.

use crate::errors::Errors;
use proc_macro2::{Group, Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned;
use syn::{
    Attribute, FnArg, GenericArgument, GenericParam, Pat, PathArguments, Receiver, ReceiverKind,
    Result, ReturnType, Safety, Signature, Type, Visibility,
};

pub(crate) struct Function {
    pub(crate) attrs: Vec<Attribute>,
    pub(crate) vis: Visibility,
    /// As it was written; the callers of the parts below want it without `mut` and attributes.
    pub(crate) sig: Signature,
    /// Not parsed: nothing in it matters here.
    pub(crate) body: Group,
    pub(crate) receiver: Option<Receiver>,
    pub(crate) arguments: Vec<Argument>,
    pub(crate) returns: Type,
}

pub(crate) struct Argument {
    pub(crate) name: Ident,
    pub(crate) ty: Type,
}

impl Parse for Function {
    /// # Errors
    /// All the reasons for which the function cannot be cached.
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let attrs = input.call(Attribute::parse_outer)?;
        let vis = input.parse()?;
        let sig: Signature = match input.parse() {
            Ok(sig) => sig,
            Err(error) => {
                let message = format!("`#[cached]` stands on functions ({error})");
                return Err(syn::Error::new(error.span(), message));
            }
        };
        let body = match input.parse()? {
            TokenTree::Group(body) => body,
            other => {
                let message = "a function without a body cannot be cached";
                return Err(syn::Error::new(other.span(), message));
            }
        };
        let mut errors = Errors::default();
        refuse_qualifiers(&sig, &mut errors);
        refuse_generics(&sig, &mut errors);
        refuse_symbols(&attrs, &mut errors);
        let returns = returned(&sig, &mut errors);
        let (receiver, arguments) = inputs(&sig, &mut errors);
        errors.end()?;
        Ok(Self {
            attrs,
            vis,
            sig,
            body,
            receiver,
            arguments,
            returns,
        })
    }
}

impl Function {
    pub(crate) fn is_async(&self) -> bool {
        self.sig.asyncness.is_some()
    }

    /// The receiver as others are to have it: without `mut`.
    pub(crate) fn receiver(&self) -> Option<Receiver> {
        let mut receiver = self.receiver.clone()?;
        receiver.mutability = None;
        receiver.attrs.clear();
        Some(receiver)
    }

    /// The name of one of the functions that come beside this one.
    pub(crate) fn companion(&self, suffix: &str) -> Ident {
        let name = self.sig.ident.unraw();
        Ident::new(&format!("{name}_{suffix}"), self.sig.ident.span())
    }

    /// Where it says that it may change its `self`.
    pub(crate) fn changes_self(&self) -> Option<Span> {
        let receiver = self.receiver.as_ref()?;
        match &receiver.kind {
            ReceiverKind::Reference(_, _, mutability) => mutability.map(|keyword| keyword.span),
            ReceiverKind::Typed(_, ty) => find(ty.to_token_stream(), "mut"),
            _ => None,
        }
    }

    /// Whether a type in the signature is `Self`.
    pub(crate) fn names_self_type(&self) -> Option<Span> {
        let typed = self.arguments.iter().map(|argument| &argument.ty);
        let mut types = typed.chain([&self.returns]);
        types.find_map(|ty| find(ty.to_token_stream(), "Self"))
    }

    /// What the function returns if it succeeds, where its type is written as a `Result`.
    pub(crate) fn ok_type(&self) -> Option<&Type> {
        let Type::Path(path) = &self.returns else {
            return None;
        };
        let last = path
            .path
            .segments
            .last()
            .filter(|last| last.ident == "Result")?;
        let PathArguments::AngleBracketed(arguments) = &last.arguments else {
            return None;
        };
        arguments.args.iter().find_map(|argument| match argument {
            GenericArgument::Type(ty) => Some(ty),
            _ => None,
        })
    }
}

fn refuse_qualifiers(sig: &Signature, errors: &mut Errors) {
    if let Some(constness) = &sig.constness {
        let message = "a `const fn` cannot be cached: it may run while the program is compiled. Cache a function that calls it";
        errors.at(constness.span(), message);
    }
    if let Safety::Unsafe(keyword) = &sig.safety {
        let message = "an `unsafe fn` cannot be cached: cache a safe function that calls it";
        errors.at(keyword.span(), message);
    }
    if let Some(abi) = &sig.abi {
        let message = "a function for other languages cannot be cached: let it call one that is";
        errors.at(abi.span(), message);
    }
}

fn refuse_generics(sig: &Signature, errors: &mut Errors) {
    for parameter in &sig.generics.params {
        let name = match parameter {
            GenericParam::Lifetime(_) => continue,
            GenericParam::Type(ty) => &ty.ident,
            GenericParam::Const(constant) => &constant.ident,
        };
        let message = format!(
            "a generic function cannot be cached: it is one function for each `{name}`, and they would share their entries. \
            Write one for each type, and let them call it"
        );
        errors.at(parameter.span(), message);
    }
}

fn refuse_symbols(attrs: &[Attribute], errors: &mut Errors) {
    for attr in attrs {
        for name in ["no_mangle", "export_name", "link_section"] {
            if find(attr.meta.to_token_stream(), name).is_some() {
                let message = format!(
                    "`{name}` cannot go with `#[cached]`: put it on a function that calls this one"
                );
                errors.at(attr.span(), message);
            }
        }
    }
}

fn returned(sig: &Signature, errors: &mut Errors) -> Type {
    let nothing = || Type::Verbatim(quote!(()));
    match &sig.output {
        ReturnType::Default => {
            let message = "this function returns nothing that could be cached";
            errors.at(sig.ident.span(), message);
            nothing()
        }
        ReturnType::Type(_, ty) => {
            let is_nothing = match &**ty {
                Type::Tuple(tuple) => tuple.elems.is_empty(),
                Type::Never(_) => true,
                _ => false,
            };
            if is_nothing {
                errors.at(
                    ty.span(),
                    "this function returns nothing that could be cached",
                );
            }
            if let Some(span) = find(ty.to_token_stream(), "impl") {
                let message = "a cache holds values of one type: write it, instead of `impl`";
                errors.at(span, message);
            } else if let Some(span) = borrows(ty.to_token_stream()) {
                let message =
                    "what is returned must not borrow: a cache keeps it for longer than this call";
                errors.at(span, message);
            }
            (**ty).clone()
        }
    }
}

fn inputs(sig: &Signature, errors: &mut Errors) -> (Option<Receiver>, Vec<Argument>) {
    let (mut receiver, mut arguments) = (None, Vec::new());
    for input in &sig.inputs {
        match input {
            FnArg::Receiver(this) => {
                receiver = Some(this.clone());
            }
            FnArg::Typed(typed) => {
                let ty = (*typed.ty).clone();
                refuse_type(&ty, errors);
                if let Some(attr) = typed.attrs.iter().find(|attr| attr.path().is_ident("cfg")) {
                    let message =
                        "an argument that is not always there: put `cfg` on two functions";
                    errors.at(attr.span(), message);
                }
                match name(&typed.pat) {
                    Some(name) => arguments.push(Argument { name, ty }),
                    None => {
                        let message = "give this argument a name, and take it apart in the function: `#[cached]` tells calls from others by their arguments";
                        errors.at(typed.pat.span(), message);
                    }
                }
            }
        }
    }
    (receiver, arguments)
}

fn refuse_type(ty: &Type, errors: &mut Errors) {
    if let Some(span) = find(ty.to_token_stream(), "impl") {
        let message = "a function with an `impl` argument cannot be cached: it is one function for each type, and they would share \
            their entries. Write the type";
        errors.at(span, message);
    }
}

impl Argument {
    /// Where it says that the function may change what it refers to.
    pub(crate) fn is_changed(&self) -> Option<Span> {
        match &self.ty {
            Type::Reference(reference) => reference.mutability.map(|keyword| keyword.span),
            _ => None,
        }
    }
}

/// The name that a pattern is, if it is no more than that.
fn name(pat: &Pat) -> Option<Ident> {
    match pat {
        Pat::Ident(pat) if pat.by_ref.is_none() && pat.subpat.is_none() => Some(pat.ident.clone()),
        _ => None,
    }
}

/// Where a word stands among tokens.
pub(crate) fn find(tokens: TokenStream, word: &str) -> Option<Span> {
    tokens.into_iter().find_map(|token| match token {
        TokenTree::Ident(ident) if ident.unraw() == word => Some(ident.span()),
        TokenTree::Group(group) => find(group.stream(), word),
        _ => None,
    })
}

/// Where a type borrows something for less than for ever.
pub(crate) fn borrows(tokens: TokenStream) -> Option<Span> {
    let mut tokens = tokens.into_iter().peekable();
    let (mut reference, mut takes_arguments) = (None, false);
    while let Some(token) = tokens.next() {
        let follows_fn = std::mem::take(&mut takes_arguments);
        match token {
            TokenTree::Punct(punct) if punct.as_char() == '&' => reference = Some(punct.span()),
            TokenTree::Punct(punct) if punct.as_char() == '\'' => {
                let is_static = |next: &TokenTree| next.to_string() == "static";
                if tokens.next_if(is_static).is_none() {
                    return Some(punct.span());
                }
                reference = None;
                continue;
            }
            // What is handed to a function is not kept in it.
            TokenTree::Group(_) if follows_fn => {}
            TokenTree::Group(group) => {
                if let Some(span) = borrows(group.stream()) {
                    return Some(span);
                }
            }
            TokenTree::Ident(ident) => {
                takes_arguments = ["fn", "Fn", "FnMut", "FnOnce"]
                    .iter()
                    .any(|word| ident == word);
            }
            _ => {}
        }
        // A reference without a lifetime.
        if let Some(span) = reference
            && !matches!(tokens.peek(), Some(TokenTree::Punct(next)) if next.as_char() == '\'')
        {
            return Some(span);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_that_borrow_are_told_from_those_that_own() {
        let borrow = |text: &str| borrows(text.parse().unwrap()).is_some();
        for text in [
            "&str",
            "&'a str",
            "&'_ [u8]",
            "Cow<'_, str>",
            "Option<&u8>",
            "(u8, &str)",
            "&'static &str",
            "[&str; 2]",
            "Box<dyn Trait + 'a>",
            "fn() -> &'a str",
        ] {
            assert!(borrow(text), "{text}");
        }
        for text in [
            "String",
            "&'static str",
            "Option<&'static [u8]>",
            "Cow<'static, str>",
            "Arc<dyn Fn(&str) -> u8 + Send>",
            "fn(&str, &u8) -> u8",
            "Box<dyn Trait + 'static>",
            "&'static &'static str",
        ] {
            assert!(!borrow(text), "{text}");
        }
    }
}
