//! Datagrams in batches: recvmmsg and sendmmsg.
//!
//! rustix has no recvmmsg. Its sendmmsg takes no control message that says which address a reply leaves from
//! (IP_PKTINFO), which a listener on a wildcard address needs, so that one is called here too.
//!
//! Both batches own plain bytes. The pointers the kernel wants are laid out anew on the stack for each
//! call, so that none outlives it and the batches are ordinary values that may be moved between
//! threads.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use super::origin::{CONTROL, NAME, Origin, read_control};

/// Most datagrams that one system call moves. Measured: 64 gains nothing over 32.
pub const BATCH: usize = 32;

/// Datagrams that are asked for at least. Most calls bring one or two while there is little to do, and what is
/// laid out for the kernel in vain would cost more than the call.
const FEW: usize = 4;

/// What came in with one system call: up to [`BATCH`] datagrams.
pub struct RecvBatch {
    /// [`BATCH`] buffers of `size` bytes, `stride` apart.
    bytes: Vec<u8>,
    size: usize,
    stride: usize,
    addressed: bool,
    names: Vec<[u8; NAME]>,
    controls: Vec<[u8; CONTROL]>,
    received: Vec<Received>,
    /// How many datagrams the last call asked for, and the next one will.
    asked: usize,
    next: usize,
}

/// What the kernel says of one datagram.
#[derive(Clone, Copy)]
struct Received {
    length: usize,
    control_length: usize,
    flags: i32,
}

impl RecvBatch {
    /// For a listening socket: each datagram of at most `size` bytes comes with its [`Origin`].
    pub fn listening(size: usize) -> RecvBatch {
        RecvBatch::new(size, true)
    }

    /// For a connected socket, whose peer is known: datagrams of at most `size` bytes.
    pub fn connected(size: usize) -> RecvBatch {
        RecvBatch::new(size, false)
    }

    fn new(size: usize, addressed: bool) -> RecvBatch {
        let addresses = if addressed { BATCH } else { 0 };
        RecvBatch {
            bytes: vec![0; BATCH * stride(size)],
            size,
            stride: stride(size),
            addressed,
            names: vec![[0; NAME]; addresses],
            controls: vec![[0; CONTROL]; addresses],
            received: Vec::with_capacity(BATCH),
            asked: 0,
            next: FEW,
        }
    }

    /// Receives what is waiting, replacing what the batch held. Never blocks: an empty socket is
    /// [`io::ErrorKind::WouldBlock`]. A batch that is not [full](RecvBatch::is_full) has seen the socket empty
    /// (or, on a connected socket, an error is next), so there is no need to ask again. How many
    /// datagrams make it full, 4 to [`BATCH`], goes by what the last calls brought.
    pub fn recv(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        self.call(socket, libc::MSG_DONTWAIT)
    }

    /// The same for a thread that has nothing else to do, such as the bare loop in the benches: waits for
    /// the first datagram, on a socket that blocks.
    pub fn recv_waiting(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        self.call(socket, libc::MSG_WAITFORONE)
    }

