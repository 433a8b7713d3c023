//! Every rule of the routing engine has earned its place: taken away, something fails.
//!
//! The full run builds the tests with the feature `ablation`, does without one rule after the other, and notes which unit
//! tests and which rows of the simulation then fail:
//!
//! `BYWAY_WRITE_DOCS=1 cargo test --test ablation -- --ignored --nocapture` writes it to docs/rules.md. It takes an hour or two;
//! `BYWAY_RULES=Stay,Peers` looks at these alone and leaves the others as they were, `BYWAY_RULES=new` at those that the page
//! does not know yet.
//!
//! Without `--ignored` only the page is looked at: it knows every rule, who misses it exists, and no more rules than so many
//! are open. That those tests fail indeed without their rule is seen in `src/route/rules.rs`, in seconds.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const RULES: &str = "src/route/rules.rs";
const PAGE: &str = "docs/rules.md";
/// Rules of which the page does not say yet who misses them: no more than so many. A new one is none of them.
const OPEN: usize = 76;
const MARKS: [&str; 2] = ["<!-- rules: begin -->\n", "<!-- rules: end -->\n"];
/// So many failed tests are named; one is enough.
const NAMED: usize = 4;
/// One run may take so long. Whoever hangs without a rule misses it.
const PATIENCE: Duration = Duration::from_secs(1200);

/// A rule as the source has it.
struct Rule {
    name: String,
    what: String,
    step: String,
}

/// The words of a line of documentation.
fn doc(line: &str) -> Option<&str> {
    Some(line.trim().strip_prefix("///")?.trim())
}

/// The rules, in the order of the source.
fn rules() -> Vec<Rule> {
    let text = fs::read_to_string(RULES).expect("the rules");
    let (_, block) = text.split_once("\nrules! {\n").expect("the block");
    let (block, _) = block.split_once("\n}\n").expect("its end");
    let (mut rules, mut words, mut step) = (Vec::new(), String::new(), String::new());
    for line in block.lines() {
        if let Some(more) = doc(line) {
            words = format!("{words} {more}");
        } else if line.ends_with('{') {
            step = std::mem::take(&mut words);
        } else if let Some(name) = line.trim().strip_suffix(',') {
            rules.push(Rule {
                name: name.into(),
                what: std::mem::take(&mut words).trim().into(),
                step: step.trim().into(),
            });
        }
    }
    rules
}

/// Who misses a rule: unit tests, rows of the simulation, and how many more of each.
#[derive(Clone, Debug, Default)]
struct Missed([Vec<String>; 2]);

impl Missed {
    fn cell(names: &[String]) -> String {
        let (more, named): (Vec<&String>, Vec<&String>) =
            names.iter().partition(|name| name.starts_with('+'));
        // What the page left out before.
        let more: usize = more
            .iter()
            .filter_map(|it| it[1..].parse::<usize>().ok())
            .sum();
        let more = more + named.len().saturating_sub(NAMED);
        let named = named.iter().take(NAMED).map(|name| format!("`{name}`"));
        let more = (more > 0).then(|| format!("+{more}"));
        named.chain(more).collect::<Vec<_>>().join(" ")
    }

    fn is_nobody(&self) -> bool {
        self.0.iter().all(Vec::is_empty)
    }
}

/// What the page says of each rule.
fn page() -> BTreeMap<String, Missed> {
    let page = fs::read_to_string(PAGE).expect("the page");
    let (_, page) = page.split_once(MARKS[0]).expect("where it begins");
    let (page, _) = page.split_once(MARKS[1]).expect("where it ends");
    let rows = page.lines().filter_map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let name = cells[0].strip_prefix('`')?.strip_suffix('`')?;
        let names = |cell: &str| {
            let words = cell.split(' ').filter(|it| !it.is_empty());
            words.map(|it| it.trim_matches('`').to_owned()).collect()
        };
        let missed = [names(cells.get(2)?), names(cells.get(3)?)];
        Some((name.to_owned(), Missed(missed)))
    });
    rows.collect()
}

fn printed(known: &BTreeMap<String, Missed>) -> String {
    let (mut text, mut step) = (String::new(), String::new());
    for rule in rules() {
        if rule.step != step {
            step = rule.step;
            text += &format!(
                "\n**{step}**\n\n| rule | it says | unit tests that miss it | rows and storms that do |\n| --- | --- | --- | --- |\n"
            );
        }
        let [units, rows] = known.get(&rule.name).cloned().unwrap_or_default().0;
        let (units, rows) = (Missed::cell(&units), Missed::cell(&rows));
        text += &format!("| `{}` | {} | {units} | {rows} |\n", rule.name, rule.what);
    }
    text + "\n"
}

fn write(known: &BTreeMap<String, Missed>) {
    let page = fs::read_to_string(PAGE).expect("the page");
    let (before, rest) = page.split_once(MARKS[0]).expect("where it begins");
    let (_, after) = rest.split_once(MARKS[1]).expect("where it ends");
    let [begin, end] = MARKS;
    let page = format!("{before}{begin}{}{end}{after}", printed(known));
    fs::write(PAGE, page).expect("a writable page");
}

/// The names of all tests.
fn tests(dir: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(dir).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            tests(&path, found);
        } else if path.extension().is_some_and(|it| it == "rs") {
            let text = fs::read_to_string(&path).expect("a readable file");
            let functions = text.lines().filter_map(|line| {
                let (before, after) = line.split_once("fn ")?;
                before.trim().is_empty().then(|| after.split('(').next())?
            });
            found.extend(functions.map(str::to_owned));
        }
    }
}

