//! Longer texts: the pages of the repository's `docs` folder.
//!
//! Start with [`recipes`] and [`guide`].

// A page links to another by a name, `[guide]`, and says at its end where that is in the repository: `[guide]: docs/guide.md`.
// That path leads nowhere on the documentation site. So `links.md`, which stands before each page here, gives the same names to
// the pages as items; of several definitions Markdown takes the first. rustdoc checks those, the test below the others. For this
// rustdoc says of an example in a page that it is in `links.md`, and counts lines from there; the module's name tells the page.

#[doc = include_str!("links.md")]
#[doc = include_str!("../docs/benchmarks.md")]
pub mod benchmarks {}
#[doc = include_str!("links.md")]
#[doc = include_str!("../docs/bounds.md")]
pub mod bounds {}
#[doc = include_str!("links.md")]
#[doc = include_str!("../CHANGELOG.md")]
pub mod changelog {}
#[doc = include_str!("links.md")]
#[doc = include_str!("../CONTRIBUTING.md")]
pub mod contributing {}
#[doc = include_str!("links.md")]
#[doc = include_str!("../docs/design.md")]
pub mod design {}
#[doc = include_str!("links.md")]
#[doc = include_str!("../docs/from-moka.md")]
pub mod from_moka {}
#[doc = include_str!("links.md")]
#[doc = include_str!("../docs/glossary.md")]
pub mod glossary {}
#[doc = include_str!("links.md")]
#[doc = include_str!("../docs/guide.md")]
pub mod guide {}
#[doc = include_str!("links.md")]
#[cfg_attr(feature = "backend", doc = include_str!("../docs/loads.md"))]
#[cfg_attr(
    not(feature = "backend"),
    doc = "This page is part of the documentation that is built with the feature `backend`."
)]
pub mod loads {}
#[doc = include_str!("links.md")]
#[doc = include_str!("../docs/orderings.md")]
pub mod orderings {}
#[doc = include_str!("links.md")]
#[cfg_attr(
    all(feature = "global", feature = "macros", feature = "response"),
    doc = include_str!("../docs/recipes.md")
)]
#[cfg_attr(
    not(all(feature = "global", feature = "macros", feature = "response")),
    doc = "This page is part of the documentation that is built with the features `global`, `macros` and `response`."
)]
pub mod recipes {}
#[doc = include_str!("links.md")]
#[cfg_attr(feature = "redis", doc = include_str!("../docs/redis.md"))]
#[cfg_attr(
    not(feature = "redis"),
    doc = "This page is part of the documentation that is built with the feature `redis`."
)]
pub mod redis {}
#[doc = include_str!("links.md")]
#[cfg_attr(feature = "response", doc = include_str!("../docs/response.md"))]
#[cfg_attr(
    not(feature = "response"),
    doc = "This page is part of the documentation that is built with the feature `response`."
)]
pub mod response {}
#[doc = include_str!("links.md")]
#[cfg_attr(feature = "backend", doc = include_str!("../docs/tags.md"))]
#[cfg_attr(
    not(feature = "backend"),
    doc = "This page is part of the documentation that is built with the feature `backend`."
)]
pub mod tags {}
#[doc = include_str!("links.md")]
#[cfg_attr(feature = "redis", doc = include_str!("../docs/tiers.md"))]
#[cfg_attr(
    not(feature = "redis"),
    doc = "This page is part of the documentation that is built with the feature `redis`."
)]
pub mod tiers {}
#[doc = include_str!("links.md")]
#[cfg_attr(
    all(feature = "metrics", feature = "response"),
    doc = include_str!("../docs/watching.md")
)]
#[cfg_attr(
    not(all(feature = "metrics", feature = "response")),
    doc = "This page is part of the documentation that is built with the features `metrics` and `response`."
)]
pub mod watching {}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;
    use std::path::{Path, PathBuf};

    /// What leads to a page on the documentation site.
    const LINKS: &str = include_str!("links.md");

    /// The text of a page without what is code.
    fn prose(text: &str) -> String {
        let mut fenced = false;
        let mut prose = String::new();
        for line in text.lines() {
            if line.trim_start().starts_with("```") {
                fenced = !fenced;
            } else if !fenced {
                // Every other piece is between backticks.
                let pieces: Vec<&str> = line.split('`').step_by(2).collect();
                prose += &pieces.join("``");
                prose.push('\n');
            }
        }
        prose
    }

    /// The lines of the form `[name]: target`.
    fn definitions(prose: &str) -> BTreeMap<&str, &str> {
        let definition = |line: &'_ str| -> Option<(usize, usize)> {
            let end = line.strip_prefix('[')?.find("]: ")? + 1;
            Some((end, end + 3))
        };
        let lines = prose.lines().filter_map(|line| {
            let (name_end, target) = definition(line)?;
            Some((&line[1..name_end], line[target..].trim()))
        });
        lines.collect()
    }

    /// The targets of `[text](target)`.
    fn inline_targets(prose: &str) -> impl Iterator<Item = &str> {
        prose
            .split("](")
            .skip(1)
            .map(|rest| rest.split(')').next().unwrap_or_default())
    }

    /// The names in `[text][name]`.
    fn names_used(prose: &str) -> impl Iterator<Item = &str> {
        prose
            .split("][")
            .skip(1)
            .map(|rest| rest.split(']').next().unwrap_or_default())
    }

    /// Whether one of a page's headings has this anchor, as GitHub and rustdoc make them.
    fn has(text: &str, anchor: &str) -> bool {
        let headings = text.lines().filter(|line| line.starts_with('#'));
        let anchor_of = |heading: &str| {
            let kept = heading.trim_start_matches('#').trim().chars();
            let kept = kept.filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            kept.collect::<String>().to_lowercase().replace(' ', "-")
        };
        headings.map(anchor_of).any(|other| other == anchor)
    }

    /// Where a page of the repository is on the documentation site.
    fn item(page: &Path) -> String {
        match page.file_stem().and_then(|stem| stem.to_str()) {
            Some("README") => "crate".to_owned(),
            stem => {
                let module = stem.unwrap_or_default().to_lowercase().replace('-', "_");
                format!("crate::docs::{module}")
            }
        }
    }

    fn is_elsewhere(target: &str) -> bool {
        target.starts_with("https://")
    }

    /// What is wrong with the links of a page that lies in `folder`.
    fn faults(folder: &Path, text: &str) -> Vec<String> {
        let prose = prose(text);
        let mut faults = Vec::new();
        for target in inline_targets(&prose).filter(|target| !is_elsewhere(target)) {
            match target.strip_prefix('#') {
                Some(anchor) if has(text, anchor) => (),
                Some(_) => faults.push(format!("there is no heading for {target}")),
                None => faults.push(format!("{target}: give the link a name")),
            }
        }
        let here = definitions(&prose);
        let undefined = names_used(&prose).filter(|name| !here.contains_key(name));
        faults.extend(undefined.map(|name| format!("[{name}] is not defined")));
        let there = definitions(LINKS);
        for (name, target) in here {
            if is_elsewhere(target) {
                continue;
            }
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            let page = folder.join(path);
            let Ok(text) = fs::read_to_string(&page) else {
                faults.push(format!("[{name}]: there is no {target}"));
                continue;
            };
            if !anchor.is_empty() && !has(&text, anchor) {
                faults.push(format!("[{name}]: there is no heading for {target}"));
            }
            let item = match anchor {
                "" => item(&page),
                _ => format!("{}#{anchor}", item(&page)),
            };
            if there.get(name) != Some(&item.as_str()) {
                faults.push(format!("[{name}]: src/links.md does not say {item}"));
            }
        }
        faults
    }

    fn pages() -> Vec<PathBuf> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let docs = fs::read_dir(root.join("docs")).unwrap();
        let pages = docs.map(|entry| entry.unwrap().path());
        let pages = pages.filter(|path| path.extension().is_some_and(|it| it == "md"));
        let roots = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md"];
        pages.chain(roots.map(|name| root.join(name))).collect()
    }

    #[test]
    fn links_lead_somewhere_in_the_repository_and_on_the_documentation_site() {
        for page in pages() {
            let text = fs::read_to_string(&page).unwrap();
            let faults = faults(page.parent().unwrap(), &text);
            assert!(faults.is_empty(), "{}: {faults:#?}", page.display());
        }
    }

    /// The files of the repository that a text names in code spans. The glossary leaves out `src`.
    fn files_named(text: &str) -> Vec<PathBuf> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let is_room = |span: &str| {
            let first = span.split('/').next().unwrap_or_default();
            !first.is_empty() && span.contains('/') && root.join("src").join(first).is_dir()
        };
        let of_repository = |span: &str| {
            let tops = [
                "benches/",
                "docs/",
                "examples/",
                "fuzz/",
                "loom-tests/",
                "nori-cache-macros/",
                "scripts/",
                "src/",
                "tests/",
            ];
            // Some are not in what is published.
            let is_here = |top: &&str| span.starts_with(*top) && root.join(top).is_dir();
            tops.iter().any(is_here)
        };
        let mut fenced = false;
        let mut files = Vec::new();
        for line in text.lines() {
            fenced ^= line.starts_with("```");
            for span in line.split('`').skip(1).step_by(2).filter(|_| !fenced) {
                // With its arguments, if it is called; one of several, and what is made, are not there.
                let span = span.split(' ').next().unwrap_or_default();
                if span.contains(['*', '{', '…', ':']) {
                    continue;
                }
                if of_repository(span) {
                    files.push(root.join(span));
                } else if is_room(span) {
                    files.push(root.join("src").join(span));
                }
            }
        }
        files
    }

    #[test]
    fn files_that_pages_name_exist() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let history = root.join("CHANGELOG.md");
        for page in pages().into_iter().filter(|page| *page != history) {
            let text = fs::read_to_string(&page).unwrap();
            let mut missing = files_named(&text);
            missing.retain(|file| !file.exists());
            assert!(missing.is_empty(), "{}: {missing:#?}", page.display());
        }
        let text =
            "`src/lib.rs`, `scripts/test --x` or `core/nowhere.rs`, not `a/b` nor `src/*.rs`";
        let named = files_named(text);
        let exist: Vec<bool> = named.iter().map(|file| file.exists()).collect();
        assert_eq!(exist, [true, true, false], "{named:?}");
    }

    #[test]
    fn every_page_is_on_the_documentation_site() {
        let included = [include_str!("docs.rs"), include_str!("lib.rs")].concat();
        for page in pages() {
            let root = Path::new(env!("CARGO_MANIFEST_DIR"));
            let path = page.strip_prefix(root).unwrap().to_str().unwrap();
            let path = path.replace('\\', "/");
            let include = format!("include_str!(\"../{path}\")");
            assert!(included.contains(&include), "{path}");
        }
    }

    #[test]
    fn what_a_visitor_copies_has_no_hidden_lines() {
        for page in pages() {
            let text = fs::read_to_string(&page).unwrap();
            let mut rust = false;
            for line in text.lines() {
                if line.starts_with("```") {
                    rust = line.starts_with("```rust");
                }
                let hidden = line == "#" || line.starts_with("# ");
                assert!(!(rust && hidden), "{}: {line}", page.display());
            }
        }
    }

    #[test]
    fn broken_links_are_found() {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
        let found = |text: &str| faults(&docs, text);
        let sound = "[guide] and [the guide][guide], `[no](link)`, [out](https://rustup.rs)\n\n[guide]: guide.md\n";
        assert!(found(sound).is_empty(), "{:?}", found(sound));
        for (broken, why) in [
            ("[guide](guide.md)", "give the link a name"),
            ("# Here\n[there](#there)", "there is no heading"),
            ("the [guide][guide]", "is not defined"),
            ("[guide]: gide.md", "there is no gide.md"),
            ("[guide]: guide.md#nowhere", "there is no heading"),
            ("[guide]: redis.md", "does not say crate::docs::redis"),
            ("[guides]: guide.md", "does not say crate::docs::guide"),
            ("[memory]: guide.md", "does not say crate::docs::guide"),
        ] {
            let found = found(broken);
            assert!(found.iter().any(|fault| fault.contains(why)), "{found:?}");
        }
    }
}