    fn call(&mut self, socket: BorrowedFd<'_>, flags: libc::c_int) -> io::Result<usize> {
        self.received.clear();
        self.asked = self.next;
        let mut vectors = [const { MaybeUninit::uninit() }; BATCH];
        let mut headers = [const { MaybeUninit::uninit() }; BATCH];
        for (i, (header, vector)) in headers[..self.asked]
            .iter_mut()
            .zip(&mut vectors)
            .enumerate()
        {
            let buffer = &mut self.bytes[i * self.stride..][..self.size];
            let vector = vector.write(libc::iovec {
                iov_base: buffer.as_mut_ptr().cast(),
                iov_len: buffer.len(),
            });
            let header = header.write(empty_header());
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            if self.addressed {
                header.msg_hdr.msg_name = self.names[i].as_mut_ptr().cast();
                header.msg_hdr.msg_namelen = NAME as libc::socklen_t;
                header.msg_hdr.msg_control = self.controls[i].as_mut_ptr().cast();
                header.msg_hdr.msg_controllen = CONTROL as _;
            }
        }
        // SAFETY: the first `asked` headers, at most BATCH, are initialised. Their pointers lead to as many
        // initialised `vectors`, which live on this stack, and to disjoint parts of this batch's own vectors
        // with their true lengths; all of them outlive the call, and nothing else refers to them while
        // `self` is borrowed mutably.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr().cast::<libc::mmsghdr>(),
                self.asked as libc::c_uint,
                flags as _,
                ptr::null_mut(),
            )
        };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        for header in &headers[..count.min(self.asked)] {
            // SAFETY: one of the first `asked` headers, which were initialised above.
            let header = unsafe { header.assume_init_ref() };
            self.received.push(Received {
                length: header.msg_len as usize,
                // Another type in other C libraries.
                #[allow(clippy::unnecessary_cast)]
                control_length: header.msg_hdr.msg_controllen as usize,
                flags: header.msg_hdr.msg_flags,
            });
        }
        self.next = match self.received.len() {
            full if full == self.asked => (2 * self.asked).min(BATCH),
            little if little < self.asked / 4 => (self.asked / 2).max(FEW),
            _ => self.asked,
        };
        Ok(self.received.len())
    }

    /// How many datagrams the last call brought.
    pub fn len(&self) -> usize {
        self.received.len()
    }

    /// Whether the last call brought nothing.
    pub fn is_empty(&self) -> bool {
        self.received.is_empty()
    }

    /// Whether the socket may hold more.
    pub fn is_full(&self) -> bool {
        !self.received.is_empty() && self.received.len() == self.asked
    }

    /// The bytes of datagram `i`; `None` if it was longer than the batch's buffers and its end is lost.
    ///
    /// # Panics
    /// If `i` is not below [`RecvBatch::len`].
    pub fn datagram(&self, i: usize) -> Option<&[u8]> {
        let received = self.received[i];
        let start = i * self.stride;
        let whole = received.flags & libc::MSG_TRUNC == 0;
        whole.then(|| &self.bytes[start..start + received.length.min(self.size)])
    }

    /// Where datagram `i` came from and arrived; `None` on a batch for connected sockets.
    ///
    /// # Panics
    /// If `i` is not below [`RecvBatch::len`].
    pub fn origin(&self, i: usize) -> Option<Origin> {
        let received = self.received[i];
        let control = self.controls.get(i)?.get(..received.control_length)?;
        Some(Origin {
            peer: *self.names.get(i)?,
            arrival: read_control(control),
        })
    }
}

/// Datagrams to be sent with one system call, up to [`BATCH`] of them, written in place.
pub struct SendBatch {
    /// [`BATCH`] slots of `size` bytes, `stride` apart.
    bytes: Vec<u8>,
    size: usize,
    stride: usize,
    pending: Vec<Pending>,
    controls: Vec<[u8; CONTROL]>,
}

/// One datagram of a [`SendBatch`].
#[derive(Clone, Copy)]
struct Pending {
    length: usize,
    name: [u8; NAME],
    /// 0 on a connected socket.
    name_length: usize,
    control_length: usize,
}

/// What became of a batch. Replies are not repeated: a client that misses one asks again, and a
/// worker that waited for a full queue would make every other client wait as well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendReport {
    /// Handed to the network.
    pub sent: usize,
    /// Given up because the socket's or the device's queue was full (EAGAIN, ENOBUFS, ENOMEM).
    pub full: usize,
    /// Refused by the kernel: a firewall (EPERM), no way there (ENETUNREACH), an address that this
    /// host has lost (EINVAL), too long for the interface (EMSGSIZE).
    pub refused: usize,
    /// Those that the kernel had no memory for (ENOMEM), a bit for each in the order they were added;
    /// they count as `full` too.
    pub without_memory: u32,
    /// The error number of the last one refused.
    pub error: Option<i32>,
}

impl SendBatch {
    /// With slots of `size` bytes.
    pub fn new(size: usize) -> SendBatch {
        SendBatch {
            bytes: vec![0; BATCH * stride(size)],
            size,
            stride: stride(size),
            pending: Vec::with_capacity(BATCH),
            controls: vec![[0; CONTROL]; BATCH],
        }
    }

    /// Where the next datagram is to be written; `None` while the batch is full. Nothing is added until
    /// [`SendBatch::push`].
    pub fn slot(&mut self) -> Option<&mut [u8]> {
        let start = self.pending.len() * self.stride;
        self.bytes.get_mut(start..start + self.size)
    }

    /// Adds the first `length` bytes of the slot as a datagram back to `to`.
    ///
    /// # Panics
    /// If the batch is full or `length` is more than a slot.
    pub fn push(&mut self, length: usize, to: &Origin) {
        let control_length = to.write_control(&mut self.controls[self.pending.len()]);
        self.add(Pending {
            length,
            name: to.peer,
            name_length: to.name_length(),
            control_length,
        });
    }

