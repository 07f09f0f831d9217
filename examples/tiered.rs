//! Four processes with a tier of their own in memory, behind a load generator, on one Redis. One of them is killed on the way.
//!
//! ```text
//! cargo run --release --features redis --example tiered                                   # REDIS_URL, or redis://localhost:6379
//! cargo run --release --features redis --example tiered -- redis://:password@host:6379/1
//! ```
//!
//! The generator asks the processes by turns, for popular keys more often, and now and then writes one. It remembers which version
//! of each key was acknowledged, and when: an answer is stale if a later version had been acknowledged, by any process, longer
//! before the question than the near tiers say they may be behind. Each second it tells what was answered from memory (near), what
//! Redis was asked for (far), what was loaded from where the truth is, and how many answers were stale. `behind` is the most that
//! any answer was behind another process's write.
//!
//! Do something to the server meanwhile: `redis-cli client kill type normal`, `redis-cli debug sleep 1`. (Not `flushall`: the truth is
//! there, too.)

use std::collections::HashMap;
use std::env;
use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use nori_cache::{CacheBackend, CacheBackendExt, RedisCacheBackend, TieredCacheBackend};
use tokio::runtime::Runtime;

const PROCESSES: usize = 4;
const KEYS: u64 = 500;
const SECONDS: u64 = 12;
/// In this second a process is killed, and two later there is another in its place.
const KILLED_IN: u64 = 4;
const CLIENTS: usize = 8;
/// One of so many requests writes.
const WRITES: u64 = 50;
/// How far behind an answer may be.
const BOUND: Duration = Duration::from_millis(500);
const TTL: Duration = Duration::from_secs(3);

type Failed = Box<dyn Error + Send + Sync>;

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let url = args
        .next()
        .or_else(|| env::var("REDIS_URL").ok())
        .unwrap_or_else(|| "redis://localhost:6379".to_owned());
    let ran = match args.next() {
        Some(_) => serve(&url),
        None => generate(&url),
    };
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// One of the processes: answers lines. `get KEY`, `set KEY VERSION`, `stats`.
fn serve(url: &str) -> Result<(), Failed> {
    let runtime = Runtime::new()?;
    let redis = |prefix: &str| RedisCacheBackend::builder().url(url).prefix(prefix);
    let tiers = TieredCacheBackend::builder()
        .redis(redis("example:tiered:"))
        .max_staleness(BOUND);
    let tiers = Arc::new(tiers.build()?);
    // Where the truth is. A database, say.
    let truth = Arc::new(redis("example:truth:").build()?);
    runtime.block_on(tiers.verify())?;
    let loads = Arc::new(AtomicU64::new(0));
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    println!("{}", listener.local_addr()?);
    let handle = runtime.handle().clone();
    for client in listener.incoming() {
        let client = client?;
        client.set_nodelay(true)?;
        let (tiers, truth, loads) = (tiers.clone(), truth.clone(), loads.clone());
        let handle = handle.clone();
        thread::spawn(move || {
            let mut lines = BufReader::new(&client).lines();
            while let Some(Ok(line)) = lines.next() {
                let answer = handle.block_on(answer(&tiers, &truth, &loads, &line));
                let answer = answer.unwrap_or_else(|error| format!("error {error}"));
                if (&client)
                    .write_all(format!("{answer}\n").as_bytes())
                    .is_err()
                {
                    return;
                }
            }
        });
    }
    Ok(())
}

async fn answer(
    tiers: &TieredCacheBackend,
    truth: &RedisCacheBackend,
    loads: &AtomicU64,
    line: &str,
) -> Result<String, nori_cache::Error> {
    let words: Vec<&str> = line.split(' ').collect();
    Ok(match words[..] {
        ["get", key] => {
            let load = async || {
                loads.fetch_add(1, Ordering::Relaxed);
                truth.get::<u64>(key).await.map(Option::unwrap_or_default)
            };
            let version: u64 = tiers.get_or_load(key, TTL, load).await?;
            version.to_string()
        }
        ["set", key, version] => {
            let version: u64 = version.parse().unwrap_or_default();
            truth.set(key, version, Duration::from_secs(3600)).await?;
            tiers.set(key, version, TTL).await?;
            "ok".to_owned()
        }
        _ => {
            let (stats, loads) = (tiers.tier_stats(), loads.load(Ordering::Relaxed));
            format!("{} {} {loads}", stats.near_hits, stats.far_reads)
        }
    })
}

