//! Background traffic that swamps a router: what the others on the network send.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::topology::{Place, Topology, Way, join};

/// Bytes of one packet, headers included.
const SIZE: usize = 1000;
const HEADERS: usize = 14 + 20 + 8;
/// A packet in the queue is charged to the socket that sent it; one socket's buffer would be the
/// queue's limit.
const SOCKETS: usize = 16;

/// Sends towards the upstreams' side of a router until it is dropped or finished.
pub struct Noise {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Noise {
    /// `load` is the offered load as a multiple of the link's `rate` in bits a second. Packets come at random
    /// (Poisson) moments: evenly spaced ones would leave other traffic no room, or all of it.
    pub fn start(
        topology: &Topology,
        way: Way,
        rate: u32,
        load: f64,
        seed: u64,
    ) -> io::Result<Noise> {
        let stop = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stop);
        let a_second = f64::from(rate) * load / 8.0 / SIZE as f64;
        let thread = topology.spawn(Place::Router(way), "noise", move || {
            let to = Ipv4Addr::new(10, 78, way.number(), 1);
            let sockets: Vec<_> = (0..SOCKETS).map(|_| open(to)).collect::<io::Result<_>>()?;
            let mut rng = StdRng::seed_from_u64(seed);
            let mut next = Instant::now();
            for socket in sockets.iter().cycle() {
                if flag.load(Ordering::Relaxed) {
                    break;
                }
                thread::sleep(next.saturating_duration_since(Instant::now()));
                // A full buffer is a full queue: that packet is lost, as it should be.
                socket.send(&[0; SIZE - HEADERS]).ok();
                let gap = -(1.0 - rng.random::<f64>()).ln() / a_second;
                next += Duration::from_secs_f64(gap);
            }
            Ok(())
        })?;
        Ok(Noise {
            stop,
            thread: Some(thread),
        })
    }

    /// Falls silent. What is in the queue still has to drain.
    pub fn finish(mut self) -> io::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().map_or(Ok(()), join)
    }
}

impl Drop for Noise {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// A socket to the discard port (RFC 863).
fn open(to: Ipv4Addr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.set_nonblocking(true)?;
    socket.connect((to, 9))?;
    Ok(socket)
}
