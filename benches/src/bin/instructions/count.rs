//! Runs the cells under Valgrind, and shows what came out.

use std::collections::HashMap;
use std::env;
use std::error::Error;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::operations::OPERATIONS;
use crate::path;
use crate::path::Cell;

/// Instructions for each operation, by path and subject.
pub type Counts = HashMap<Cell, u64>;

/// Counts the cells of some paths that are wanted.
pub fn cells(
    paths: &[&'static path::Path],
    is_wanted: impl Fn(Cell) -> bool,
) -> Result<Counts, Box<dyn Error>> {
    let this = env::current_exe()?;
    let cells: Vec<_> = paths
        .iter()
        .flat_map(|path| path.runs().map(|(name, _)| (path.name, *name)))
        .filter(|cell| is_wanted(*cell))
        .collect();
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Ok(Counts::new()));
    let workers = thread::available_parallelism()?.get().min(cells.len());
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                // Relaxed: it only hands out the cells.
                while let Some(&cell) = cells.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let counted = one(&this, cell);
                    eprintln!("counted {} {}", cell.0, cell.1);
                    let mut done = done.lock().expect("nothing panics with the lock");
                    match (&mut *done, counted) {
                        (Ok(counts), Ok(count)) => drop(counts.insert(cell, count)),
                        (Ok(_), Err(error)) => *done = Err(error),
                        (Err(_), _) => return,
                    }
                }
            });
        }
    });
    let done = done.into_inner().expect("nothing panics with the lock");
    Ok(done?)
}

/// Instructions for one operation.
fn one(this: &Path, (path, subject): Cell) -> Result<u64, String> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg("--toggle-collect=instructions::operations::counted*")
        .arg(this)
        .args(["--run", path, subject])
        .env("RUST_BACKTRACE", "0")
        .output()
        .map_err(|error| format!("valgrind cannot be run: {error}"))?;
    let told = String::from_utf8_lossy(&output.stderr);
    let collected: Option<u64> = told
        .lines()
        .filter(|_| output.status.success())
        .find_map(|line| line.split("Collected : ").nth(1)?.trim().parse().ok());
    match collected {
        Some(collected) if collected > 0 => Ok(collected.div_ceil(OPERATIONS as u64)),
        _ => Err(format!("{path} {subject} failed under valgrind:\n{told}")),
    }
}

/// Prints a table in markdown; `budget` is what its last column says of a cell.
pub fn print(paths: &[&path::Path], counts: &Counts, budget: impl Fn(Cell) -> String) {
    println!("| path | subject | instructions | beside the first | budget |");
    println!("|---|---|--:|--:|--:|");
    for path in paths {
        let mut first = None;
        for &(subject, _) in path.runs() {
            let Some(&count) = counts.get(&(path.name, subject)) else {
                continue;
            };
            let beside = match first {
                Some(first) => format!("{:+}", count as i64 - first as i64),
                None => String::new(),
            };
            first.get_or_insert(count);
            let budget = budget((path.name, subject));
            println!(
                "| {} | {subject} | {count} | {beside} | {budget} |",
                path.name
            );
        }
    }
}
