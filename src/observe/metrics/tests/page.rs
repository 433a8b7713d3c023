//! A strict reader of the Prometheus text format.

use std::collections::{BTreeMap, BTreeSet};

/// A page read strictly: what a scraper may refuse, this refuses.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) kinds: BTreeMap<String, String>,
    pub(super) help: BTreeMap<String, String>,
    /// By the whole left side, labels and all.
    pub(super) samples: BTreeMap<String, f64>,
    /// Names and label names of the samples, `le` left out.
    pub(super) labels: BTreeMap<String, BTreeSet<Vec<String>>>,
}

impl Read {
    pub(super) fn page(text: &str) -> Read {
        let mut read = Read::default();
        let mut family: Option<String> = None;
        assert!(text.ends_with('\n'), "the last line ends");
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').expect("HELP with a text");
                let before = read.help.insert(name.to_owned(), help.to_owned());
                assert_eq!(before, None, "HELP of {name} twice");
                family = Some(name.to_owned());
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("TYPE with a kind");
                assert_eq!(family.as_deref(), Some(name), "TYPE follows its HELP");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{kind}");
                let before = read.kinds.insert(name.to_owned(), kind.to_owned());
                assert_eq!(before, None, "TYPE of {name} twice");
            } else {
                read.sample(line, family.as_deref().expect("a sample after its TYPE"));
            }
        }
        assert!(read.kinds.keys().eq(read.help.keys()));
        read
    }

    fn sample(&mut self, line: &str, family: &str) {
        let (left, value) = line.rsplit_once(' ').expect("a value");
        let value: f64 = value
            .parse()
            .unwrap_or_else(|_| panic!("a number in {line}"));
        assert_eq!(
            self.samples.insert(left.to_owned(), value),
            None,
            "{left} twice"
        );
        let (name, labels) = left.split_once('{').map_or((left, ""), |(name, labels)| {
            (name, labels.strip_suffix('}').expect("a closing brace"))
        });
        let suffixes: &[&str] = match self.kinds.get(family).map(String::as_str) {
            Some("histogram") => &["_bucket", "_sum", "_count"],
            _ => &[""],
        };
        let suffix = name
            .strip_prefix(family)
            .expect("a sample of the family announced");
        assert!(suffixes.contains(&suffix), "{name} under {family}");
        let mut names: Vec<String> = Self::label_names(labels);
        assert_eq!(
            names.iter().collect::<BTreeSet<_>>().len(),
            names.len(),
            "{line}"
        );
        assert_eq!(
            suffix == "_bucket",
            names.last().is_some_and(|name| name == "le"),
            "{line}"
        );
        names.retain(|name| name != "le");
        self.labels
            .entry(family.to_owned())
            .or_default()
            .insert(names);
    }

    /// Walks `a="x",b="y"`, minding escapes.
    fn label_names(mut rest: &str) -> Vec<String> {
        let mut names = Vec::new();
        while !rest.is_empty() {
            let (name, value) = rest.split_once("=\"").expect("a quoted value");
            assert!(
                name.bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte == b'_'),
                "{name}"
            );
            names.push(name.to_owned());
            let mut chars = value.char_indices();
            let end = loop {
                match chars.next().expect("a closing quote") {
                    (_, '\\') => {
                        let escaped = chars.next().map(|(_, escaped)| escaped);
                        assert!(matches!(escaped, Some('\\' | '"' | 'n')), "{escaped:?}");
                    }
                    (end, '"') => break end,
                    _ => {}
                }
            };
            rest = &value[end + 1..];
            rest = rest.strip_prefix(',').unwrap_or(rest);
        }
        names
    }

    pub(super) fn get(&self, left: &str) -> f64 {
        *self
            .samples
            .get(left)
            .unwrap_or_else(|| panic!("{left} is missing"))
    }

    /// Buckets go up, the last is +Inf, and the count agrees with it.
    pub(super) fn check_histograms(&self) {
        for family in self
            .kinds
            .iter()
            .filter(|(_, kind)| *kind == "histogram")
            .map(|(name, _)| name)
        {
            let mut series: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
            for (left, &count) in &self.samples {
                if let Some(labels) = left.strip_prefix(&format!("{family}_bucket{{")) {
                    let (others, le) = labels.split_once("le=\"").expect("le");
                    let le = le.trim_end_matches("\"}").parse().expect("a bound");
                    series
                        .entry(others.trim_end_matches(',').to_owned())
                        .or_default()
                        .push((le, count));
                }
            }
            assert!(!series.is_empty(), "{family} has no buckets");
            for (others, mut buckets) in series {
                buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
                assert!(
                    buckets.windows(2).all(|pair| pair[0].1 <= pair[1].1),
                    "{family} {others}"
                );
                let &(last, total) = buckets.last().expect("not empty");
                assert_eq!(last, f64::INFINITY);
                assert_eq!(total, self.get(&format!("{family}_count{{{others}}}")));
                assert!(self.get(&format!("{family}_sum{{{others}}}")) >= 0.0);
            }
        }
    }
}
