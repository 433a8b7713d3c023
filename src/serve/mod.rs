//! The front end: takes queries in over UDP and TCP and brings the answers out.
//!
//! One [`Front`] per worker owns that worker's listening sockets. UDP (`udp`) goes by batches: what is
//! known is answered into the send buffer while the batch is read, and a single system call sends it
//! all. A connection (`stream`) is one task with no buffers while it is idle. Both ask the same
//! [`Service`]; answers that take longer come back through [`Replies`], which the front end implements.
//!
//! Nothing here grows without a bound, and whatever is turned away at one is counted: datagrams by the
//! kernel's receive buffer, connections by [`Connections`], the queries and answers of a connection by its
//! pipeline and its queue, and the answers of all of them together by [`Connections`] too.

pub mod admit;
pub mod bind;
pub mod limits;
mod passed;
mod proofs;
mod rates;
mod stream;
#[cfg(test)]
mod tests;
mod udp;

use std::cell::{Cell, OnceCell, RefCell};
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::AbortHandle;

use crate::clock::{Clock, Time};
use crate::config::{Config, Limits};
use crate::observe::metrics::{Counter, Drop, Limit, QueryResult, Transport, WorkerMetrics};
use crate::observe::query_log::{Answered, Pen};
use crate::observe::top::Sampler;
use crate::resolve::front::{Asker, Replies, Service, Waiting, Way};
use crate::sys::{self, SendBatch};
use crate::tls;
use crate::wire::{
    Ede, Inspected, Rcode, RecordType, asked_name, asked_type, write_error, write_nothing,
};
use admit::Admission;
pub use bind::{BindError, Listeners};
pub use limits::Connections;
pub use passed::Passed;
pub use proofs::Proofs;
use proofs::{Fate, Prover};
use stream::Streams;

/// The longest message that DNS can frame on a stream (RFC 1035 section 4.2.2).
const STREAM_LIMIT: usize = u16::MAX as usize;

/// A task that takes in queries for as long as it is not aborted.
pub type Intake = Pin<Box<dyn Future<Output = ()>>>;

/// One worker's front end.
pub struct Front {
    listeners: Vec<Listener>,
    admission: RefCell<Admission>,
    /// Of which those that a reload may change are in `terms`.
    limits: Limits,
    terms: Cell<Terms>,
    metrics: Rc<WorkerMetrics>,
    /// Looks at some of the answers.
    top: Sampler,
    /// Writes all of them down, where that is wanted.
    log: Option<Pen>,
    clock: Clock,
    waiting: Arc<Waiting>,
    streams: Streams,
    /// What the encrypted listeners shake hands with.
    tls: OnceCell<Arc<tls::Server>>,
    prover: Prover,
    /// Room for one answer on its way to a connection.
    letter: RefCell<Box<[u8]>>,
    /// The tasks that take in queries.
    intake: RefCell<Vec<AbortHandle>>,
}

/// One entry of the configuration's `[[listen]]`.
struct Listener {
    udp: Option<UdpListener>,
    /// Until it is opened.
    tcp: Cell<Option<TcpListener>>,
    /// Whether what comes by connections is encrypted.
    encrypted: bool,
}

struct UdpListener {
    socket: Rc<UdpSocket>,
    /// Answers that were not known at once, collected until the end of the turn.
    late: RefCell<SendBatch>,
}

impl Front {
    /// A front end on `listeners` that takes nothing in before [`Front::open`]. `connections` is shared by
    /// all workers.
    pub fn new(
        listeners: Listeners,
        config: &Config,
        (connections, proofs): (Arc<Connections>, Arc<Proofs>),
        metrics: Rc<WorkerMetrics>,
        top: Sampler,
        log: Option<Pen>,
        clock: Clock,
    ) -> Rc<Front> {
        let slot = usize::from(config.limits.udp_payload);
        let listeners = listeners
            .sockets
            .into_iter()
            .map(|sockets| Listener {
                udp: sockets.udp.map(|socket| UdpListener {
                    socket: Rc::new(socket),
                    late: RefCell::new(SendBatch::new(slot)),
                }),
                tcp: Cell::new(sockets.tcp),
                encrypted: sockets.tls,
            })
            .collect();
        Rc::new(Front {
            listeners,
            admission: RefCell::new(Admission::new(&config.allow)),
            terms: Cell::new(Terms::of(&config.limits)),
            limits: config.limits.clone(),
            metrics,
            top,
            log,
            clock,
            waiting: Arc::default(),
            streams: Streams::new(connections),
            tls: OnceCell::new(),
            prover: Prover::new(proofs, &config.limits, clock),
            letter: RefCell::new(vec![0; STREAM_LIMIT].into_boxed_slice()),
            intake: RefCell::default(),
        })
    }

