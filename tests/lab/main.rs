//! The lab: byway on a real network in trouble, in network namespaces of this machine. Needs root, `ip`,
//! `tc` and `nft`.
//!
//! ```text
//! cargo test --test lab                                   the short version, part of `cargo test`
//! cargo test --release --test lab -- full                 every row, about twelve minutes
//! cargo test --release --test lab -- full --pictures DIR  and a picture, the log and the metrics of each
//! cargo test --release --test lab -- swamped flapping     these rows
//! cargo test --release --test lab -- full --peer unbound  a peer in byway's place (it must be installed)
//! ```
//!
//! On a machine that does other things too, put `chrt -f 5` before it: stalls of the machine would be read as the
//! network's. The row `control` and the column `lag` say how far to trust the others.
//!
//! Nothing outside the namespaces is touched, and they are removed however the lab ends.

mod client;
mod daemon;
mod fault;
mod figures;
mod limits;
mod names;
mod noise;
mod picture;
mod poll;
mod rows;
mod run;
mod table;
mod topology;
mod upstream;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use std::{fs, io, thread};

use daemon::Program;
use figures::Figures;
use rows::Row;
use run::{Plan, Times};

/// What the command line asks for.
struct Options {
    rows: Vec<Row>,
    program: Program,
    pictures: Option<PathBuf>,
    times: Times,
    seed: u64,
}

const FULL: Times = Times {
    warm: Duration::from_secs(12),
    fault: Duration::from_secs(20),
    heal: Duration::from_secs(11),
};

const SHORT: Times = Times {
    warm: Duration::from_secs(8),
    fault: Duration::from_secs(8),
    heal: Duration::from_secs(5),
};

fn main() -> ExitCode {
    if let Ok(prefix) = std::env::var(topology::JANITOR) {
        topology::tidy(&prefix);
        return ExitCode::SUCCESS;
    }
    let options = match options(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => return ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lab: {error}");
            return ExitCode::FAILURE;
        }
    };
    if let Some(missing) = missing() {
        println!("lab: skipped: {missing}");
        return ExitCode::SUCCESS;
    }
    match go(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("lab: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What keeps the lab from running on this machine.
fn missing() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("network namespaces need root".to_owned());
    }
    let tools = ["ip", "tc", "nft"];
    let lacks = |tool: &&&str| Command::new(tool).arg("-V").output().is_err();
    if let Some(tool) = tools.iter().find(lacks) {
        return Some(format!("`{tool}` is not installed"));
    }
    // Root in a container may still be kept from making networks.
    topology::probe()
        .err()
        .map(|error| format!("no network namespaces here: {error}"))
}

/// Reads the command line. `None` if what it asks for is no work for the lab.
fn options(mut arguments: impl Iterator<Item = String>) -> Result<Option<Options>, String> {
    let all = rows::all();
    let mut names = Vec::new();
    let mut full = false;
    let mut options = Options {
        rows: Vec::new(),
        program: Program::Byway,
        pictures: None,
        times: FULL,
        seed: 1,
    };
    let mut filtered = false;
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} wants a value"));
        match argument.as_str() {
            "full" => full = true,
            "--pictures" => options.pictures = Some(value()?.into()),
            "--seed" => options.seed = value()?.parse().map_err(|it| format!("--seed: {it}"))?,
            "--peer" => {
                let name = value()?;
                options.program = Program::of_name(&name).ok_or(format!("no peer {name}"))?;
            }
            // What `cargo test` hands to every test: listing, and switches of the usual test harness.
            "--list" => {
                println!("lab: test");
                return Ok(None);
            }
            other if other.starts_with("--") => {}
            other if all.iter().any(|it| it.name == other) => names.push(argument),
            // A filter that is meant for another test.
            _ => filtered = true,
        }
    }
    if full || !names.is_empty() {
        options.rows = all
            .into_iter()
            .filter(|it| full || names.iter().any(|name| name == it.name))
            .collect();
    } else if filtered {
        return Ok(None);
    } else {
        options.times = SHORT;
        let short = all.into_iter().filter(|it| rows::SHORT.contains(&it.name));
        options.rows = short.map(Row::lenient).collect();
    }
    Ok(Some(options))
}

/// Does every row and prints the table. Whether all was reached.
fn go(options: &Options) -> io::Result<bool> {
    if let Some(folder) = &options.pictures {
        fs::create_dir_all(folder)?;
    }
    println!(
        "lab: {} under {} rows of trouble, seed {}",
        options.program.name(),
        options.rows.len(),
        options.seed
    );
    // The quiet rows share the machine with the busy ones, each in a network of its own.
    let (quiet, busy): (Vec<_>, Vec<_>) =
        (0..options.rows.len()).partition(|&it| options.rows[it].load.rate < 100);
    let done = Mutex::new(Vec::new());
    let serial = AtomicUsize::new(0);
    thread::scope(|scope| {
        let lanes = [busy, quiet].map(|lane| {
            let (done, serial) = (&done, &serial);
            scope.spawn(move || {
                for number in lane {
                    let row = &options.rows[number];
                    let figures = one(options, row, serial.fetch_add(1, Ordering::Relaxed))?;
                    print!("{}", table::print(&[(row.clone(), figures.clone())]));
                    done.lock().expect("no panic").push((number, figures));
                }
                io::Result::Ok(())
            })
        });
        lanes.into_iter().try_for_each(|lane| {
            lane.join()
                .unwrap_or_else(|it| std::panic::resume_unwind(it))
        })
    })?;
    let mut done = done.into_inner().expect("no panic");
    done.sort_by_key(|it| it.0);
    let rows: Vec<_> = done
        .into_iter()
        .map(|(number, it)| (options.rows[number].clone(), it))
        .collect();
    println!("\n{}\n{}", table::print(&rows), table::LEGEND);
    let reached = rows
        .iter()
        .all(|(row, figures)| row.misses(figures).is_empty());
    Ok(reached || options.program != Program::Byway)
}

fn one(options: &Options, row: &Row, serial: usize) -> io::Result<Figures> {
    let plan = Plan {
        program: options.program,
        layout: row.layout,
        load: row.load,
        during: row.during,
        fault: row.fault,
        times: options.times,
        seed: options.seed,
    };
    let run = run::run(&plan, serial)?;
    if let Some(folder) = &options.pictures {
        write(folder, row.name, &run)?;
    }
    Ok(Figures::of(&run, row.culprit()))
}

fn write(folder: &Path, name: &str, run: &run::Run) -> io::Result<()> {
    let name = name.replace(['/', ' '], "-");
    fs::write(
        folder.join(format!("{name}.svg")),
        picture::draw(&name, run),
    )?;
    let since = |it: &daemon::Line| it.at.saturating_duration_since(run.start).as_secs_f64();
    let log: String = run
        .log
        .iter()
        .map(|it| format!("{:9.3} {}\n", since(it), it.text))
        .collect();
    fs::write(folder.join(format!("{name}.log")), log)?;
    match &run.metrics {
        Some([.., page]) => fs::write(folder.join(format!("{name}.metrics")), page),
        None => Ok(()),
    }
}
