//! Descriptors that go from process to process.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::net::sockopt::socket_peercred;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use rustix::process::geteuid;

/// Sends an octet over a Unix socket, with a descriptor or without.
///
/// # Errors
/// As sendmsg(2).
pub fn send_descriptor(
    line: BorrowedFd<'_>,
    word: u8,
    descriptor: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let all: Vec<BorrowedFd<'_>> = descriptor.into_iter().collect();
    if !all.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&all)) {
        return Err(io::ErrorKind::OutOfMemory.into());
    }
    sendmsg(
        line,
        &[IoSlice::new(&[word])],
        &mut control,
        SendFlags::NOSIGNAL,
    )?;
    Ok(())
}

/// What [`send_descriptor`] has sent.
///
/// # Errors
/// As recvmsg(2); and if the other end has gone.
pub fn receive_descriptor(line: BorrowedFd<'_>) -> io::Result<(u8, Option<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut word = [0];
    let received = recvmsg(
        line,
        &mut [IoSliceMut::new(&mut word)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    if received.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut descriptor = None;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(all) = message {
            descriptor = all.last().or(descriptor);
        }
    }
    Ok((word[0], descriptor))
}

/// Whether this process' user, or root, is at the other end of a Unix socket.
///
/// # Errors
/// As getsockopt(2).
pub fn is_own_user(line: BorrowedFd<'_>) -> io::Result<bool> {
    let peer = socket_peercred(line)?;
    Ok(peer.uid == geteuid() || peer.uid.is_root())
}
