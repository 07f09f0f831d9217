//! Deterministic requests: which keys are asked for, in which order.

use crate::Key;

/// SplitMix64: small, fast and the same everywhere.
pub struct Rng(u64);

impl Rng {
    /// A generator that always yields the same sequence for the same seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number in `0.0..1.0`.
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A number in `0..n`; the bias of the multiplication is far below what a workload could show.
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(n)) >> 64) as u64
    }
}

/// Zipf-distributed ids over `0..universe`: the key of rank `r` is asked for in proportion to `1 / r^theta`.
///
/// Ranks are dealt to ids at random, so that hot keys are neither neighbours in insertion order nor in memory.
pub struct Zipf {
    cumulative: Vec<f64>,
    id_of_rank: Vec<u64>,
    rng: Rng,
}

impl Zipf {
    /// A distribution over `universe` ids.
    pub fn new(universe: u64, theta: f64, seed: u64) -> Self {
        let mut sum = 0.0;
        let cumulative = (1..=universe)
            .map(|rank| {
                sum += (rank as f64).powf(-theta);
                sum
            })
            .collect();
        let mut rng = Rng::new(seed);
        Self {
            cumulative,
            id_of_rank: shuffled(universe, &mut rng),
            rng,
        }
    }

    /// The next id.
    pub fn next_id(&mut self) -> u64 {
        let total = self.cumulative.last().copied().unwrap_or(0.0);
        let point = self.rng.unit() * total;
        let rank = self.cumulative.partition_point(|&sum| sum <= point);
        self.id_of_rank[rank.min(self.id_of_rank.len() - 1)]
    }

    /// The next `n` ids.
    pub fn take(&mut self, n: usize) -> Vec<u64> {
        (0..n).map(|_| self.next_id()).collect()
    }
}

/// `n` ids, each of `0..universe` equally likely.
pub fn uniform(universe: u64, n: usize, seed: u64) -> Vec<u64> {
    let mut rng = Rng::new(seed);
    (0..n).map(|_| rng.below(universe)).collect()
}

/// `0..n` in random order (Fisher-Yates).
pub fn shuffled(n: u64, rng: &mut Rng) -> Vec<u64> {
    let mut ids: Vec<u64> = (0..n).collect();
    for last in (1..ids.len()).rev() {
        ids.swap(last, rng.below(last as u64 + 1) as usize);
    }
    ids
}

/// The keys with these ids, each allocated on its own, in request order.
pub fn keys<K: Key>(ids: &[u64]) -> Vec<K> {
    ids.iter().map(|&id| K::from_id(id)).collect()
}
