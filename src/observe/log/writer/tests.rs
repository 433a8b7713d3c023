use std::sync::{Condvar, Mutex, PoisonError};

use super::*;

/// What stands in for stderr.
#[derive(Clone, Default)]
struct Pipe(Arc<(Mutex<Inside>, Condvar)>);

#[derive(Default)]
struct Inside {
    /// Every write waits.
    full: bool,
    /// Every write fails, after this many bytes.
    broken: Option<usize>,
    /// Writes that have begun.
    begun: usize,
    text: Vec<u8>,
}

impl Pipe {
    fn set(&self, change: impl FnOnce(&mut Inside)) {
        change(&mut self.0.0.lock().unwrap_or_else(PoisonError::into_inner));
        self.0.1.notify_all();
    }

    fn text(&self) -> String {
        let inside = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8(inside.text.clone()).expect("UTF-8")
    }

    fn wait(&self, until: impl Fn(&Inside) -> bool) {
        let inside = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .0
            .1
            .wait_timeout_while(inside, PATIENCE, |inside| !until(inside));
        assert!(!waited.expect("no panic").1.timed_out(), "in vain");
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.set(|inside| inside.begun += 1);
        let inside = self.0.0.lock().expect("no panic");
        let mut inside = self.0.1.wait_while(inside, |it| it.full).expect("no panic");
        let room = match &mut inside.broken {
            Some(0) => return Err(io::ErrorKind::StorageFull.into()),
            Some(left) => {
                let room = bytes.len().min(*left);
                *left -= room;
                room
            }
            None => bytes.len(),
        };
        inside.text.extend_from_slice(&bytes[..room]);
        drop(inside);
        self.0.1.notify_all();
        Ok(room)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const PATIENCE: Duration = Duration::from_secs(20);

fn log() -> (Log, Pipe) {
    let pipe = Pipe::default();
    let log = Log::to(pipe.clone(), |text| format!("W {text}\n").into_bytes()).expect("a thread");
    (log, pipe)
}

fn say(log: &Log, text: &str) {
    Log::write(log, format!("{text}\n").into_bytes());
}

#[test]
fn lines_come_out_whole_and_in_order() {
    let (log, pipe) = log();
    for number in 0..5 {
        say(&log, &number.to_string());
    }
    assert!(log.flush(PATIENCE));
    assert_eq!(pipe.text(), "0\n1\n2\n3\n4\n");
    assert_eq!(log.lost(), 0);
}

#[test]
fn nobody_waits_for_a_log_that_is_not_read() {
    let (log, pipe) = log();
    pipe.set(|inside| inside.full = true);
    say(&log, "first");
    // From here on the thread holds one line, and the queue the rest.
    pipe.wait(|inside| inside.begun == 1);
    for _ in 0..LINES + 100 {
        say(&log, "more");
    }
    assert_eq!(log.lost(), 100);
    assert!(!log.flush(Duration::ZERO), "it cannot be written");

    pipe.set(|inside| inside.full = false);
    assert!(log.flush(PATIENCE));
    let text = pipe.text();
    assert_eq!(text.lines().filter(|line| *line == "more").count(), LINES);
    let last = text.lines().last().expect("lines");
    assert_eq!(
        last,
        "W 100 lines are missing here: the log was not read as fast as it was written"
    );
    say(&log, "later");
    assert!(log.flush(PATIENCE));
    assert!(pipe.text().ends_with("\nlater\n"), "told once");
}

#[test]
fn lines_that_cannot_be_written_are_counted_and_told_of() {
    let (log, pipe) = log();
    pipe.set(|inside| inside.broken = Some(3));
    for text in ["torn", "second", "third"] {
        say(&log, text);
    }
    assert!(log.flush(PATIENCE), "dealt with, though not written");
    assert_eq!(log.lost(), 3);
    pipe.set(|inside| inside.broken = None);
    // Nobody logs any more: the thread tries by itself.
    pipe.wait(|inside| inside.text.ends_with(b")\n"));
    let told = "3 lines are missing here: the log could not be written (";
    let text = pipe.text();
    assert!(text.starts_with(&format!("tor\nW {told}")), "{text}");
    assert_eq!(log.lost(), 3, "what is told was no line of anybody's");
}

#[test]
fn a_line_without_end_is_cut() {
    let (mut log, pipe) = log();
    let line = "x".repeat(3 * LINE_MAX) + "\n";
    log.write_all(line.as_bytes()).expect("always");
    assert!(Log::flush(&log, PATIENCE));
    assert_eq!(pipe.text(), "x".repeat(LINE_MAX) + "...\n");
}
