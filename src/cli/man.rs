//! `byway man`: the manual, made of the command line's own description.

mod pages;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory};
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, roman};

use super::{Cli, FILES, SIGNALS, exit, fail, print};

#[derive(Args)]
pub(super) struct ManArgs {
    /// Write byway.1, a page for each command, byway.toml.5 and byway-metrics.7 here, in place of printing byway.1
    directory: Option<PathBuf>,
}

pub(super) fn man(args: &ManArgs) -> u8 {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let Some(directory) = &args.directory else {
        // Writing into a Vec does not fail.
        return print(&main_page(&command).unwrap_or_default());
    };
    match write_all(&command, directory) {
        Ok(()) => exit::OK,
        Err(error) => fail(&format!("cannot write to {}: {error}", directory.display())),
    }
}

fn write_all(command: &clap::Command, directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    fs::write(directory.join("byway.1"), main_page(command)?)?;
    fs::write(
        directory.join("byway.toml.5"),
        pages::of_the_configuration(),
    )?;
    fs::write(directory.join("byway-metrics.7"), pages::of_the_metrics())?;
    for subcommand in command.get_subcommands() {
        let name = format!("byway-{}.1", subcommand.get_name());
        fs::write(directory.join(name), command_page(subcommand)?)?;
    }
    Ok(())
}

fn main_page(command: &clap::Command) -> io::Result<Vec<u8>> {
    let mut page = head(command)?;
    let man = Man::new(command.clone());
    man.render_subcommands_section(&mut page)?;
    let mut roff = Roff::new();
    roff.control("SH", ["EXIT STATUS"]);
    for (code, meaning) in exit::MEANINGS {
        entry(&mut roff, &code.to_string(), meaning);
    }
    roff.control("SH", ["SIGNALS"]);
    for (signals, meaning) in SIGNALS {
        entry(&mut roff, signals, meaning);
    }
    roff.control("SH", ["FILES"]);
    for (name, meaning) in FILES {
        entry(&mut roff, name, meaning);
    }
    roff.control("SH", ["SEE ALSO"]);
    roff.text([
        roman("The keys of the configuration file are explained in "),
        bold("byway.toml"),
        roman("(5) and in the default one, which is printed by "),
        bold("byway config"),
        roman("; what is counted, in "),
        bold("byway-metrics"),
        roman("(7)."),
    ]);
    roff.to_writer(&mut page)?;
    man.render_version_section(&mut page)?;
    Ok(page)
}

fn command_page(command: &clap::Command) -> io::Result<Vec<u8>> {
    let mut page = head(command)?;
    let mut roff = Roff::new();
    roff.control("SH", ["SEE ALSO"]);
    roff.text([
        bold("byway"),
        roman("(1), for the exit status and the files"),
    ]);
    roff.to_writer(&mut page)?;
    Ok(page)
}

fn head(command: &clap::Command) -> io::Result<Vec<u8>> {
    let man = Man::new(command.clone()).manual("byway");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    Ok(page)
}

/// A term and what it means, indented below it.
fn entry(roff: &mut Roff, term: &str, meaning: &str) {
    roff.control("TP", [] as [&str; 0]);
    let term: Inline = bold(term);
    roff.text([term]);
    roff.text([roman(meaning)]);
}