#[test]
fn the_page_knows_every_rule_and_who_misses_it() {
    let (known, rules) = (page(), rules());
    assert!(rules.len() > 100, "the block is not read any more");
    let mut functions = BTreeSet::new();
    tests(Path::new("src"), &mut functions);
    tests(Path::new("tests"), &mut functions);
    let open = |rule: &&Rule| known.get(&rule.name).is_none_or(Missed::is_nobody);
    let open: Vec<&str> = rules
        .iter()
        .filter(open)
        .map(|it| it.name.as_str())
        .collect();
    assert!(open.len() <= OPEN, "nobody is known to miss {open:?}");
    for rule in &rules {
        let missed = known.get(&rule.name).cloned().unwrap_or_default();
        let named = missed.0.iter().flatten().filter(|it| !it.starts_with('+'));
        for name in named {
            let function = name.rsplit("::").next().expect("a name");
            assert!(functions.contains(function), "{name} is no test");
        }
    }
    let text = fs::read_to_string(PAGE).expect("the page");
    assert!(
        text.contains(&printed(&known)),
        "{PAGE} is out of date: BYWAY_WRITE_DOCS=1 BYWAY_RULES=new cargo test --test ablation -- --ignored"
    );
}

/// Builds the unit tests and the storms so that they can do without a rule.
fn build() -> [PathBuf; 2] {
    let output = Command::new(env!("CARGO"))
        .args(["test", "--locked", "--profile", "quick", "--no-run"])
        .args(["--features", "ablation", "--lib", "--test", "storm"])
        .args(["--message-format", "json"])
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo");
    assert!(output.status.success(), "it does not build");
    let text = String::from_utf8(output.stdout).expect("JSON");
    let built = text.lines().filter_map(|line| {
        let it: serde_json::Value = serde_json::from_str(line).ok()?;
        let name = it["target"]["name"].as_str()?.to_owned();
        Some((name, PathBuf::from(it["executable"].as_str()?)))
    });
    let built: BTreeMap<_, _> = built.collect();
    ["byway", "storm"].map(|name| built[name].clone())
}

/// The tests that fail without `rule`, if any.
fn fail(program: &Path, arguments: &[&str], rule: Option<&str>) -> Vec<String> {
    let said = tempfile::NamedTempFile::new().expect("a file");
    let mut command = Command::new(program);
    command.args(arguments).env_remove("BYWAY_WRITE_DOCS");
    if let Some(rule) = rule {
        command.env("BYWAY_WITHOUT", rule);
    }
    let mut child = command
        .stdin(Stdio::null())
        .stdout(said.reopen().expect("the file"))
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let begun = Instant::now();
    let hangs = loop {
        if child.try_wait().expect("a child").is_some() {
            break false;
        }
        if begun.elapsed() >= PATIENCE {
            child.kill().expect("it ends");
            child.wait().expect("it has ended");
            break true;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let text = fs::read_to_string(said.path()).expect("what it said");
    let (mut begun, mut failed, mut ended) = (BTreeSet::new(), Vec::new(), BTreeSet::new());
    for line in text.lines().filter_map(|line| line.strip_prefix("test ")) {
        let Some((name, how)) = line.split_once(" ... ") else {
            continue;
        };
        let name = name.trim_end_matches(" - should panic").to_owned();
        match how.split_whitespace().next() {
            Some("FAILED") => failed.push(name.clone()),
            Some("ok" | "ignored") => {}
            _ => {
                begun.insert(name);
                continue;
            }
        }
        ended.insert(name);
    }
    assert!(
        !text.is_empty() || hangs,
        "{} says nothing",
        program.display()
    );
    if hangs {
        let open = begun.difference(&ended).cloned();
        failed.extend(open.chain(["hangs".into()]));
    }
    // What only looks at the pages is no witness.
    failed.retain(|name| !name.contains("the_page_says"));
    failed.sort();
    failed
}

#[test]
#[ignore = "takes an hour or two"]
fn every_rule_is_missed() {
    let (mut known, wanted) = (page(), std::env::var("BYWAY_RULES"));
    let wants = |name: &str| match wanted.as_deref() {
        Err(_) => true,
        Ok("new") => known.get(name).is_none_or(Missed::is_nobody),
        Ok(names) => names.split(',').any(|it| it == name),
    };
    let rules: Vec<Rule> = rules().into_iter().filter(|it| wants(&it.name)).collect();
    let [units, storm] = build();
    // One after the other, so that the one that hangs is known.
    let modules = [
        "route::",
        "resolve::",
        "--skip",
        "rules::tests",
        "--test-threads=1",
    ];
    let runs: [(&Path, &[&str]); 2] = [(&units, &modules), (&storm, &[])];
    for (program, arguments) in runs {
        let wrong = fail(program, arguments, None);
        assert!(wrong.is_empty(), "fail with every rule: {wrong:?}");
    }
    let mut nobody = Vec::new();
    for rule in rules {
        let missed = runs.map(|(program, with)| fail(program, with, Some(&rule.name)));
        println!("{}: {missed:?}", rule.name);
        let missed = Missed(missed);
        if missed.is_nobody() {
            nobody.push(rule.name.clone());
        }
        known.insert(rule.name, missed);
        if std::env::var_os("BYWAY_WRITE_DOCS").is_some() {
            write(&known);
        }
    }
    assert!(nobody.is_empty(), "nobody misses {nobody:?}");
}
