//! `#[cached]`, the attribute of `nori-cache` that memoises functions.
//!
//! Use it as `nori_cache::cached`, with the feature `macros` of that crate.

mod duration;
mod errors;
mod expand;
mod function;
mod key;
mod mentions;
mod options;
mod template;

use function::Function;
use options::Options;
use proc_macro::TokenStream;

/// Caches what a function returned for its arguments: an `async fn` on a backend, any other `fn` in a typed cache of its own.
///
/// ```
/// use nori_cache::cached;
/// use std::time::Duration;
///
/// #[cached(key = "user:{id}:{lang}", ttl = "5m")]
/// async fn user(id: u64, lang: &str) -> Result<String, std::io::Error> {
///     Ok(format!("{id} as the database has it, in {lang}"))
/// }
///
/// #[cached(max_keys = 1_000, ttl = Duration::from_secs(60))]
/// fn words(text: &str) -> usize {
///     text.split_whitespace().count()
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let ana = user(42, "en").await?; // runs the function
/// assert_eq!(user(42, "en").await?, ana); // does not
/// user_cache_remove(42, "en").await?; // after a change of the database
///
/// assert_eq!(words("to be or not to be"), 6);
/// assert_eq!(words_cache().len(), 1);
/// # Ok(())
/// # }
/// ```
///
/// # Options
///
/// | option | is | if it is not given |
/// |---|---|---|
/// | `key = "user:{id}"` | a template for the key: arguments by name, and fields of them, as in `{user.id}` | the path of the function and all arguments; for a plain `fn`, the argument, or the tuple of all |
/// | `key = EXPR` | for `async`: an expression for the key, a `String` or `&str` | |
/// | `key: TYPE = EXPR` | for a plain `fn`: an expression for the key, of a type that is `Hash` and `Eq` | |
/// | `skip(db, …)` | arguments that are not in the key, `self` among them | none |
/// | `ttl = "1h 30m"` | how long an answer lives, in `d`, `h`, `m`, `s` and `ms`; or `"never"` | the backend's default; for a plain `fn`, `"never"` |
/// | `ttl = EXPR` | the same as a `Duration` or a `Ttl`; for `async`, arguments may be in it; for a plain `fn` it is looked at once | |
/// | `backend = EXPR` | for `async`: a backend, or what leads to one, as an `Arc<dyn CacheBackend>` does; arguments may be in it | that of the process: `get_backend()` |
/// | `max_keys = EXPR` | for a plain `fn`: how many keys its cache holds | 10,000 |
/// | `associated` | for an `async fn` in an `impl` whose signature has neither `self` nor `Self` | |
/// | `crate = PATH` | what the crate `nori-cache` is called here | `::nori_cache` |
///
/// # Keys
///
/// Each argument is in the key or in `skip(…)`: one that was merely forgotten would give a caller the answer to another's question, so
/// that does not compile. Arguments stand in string keys as their `Display` writes them. No two lists of different texts have the same key:
/// where an argument contains the character that ends it in the template, that is percent-encoded, as is `%`. The last argument ends
/// with the key and is never changed. So for `"user:{id}:{lang}"`:
///
/// | `id` | `lang` | key |
/// |---|---|---|
/// | `42` | `en` | `user:42:en` |
/// | `a:b` | `en` | `user:a%3Ab:en` |
/// | `a` | `b:en` | `user:a:b:en` |
///
/// Without a template the key is `path::of::user(42,en)`, as the compiler names the function: with the type of a method, and with the function that
/// it stands in. Renaming or moving it then starts with an empty cache, and so may another version of the compiler. Two functions
/// with one template share their entries, as two calls with one key do; and an expression for the key is as good as you make it.
///
/// A plain `fn` is cached by its argument or the tuple of all of them, owned: `&str` is looked up as it is and stored as a `String`, several
/// arguments are cloned for each call.
///
/// # What comes beside it
///
/// For a function `user`, as visible as that:
///
/// | | |
/// |---|---|
/// | `user_uncached(…)` | the function as it was written: runs always, and does not touch the cache |
/// | `user_cache_key(…)` | the key for these arguments; those that are skipped are left out |
/// | `user_cache_remove(…)` | removes what is stored for these arguments (and those that lead to the backend), and says whether something live was there: a `Result<bool, Error>` to be awaited, for a plain `fn` a `bool` |
/// | `user_cache()` | of a plain `fn`: its `&'static Cache` |
///
/// Change the source of truth first, then call `user_cache_remove`: a call that is under way is overtaken and not stored.
///
/// # What is cached
///
/// What the function returns: any type that is `Cacheable` (`async`), or `Clone + Send + Sync` (plain). Of a `Result` only the `Ok` value;
/// errors are never stored. A `None` is an answer like any other. (A plain `fn` writes its return type as `Result<…>`: the attribute
/// sees names. That it is one, or is none, is checked.)
///
/// # Who waits for whom
///
/// However many call an `async` function with the same key at a time, one call runs, in the task of the first, and all get its value. If
/// it fails, its caller gets the error as it is, of whatever type. Those who waited get clones of it, if its type is
/// `Clone + Send + Sync + 'static`. If not, they ask again: one of them calls, the others wait for that; after three such calls that
/// failed, each makes its own. So an error type that can be cloned keeps a source that fails from being asked by all. The arguments and the
/// function's future must be `Send`.
///
/// Of a plain `fn` one call runs, too. Those who wait for it block their threads, and if it fails they call one after the other.
///
/// # When the cache fails
///
/// A cached function answers as the function itself would. If the backend is down or cannot be built, if what is stored cannot be read, if
/// waiting for another's call takes longer than the backend's patience or would never end, the function runs, and what it returned is returned,
/// whether or not that could be stored. It runs once for each caller; while the store is down nobody waits for another's call. With
/// the feature `tracing` each such failure is an event (`nori_cache::cached`). `user_cache_remove` does return the backend's error.
///
/// # Methods
///
/// `async` methods say what of `self` the answer depends on: in the key, or with `skip(self)`.
///
/// ```
/// use nori_cache::{CacheBackend, MemoryCacheBackend, cached};
/// use std::sync::Arc;
///
/// struct Users {
///     tenant: String,
///     cache: Arc<dyn CacheBackend>,
/// }
///
/// impl Users {
///     #[cached(key = "{self.tenant}:user:{id}", backend = self.cache)]
///     async fn name(&self, id: u64) -> String {
///         format!("user {id} of {}", self.tenant)
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let users = Users {
///     tenant: "acme".to_owned(),
///     cache: Arc::new(MemoryCacheBackend::new(1_000)),
/// };
/// assert_eq!(users.name(42).await, "user 42 of acme");
/// assert_eq!(users.name_cache_key(42), "acme:user:42");
/// # }
/// ```
///
/// A plain `fn` in an `impl` is refused: its cache is a `static`, which knows no `Self`. So is a method of a trait's `impl`, by the compiler, as
/// the trait does not have what comes beside it. Call a cached function from there.
///
/// # What is refused
///
/// With an error that says what to do: generic functions and `impl Trait` (they are many functions, which would share their entries);
/// `const`, `unsafe` and `extern` functions; functions that return nothing, or what borrows; patterns in the place of arguments' names; `&mut` arguments that are
/// not skipped. Lifetimes, borrowed arguments and `mut` ones are fine. An argument that is used by options alone, such as one that leads to
/// the backend, counts as used.
///
/// Documentation, `#[deprecated]` and `#[must_use]` stand on the function that is called, lints and `#[cfg]` on all, every other attribute below
/// `#[cached]` on `user_uncached`, with the body.
///
/// An `async` function that calls itself does so through a function that returns a boxed future which is `Send`: the compiler cannot see
/// through the circle.
#[proc_macro_attribute]
pub fn cached(options: TokenStream, item: TokenStream) -> TokenStream {
    match cached_tokens(options.into(), item.clone().into()) {
        Ok(tokens) => tokens.into(),
        Err(error) => {
            // The function stays, so that its callers are not told that there is none.
            let mut tokens = TokenStream::from(error.into_compile_error());
            tokens.extend(item);
            tokens
        }
    }
}

fn cached_tokens(
    options: proc_macro2::TokenStream,
    item: proc_macro2::TokenStream,
) -> syn::Result<proc_macro2::TokenStream> {
    let options: Options = syn::parse2(options)?;
    let function: Function = syn::parse2(item)?;
    expand::expand(&options, &function)
}

#[cfg(test)]
mod tests {
    use super::cached_tokens;
    use proc_macro2::{TokenStream, TokenTree};
    use quote::{ToTokens, quote};
    use syn::{Item, ItemFn};

    fn functions(options: TokenStream, item: TokenStream) -> Vec<ItemFn> {
        let tokens = cached_tokens(options, item).unwrap();
        let items = syn::parse2::<syn::File>(tokens).unwrap().items;
        let functions = items.into_iter().map(|item| match item {
            Item::Fn(function) => function,
            other => panic!("{}", other.to_token_stream()),
        });
        functions.collect()
    }

    fn has_word(tokens: TokenStream, word: &str) -> bool {
        tokens.into_iter().any(|token| match token {
            TokenTree::Ident(ident) => ident == word,
            TokenTree::Group(group) => has_word(group.stream(), word),
            _ => false,
        })
    }

    #[test]
    fn attributes_go_to_callers_or_to_the_body() {
        let item = quote! {
            /// Said to callers.
            #[deprecated]
            #[must_use]
            #[cfg(test)]
            #[allow(lint)]
            #[expect(other)]
            #[tracing::instrument]
            pub(crate) async fn name(n: u8) -> u8 { body }
        };
        let functions = functions(quote!(), item);
        let mut seen = Vec::new();
        for function in &functions {
            let has = |attribute: &str| {
                let attributes = &function.attrs;
                attributes
                    .iter()
                    .any(|attr| attr.to_token_stream().to_string().contains(attribute))
            };
            let attributes = [
                "Said to callers",
                "deprecated",
                "must_use",
                "cfg",
                "allow (lint)",
                "expect",
                "instrument",
            ];
            seen.push((function.sig.ident.to_string(), attributes.map(has)));
            assert_eq!(function.vis.to_token_stream().to_string(), "pub (crate)");
            assert!(has("doc"));
        }
        let expected = [
            ("name", [true, true, true, true, true, false, false]),
            (
                "name_cache_key",
                [false, false, false, true, false, false, false],
            ),
            (
                "name_cache_remove",
                [false, false, false, true, false, false, false],
            ),
            (
                "name_uncached",
                [false, false, true, true, true, true, true],
            ),
        ];
        let expected = expected.map(|(name, attributes)| (name.to_owned(), attributes));
        assert_eq!(seen, expected);
        assert!(has_word(functions[3].block.to_token_stream(), "body"));
    }

    #[test]
    fn the_crate_is_named_in_one_place() {
        let plain = quote!(
            fn f(a: u8, b: &str) -> Result<u8, E> {}
        );
        let method = quote!(
            async fn f(&self, a: u8, b: &str) -> T {}
        );
        for (options, item) in [
            (quote!(ttl = "5m", max_keys = 7), plain.clone()),
            (quote!(key = "{a}:{b}"), plain.clone()),
            (quote!(key: u8 = a, skip(b)), plain),
            (quote!(ttl = TTL, skip(self)), method.clone()),
            (
                quote!(key = "{a}:{b}{{{self.x}", ttl = "never"),
                method.clone(),
            ),
            (quote!(key = a + b + self, backend = self.x), method),
        ] {
            let renamed = cached_tokens(quote!(#options, crate = other::path), item.clone());
            let renamed = renamed.unwrap();
            assert!(!has_word(renamed.clone(), "nori_cache"), "{renamed}");
            assert!(has_word(renamed, "other"));
            let default = cached_tokens(options, item).unwrap();
            assert!(has_word(default, "nori_cache"));
        }
    }

    #[test]
    fn companions_take_the_arguments_that_they_need() {
        let options = quote!(key = "{a}", backend = of(b), skip(b, c));
        let item = quote!(
            async fn f(a: u8, b: u8, mut c: u8) -> u8 {}
        );
        let inputs = functions(options, item).into_iter().map(|function| {
            let names = function.sig.inputs.iter().map(|input| match input {
                syn::FnArg::Typed(typed) => typed.pat.to_token_stream().to_string(),
                syn::FnArg::Receiver(_) => unreachable!("it is no method"),
            });
            names.collect::<Vec<_>>()
        });
        let expected: [&[&str]; 4] = [&["a", "b", "c"], &["a"], &["a", "b"], &["a", "b", "mut c"]];
        assert_eq!(inputs.collect::<Vec<_>>(), expected);
    }
}
