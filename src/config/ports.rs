//! Source ports as people write them: `1024-65535`, `8053`, and with a `!` in front those to avoid.

use std::fmt;
use std::str::FromStr;

/// All ports that need no privilege (RFC 5452 section 10).
const UNPRIVILEGED: PortRange = PortRange {
    first: 1024,
    last: u16::MAX,
};

/// Ports from one to another, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    /// The least; not 0.
    pub first: u16,
    /// The greatest; not under the least.
    pub last: u16,
}

impl PortRange {
    /// How many ports.
    pub fn count(self) -> u32 {
        u32::from(self.last) - u32::from(self.first) + 1
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.first == self.last {
            true => write!(f, "{}", self.first),
            false => write!(f, "{}-{}", self.first, self.last),
        }
    }
}

/// Ports to use, or to avoid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRule {
    /// Which.
    pub range: PortRange,
    /// Whether they are to be avoided.
    pub avoid: bool,
}

impl FromStr for PortRule {
    type Err = ();

    fn from_str(text: &str) -> Result<PortRule, ()> {
        let (avoid, text) = match text.strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        // `u16::from_str` would take a sign too.
        let port = |text: &str| {
            let digits = text.bytes().all(|it| it.is_ascii_digit());
            text.parse()
                .ok()
                .filter(|port| digits && *port > 0)
                .ok_or(())
        };
        let range = PortRange {
            first: port(first)?,
            last: port(last)?,
        };
        match range.first <= range.last {
            true => Ok(PortRule { range, avoid }),
            false => Err(()),
        }
    }
}

/// The source ports of questions asked upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourcePorts {
    /// In order, apart from each other, at least one.
    ranges: Vec<PortRange>,
}

impl Default for SourcePorts {
    fn default() -> SourcePorts {
        SourcePorts {
            ranges: vec![UNPRIVILEGED],
        }
    }
}

impl SourcePorts {
    /// What `rules` leave: the ports to use, all unprivileged ones where none are named, without those to avoid.
    /// `None` if that is none.
    pub fn of(rules: &[PortRule]) -> Option<SourcePorts> {
        let given = |avoid| rules.iter().filter(move |rule| rule.avoid == avoid);
        let mut free = vec![false; 1 << 16];
        let mut mark = |range: PortRange, as_free| {
            free[usize::from(range.first)..=usize::from(range.last)].fill(as_free);
        };
        match given(false).next() {
            None => mark(UNPRIVILEGED, true),
            Some(_) => given(false).for_each(|rule| mark(rule.range, true)),
        }
        given(true).for_each(|rule| mark(rule.range, false));
        let mut ranges: Vec<PortRange> = Vec::new();
        for port in (1..=u16::MAX).filter(|port| free[usize::from(*port)]) {
            match ranges.last_mut() {
                Some(range) if range.last + 1 == port => range.last = port,
                _ => ranges.push(PortRange {
                    first: port,
                    last: port,
                }),
            }
        }
        (!ranges.is_empty()).then_some(SourcePorts { ranges })
    }

    /// The ranges, in order and apart from each other.
    pub fn ranges(&self) -> &[PortRange] {
        &self.ranges
    }

    /// Whether these are all ports that need no privilege.
    pub fn is_all(&self) -> bool {
        self.ranges == [UNPRIVILEGED]
    }

    /// How many there are.
    pub fn count(&self) -> u32 {
        self.ranges.iter().map(|range| range.count()).sum()
    }

    /// Number `n` of them.
    ///
    /// # Panics
    /// If there are fewer.
    pub fn nth(&self, mut n: u32) -> u16 {
        for range in &self.ranges {
            if n < range.count() {
                return range.first + n as u16;
            }
            n -= range.count();
        }
        panic!("there are only {} ports", self.count());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(rules: &[&str]) -> Option<String> {
        let rules: Vec<PortRule> = rules.iter().map(|it| it.parse().unwrap()).collect();
        let ports = SourcePorts::of(&rules)?;
        let all: Vec<u16> = (0..ports.count()).map(|n| ports.nth(n)).collect();
        assert!(all.is_sorted(), "each once");
        let inside = |port: u16| {
            ports
                .ranges
                .iter()
                .any(|it| it.first <= port && port <= it.last)
        };
        assert!((1..=u16::MAX).all(|port| inside(port) == all.binary_search(&port).is_ok()));
        let ranges: Vec<String> = ports.ranges.iter().map(PortRange::to_string).collect();
        Some(ranges.join(" "))
    }

    #[test]
    fn ranges_to_use_and_to_avoid() {
        for (rules, expected) in [
            (&[][..], Some("1024-65535")),
            (&["1024-65535"], Some("1024-65535")),
            (&["!5353"], Some("1024-5352 5354-65535")),
            (
                &["20000-29999", "!25000-25099", "!29999"],
                Some("20000-24999 25100-29998"),
            ),
            (
                &["30000", "20000-20009", "20010"],
                Some("20000-20010 30000"),
            ),
            (&["53"], Some("53")),
            (&["!1-65535"], None),
            (&["2000", "!2000"], None),
        ] {
            assert_eq!(ports(rules).as_deref(), expected, "{rules:?}");
        }
        assert!(SourcePorts::default().is_all());
        assert_eq!(SourcePorts::default().count(), 64_512);
    }

    #[test]
    fn what_is_no_port_is_refused() {
        for text in [
            "", "!", "0", "65536", "+5", "5-", "-5", "9-8", "a", "1 - 2", "!!5", "1-2-3",
        ] {
            assert_eq!(text.parse::<PortRule>(), Err(()), "{text:?}");
        }
    }
}
