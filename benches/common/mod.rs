//! What the benches share: the yardstick, the load, and the accounting of CPU time.
//!
//! Everything is measured against the bare loop ([`bare`]) in the same run, in turns, because
//! machines differ and the same machine differs from minute to minute: a ratio holds where a figure does not.

pub mod bare;
pub mod cpu;
pub mod load;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

/// The CPU that servers run on.
pub const SERVER_CPU: usize = 0;

/// The CPU that the load runs on.
pub const LOAD_CPU: usize = 1;

/// A server in a process of its own, killed when dropped.
pub struct Server {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Server {
    /// Starts `command` on [`SERVER_CPU`]. Its first line on standard output that holds an address says where
    /// it listens.
    pub fn start(mut command: Command) -> Server {
        // Affinity is inherited, so the child gets it from this thread.
        cpu::pin(SERVER_CPU);
        let child = command.stdout(Stdio::piped()).stdin(Stdio::null()).spawn();
        cpu::pin(LOAD_CPU);
        let mut child = child.expect("the server starts");
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let address = lines
            .map_while(Result::ok)
            .find_map(|line| line.split_whitespace().find_map(|word| word.parse().ok()))
            .expect("the server says where it listens");
        Server { child, address }
    }

    /// A server that says nothing, known to listen on `address` once it answers.
    pub fn start_at(mut command: Command, address: SocketAddr) -> Server {
        cpu::pin(SERVER_CPU);
        let child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .stdin(Stdio::null())
            .spawn();
        cpu::pin(LOAD_CPU);
        Server {
            child: child.expect("the server starts"),
            address,
        }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Queries of type A for `count` names, IDs zero.
pub fn queries(count: usize) -> Vec<Vec<u8>> {
    (0..count)
        .map(|i| {
            let mut query = vec![0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
            for label in [format!("host{i:05}").as_str(), "bench", "example"] {
                query.push(label.len() as u8);
                query.extend(label.as_bytes());
            }
            query.extend([0, 0, 1, 0, 1]);
            query
        })
        .collect()
}

/// The one in the middle.
pub fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
