//! Counts the instructions of each path, for us and for the rivals that have it, with `valgrind --tool=callgrind`.
//!
//! ```sh
//! cargo run -p nori-cache-benches --profile bench --bin instructions
//! cargo run -p nori-cache-benches --profile bench --bin instructions --no-default-features --features redis -- --check
//! ```
//!
//! Each cell is a run of this program under Valgrind, which counts what one loop over the operations takes. Hashes have fixed
//! seeds, so a count is the same in every run of a binary, whatever else the machine does. `--check` compares ours with the
//! [budgets](budget) and fails if one is exceeded.
//!
//! Valgrind has no vDSO: there a strict reading of the clock counts 24 instructions. In reality it takes 50 to 66.

#![forbid(unsafe_code)]

mod budget;
mod count;
mod operations;
mod path;
mod rivals;
mod tiers;

use std::error::Error;
use std::process::ExitCode;

use lexopt::{Arg, Parser, ValueExt};
use path::{PATHS, Path};

const HELP: &str = "\
instructions: what each path costs, in instructions, under valgrind

  --path NAMES       comma-separated; default: all
  --check            only ours and what the budgets name; fails if a budget is exceeded
  --list             print the names of paths and subjects
";

enum Task {
    /// What the processes under Valgrind do.
    Run {
        path: String,
        subject: String,
    },
    Table {
        paths: Vec<&'static Path>,
        check: bool,
    },
    Nothing,
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    match parse(Parser::from_env())? {
        Task::Run { path, subject } => {
            let path = named(&path)?;
            let run = path.runs().find(|(name, _)| *name == subject);
            let (_, run) = run.ok_or_else(|| format!("`{}` has no `{subject}`", path.name))?;
            run();
        }
        Task::Table { paths, check } => {
            let counts = count::cells(&paths, |cell| !check || budget::needs(cell))?;
            count::print(&paths, &counts, budget::text);
            if check && !budget::hold(&paths, &counts) {
                return Ok(ExitCode::FAILURE);
            }
        }
        Task::Nothing => {}
    }
    Ok(ExitCode::SUCCESS)
}

fn parse(mut arguments: Parser) -> Result<Task, lexopt::Error> {
    let (mut paths, mut check) = (PATHS.iter().collect(), false);
    while let Some(argument) = arguments.next()? {
        match argument {
            Arg::Long("run") => {
                return Ok(Task::Run {
                    path: arguments.value()?.string()?,
                    subject: arguments.value()?.string()?,
                });
            }
            Arg::Long("path") => {
                let names = arguments.value()?.string()?;
                let found: Result<_, _> = names.split(',').map(named).collect();
                paths = found?;
            }
            Arg::Long("check") => check = true,
            Arg::Long("list") => {
                for path in PATHS {
                    let subjects = path.runs().map(|(name, _)| *name);
                    println!("{}: {}", path.name, subjects.collect::<Vec<_>>().join(" "));
                }
                return Ok(Task::Nothing);
            }
            Arg::Short('h') | Arg::Long("help") => {
                print!("{HELP}");
                return Ok(Task::Nothing);
            }
            other => return Err(other.unexpected()),
        }
    }
    Ok(Task::Table { paths, check })
}

fn named(name: &str) -> Result<&'static Path, String> {
    let found = PATHS.iter().find(|path| path.name == name);
    found.ok_or_else(|| format!("no path is called `{name}` (see --list)"))
}
