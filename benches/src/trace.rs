//! Request sequences for hit ratios: recorded ones from files, and generated ones where there are none.

use std::{
    collections::HashSet,
    fs::File,
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
};

use ahash::RandomState;

use crate::workload::{Rng, Zipf};

/// At most this many requests of a file are read.
pub const MAX_REQUESTS: usize = 5_000_000;

/// The ending of trace files.
const SUFFIX: &str = ".u64.zst";

/// A named request sequence.
pub struct Trace {
    /// The file's name without its ending, or the generator's name.
    pub name: String,
    /// One id per request.
    pub requests: Vec<u64>,
}

impl Trace {
    /// Reads `NAME.u64.zst`: zstd over little-endian `u64` ids, one per request.
    ///
    /// # Errors
    ///
    /// If the file cannot be read or decompressed, or ends inside an id.
    pub fn read(path: &Path) -> io::Result<Self> {
        let mut decoder = zstd::Decoder::new(BufReader::new(File::open(path)?))?;
        let mut bytes = Vec::new();
        decoder
            .by_ref()
            .take(MAX_REQUESTS as u64 * 8)
            .read_to_end(&mut bytes)?;
        let (ids, rest) = bytes.as_chunks::<8>();
        if !rest.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("{}: the last id is cut off", path.display()),
            ));
        }
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        Ok(Self {
            name: file.trim_end_matches(SUFFIX).to_owned(),
            requests: ids.iter().map(|id| u64::from_le_bytes(*id)).collect(),
        })
    }

    /// How many different ids occur.
    pub fn distinct(&self) -> usize {
        let ids: HashSet<u64, RandomState> = self.requests.iter().copied().collect();
        ids.len()
    }
}

/// The trace files of a folder, by name.
///
/// # Errors
///
/// If the folder cannot be listed or has no trace files.
pub fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in folder.read_dir()? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(SUFFIX) {
            files.push(path);
        }
    }
    if files.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            format!("{}: no files named *{SUFFIX}", folder.display()),
        ));
    }
    files.sort();
    Ok(files)
}

/// Four workloads on which policies differ.
pub fn generated() -> Vec<Trace> {
    const REQUESTS: usize = 1_000_000;
    const UNIVERSE: u64 = 100_000;
    let trace = |name: &str, requests| Trace {
        name: name.to_owned(),
        requests,
    };
    vec![
        trace("zipf-0.9", Zipf::new(UNIVERSE, 0.9, 1).take(REQUESTS)),
        trace("loop", (0..REQUESTS as u64).map(|n| n % 10_000).collect()),
        trace("scan-over-zipf", scan_over_zipf(REQUESTS, UNIVERSE)),
        trace("shifting-hot-set", shifting_hot_set(REQUESTS, UNIVERSE)),
    ]
}

/// Zipf traffic; every 50,000 requests a scan of 10,000 keys that are asked for once comes through.
fn scan_over_zipf(requests: usize, universe: u64) -> Vec<u64> {
    let mut zipf = Zipf::new(universe, 0.9, 2);
    let mut scanned = universe;
    (0..requests)
        .map(|nth| {
            if nth % 50_000 < 10_000 {
                scanned += 1;
                scanned
            } else {
                zipf.next_id()
            }
        })
        .collect()
}

/// Nine requests of ten go to a hot hundredth of the keys, which moves on every 20,000 requests.
fn shifting_hot_set(requests: usize, universe: u64) -> Vec<u64> {
    let hot = universe / 100;
    let mut rng = Rng::new(3);
    (0..requests as u64)
        .map(|nth| {
            let first = nth / 20_000 * hot;
            if rng.below(10) < 9 {
                (first + rng.below(hot)) % universe
            } else {
                rng.below(universe)
            }
        })
        .collect()
}
