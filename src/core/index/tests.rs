use super::*;
use std::cell::Cell;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .rotate_left(17)
            + 1;
        self.0 ^ self.0 >> 31
    }
}

#[test]
fn readers_and_writers_find_the_same_home() {
    let mut random = Random(7);
    for range_bits in 0..=route::MAX_RANGE_BITS {
        for range in [1, 2, 3, 7, 100, 1_021] {
            let index = Index::new(1 << range_bits, range);
            for bits in [0, u64::MAX]
                .into_iter()
                .chain((0..1_000).map(|_| random.next()))
            {
                let route = Route::of_spread(bits);
                let (home, at) = (index.home(route), index.range_of(route));
                assert_eq!(home, index.home_in(at, index.fragment_of(route)));
                assert!(index.chain(at, home).all(|it| it / range == at));
                let again = Route::assemble(at, range_bits, index.fragment_of(route), route.tag());
                assert_eq!((index.home(again), again.tag()), (home, route.tag()));
            }
        }
    }
}

/// How many entries a look-up compares, and how many keys are filed in their homes, in a range as large as it may be with
/// fragments of `bits` bits.
fn looked_up(bits: u32, keys: usize) -> (f64, f64, f64) {
    let index = Index::new(1, 1 << (bits - 1));
    let mut random = Random(1);
    let spreads = |random: &mut Random| {
        let spread = random.next();
        let narrowed = spread >> (u64::BITS - bits) << (u64::BITS - bits);
        Route::of_spread(narrowed | spread & u64::MAX >> Fragment::BITS)
    };
    let routes: Vec<Route> = (0..keys).map(|_| spreads(&mut random)).collect();
    for (id, &route) in routes.iter().enumerate() {
        if !index.insert(route, id as u32) {
            drop(index.refit(0, |id| index.fragment_of(routes[id as usize])));
            assert!(index.insert(route, id as u32));
        }
    }
    let compared = Cell::new(0);
    let compare = |key: Option<usize>| {
        let compared = &compared;
        move |id: u32| {
            compared.set(compared.get() + 1);
            (Some(id as usize) == key).then_some(())
        }
    };
    let mut near = 0;
    for (key, &route) in routes.iter().enumerate() {
        let compare = compare(Some(key));
        near += usize::from(matches!(index.find_near(route, compare), Ok(Some(_))));
    }
    compared.set(0);
    for (key, &route) in routes.iter().enumerate() {
        let compare = compare(Some(key));
        assert!(index.find(route, compare).is_some());
    }
    let hits = compared.replace(0);
    for _ in 0..keys {
        let absent = compare(None);
        assert!(index.find(spreads(&mut random), absent).is_none());
    }
    let share = |count: usize| count as f64 / keys as f64;
    (share(hits), share(compared.get()), share(near))
}

/// The more keys a shard has, the fewer bits of a fragment tell those of one bucket apart: with 2^28 keys, one. So the narrowest
/// fragments are no worse than ones that are far wider than the range: the tags are what counts.
#[test]
fn look_ups_in_the_largest_shards_are_as_fast() {
    const BITS: u32 = 11;
    let keys = (1 << (BITS - 1)) * 10;
    let (hits, misses, near) = looked_up(BITS, keys);
    assert!(hits < 1.05, "a hit compares {hits} entries");
    assert!(misses < 0.08, "a miss compares {misses} entries");
    assert!(near > 0.9, "{near} are in their homes");
}

/// Keys of one bucket, whatever their number: those that are not there pass a bounded number of buckets, and those that have no
/// room there are in the annex.
#[test]
fn an_overfull_range_has_short_chains() {
    let index = Index::new(2, 64);
    let routes: Vec<Route> = (0..2_000_u64)
        .map(|key| Route::of_spread(key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 30))
        .collect();
    for (id, &route) in routes.iter().enumerate() {
        if !index.insert(route, id as u32) {
            drop(index.refit(0, |id| index.fragment_of(routes[id as usize])));
            assert!(index.insert(route, id as u32));
        }
    }
    let chain = CHAIN as usize * LANES;
    assert_eq!(index.annex_len(0), 2_000 - chain);
    for (id, &route) in routes.iter().enumerate() {
        let is_it = move |found| (found == id as u32).then_some(());
        let (place, ()) = index.find(route, is_it).expect("it is filed");
        assert_eq!(
            index.place_of(0, index.fragment_of(route), id as u32),
            Some(place)
        );
    }
    index.validate(0, |id| index.fragment_of(routes[id as usize]));
    for (id, &route) in routes.iter().enumerate() {
        if index.remove(0, index.fragment_of(route), id as u32) {
            drop(index.refit(0, |id| index.fragment_of(routes[id as usize])));
        }
    }
    assert_eq!(index.ids(0).count(), 0);
    index.validate(0, |_| unreachable!("nothing is filed"));
}
