//! No two different requests share an entry unless the rules say so: any requests, any settings.

use crate::support::{Cached, Runs, World, cached, with};
use http::HeaderValue;
use http::header::{ACCEPT, ACCEPT_LANGUAGE};
use http::{HeaderMap, Request};
use proptest::prelude::*;

/// What a request may say, from few enough parts that they collide.
#[derive(Debug, Clone)]
struct Ask {
    path: String,
    query: Option<String>,
    host: Option<&'static str>,
    accept: Option<&'static str>,
    language: Option<&'static str>,
    tenant: Option<&'static str>,
}

fn asks() -> impl Strategy<Value = Ask> {
    let path = "(/|:|a|a:b|%3A|:vary=accept=x){0,3}";
    let query = proptest::option::of(
        "(a|=1|&|b|:|:vary=accept=|,accept-language=|%00|:variants|%23variants){0,4}",
    );
    let value = || {
        proptest::sample::select(vec![
            None,
            Some(""),
            Some("x"),
            Some("x,accept-language="),
            Some("y"),
        ])
    };
    let host = proptest::sample::select(vec![
        None,
        Some("a.example"),
        Some("b.example"),
        Some("a.example:80"),
    ]);
    let tenant =
        proptest::sample::select(vec![None, Some(""), Some("t"), Some("t:/a"), Some("t:")]);
    (path, query, host, value(), value(), tenant).prop_map(
        |(path, query, host, accept, language, tenant)| Ask {
            path: format!("/{path}"),
            query,
            host,
            accept,
            language,
            tenant,
        },
    )
}

impl Ask {
    fn request(&self) -> Request<()> {
        let mut uri = self.path.clone();
        if let Some(query) = &self.query {
            uri = format!("{uri}?{query}");
        }
        let mut headers = HeaderMap::new();
        let said = [
            ("host", self.host),
            ("accept", self.accept),
            ("accept-language", self.language),
            ("x-tenant", self.tenant),
        ];
        for (name, value) in said {
            let name: http::HeaderName = name.parse().unwrap();
            headers.extend(value.map(|value| (name, HeaderValue::from_static(value))));
        }
        // A path may begin with two slashes.
        let uri = http::uri::Uri::builder()
            .path_and_query(uri)
            .build()
            .unwrap();
        let mut request = Request::new(());
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        request
    }

    /// What the rules say makes a difference.
    fn counts(&self, keyed: bool) -> String {
        let Self {
            path,
            query,
            host,
            tenant,
            ..
        } = self;
        // No query is as good as an empty one; white space around the members of a list is none.
        let query = query.as_deref().unwrap_or("");
        let said = keyed.then_some((self.accept, self.language, tenant.unwrap_or("")));
        format!("{path} {query} {} {said:?}", host.unwrap_or(""))
    }
}

fn check(asks: &[Ask], keyed: bool, vary: bool) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        for world in World::both() {
            let mut layer = world.timed(60);
            if keyed {
                layer = layer
                    .key_fn(|request| {
                        let tenant = request.headers.get("x-tenant");
                        tenant
                            .map_or("", |tenant| tenant.to_str().unwrap())
                            .to_owned()
                    })
                    .vary_on([ACCEPT, ACCEPT_LANGUAGE]);
            }
            let service = cached(&layer, &Runs::default(), move |request, _| async move {
                let ask = request.extensions().get::<String>().unwrap().clone();
                let headers: &[(&str, &str)] = if vary {
                    &[("vary", "x-tenant, accept")]
                } else {
                    &[]
                };
                with(headers, ask)
            });
            for ask in asks {
                let mut counts = ask.counts(keyed);
                if vary {
                    counts = format!("{counts} {:?} {:?}", ask.tenant, ask.accept);
                }
                let mut request = ask.request();
                request.extensions_mut().insert(counts.clone());
                let got = service.ask(request).await;
                assert_eq!(got.text(), counts, "{ask:?}");
            }
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn different_requests_share_nothing(
        asks in proptest::collection::vec(asks(), 1..40),
        keyed: bool,
        vary: bool,
    ) {
        check(&asks, keyed, vary);
    }
}