    /// Takes over what a reload may change: who may ask, what a connection may do, and what is seen of answers.
    pub fn suit(&self, config: &Config) {
        self.top.suit(&config.top);
        *self.admission.borrow_mut() = Admission::new(&config.allow);
        self.prover.suit(&config.limits);
        self.terms.set(Terms::of(&config.limits));
    }

    /// Has the encrypted listeners show what `tls` holds. To be called before [`Front::open`].
    pub fn encrypt(&self, tls: Arc<tls::Server>) {
        // The second of two would change nothing.
        let _ = self.tls.set(tls);
    }

    /// Starts to take queries in and ask `service`. To be called once, within the worker's runtime and its
    /// `LocalSet`. `spawn` starts the tasks, by name; none of them ends by itself.
    ///
    /// # Errors
    /// If the runtime cannot watch the sockets.
    pub fn open<S: Service + 'static>(
        self: &Rc<Self>,
        service: &Rc<S>,
        spawn: impl Fn(String, Intake) -> AbortHandle,
    ) -> io::Result<()> {
        for (index, listener) in self.listeners.iter().enumerate() {
            // There are at most as many listeners as ports that can be counted in 16 bits.
            let index = index as u16;
            if let Some(udp) = &listener.udp {
                let socket = sys::watch(Rc::clone(&udp.socket))?;
                let intake = udp::Intake::new(Rc::clone(self), Rc::clone(service), index);
                let name = format!("UDP listener {}", address_of(udp.socket.local_addr()));
                let task = spawn(name, Box::pin(intake.run(socket)));
                self.intake.borrow_mut().push(task);
            }
            if let Some(tcp) = listener.tcp.take() {
                let kind = if listener.encrypted { "TLS" } else { "TCP" };
                let name = format!("{kind} acceptor {}", address_of(tcp.local_addr()));
                let tcp = tokio::net::TcpListener::from_std(tcp)?;
                let accept = stream::accept(tcp, Rc::clone(self), Rc::clone(service), index);
                self.intake.borrow_mut().push(spawn(name, Box::pin(accept)));
            }
        }
        Ok(())
    }

    /// Takes nothing in any more: no datagram, no connection, no further query on those there are. What
    /// is in flight is still answered.
    pub fn stop(&self) {
        // Both kinds of task only wait where nothing is half done.
        for task in self.intake.borrow_mut().drain(..) {
            task.abort();
        }
        self.streams.finish();
    }

    /// Completes when, after [`Front::stop`], every query taken in has been answered and every connection
    /// has ended. It may take as long as the service does: the caller sets the deadline.
    pub async fn drained(&self) {
        self.waiting.none().await;
        self.streams.none().await;
    }

    /// Clients that wait for answers by datagram.
    pub fn waiting(&self) -> usize {
        self.waiting.clients()
    }

    /// Connections open now.
    pub fn connections(&self) -> usize {
        self.streams.len()
    }

    /// Counts answers that went out together, read at `since` and handed over at `now`.
    fn count(&self, listener: u16, transport: Transport, tally: &Tally, took: Duration) {
        for (result, &count) in RESULTS.iter().zip(&tally.0) {
            if count > 0 {
                self.metrics
                    .query(listener.into(), transport, *result, count.into());
                self.metrics.latency(result.source(), took, count.into());
            }
        }
    }

    fn count_send(&self, report: sys::SendReport) {
        let lost = report.full + report.refused;
        if lost > 0 {
            self.metrics.dropped(Drop::Send, lost as u64);
        }
    }

    /// The datagram socket of a listener, if it has one.
    fn udp(&self, listener: u16) -> Option<&UdpListener> {
        self.listeners.get(usize::from(listener))?.udp.as_ref()
    }

    /// What a listener's connections carry.
    fn carries(&self, listener: u16) -> Transport {
        let listener = self.listeners.get(usize::from(listener));
        match listener.is_some_and(|it| it.encrypted) {
            true => Transport::Tls,
            false => Transport::Tcp,
        }
    }

    /// Answers what is not for the service: what is no plain query, and whoever is not admitted. The
    /// length is 0 for what gets no answer at all, which is counted.
    #[cold]
    fn turn_away(
        &self,
        inspected: Inspected<'_>,
        admitted: bool,
        out: &mut [u8],
    ) -> (usize, QueryResult) {
        let payload = self.limits.udp_payload;
        match inspected {
            Inspected::Drop(garbage) => {
                self.metrics.dropped(garbage.into(), 1);
                (0, QueryResult::Rejected)
            }
            Inspected::Query(query) => {
                let ede = Some(Ede::PROHIBITED);
                let length = write_error(&query.asked, Rcode::REFUSED, ede, payload, out);
                self.count_answer(query.asked.record_type(), out);
                (length, QueryResult::Refused)
            }
            Inspected::Refuse(refusal) => {
                let refusal = if admitted {
                    refusal
                } else {
                    refusal.prohibited()
                };
                let result = match refusal.rcode() {
                    Rcode::REFUSED => QueryResult::Refused,
                    _ => QueryResult::Rejected,
                };
                let length = refusal.write(payload, out);
                let asked = asked_type(&out[..length]).unwrap_or(RecordType(0));
                // An extended one is not in the header.
                self.metrics.answer(asked.into(), refusal.rcode().into());
                (length, result)
            }
        }
    }
}

