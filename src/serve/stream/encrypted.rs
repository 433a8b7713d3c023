//! Queries by TLS (RFC 7858): the handshake, and then the same conversation as by TCP.
//!
//! A handshake has `tcp-stall` from the connection's first octet to its end. Until it is over the connection counts as
//! idle, so that those who only knock make room first.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::HandshakeKind;
use tokio_rustls::server::TlsStream;

use super::Seated;
use super::conversation::Conversation;
use crate::clock::Time;
use crate::observe::metrics::{Counter, Drop};
use crate::observe::quiet::Quiet;
use crate::resolve::front::{Connection, Service};

/// Octets that a session holds until the kernel takes them: one record of the largest size. They are not counted among
/// `tcp-answers`.
const HELD: usize = 16 * 1024;

static FAILED: Quiet = Quiet::new("TLS handshakes that failed", 3, Duration::from_secs(60));

/// Leads a connection from its handshake to its end.
pub(super) async fn lead<S: Service>(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    seated: Seated,
    service: Rc<S>,
    listener: u16,
    since: Time,
) {
    if let Some(stream) = shake_hands(stream, acceptor, &seated, since).await {
        let now = seated.front.clock.now();
        let conversation = Conversation::new(stream, seated, service, listener, now);
        conversation.run().await;
    }
}

/// `None` if the connection ends before; that is counted.
async fn shake_hands(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    seated: &Seated,
    since: Time,
) -> Option<Box<TlsStream<TcpStream>>> {
    let front = &seated.front;
    let metrics = &front.metrics;
    let deadline = front.clock.instant(since + front.terms.get().stall);
    let mut accept = pin!(acceptor.accept(stream));
    // Somebody else may need the place, or byway end.
    let accept = poll_fn(|cx| {
        if seated.mailbox().open(cx.waker()).order.is_some() {
            return Poll::Ready(None);
        }
        accept.as_mut().poll(cx).map(Some)
    });
    match timeout_at(Instant::from_std(deadline), accept).await {
        Ok(Some(Ok(mut stream))) => {
            let session = stream.get_mut().1;
            session.set_buffer_limit(Some(HELD));
            metrics.count(
                match session.handshake_kind() {
                    Some(HandshakeKind::Resumed) => Counter::HandshakeResumed,
                    _ => Counter::HandshakeFull,
                },
                1,
            );
            Some(Box::new(stream))
        }
        Ok(Some(Err(error))) => {
            metrics.count(Counter::HandshakeFailed, 1);
            complain(seated, &error);
            None
        }
        Ok(None) => None,
        Err(_) => {
            metrics.count(Counter::HandshakeSlow, 1);
            metrics.dropped(Drop::Stalled, 1);
            None
        }
    }
}

fn complain(seated: &Seated, error: &io::Error) {
    // Who only looks whether somebody is there is nobody's concern.
    let is_gone = matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset
    );
    let now = seated.front.clock.now();
    if let (false, Some(more)) = (is_gone, FAILED.line(now)) {
        let peer = seated.mailbox().peer();
        tracing::info!("no TLS with {peer}: {error}{more}");
    }
}
