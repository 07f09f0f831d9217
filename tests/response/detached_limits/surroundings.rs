//! Layers within layers, runtimes that end, and none at all.

use super::*;

/// A layer within a layer: what the outer one gives up, the inner one would go on with.
fn nested(outer: &CacheResponse, inner: &CacheResponse, alive: &Alive) -> impl Cached {
    let alive = alive.clone();
    let inner = inner.layer(tower::service_fn(move |_: Request<Nothing>| {
        let guard = alive.guard();
        async move {
            let _guard = guard;
            pending::<Result<Response<crate::support::Body>, Infallible>>().await
        }
    }));
    outer.layer(tower::service_fn(move |request: Request<Nothing>| {
        let answer = inner.clone().oneshot(request);
        async move {
            let response = answer.await.unwrap();
            let body = http_body_util::BodyExt::collect(response.into_body()).await;
            let body = http_body_util::Full::new(body.unwrap().to_bytes());
            Ok::<_, Infallible>(Response::new(body))
        }
    }))
}

#[tokio::test(start_paused = true)]
async fn layers_within_layers_end_too() {
    let (world, alive) = (World::memory(), Alive::default());
    let (outer, inner) = (world.timed(60), world.timed(60).key_prefix("inner"));
    let service = nested(&outer, &inner, &alive);
    let asked = timeout(SECOND, service.oneshot(get("/", &[])));
    assert!(asked.await.is_err());
    sleep(TIMEOUT + SECOND).await;
    assert_eq!((alive.count(), inner.stats().detached), (1, 1));
    sleep(TIMEOUT + SECOND).await;
    assert_eq!((alive.count(), inner.stats().detached), (0, 0));
}

#[test]
fn a_runtime_that_ends_takes_along_what_goes_on() {
    for threads in [0, 2] {
        let (world, alive) = (World::memory(), Alive::default());
        let (outer, inner) = (world.timed(60), world.timed(60).key_prefix("inner"));
        let (one, two) = (
            nested(&outer, &inner, &alive),
            outer.clone().key_prefix("body"),
        );
        let two = stalled(&two, &alive);
        let mut runtime = match threads {
            0 => tokio::runtime::Builder::new_current_thread(),
            _ => tokio::runtime::Builder::new_multi_thread(),
        };
        let runtime = runtime
            .worker_threads(threads.max(1))
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            for nth in 0..20 {
                let uri = format!("/{nth}");
                let asked = one.clone().oneshot(get(&uri, &[]));
                assert!(timeout(Duration::from_millis(1), asked).await.is_err());
                drop(two.clone().oneshot(get(&uri, &[])).await.unwrap());
            }
            while outer.stats().detached < 40 {
                tokio::task::yield_now().await;
            }
        });
        assert_eq!(alive.count(), 40);
        drop(runtime);
        assert_eq!(alive.count(), 0);
        for layer in [&outer, &inner] {
            let stats = layer.stats();
            assert_eq!((stats.running, stats.detached, stats.buffered), (0, 0, 0));
        }
    }
}

/// Outside a runtime nothing is awaited that takes one.
#[test]
fn without_a_runtime_bodies_pass_and_nobody_waits_for_another() {
    use http_body_util::BodyExt;

    let (world, alive) = (World::memory(), Alive::default());
    let layer = world.timed(60);
    let bodies = alive.clone();
    let service = layer.layer(tower::service_fn(move |_: Request<Nothing>| {
        let body = Endless(b"x", bodies.guard());
        std::future::ready(Ok::<_, Infallible>(Response::new(body)))
    }));
    let now = |future: &mut (dyn Future<Output = Option<Bytes>> + Unpin)| match Pin::new(future)
        .poll(&mut Context::from_waker(std::task::Waker::noop()))
    {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("nothing waits"),
    };
    let first = now(&mut Box::pin(async {
        let mut body = service
            .clone()
            .oneshot(get("/", &[]))
            .await
            .unwrap()
            .into_body();
        for _ in 0..1000 {
            body.frame().await;
        }
        body.frame().await?.unwrap().into_data().ok()
    }));
    assert_eq!(first.unwrap(), "x");
    let service = hung(&layer.key_prefix("hung"), &alive, &Runs::default());
    let mut asks: Vec<_> = (0..3)
        .map(|_| Box::pin(service.clone().oneshot(get("/", &[]))))
        .collect();
    for ask in &mut asks {
        let context = &mut Context::from_waker(std::task::Waker::noop());
        assert!(ask.as_mut().poll(context).is_pending());
    }
    assert_eq!(alive.count(), 3);
    drop(asks);
    assert_eq!(alive.count(), 0);
}
