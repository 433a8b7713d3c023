//! The names that are asked for, and their bytes.

/// A name of the lab.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Name {
    /// One of the popular ones, asked for again and again.
    Popular(u32),
    /// One that is asked for once.
    New(u32),
    /// The same, and it may be its own fault if that fails.
    Failing(u32),
}

impl Name {
    /// The TTL of its address: short, and not the same for all, so that they don't expire together.
    pub fn ttl(self) -> u32 {
        match self {
            Name::Popular(number) => 5 + number.wrapping_mul(2_654_435_761) % 6,
            Name::New(_) | Name::Failing(_) => 30,
        }
    }

    /// The question section that asks for its address.
    pub fn question(self) -> Vec<u8> {
        let (letter, number) = match self {
            Name::Popular(number) => ('p', number),
            Name::New(number) => ('n', number),
            Name::Failing(number) => ('f', number),
        };
        let label = format!("{letter}{number}");
        let mut bytes = vec![label.len() as u8];
        bytes.extend(label.bytes());
        bytes.extend(b"\x03lab\x07example\x00\x00\x01\x00\x01");
        bytes
    }

    /// The name that a question section asks for, if it is one of the lab's.
    pub fn of_question(question: &[u8]) -> Option<Name> {
        let label = question.get(1..1 + usize::from(*question.first()?))?;
        let number = std::str::from_utf8(label.get(1..)?).ok()?.parse().ok()?;
        match label[0].to_ascii_lowercase() {
            b'p' => Some(Name::Popular(number)),
            b'n' => Some(Name::New(number)),
            b'f' => Some(Name::Failing(number)),
            _ => None,
        }
    }
}

/// Where the question section that starts behind the header ends; the lab's programs send one question.
pub fn question_end(packet: &[u8]) -> Option<usize> {
    let mut at = 12;
    loop {
        let length = usize::from(*packet.get(at)?);
        at += 1 + length;
        if length == 0 {
            return (at + 4 <= packet.len()).then_some(at + 4);
        }
    }
}