impl Front {
    /// Whether an answer goes to who asks over UDP, who is told how to prove to be there.
    #[inline]
    fn weigh(&self, inspected: &mut Inspected<'_>, client: IpAddr, now: Time) -> Fate {
        let mut edns = inspected.edns_mut();
        if let Some(edns) = &mut edns {
            // Of no meaning over UDP (RFC 7828 section 3.2.2).
            edns.keepalive = None;
        }
        match self.prover.prove(edns, client, now) {
            true => Fate::Whole,
            // What gets no answer needs no weighing.
            false if matches!(inspected, Inspected::Drop(_)) => Fate::Whole,
            false => self.prover.fate(client, now),
        }
    }

    /// The answer to somebody over UDP who may be somebody else, where too much goes to that one: nothing at all, or so
    /// little that nothing is won by it. The length is 0 for nothing.
    #[cold]
    fn curb(
        &self,
        inspected: Inspected<'_>,
        (client, fate): (IpAddr, Fate),
        admitted: bool,
        out: &mut [u8],
    ) -> (usize, QueryResult) {
        self.metrics
            .limited(Limit::UdpAnswersPerClient, client.into());
        match inspected {
            _ if fate == Fate::None => {
                self.metrics.dropped(Drop::Unproven, 1);
                (0, QueryResult::Shed)
            }
            Inspected::Query(query) if admitted => {
                let length = write_nothing(&query.asked, self.limits.udp_payload, out);
                self.count_answer(query.asked.record_type(), out);
                (length, QueryResult::Shed)
            }
            // These are short.
            other => self.turn_away(other, admitted, out),
        }
    }
}

