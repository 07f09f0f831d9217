//! Whether something that a user wrote uses an argument.

use crate::function::find;
use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::Expr;

/// Whether an expression uses an argument: by its name, or within a string, as `format!("{id}")` does.
pub(crate) fn mentions(expr: &Expr, argument: &str) -> bool {
    let tokens = expr.to_token_stream();
    find(tokens.clone(), argument).is_some() || is_in_strings(tokens, argument)
}

fn is_in_strings(tokens: TokenStream, argument: &str) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Literal(literal) => {
            let text = literal.to_string();
            let mut insides = text.split('{').skip(1);
            insides.any(|inside| inside.split(['}', ':']).next() == Some(argument))
        }
        TokenTree::Group(group) => is_in_strings(group.stream(), argument),
        _ => false,
    })
}
