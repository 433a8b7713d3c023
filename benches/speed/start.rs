//! From the start of a process to its first answer.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Instant;

use super::cpu;
use super::figures::median;
use super::server::{Configured, Server, first_answer, free_address, own};
use super::upstream::Upstream;

/// Starts of each, of which the median counts.
const STARTS: usize = 41;

/// Measures and prints.
pub fn measure() {
    cpu::pin(cpu::LOAD);
    let mut upstream = Upstream::new();
    let (mut bare, mut byway) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let address = free_address();
        let mut command = own("serve-bare");
        command.arg(address.to_string());
        bare.extend(start(command, address, || {}));

        let address = free_address();
        let configured = Configured::new(address, 1, upstream.address());
        byway.extend(start(configured.command(), address, || upstream.turn()));
    }
    println!("Start to first answer, medians of {STARTS}; byway's is a miss");
    if bare.is_empty() || byway.is_empty() {
        return println!("        not measured: no answer came");
    }
    let [bare, byway] = [bare, byway].map(|times| median(&times, |&time| time));
    println!("bare    {bare:>6.2} ms");
    println!("byway   {byway:>6.2} ms, {:+.2} ms", byway - bare);
}

/// Milliseconds from before a process is made to its first answer.
fn start(command: Command, address: SocketAddr, between: impl FnMut()) -> Option<f64> {
    let begun = Instant::now();
    let _server = Server::start(command, cpu::SERVER, Some(address));
    let answered = first_answer(address, between)?;
    Some((answered - begun).as_secs_f64() * 1e3)
}