    /// Adds the first `length` bytes of the slot as a datagram to a connected socket's peer.
    ///
    /// # Panics
    /// If the batch is full or `length` is more than a slot.
    pub fn push_connected(&mut self, length: usize) {
        self.add(Pending {
            length,
            name: [0; NAME],
            name_length: 0,
            control_length: 0,
        });
    }

    fn add(&mut self, pending: Pending) {
        assert!(pending.length <= self.size && self.pending.len() < BATCH);
        self.pending.push(pending);
    }

    /// How many datagrams wait to be sent.
    pub fn len(&self) -> usize {
        self.pending.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Whether there is no slot left.
    pub fn is_full(&self) -> bool {
        self.pending.len() == BATCH
    }

    /// Empties the batch; nothing is sent.
    pub fn clear(&mut self) {
        self.pending.clear();
    }

    /// Sends everything and empties the batch. Never blocks, and one datagram's error does not keep the
    /// others back.
    pub fn send(&mut self, socket: BorrowedFd<'_>) -> SendReport {
        let mut report = SendReport::default();
        if self.pending.is_empty() {
            return report;
        }
        let mut vectors = [const { MaybeUninit::uninit() }; BATCH];
        let mut headers = [const { MaybeUninit::uninit() }; BATCH];
        for (i, pending) in self.pending.iter_mut().enumerate() {
            let vector = vectors[i].write(libc::iovec {
                iov_base: self.bytes[i * self.stride..].as_mut_ptr().cast(),
                iov_len: pending.length,
            });
            let header = &mut headers[i].write(empty_header()).msg_hdr;
            header.msg_iov = vector;
            header.msg_iovlen = 1;
            if pending.name_length > 0 {
                header.msg_name = pending.name.as_mut_ptr().cast();
                header.msg_namelen = pending.name_length as libc::socklen_t;
            }
            if pending.control_length > 0 {
                header.msg_control = self.controls[i].as_mut_ptr().cast();
                header.msg_controllen = pending.control_length as _;
            }
        }
        let count = self.pending.len();
        let mut next = 0;
        let mut repeated = false;
        while next < count {
            let rest = &mut headers[next..count];
            // SAFETY: the first `count` headers are initialised, and `rest` is of them. Their pointers lead to
            // as many initialised `vectors` on this stack and to this batch's own vectors, with lengths that
            // lie within them (`add` asserts it); all outlive the call and nothing else refers to them while
            // `self` is borrowed mutably.
            let sent = unsafe {
                libc::sendmmsg(
                    socket.as_raw_fd(),
                    rest.as_mut_ptr().cast::<libc::mmsghdr>(),
                    rest.len() as libc::c_uint,
                    (libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) as _,
                )
            };
            if let Ok(sent @ 1..) = usize::try_from(sent) {
                report.sent += sent;
                next += sent;
                repeated = false;
                continue;
            }
            let error = io::Error::last_os_error()
                .raw_os_error()
                .unwrap_or(libc::EIO);
            match error {
                libc::EINTR => {}
                // A full socket queue stays full for the rest of this batch.
                libc::EAGAIN => {
                    report.full += count - next;
                    break;
                }
                // The queue of the interface, which is where this way out is jammed (send(2)).
                libc::ENOBUFS => {
                    report.full += 1;
                    next += 1;
                }
                libc::ENOMEM => {
                    report.full += 1;
                    report.without_memory |= 1 << next;
                    next += 1;
                }
                // On a connected socket: news of an earlier datagram. This one has not been tried yet.
                libc::ECONNREFUSED if !repeated => {
                    report.error = Some(error);
                    repeated = true;
                }
                _ => {
                    report.refused += 1;
                    report.error = Some(error);
                    next += 1;
                    repeated = false;
                }
            }
        }
        self.pending.clear();
        report
    }
}

/// How far buffers of `size` bytes lie apart: an odd number of cache lines. Messages are short; were the
/// buffers a power of two apart, the beginnings of all of them would compete for the same few lines of the
/// cache.
fn stride(size: usize) -> usize {
    64 * (size.div_ceil(64) | 1)
}

fn empty_header() -> libc::mmsghdr {
    // SAFETY: `mmsghdr` is made of integers and raw pointers (and, on some targets, private padding), for
    // all of which zero bytes are a valid value.
    unsafe { std::mem::zeroed() }
}