/// A process, as the generator sees it.
struct Process {
    child: Child,
    address: String,
}

impl Process {
    fn start(url: &str) -> Result<Self, Failed> {
        let mut child = Command::new(env::current_exe()?)
            .args([url, "process"])
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take().ok_or("it has an output")?;
        let mut address = String::new();
        BufReader::new(stdout).read_line(&mut address)?;
        let address = address.trim().to_owned();
        if address.is_empty() {
            return Err("a process does not start".into());
        }
        Ok(Self { child, address })
    }

    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A line to a process, and its answer.
struct Line {
    address: String,
    stream: BufReader<TcpStream>,
}

impl Line {
    fn to(address: &str) -> Option<Self> {
        let stream = TcpStream::connect(address).ok()?;
        stream.set_nodelay(true).ok()?;
        Some(Self {
            address: address.to_owned(),
            stream: BufReader::new(stream),
        })
    }

    fn ask(&mut self, question: &str) -> Option<String> {
        let question = format!("{question}\n");
        self.stream.get_mut().write_all(question.as_bytes()).ok()?;
        let mut answer = String::new();
        self.stream.read_line(&mut answer).ok()?;
        (!answer.is_empty()).then(|| answer.trim().to_owned())
    }
}

/// What was acknowledged.
#[derive(Default)]
struct Written {
    /// Held while a version is written, so that versions are acknowledged in their order.
    version: u64,
    /// The last two versions with the time of their acknowledgement.
    acknowledged: [Option<(u64, Instant)>; 2],
}

#[derive(Default)]
struct Tally {
    answers: AtomicU64,
    writes: AtomicU64,
    stale: AtomicU64,
    failed: AtomicU64,
    /// In microseconds.
    behind: AtomicU64,
}

struct Fleet {
    addresses: Mutex<Vec<String>>,
    keys: Vec<Mutex<Written>>,
    /// One who writes a key has it to itself.
    writing: Vec<Mutex<()>>,
    tally: Tally,
}

fn generate(url: &str) -> Result<(), Failed> {
    let mut processes = Vec::new();
    for _ in 0..PROCESSES {
        processes.push(Process::start(url)?);
    }
    let addresses = |of: &[Process]| of.iter().map(|it| it.address.clone()).collect();
    let fleet = Arc::new(Fleet {
        addresses: Mutex::new(addresses(&processes)),
        keys: (0..KEYS).map(|_| Mutex::default()).collect(),
        writing: (0..KEYS).map(|_| Mutex::default()).collect(),
        tally: Tally::default(),
    });
    // Versions of earlier runs are not ours.
    let first = std::time::UNIX_EPOCH.elapsed()?.as_micros() as u64;
    for client in 0..CLIENTS {
        let fleet = Arc::clone(&fleet);
        thread::spawn(move || ask_for_ever(&fleet, client as u64 + 1, first));
    }
    println!(
        " second    answers       near        far      loads     writes     failed      stale     behind"
    );
    let (mut answers, mut before) = (0, vec![[0; 3]; PROCESSES]);
    for second in 1..=SECONDS {
        thread::sleep(Duration::from_secs(1));
        if second == KILLED_IN {
            println!("         process 1 is killed");
            processes[0].kill();
        }
        if second == KILLED_IN + 2 {
            processes[0] = Process::start(url)?;
            *fleet.addresses.lock().unwrap() = addresses(&processes);
            println!("         another takes its place");
        }
        let tally = &fleet.tally;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut since = [0; 3];
        for (process, before) in processes.iter().zip(&mut before) {
            let now = counts(process);
            for nth in 0..3 {
                // Another one in its place begins at zero, and one that is dead says nothing.
                let from = if now[nth] < before[nth] {
                    0
                } else {
                    before[nth]
                };
                since[nth] += now[nth] - from;
            }
            *before = now;
        }
        println!(
            "{second:>7} {:>10} {:>10} {:>10} {:>10} {:>10} {:>10} {:>10} {:>7.1} ms",
            count(&tally.answers) - answers,
            since[0],
            since[1],
            since[2],
            count(&tally.writes),
            count(&tally.failed),
            count(&tally.stale),
            count(&tally.behind) as f64 / 1e3,
        );
        answers = count(&tally.answers);
    }
    match fleet.tally.stale.load(Ordering::Relaxed) {
        0 => Ok(()),
        stale => Err(format!("{stale} answers were stale").into()),
    }
}

/// What a process has counted: near hits, far reads, loads.
fn counts(process: &Process) -> [u64; 3] {
    let stats = Line::to(&process.address).and_then(|mut line| line.ask("stats"));
    let mut counts = [0; 3];
    for (count, word) in counts.iter_mut().zip(stats.unwrap_or_default().split(' ')) {
        *count = word.parse().unwrap_or(0);
    }
    counts
}

/// One client of the fleet.
fn ask_for_ever(fleet: &Fleet, client: u64, first: u64) {
    let mut lines: HashMap<usize, Line> = HashMap::new();
    let mut random = client;
    loop {
        random = random
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        let draw = random >> 33;
        let process = draw as usize % PROCESSES;
        // The product of two draws: small numbers are popular.
        let key = (draw / 7 % KEYS) * (draw / 7919 % KEYS) / KEYS;
        let address = fleet.addresses.lock().unwrap()[process].clone();
        if lines
            .get(&process)
            .is_none_or(|line| line.address != address)
        {
            match Line::to(&address) {
                Some(line) => drop(lines.insert(process, line)),
                None => {
                    thread::sleep(Duration::from_millis(1));
                    continue;
                }
            }
        }
        let line = lines.get_mut(&process).expect("it was put there just now");
        let asked = if (draw / 13).is_multiple_of(WRITES) {
            write(fleet, line, key, first)
        } else {
            read(fleet, line, key)
        };
        if asked.is_none() {
            lines.remove(&process);
            fleet.tally.failed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn write(fleet: &Fleet, line: &mut Line, key: u64, first: u64) -> Option<()> {
    let _alone = fleet.writing[key as usize].lock().unwrap();
    let version = {
        let mut written = fleet.keys[key as usize].lock().unwrap();
        written.version = written.version.max(first) + 1;
        written.version
    };
    if line.ask(&format!("set key:{key} {version}"))? != "ok" {
        return None;
    }
    let mut written = fleet.keys[key as usize].lock().unwrap();
    written.acknowledged = [Some((version, Instant::now())), written.acknowledged[0]];
    fleet.tally.writes.fetch_add(1, Ordering::Relaxed);
    Some(())
}

fn read(fleet: &Fleet, line: &mut Line, key: u64) -> Option<()> {
    let asked = Instant::now();
    // What had been acknowledged before the question.
    let acknowledged = fleet.keys[key as usize].lock().unwrap().acknowledged;
    let version: u64 = line.ask(&format!("get key:{key}"))?.parse().ok()?;
    let tally = &fleet.tally;
    tally.answers.fetch_add(1, Ordering::Relaxed);
    // The first version that the answer lacks, as far as is remembered.
    let missed = acknowledged
        .into_iter()
        .flatten()
        .rfind(|(of, _)| version < *of);
    if let Some((_, when)) = missed {
        let behind = asked.saturating_duration_since(when);
        tally
            .behind
            .fetch_max(behind.as_micros() as u64, Ordering::Relaxed);
        tally
            .stale
            .fetch_add(u64::from(behind > BOUND), Ordering::Relaxed);
    }
    Some(())
}
