//! [`HandlerCall`]: a leader's call of the handler.

use super::leading::Leading;
use super::receiving::Landed;
use crate::response::answer::body::BoxError;
use crate::response::entry::stored_response::StoredResponse;
use crate::response::request::conditions::Conditions;
use http::header::{ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED};
use http::request::Parts;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Body;
use std::future::Future;
use tokio::task::yield_now;
use tower_service::Service;

pub(crate) struct HandlerCall<S, B> {
    /// Ready.
    pub(crate) inner: S,
    pub(crate) parts: Parts,
    pub(crate) body: B,
    pub(crate) leading: Box<Leading>,
}

impl<S, B, R> HandlerCall<S, B>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Body + Send + 'static,
    R::Data: Send,
    R::Error: Into<BoxError>,
{
    // This is no `async fn`, because its future would hold `self` twice.
    pub(crate) fn run(self) -> impl Future<Output = Landed<R, S::Error>> {
        let Self {
            mut inner,
            mut parts,
            body,
            leading,
        } = self;
        async move {
            // 1. Where nothing will be stored, those who ask while this call runs have to join it. Give them the chance to, even if
            //    the handler never waits.
            if leading.forward.is_backend_down {
                yield_now().await;
            }
            // 2. Ask for the whole response, or whether the stale one is still good.
            let validates = leading.prepare(&mut parts.headers);
            parts.extensions.insert(leading.leader.aboard());
            // 3. Call.
            let answered = inner.call(Request::from_parts(parts, body)).await;
            drop(inner);
            // 4. See what has come.
            let response = match answered {
                Ok(response) => response,
                Err(error) => {
                    let instead = leading.instead_of_error();
                    return instead.unwrap_or_else(|| Landed::failed(error));
                }
            };
            let status = response.status();
            if [500, 502, 503, 504].contains(&status.as_u16())
                && let Some(instead) = leading.instead_of_error()
            {
                return instead;
            }
            if validates && status == StatusCode::NOT_MODIFIED {
                let (parts, _) = response.into_parts();
                return Box::pin(leading.refresh(parts)).await;
            }
            leading.receive(response).await
        }
    }
}

impl Leading {
    /// Prepares the request's headers for the handler. Says whether they ask if the stale response is still good.
    fn prepare(&self, headers: &mut HeaderMap) -> bool {
        // Where nothing is to be stored, the client's own conditions are the handler's business.
        let key = self.question.key.as_str();
        if self.stale.is_some() || !self.state.is_uncacheable(key) {
            Conditions::strip(headers);
        }
        let stale = self.stale.as_ref();
        stale.is_some_and(|stale| validate(headers, stale))
    }
}

/// Asks whether a stale response is still good: RFC 9111 §4.3.1. False if there is nothing to ask with.
fn validate(headers: &mut HeaderMap, stale: &StoredResponse) -> bool {
    let mut validates = false;
    for (name, asks) in [(ETAG, IF_NONE_MATCH), (LAST_MODIFIED, IF_MODIFIED_SINCE)] {
        if let Some(value) = stale.headers.get(name) {
            // This fails if the request has as many headers as it can.
            validates |= headers.try_insert(asks, value.clone()).is_ok();
        }
    }
    validates
}
