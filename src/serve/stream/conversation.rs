//! One connection, from its first query to its last answer.
//!
//! Queries are framed by their length (RFC 1035 section 4.2.2) and answered as the answers come, in any order
//! (RFC 7766 section 6.2.1.1). What is known at once is answered while the read that brought the query is
//! worked through, all in one write (RFC 7766 section 8 asks for length and message in one).
//!
//! A client may be slow or hostile; each thing it could make grow has its bound and each thing it
//! could let hang its time:
//! * queries in flight: at the pipeline's limit no more is read until some are answered;
//! * answers it does not take: from [`QUEUE`] on no more is read, after `tcp-stall` without
//!   progress the connection is cut, and where all clients together hold too many who holds most of them is;
//! * a query it does not finish: cut `tcp-stall` after its first octet, however many octets trickle in;
//! * silence: closed after `tcp-idle` (RFC 7766 section 6.2.3).
//!
//! What is encrypted is led in the same way. It has up to as much again on its way as
//! [`encrypted`](super::encrypted) lets the session hold.
//!
//! A client that shuts down its sending side still gets all its answers. When byway ends the
//! connection it shuts down its own side first and reads on for a moment, because closing with octets
//! unread would reset the connection and could take the last answers with it.

use std::future::poll_fn;
use std::io;
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::super::{STREAM_LIMIT, Sight, Tally};
use super::framing::{complete, whole};
use super::mailbox::Order;
use super::{Desk, READ, Seated};
use crate::clock::Time;
use crate::observe::metrics::{Drop, Limit, Transport};
use crate::resolve::front::{Asker, Connection, Return, Service, Turn, Way};
use crate::wire::{Inspected, inspect};

/// While this many octets of answers wait for the client, none of its queries is read.
const QUEUE: usize = 64 * 1024;

/// How long byway reads on after the last answer before it closes.
const LINGER: Duration = Duration::from_secs(1);

pub(super) struct Conversation<S, IO> {
    stream: IO,
    seated: Seated,
    service: Rc<S>,
    listener: u16,
    transport: Transport,
    input: Input,
    /// What was read and is not answered: a query that has not come in whole, and whole ones that a limit
    /// holds back.
    inbox: Vec<u8>,
    /// Whether the pipeline's limit holds queries back.
    held_back: bool,
    /// Queries that wait for their answers.
    in_flight: usize,
    /// Answers that the client has not taken, and how much of them it has.
    outbox: Vec<u8>,
    taken: usize,
    /// When the last query came in or the last answer left.
    idle_since: Time,
    /// Since when the query at the end of the inbox is incomplete, and read.
    incomplete_since: Option<Time>,
    /// Since when the client has taken nothing of the outbox.
    blocked_since: Option<Time>,
    timer: Pin<Box<Sleep>>,
}

/// What may still come from the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Input {
    /// Queries.
    Open,
    /// Nothing: it has shut down its side.
    Ended,
    /// Nothing that is answered: byway is about to end the connection.
    Ignored,
    /// The same, all is answered, and byway has shut down its side.
    Lingering { until: Time },
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// All is answered and one of both had enough, or the client was idle for too long.
    Done,
    /// The client did not finish a query, or did not take its answers.
    Stalled,
    /// There is no room for its answers, and it holds most of what there was.
    Overflown,
    /// The connection broke.
    Broken,
    /// Its place went to another.
    Displaced,
}

/// What is next after a turn.
enum Next {
    /// Another turn, when others have had theirs.
    Again,
    End(Ending),
}

/// The answers to one read, on the worker's desk.
struct Sheet<'a> {
    room: &'a mut [u8],
    used: usize,
    /// Whether there was any query.
    asked: bool,
    tally: Tally,
}

impl<S: Service, IO: AsyncRead + AsyncWrite + Unpin> Conversation<S, IO> {
    pub(super) fn new(
        stream: IO,
        seated: Seated,
        service: Rc<S>,
        listener: u16,
        now: Time,
    ) -> Conversation<S, IO> {
        let idle = seated
            .front
            .clock
            .instant(now + seated.front.terms.get().idle);
        Conversation {
            stream,
            transport: seated.front.carries(listener),
            seated,
            service,
            listener,
            input: Input::Open,
            inbox: Vec::new(),
            held_back: false,
            in_flight: 0,
            outbox: Vec::new(),
            taken: 0,
            idle_since: now,
            incomplete_since: None,
            blocked_since: None,
            timer: Box::pin(sleep_until(Instant::from_std(idle))),
        }
    }

