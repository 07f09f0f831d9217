//! Which of the functions gets which attribute.

use proc_macro2::TokenStream;
use quote::quote;
use syn::Attribute;

/// What is said to callers stands on the function that they call; what is about the body stays with the body; what decides whether the
/// function is there decides it for all.
pub(super) struct Attributes {
    pub(super) of_cached: Vec<Attribute>,
    pub(super) of_original: Vec<Attribute>,
    /// Of the companions that the macro adds.
    pub(super) of_companions: TokenStream,
}

impl Attributes {
    pub(super) fn new(attrs: &[Attribute]) -> Self {
        let with = |names: &[&str]| -> Vec<Attribute> {
            let named = |attr: &&Attribute| names.iter().any(|name| attr.path().is_ident(name));
            attrs.iter().filter(named).cloned().collect()
        };
        let for_callers = ["doc", "deprecated"];
        let is_for_callers =
            |attr: &&Attribute| for_callers.iter().any(|name| attr.path().is_ident(name));
        let conditions = with(&["cfg"]);
        Self {
            of_cached: with(&[
                "doc",
                "deprecated",
                "must_use",
                "cfg",
                "allow",
                "warn",
                "deny",
                "forbid",
            ]),
            of_original: attrs
                .iter()
                .filter(|attr| !is_for_callers(attr))
                .cloned()
                .collect(),
            of_companions: quote!(#(#conditions)* #[allow(dead_code, clippy::all, clippy::pedantic)]),
        }
    }
}
