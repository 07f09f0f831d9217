//! Purges beside handlers, and beside responses that are being stored: nothing that was asked for before a purge is served to those
//! who ask after it has returned, whichever layer purges, and whichever serves.

use crate::support::{Cached, Runs, World, cached, real, with};
use nori_cache::response::CacheResponse;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use tokio::task::{JoinSet, yield_now};

const SOURCES: usize = 6;
/// Each shows two sources, of which one has a tag and the other a prefix or a tag.
const PAGES: usize = 12;

/// What pages are made of, and which states of it have been purged away.
#[derive(Default)]
struct Sources {
    now: [AtomicU64; SOURCES],
    /// Nobody who asks from now on may see less than this.
    floor: [AtomicU64; SOURCES],
}

fn shown_on(page: usize) -> [usize; 2] {
    [page % SOURCES, (page / 2 + 1) % SOURCES]
}

/// A number that looks like chance, the same in each run.
fn next(seed: &mut u64) -> usize {
    *seed = seed
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 33) as usize
}

fn service(
    layer: &CacheResponse,
    sources: &Arc<Sources>,
    runs: &Runs,
) -> impl Cached + Sync + use<> {
    let sources = Arc::clone(sources);
    cached(layer, runs, move |request, run| {
        let sources = Arc::clone(&sources);
        async move {
            let page: usize = request.uri().path()[2..].parse().unwrap();
            let shown = shown_on(page);
            let mut text = Vec::new();
            for source in shown {
                text.push(sources.now[source].load(SeqCst).to_string());
                for _ in 0..run % 7 {
                    yield_now().await;
                }
            }
            let tags = shown.map(|source| format!("s{source}")).join(",");
            let vary = if page.is_multiple_of(3) { "accept" } else { "" };
            with(&[("cache-tag", &tags), ("vary", vary)], text.join(" "))
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_of_before_a_purge_is_served_after_it() {
    let (readers, asks, purges) = match real::IS_USED {
        true => (8, 300, 150),
        false => (8, 3_000, 1_500),
    };
    for world in World::both() {
        let (sources, runs) = (Arc::new(Sources::default()), Runs::default());
        let hits = Arc::new(AtomicUsize::new(0));
        let layers = [world.timed(3600), world.timed(3600)];
        // Two of them serve as well; the others are no more than that.
        let others = [world.timed(3600), world.timed(3600)];
        let purging = Arc::new(AtomicUsize::new(layers.len() + others.len()));
        let mut tasks = JoinSet::new();
        for reader in 0..readers {
            let service = service(&layers[reader % 2], &sources, &runs);
            let (sources, hits) = (Arc::clone(&sources), Arc::clone(&hits));
            let purging = Arc::clone(&purging);
            tasks.spawn(async move {
                let mut seed = reader as u64;
                let mut asked = 0;
                while asked < asks || purging.load(SeqCst) > 0 {
                    asked += 1;
                    let page = next(&mut seed) % PAGES;
                    let shown = shown_on(page);
                    let floor = shown.map(|source| sources.floor[source].load(SeqCst));
                    let got = service.get(&format!("/p{page}")).await;
                    hits.fetch_add(usize::from(got.is_hit()), SeqCst);
                    let text = got.text();
                    let seen: Vec<u64> = text.split(' ').map(|n| n.parse().unwrap()).collect();
                    for (seen, floor) in seen.iter().zip(floor) {
                        assert!(
                            *seen >= floor,
                            "page {page}, {}: {text}, {floor}",
                            got.how()
                        );
                    }
                }
            });
        }
        let purgers = layers.iter().cloned().chain(others);
        for (purger, layer) in purgers.enumerate() {
            let (sources, purging) = (Arc::clone(&sources), Arc::clone(&purging));
            tasks.spawn(async move {
                let mut seed = 100 + purger as u64;
                for nth in 0..purges {
                    let source = next(&mut seed) % SOURCES;
                    let now = sources.now[source].fetch_add(1, SeqCst) + 1;
                    if nth % 50 == 49 {
                        // All pages.
                        layer.purge_prefix("view:/p").await.unwrap();
                    } else {
                        layer.purge_tag(&format!("s{source}")).await.unwrap();
                    }
                    sources.floor[source].fetch_max(now, SeqCst);
                    for _ in 0..next(&mut seed) % 30 {
                        yield_now().await;
                    }
                }
                purging.fetch_sub(1, SeqCst);
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
        let (hits, runs) = (hits.load(SeqCst), runs.count());
        assert!(hits > asks / 10, "{hits} hits, {runs} runs");
        assert!(runs > PAGES, "{hits} hits, {runs} runs");
        println!("{hits} hits, {runs} runs");
        for layer in &layers {
            assert_eq!(layer.stats().backend_errors, 0);
        }
        world.backend.flush_values().await.unwrap();
    }
}