    /// Leads the connection to its end.
    pub(super) async fn run(mut self) {
        let ending = loop {
            match poll_fn(|cx| self.turn(cx)).await {
                Next::Again => tokio::task::yield_now().await,
                Next::End(ending) => break ending,
            }
        };
        if (self.transport, ending) == (Transport::Tls, Ending::Done) {
            // That it ends here is said, so that nobody can end it in our place unnoticed (RFC 8446 section 6.1).
            let stream = &mut self.stream;
            poll_fn(|cx| Poll::Ready(Pin::new(&mut *stream).poll_shutdown(cx).is_ready())).await;
        }
        let metrics = &self.seated.front.metrics;
        if ending == Ending::Overflown {
            metrics.limited(Limit::TcpAnswers, self.seated.place.class);
        }
        if matches!(ending, Ending::Stalled | Ending::Overflown) {
            metrics.dropped(Drop::Stalled, 1);
        }
        if self.in_flight > 0 {
            metrics.dropped(Drop::Gone, self.in_flight as u64);
        }
    }

    /// Does everything that can be done now.
    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        let now = self.seated.front.clock.now();
        let again = match self.give_and_take(cx, now) {
            Ok(again) => again,
            Err(ending) => return Poll::Ready(Next::End(ending)),
        };
        let is_idle = self.in_flight == 0 && self.has_taken_all();
        self.seated
            .mailbox()
            .set_idle_since(is_idle.then_some(self.idle_since));
        match self.see_to_the_time(cx, now) {
            Poll::Ready(ending) => Poll::Ready(Next::End(ending)),
            Poll::Pending if again => Poll::Ready(Next::Again),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Gives the answers there are and takes in queries. Whether there may be more to do at once.
    fn give_and_take(&mut self, cx: &mut Context<'_>, now: Time) -> Result<bool, Ending> {
        match self.give(cx, now)? {
            Some(Order::Leave) => return Err(Ending::Displaced),
            Some(Order::Yield) => return Err(Ending::Overflown),
            Some(Order::Finish) if self.input == Input::Open => self.input = Input::Ignored,
            Some(Order::Finish) | None => {}
        }
        let front = Rc::clone(&self.seated.front);
        let mut desk = front.streams.desk.borrow_mut();
        let again = self.take(cx, &mut desk, now)?;
        let is_settled =
            self.in_flight == 0 && self.has_taken_all() && whole(&self.inbox).is_none();
        match self.input {
            Input::Ended if is_settled => Err(Ending::Done),
            Input::Ignored if is_settled => {
                match Pin::new(&mut self.stream).poll_shutdown(cx) {
                    Poll::Ready(Ok(())) => {
                        self.input = Input::Lingering {
                            until: now + LINGER,
                        }
                    }
                    Poll::Ready(Err(_)) => return Err(Ending::Broken),
                    Poll::Pending => return Ok(false),
                }
                Ok(true)
            }
            _ => Ok(again),
        }
    }

    /// Writes what the client will take of the answers there are.
    fn give(&mut self, cx: &mut Context<'_>, now: Time) -> Result<Option<Order>, Ending> {
        loop {
            let mailbox = self.seated.mailbox();
            let mut mail = mailbox.open(cx.waker());
            self.in_flight -= mem::take(&mut mail.settled);
            if mail.overflown {
                return Err(Ending::Overflown);
            }
            // While the client takes none they stay where their number is bounded.
            if self.outbox.is_empty() {
                self.outbox = mailbox.collect(&mut mail);
            }
            let order = mail.order;
            drop(mail);
            if self.outbox.is_empty() {
                self.flush(cx, now)?;
                return Ok(order);
            }
            let sent = write(&mut self.stream, cx, &self.outbox[self.taken..])?;
            self.taken += sent;
            mailbox.taken(sent);
            if self.taken < self.outbox.len() {
                if sent > 0 {
                    self.blocked_since = None;
                }
                self.blocked_since.get_or_insert(now);
                return Ok(order);
            }
            // An idle connection keeps no buffer.
            self.outbox = Vec::new();
            self.taken = 0;
            self.blocked_since = None;
            self.idle_since = now;
        }
    }

    /// Sees to it that what was written leaves: an encrypted session may hold it back.
    fn flush(&mut self, cx: &mut Context<'_>, now: Time) -> Result<(), Ending> {
        match Pin::new(&mut self.stream).poll_flush(cx) {
            Poll::Ready(Ok(())) => self.blocked_since = None,
            Poll::Ready(Err(_)) => return Err(Ending::Broken),
            Poll::Pending => {
                self.blocked_since.get_or_insert(now);
            }
        }
        Ok(())
    }

    /// Whether the client has all answers that there are.
    fn has_taken_all(&self) -> bool {
        self.outbox.is_empty() && self.blocked_since.is_none()
    }

    /// Reads and answers, as far as the limits allow. Whether there may be more to read at once.
    fn take(&mut self, cx: &mut Context<'_>, desk: &mut Desk, now: Time) -> Result<bool, Ending> {
        let tally = Tally::default();
        let mut sheet = Sheet {
            room: &mut desk.write,
            used: 0,
            asked: false,
            tally,
        };
        self.answer_inbox(cx, &mut sheet, now)?;
        let mut again = false;
        while self.may_read() {
            if !self.inbox.is_empty() {
                self.incomplete_since.get_or_insert(now);
            }
            let mut read = ReadBuf::new(&mut desk.read);
            match Pin::new(&mut self.stream).poll_read(cx, &mut read) {
                Poll::Pending => break,
                // Without a word before, as many clients end an encrypted connection. Messages say how long they are.
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {}
                Poll::Ready(Err(_)) => return Err(Ending::Broken),
                Poll::Ready(Ok(())) => {}
            }
            let bytes = read.filled();
            match self.input {
                Input::Lingering { .. } if bytes.is_empty() => return Err(Ending::Done),
                Input::Lingering { .. } => {}
                _ if bytes.is_empty() => self.input = Input::Ended,
                _ => self.receive(cx, bytes, &mut sheet, now)?,
            }
            if bytes.len() == READ {
                again = true;
                break;
            }
        }
        if !self.may_read() {
            // It is byway that keeps the query waiting.
            self.incomplete_since = None;
        }
        if sheet.used > 0 {
            self.deliver(cx, &mut sheet, now)?;
        }
        if sheet.asked {
            let front = &self.seated.front;
            let took = front.clock.now().since(now);
            front.count(self.listener, self.transport, &sheet.tally, took);
            self.service.end_of_turn(now);
        }
        Ok(again)
    }

    fn may_read(&self) -> bool {
        match self.input {
            Input::Open => self.may_answer() && whole(&self.inbox).is_none(),
            Input::Lingering { .. } => true,
            Input::Ended | Input::Ignored => false,
        }
    }

    fn may_answer(&self) -> bool {
        self.in_flight < self.seated.front.terms.get().pipeline && self.outbox.len() < QUEUE
    }

    /// Takes in what was read, behind an inbox that holds no whole query.
    fn receive(
        &mut self,
        cx: &mut Context<'_>,
        mut bytes: &[u8],
        sheet: &mut Sheet<'_>,
        now: Time,
    ) -> Result<(), Ending> {
        // Only as much is copied as completes the query in the inbox; the others are answered where they
        // lie.
        if !self.inbox.is_empty() {
            complete(&mut self.inbox, &mut bytes);
            self.answer_inbox(cx, sheet, now)?;
        }
        if self.inbox.is_empty() {
            let answered = self.answer(cx, bytes, sheet, now)?;
            bytes = &bytes[answered..];
        }
        self.inbox.extend_from_slice(bytes);
        Ok(())
    }

    fn answer_inbox(
        &mut self,
        cx: &mut Context<'_>,
        sheet: &mut Sheet<'_>,
        now: Time,
    ) -> Result<(), Ending> {
        if whole(&self.inbox).is_some() {
            let inbox = mem::take(&mut self.inbox);
            let answered = self.answer(cx, &inbox, sheet, now)?;
            self.inbox.extend_from_slice(&inbox[answered..]);
        }
        Ok(())
    }

    /// Answers the whole queries at the front of `bytes`, as far as the limits allow. Returns how much of
    /// `bytes` is done with.
    fn answer(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        sheet: &mut Sheet<'_>,
        now: Time,
    ) -> Result<usize, Ending> {
        let mut done = 0;
        loop {
            let Some(message) = whole(&bytes[done..]) else {
                self.held_back = false;
                break;
            };
            if sheet.room.len() - sheet.used < 2 + STREAM_LIMIT {
                self.deliver(cx, sheet, now)?;
            }
            if !self.may_answer() {
                self.hold_back();
                break;
            }
            done += 2 + message.len();
            self.incomplete_since = None;
            self.idle_since = now;
            if !self.answer_one(message, sheet, now) {
                self.input = Input::Ignored;
                return Ok(bytes.len());
            }
        }
        Ok(done)
    }

    /// Answers one query. False if it is none: there is nothing to be expected of this client.
    #[inline]
    fn answer_one(&mut self, message: &[u8], sheet: &mut Sheet<'_>, now: Time) -> bool {
        let front = &*self.seated.front;
        let (frame, room) = sheet.room[sheet.used..].split_at_mut(2);
        let room = &mut room[..STREAM_LIMIT];
        sheet.asked = true;
        let mut inspected = inspect(message);
        let peer = self.seated.mailbox().peer();
        if let Some(edns) = inspected.edns_mut() {
            front.prover.prove(Some(edns), peer.ip(), now);
            // For how long it may be idle, if it wants to know (RFC 7828).
            let tenths = front.terms.get().idle.as_millis() / 100;
            let tenths = u16::try_from(tenths).unwrap_or(u16::MAX);
            edns.keepalive = edns.keepalive.map(|_| tenths);
        }
        let (length, result) = match inspected {
            Inspected::Query(query) => {
                let mailbox = self.seated.mailbox();
                let in_flight = &mut self.in_flight;
                let asker = || {
                    *in_flight += 1;
                    Asker {
                        listener: self.listener,
                        limit: u16::MAX,
                        client: Some(peer.ip()),
                        since: now,
                        way: Way::Stream(Return::new(Arc::clone(mailbox) as _)),
                    }
                };
                let answered = match self.service.ask(&query, asker, now, STREAM_LIMIT, room) {
                    Turn::Answer { length, result } => (length, result),
                    Turn::Limited {
                        length,
                        result,
                        met,
                    } => {
                        front.metrics.limited(met, self.seated.place.class);
                        (length, result)
                    }
                    Turn::Pending | Turn::Drop => return true,
                };
                front.count_answer(query.asked.record_type(), room);
                answered
            }
            Inspected::Drop(garbage) => {
                front.metrics.dropped(garbage.into(), 1);
                return false;
            }
            other => front.turn_away(other, true, room),
        };
        let sight = Sight {
            client: peer,
            transport: self.transport,
            listener: self.listener,
            since: now,
            result,
        };
        front.show(&room[..length], &sight, now);
        frame.copy_from_slice(&(length as u16).to_be_bytes());
        sheet.used += 2 + length;
        sheet.tally.add(result);
        true
    }

    /// Notes that a query waits for the pipeline to shorten.
    fn hold_back(&mut self) {
        let front = &self.seated.front;
        if self.in_flight >= front.terms.get().pipeline && !mem::replace(&mut self.held_back, true)
        {
            front
                .metrics
                .limited(Limit::TcpPipeline, self.seated.place.class);
        }
    }

    /// Writes the sheet; what the client does not take at once goes to the outbox.
    fn deliver(
        &mut self,
        cx: &mut Context<'_>,
        sheet: &mut Sheet<'_>,
        now: Time,
    ) -> Result<(), Ending> {
        let answers = &sheet.room[..mem::take(&mut sheet.used)];
        let mut sent = 0;
        if self.outbox.is_empty() {
            sent = write(&mut self.stream, cx, answers)?;
        }
        if sent < answers.len() {
            if !self.seated.mailbox().hold(answers.len() - sent) {
                return Err(Ending::Overflown);
            }
            self.outbox.extend_from_slice(&answers[sent..]);
            self.blocked_since.get_or_insert(now);
            return Ok(());
        }
        self.flush(cx, now)
    }

    /// Ends what has taken too long; otherwise sees to it that the connection is woken in time.
    fn see_to_the_time(&mut self, cx: &mut Context<'_>, mut now: Time) -> Poll<Ending> {
        loop {
            // While answers are awaited there is none: the service has its own, and wakes the connection.
            let Some((deadline, ending)) = self.deadline() else {
                return Poll::Pending;
            };
            if now >= deadline {
                return Poll::Ready(ending);
            }
            // A timer that is early is left alone: setting it anew for every query costs more than one that
            // fires in vain.
            let clock = &self.seated.front.clock;
            let deadline = Instant::from_std(clock.instant(deadline));
            if self.timer.is_elapsed() || self.timer.deadline() > deadline {
                self.timer.as_mut().reset(deadline);
            }
            ready!(self.timer.as_mut().poll(cx));
            now = clock.now();
        }
    }

    fn deadline(&self) -> Option<(Time, Ending)> {
        if let Input::Lingering { until } = self.input {
            return Some((until, Ending::Done));
        }
        let terms = self.seated.front.terms.get();
        let slow_since = [self.incomplete_since, self.blocked_since]
            .into_iter()
            .flatten()
            .min();
        match slow_since {
            Some(since) => Some((since + terms.stall, Ending::Stalled)),
            None if self.in_flight == 0 => Some((self.idle_since + terms.idle, Ending::Done)),
            None => None,
        }
    }
}

/// Writes what the client will take at once; how much that is.
fn write<IO: AsyncWrite + Unpin>(
    stream: &mut IO,
    cx: &mut Context<'_>,
    bytes: &[u8],
) -> Result<usize, Ending> {
    let mut sent = 0;
    while sent < bytes.len() {
        match Pin::new(&mut *stream).poll_write(cx, &bytes[sent..]) {
            Poll::Ready(Ok(count @ 1..)) => sent += count,
            Poll::Ready(_) => return Err(Ending::Broken),
            Poll::Pending => break,
        }
    }
    Ok(sent)
}
