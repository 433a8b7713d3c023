//! The yardstick: receive a batch, answer without looking, send it. What it costs is the kernel's.

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;

use byway::sys::{self, RecvBatch, SendBatch};

/// Octets behind the question: an A record whose owner points to it.
const RECORD: [u8; 16] = [0xc0, 12, 0, 1, 0, 1, 0, 0, 14, 16, 0, 4, 192, 0, 2, 1];

/// Answers every query to `address` for ever. Prints the address.
pub fn serve(address: SocketAddr) -> ! {
    let socket = UdpSocket::bind(address).expect("a port");
    sys::set_buffers(socket.as_fd(), 4 << 20).expect("buffers");
    println!("{}", socket.local_addr().expect("an address"));
    let mut recv = RecvBatch::listening(4096);
    let mut send = SendBatch::new(1232);
    loop {
        if recv.recv_waiting(socket.as_fd()).is_err() {
            continue;
        }
        for i in 0..recv.len() {
            let (Some(query), Some(origin)) = (recv.datagram(i), recv.origin(i)) else {
                continue;
            };
            let Some(slot) = send.slot() else { continue };
            let length = answer(query, slot);
            send.push(length, &origin);
        }
        send.send(socket.as_fd());
    }
}

/// The query with its flags turned and a record behind it; its length.
pub fn answer(query: &[u8], out: &mut [u8]) -> usize {
    let length = query.len() + RECORD.len();
    if query.len() < 12 || length > out.len() {
        return 0;
    }
    out[..query.len()].copy_from_slice(query);
    out[query.len()..length].copy_from_slice(&RECORD);
    out[2..4].copy_from_slice(&[0x81, 0x80]);
    out[7] = 1;
    length
}
