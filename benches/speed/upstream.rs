//! An upstream that answers whatever it is asked, at once.

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;

use byway::sys::{self, RecvBatch, SendBatch};

use super::bare;

/// Its socket. It is at work only while [`Upstream::turn`] is called, by whoever has the time.
pub struct Upstream {
    socket: UdpSocket,
    recv: RecvBatch,
    send: SendBatch,
}

impl Upstream {
    /// On a new port of loopback.
    pub fn new() -> Upstream {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        sys::set_buffers(socket.as_fd(), 4 << 20).expect("buffers");
        Upstream {
            socket,
            recv: RecvBatch::listening(512),
            send: SendBatch::new(512),
        }
    }

    /// Where it is asked.
    pub fn address(&self) -> SocketAddr {
        self.socket.local_addr().expect("an address")
    }

    /// Answers what has arrived.
    pub fn turn(&mut self) {
        while self.recv.recv(self.socket.as_fd()).is_ok() {
            self.answer();
            if !self.recv.is_full() {
                break;
            }
        }
    }

    /// Answers from a thread of its own, for as long as this process lives. Returns where it is asked.
    pub fn spawn(mut self) -> SocketAddr {
        let address = self.address();
        std::thread::spawn(move || {
            while self.recv.recv_waiting(self.socket.as_fd()).is_ok() {
                self.answer();
            }
        });
        address
    }

    /// Answers the batch received.
    fn answer(&mut self) {
        for i in 0..self.recv.len() {
            let (Some(query), Some(origin)) = (self.recv.datagram(i), self.recv.origin(i)) else {
                continue;
            };
            let Some(slot) = self.send.slot() else {
                continue;
            };
            // The OPT record behind the question is not repeated.
            let root = query.iter().skip(12).position(|&octet| octet == 0);
            let end = root.map_or(query.len(), |root| 12 + root + 5);
            let length = bare::answer(&query[..end.min(query.len())], slot);
            if length > 0 {
                slot[10..12].fill(0);
                self.send.push(length, &origin);
            }
        }
        self.send.send(self.socket.as_fd());
    }
}
