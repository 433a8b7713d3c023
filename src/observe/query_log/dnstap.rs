//! An answer as dnstap has it (dnstap.proto of dnstap.info): a CLIENT_RESPONSE.
//!
//! Why no crate beside prost: dnstap (0.1) brings an event loop and a thread of its own, writes to a socket only and
//! counts nothing that it loses; framestream (0.2) knows nothing of files that end or are begun anew.

use std::net::{IpAddr, SocketAddr};
use std::time::{SystemTime, UNIX_EPOCH};

use prost::encoding::{WireType, encode_key, encode_varint};

use super::super::labels::Transport;
use super::Answered;
use crate::clock::Time;

/// `Dnstap`: version, message, type.
pub(super) const VERSION: u32 = 2;
pub(super) const MESSAGE: u32 = 14;
pub(super) const TYPE: u32 = 15;
/// `Dnstap.Type.MESSAGE`, the only one there is.
const IS_MESSAGE: u64 = 1;

/// `Message`
pub(super) const KIND: u32 = 1;
pub(super) const SOCKET_FAMILY: u32 = 2;
pub(super) const SOCKET_PROTOCOL: u32 = 3;
pub(super) const QUERY_ADDRESS: u32 = 4;
pub(super) const RESPONSE_ADDRESS: u32 = 5;
pub(super) const QUERY_PORT: u32 = 6;
pub(super) const RESPONSE_PORT: u32 = 7;
pub(super) const QUERY_TIME_SEC: u32 = 8;
pub(super) const QUERY_TIME_NSEC: u32 = 9;
pub(super) const RESPONSE_TIME_SEC: u32 = 12;
pub(super) const RESPONSE_TIME_NSEC: u32 = 13;
pub(super) const RESPONSE_MESSAGE: u32 = 14;
/// `Message.Type.CLIENT_RESPONSE`
pub(super) const CLIENT_RESPONSE: u64 = 6;

/// Adds an answer to `out`. `now` says what it is by the wall clock; `room` is used meanwhile.
pub(super) fn encode(
    answered: &Answered<'_>,
    listeners: &[SocketAddr],
    now: (Time, SystemTime),
    room: &mut Vec<u8>,
    out: &mut Vec<u8>,
) {
    room.clear();
    let is_v4 = answered.client.is_ipv4();
    number(KIND, CLIENT_RESPONSE, room);
    number(SOCKET_FAMILY, if is_v4 { 1 } else { 2 }, room);
    let protocol = match answered.transport {
        Transport::Udp => 1,
        Transport::Tcp => 2,
        Transport::Tls => 3,
    };
    number(SOCKET_PROTOCOL, protocol, room);
    address(QUERY_ADDRESS, answered.client.ip(), room);
    let listener = listeners.get(usize::from(answered.listener));
    // One that takes queries to every address of the host does not say which it was.
    if let Some(listener) = listener.filter(|it| !it.ip().is_unspecified()) {
        address(RESPONSE_ADDRESS, listener.ip(), room);
    }
    number(QUERY_PORT, answered.client.port().into(), room);
    if let Some(listener) = listener {
        number(RESPONSE_PORT, listener.port().into(), room);
    }
    time(
        QUERY_TIME_SEC,
        QUERY_TIME_NSEC,
        wall(answered.since, now),
        room,
    );
    time(
        RESPONSE_TIME_SEC,
        RESPONSE_TIME_NSEC,
        wall(answered.at, now),
        room,
    );
    octets(RESPONSE_MESSAGE, answered.message, room);

    octets(
        VERSION,
        concat!("byway ", env!("CARGO_PKG_VERSION")).as_bytes(),
        out,
    );
    octets(MESSAGE, room, out);
    number(TYPE, IS_MESSAGE, out);
}

/// The moment `at` in seconds and nanoseconds since the Unix epoch.
fn wall(at: Time, (now, wall): (Time, SystemTime)) -> (u64, u32) {
    let at = wall.checked_sub(now.since(at)).unwrap_or(UNIX_EPOCH);
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    (since.as_secs(), since.subsec_nanos())
}

fn number(tag: u32, value: u64, out: &mut Vec<u8>) {
    encode_key(tag, WireType::Varint, out);
    encode_varint(value, out);
}

fn octets(tag: u32, value: &[u8], out: &mut Vec<u8>) {
    encode_key(tag, WireType::LengthDelimited, out);
    encode_varint(value.len() as u64, out);
    out.extend_from_slice(value);
}

fn address(tag: u32, address: IpAddr, out: &mut Vec<u8>) {
    match address.to_canonical() {
        IpAddr::V4(address) => octets(tag, &address.octets(), out),
        IpAddr::V6(address) => octets(tag, &address.octets(), out),
    }
}

/// Seconds, and nanoseconds in a field of four octets.
fn time(seconds: u32, nanos: u32, at: (u64, u32), out: &mut Vec<u8>) {
    number(seconds, at.0, out);
    encode_key(nanos, WireType::ThirtyTwoBit, out);
    out.extend_from_slice(&at.1.to_le_bytes());
}
