//! How requests that come from axum are recognised: by the type of their body.

/// Whether a type is axum's request body, or made of it. The compiler does not promise what types are called, so this serves only
/// to be careful.
pub(crate) fn is_of_axum(body: &str) -> bool {
    let is_name = |char: char| char.is_ascii_alphanumeric() || char == '_';
    // Most types are ruled out by the first look.
    body.contains("axum")
        && body
            .split(|char| !is_name(char))
            .any(|name| name == "axum" || name == "axum_core")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_of_axum_are_recognised_by_their_names() {
        for (name, want) in [
            (std::any::type_name::<axum::body::Body>(), true),
            (
                "http_body_util::limited::Limited<axum_core::body::Body>",
                true,
            ),
            ("hyper::body::incoming::Incoming", false),
            ("my_axum_app::Body", false),
        ] {
            assert_eq!(is_of_axum(name), want, "{name}");
        }
    }
}
