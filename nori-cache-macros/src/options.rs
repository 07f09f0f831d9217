//! What stands in the parentheses of `#[cached(…)]`.

use crate::duration;
use crate::mentions::mentions;
use crate::template::Template;
use proc_macro2::{Ident, Span, TokenStream};
use quote::quote;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{
    Error, Expr, ExprLit, Lit, Path, Result, Token, Type, parenthesized, parse_quote, token,
};

#[derive(Default)]
pub(crate) struct Options {
    pub(crate) key: Option<KeyOption>,
    pub(crate) ttl: Option<TtlOption>,
    pub(crate) backend: Option<(Span, Expr)>,
    pub(crate) max_keys: Option<(Span, Expr)>,
    pub(crate) skip: Vec<Ident>,
    pub(crate) associated: Option<Span>,
    krate: Option<Path>,
}

pub(crate) enum KeyOption {
    Template(Template),
    Expression {
        ty: Option<Box<Type>>,
        expr: Box<Expr>,
    },
}

impl KeyOption {
    /// Whether an argument is a part of the key.
    pub(crate) fn mentions(&self, argument: &str) -> bool {
        match self {
            Self::Template(template) => {
                let mut parts = template.parts.iter();
                parts.any(|(place, _)| place.argument == argument)
            }
            Self::Expression { expr, .. } => mentions(expr, argument),
        }
    }
}

pub(crate) enum TtlOption {
    Never,
    Millis(u64),
    Expression(Expr),
}

impl Options {
    /// The path of the library.
    pub(crate) fn krate(&self) -> Path {
        let default = || parse_quote!(::nori_cache);
        self.krate.clone().unwrap_or_else(default)
    }

    /// The time to live, as an `Option<Ttl>`.
    pub(crate) fn ttl(&self) -> TokenStream {
        let krate = self.krate();
        match &self.ttl {
            None => quote!(::core::option::Option::None),
            Some(TtlOption::Never) => quote!(::core::option::Option::Some(#krate::Ttl::Never)),
            Some(TtlOption::Millis(millis)) => quote! {
                ::core::option::Option::Some(#krate::Ttl::After(::core::time::Duration::from_millis(#millis)))
            },
            Some(TtlOption::Expression(expr)) => quote! {
                ::core::option::Option::Some(::core::convert::Into::<#krate::Ttl>::into(#expr))
            },
        }
    }

    /// Whether an argument is used in an option.
    pub(crate) fn mention(&self, argument: &str) -> bool {
        let in_key = self.key.as_ref().is_some_and(|key| key.mentions(argument));
        let in_ttl =
            matches!(&self.ttl, Some(TtlOption::Expression(expr)) if mentions(expr, argument));
        let backend = self.backend.as_ref();
        in_key || in_ttl || backend.is_some_and(|(_, expr)| mentions(expr, argument))
    }

    pub(crate) fn skips(&self, argument: &str) -> bool {
        self.skip.iter().any(|name| name.unraw() == argument)
    }
}

impl Parse for Options {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut options = Self::default();
        let mut seen = Vec::<Ident>::new();
        while !input.is_empty() {
            let Ok(name) = input.call(Ident::parse_any) else {
                return Err(input.error("options have names, as in `ttl = \"5m\"`"));
            };
            if seen.contains(&name) {
                let message = format!("`{name}` is given twice");
                return Err(Error::new(name.span(), message));
            }
            options.option(&name, input)?;
            seen.push(name);
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(options)
    }
}

impl Options {
    fn option(&mut self, name: &Ident, input: ParseStream<'_>) -> Result<()> {
        match name.to_string().as_str() {
            "skip" => {
                if !input.peek(token::Paren) {
                    let message = "`skip` names arguments, as in `skip(db)`";
                    return Err(Error::new(name.span(), message));
                }
                let names;
                parenthesized!(names in input);
                let names = Punctuated::<Ident, Token![,]>::parse_terminated_with(
                    &names,
                    Ident::parse_any,
                )?;
                self.skip.extend(names);
            }
            "associated" => self.associated = Some(name.span()),
            "crate" => {
                input.parse::<Token![=]>()?;
                self.krate = Some(input.call(Path::parse_mod_style)?);
            }
            "key" => {
                let ty = match input.parse::<Option<Token![:]>>()? {
                    Some(_) => Some(input.parse()?),
                    None => None,
                };
                let expr = value(name, input)?;
                self.key = Some(match (ty, literal(&expr)) {
                    (None, Some(Lit::Str(literal))) => {
                        KeyOption::Template(Template::parse(literal.clone())?)
                    }
                    (ty, _) => KeyOption::Expression {
                        ty,
                        expr: Box::new(expr),
                    },
                });
            }
            "ttl" => {
                let expr = value(name, input)?;
                self.ttl = Some(TtlOption::new(expr)?);
            }
            "backend" => self.backend = Some((name.span(), value(name, input)?)),
            "max_keys" => {
                let expr = value(name, input)?;
                if let Some(Lit::Int(number)) = literal(&expr)
                    && number.base10_parse::<u128>().is_ok_and(|n| n == 0)
                {
                    return Err(Error::new(number.span(), "`max_keys` must be at least 1"));
                }
                self.max_keys = Some((name.span(), expr));
            }
            _ => {
                let message = format!(
                    "there is no option `{name}`: there are `key`, `ttl`, `skip`, `backend`, `max_keys`, `associated` and `crate`"
                );
                return Err(Error::new(name.span(), message));
            }
        }
        Ok(())
    }
}

/// What stands behind `=`.
fn value(name: &Ident, input: ParseStream<'_>) -> Result<Expr> {
    if !input.peek(Token![=]) {
        let message = format!("`{name}` needs a value: `{name} = …`");
        return Err(Error::new(name.span(), message));
    }
    input.parse::<Token![=]>()?;
    input.parse()
}

fn literal(expr: &Expr) -> Option<&Lit> {
    match expr {
        Expr::Lit(ExprLit { lit, .. }) => Some(lit),
        // As macros hand expressions on.
        Expr::Group(group) => literal(&group.expr),
        _ => None,
    }
}

impl TtlOption {
    fn new(expr: Expr) -> Result<Self> {
        match literal(&expr) {
            Some(Lit::Str(text)) if text.value().trim() == "never" => Ok(Self::Never),
            Some(Lit::Str(text)) => match duration::parse(&text.value()) {
                Ok(millis) => Ok(Self::Millis(millis)),
                Err(message) => Err(Error::new(text.span(), message)),
            },
            Some(other) => {
                let message =
                    "a time to live needs a unit: \"300s\", or `Duration::from_secs(300)`";
                Err(Error::new(other.span(), message))
            }
            None => Ok(Self::Expression(expr)),
        }
    }
}
