//! What `#[cached]` refuses, and what it says. Few files, as each takes a compilation.

#[test]
fn what_is_refused_says_why_and_what_to_do() {
    trybuild::TestCases::new().compile_fail("tests/refusals/*.rs");
}