impl Replies for Front {
    fn reply(
        &self,
        asker: Asker,
        result: QueryResult,
        now: Time,
        write: &mut dyn FnMut(&mut [u8], usize) -> usize,
    ) {
        let limit = usize::from(asker.limit);
        let (listener, since) = (asker.listener, asker.since);
        let sight = |client, transport| Sight {
            client,
            transport,
            listener,
            since,
            result,
        };
        let transport = match asker.way {
            Way::Datagram {
                origin,
                ticket: _ticket,
            } => {
                let Some(udp) = self.udp(asker.listener) else {
                    return;
                };
                let mut late = udp.late.borrow_mut();
                if late.is_full() {
                    self.count_send(late.send(udp.socket.as_fd()));
                }
                let Some(slot) = late.slot() else { return };
                let length = write(slot, limit);
                if length == 0 {
                    return;
                }
                self.count_truncated(slot);
                self.count_late(&slot[..length]);
                if let Some(peer) = origin.peer() {
                    self.show(&slot[..length], &sight(peer, Transport::Udp), now);
                }
                late.push(length, &origin);
                Transport::Udp
            }
            Way::Stream(back) => {
                if !back.is_open() {
                    return;
                }
                let transport = self.carries(asker.listener);
                let mut letter = self.letter.borrow_mut();
                let length = write(&mut letter, limit);
                if length == 0 {
                    return;
                }
                self.count_late(&letter[..length]);
                if let Some(peer) = back.peer() {
                    self.show(&letter[..length], &sight(peer, transport), now);
                }
                back.settle(&letter[..length]);
                transport
            }
        };
        self.metrics
            .query(asker.listener.into(), transport, result, 1);
        self.metrics
            .latency(result.source(), now.since(asker.since), 1);
    }

    fn flush(&self) {
        for udp in self
            .listeners
            .iter()
            .filter_map(|listener| listener.udp.as_ref())
        {
            let mut late = udp.late.borrow_mut();
            if !late.is_empty() {
                self.count_send(late.send(udp.socket.as_fd()));
            }
        }
    }
}

impl Front {
    /// Counts an answer to a question for `asked`, by what its header says.
    #[inline]
    fn count_answer(&self, asked: RecordType, answer: &[u8]) {
        let rcode = answer.get(3).map_or(0, |flags| u16::from(flags & 0x0f));
        self.metrics.answer(asked.into(), Rcode(rcode).into());
    }

    /// The same for one whose question is no longer at hand.
    fn count_late(&self, answer: &[u8]) {
        let asked = asked_type(answer).unwrap_or(RecordType(0));
        self.count_answer(asked, answer);
    }

    /// Shows an answer that leaves at `now` to those who look at some of them, or at all.
    #[inline]
    fn show(&self, message: &[u8], sight: &Sight, now: Time) {
        if self.top.is_due() {
            let name = asked_name(message).unwrap_or_default();
            self.top.look(name, sight.client.ip(), sight.result, now);
        }
        if let Some(log) = &self.log {
            log.put(&Answered {
                message,
                client: sight.client,
                transport: sight.transport,
                listener: sight.listener,
                since: sight.since,
                at: now,
            });
        }
    }

    /// Counts an answer over UDP that has TC set (RFC 1035 section 4.1.1).
    #[inline]
    fn count_truncated(&self, answer: &[u8]) {
        if answer.get(2).is_some_and(|flags| flags & 0x02 != 0) {
            self.metrics.count(Counter::Truncated, 1);
        }
    }
}

/// What there is to see of an answer beside its message.
struct Sight {
    client: SocketAddr,
    transport: Transport,
    listener: u16,
    since: Time,
    result: QueryResult,
}

/// What a connection may do.
#[derive(Clone, Copy, Debug)]
struct Terms {
    idle: Duration,
    stall: Duration,
    pipeline: usize,
}

impl Terms {
    fn of(limits: &Limits) -> Terms {
        Terms {
            idle: limits.tcp_idle,
            stall: limits.tcp_stall,
            pipeline: limits.tcp_pipeline,
        }
    }
}

/// Answers of one turn by result.
#[derive(Default)]
struct Tally([u32; QueryResult::COUNT]);

impl Tally {
    #[inline]
    fn add(&mut self, result: QueryResult) {
        self.0[result as usize] += 1;
    }
}

/// Every result, in the order of [`Tally`].
const RESULTS: &[QueryResult] = <QueryResult as crate::observe::metrics::Label>::ALL;

/// A listener's address, for its task's name.
fn address_of(local: io::Result<SocketAddr>) -> String {
    local.map_or_else(
        |_| "of unknown address".into(),
        |address| address.to_string(),
    )
}
