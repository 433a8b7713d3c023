//! One worker: a thread with a runtime of its own, its front ends, its core and its sockets.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::{Rc, Weak};

use smallvec::SmallVec;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;

use super::vital::{ROLL_CALL, ROLL_CALL_RESTING, Roll};
use crate::clock::{Clock, Time};
use crate::net::Sockets;
use crate::net::stream::{Ended, StreamEvents};
use crate::net::udp::UdpSockets;
use crate::resolve::front::{Asker, Service, Turn};
use crate::resolve::lookout::Lookout;
use crate::resolve::{Core, Shared};
use crate::route::RouteId;
use crate::sys::{self, BATCH, RecvBatch};
use crate::wire::Query;

/// How many full batches are taken from one upstream socket before others have their turn.
const BATCHES: usize = 4;

/// One worker's core with everything that drives it. Lives on one thread.
pub struct Worker {
    core: RefCell<Core<Sockets>>,
    clock: Clock,
    inbox: RefCell<Inbox>,
    /// When the timer task will wake up by itself, at the latest.
    armed: Cell<Time>,
    lookout: Cell<Lookout>,
    /// When the last turn began.
    turned: Cell<Time>,
    /// Queries so far.
    asked: Cell<u64>,
    rearm: Notify,
}

/// Room for what arrives on upstream sockets.
struct Inbox {
    batch: RecvBatch,
    ready: Vec<u32>,
}

impl Worker {
    /// Puts a worker together; [`Worker::drive`] sets it going.
    pub fn new(core: Core<Sockets>, clock: Clock) -> Rc<Worker> {
        Rc::new_cyclic(|this: &Weak<Worker>| {
            let mut core = core;
            core.exchanges.streams.tell(this.clone());
            Worker {
                core: RefCell::new(core),
                clock,
                inbox: RefCell::new(Inbox {
                    batch: UdpSockets::receive_batch(),
                    ready: Vec::with_capacity(UdpSockets::READY_MAX),
                }),
                armed: Cell::new(Time::NEVER),
                lookout: Cell::default(),
                turned: Cell::default(),
                asked: Cell::default(),
                rearm: Notify::new(),
            }
        })
    }

    /// Starts the tasks that bring the core its responses, its mail and its time. To be called within a
    /// `LocalSet`.
    ///
    /// # Errors
    /// When the kernel has no more descriptors.
    pub(super) fn drive(
        self: &Rc<Self>,
        shared: std::sync::Arc<Shared>,
        number: u16,
        roll: &Rc<Roll>,
    ) -> io::Result<()> {
        let readiness = self.core.borrow().exchanges.udp.readiness()?;
        let readiness = sys::watch(readiness)?;
        roll.spawn("upstream reader", Rc::clone(self).read_upstream(readiness));
        roll.spawn("timer", Rc::clone(self).keep_time());
        let house = Rc::clone(self).keep_house(Rc::downgrade(roll));
        roll.spawn("housekeeping", house);
        let this = Rc::clone(self);
        roll.spawn("mailbox", async move {
            let mailbox = &shared.mailboxes[usize::from(number)];
            loop {
                mailbox.wait().await;
                let mut is_empty = false;
                while !is_empty {
                    this.turn(|core, now| core.collect_mail(now));
                    is_empty = this.core.borrow().has_no_mail();
                }
            }
        });
        Ok(())
    }

    /// The route that brought the last answer, if one did.
    pub fn take_last_route(&self) -> Option<RouteId> {
        self.core.borrow_mut().take_last_route()
    }

    /// Does `work` on the core and ends the turn.
    pub fn turn(&self, work: impl FnOnce(&mut Core<Sockets>, Time)) {
        let now = self.clock.now();
        self.take_bearings(now);
        self.shielded(|core| work(core, now));
        self.end_of_turn(now);
    }

    /// Finds out, once a turn that begins at `now`, how much older things have become, and whether the host has
    /// stalled until just before.
    #[inline]
    fn take_bearings(&self, now: Time) {
        if self.turned.replace(now) == now {
            return;
        }
        self.core.borrow_mut().turn(self.clock.life());
        let mut lookout = self.lookout.get();
        if let Some(over) = lookout.turn(self.armed.get(), now) {
            self.lookout.set(lookout);
            self.shielded(|core| core.host_stalled(over));
        }
    }

    /// A panic loses what it happened to, never the worker.
    fn shielded<R>(&self, work: impl FnOnce(&mut Core<Sockets>) -> R) -> Option<R> {
        let now = || self.clock.now();
        self.core.borrow_mut().shielded(now, work)
    }

    async fn read_upstream(self: Rc<Self>, readiness: AsyncFd<std::os::fd::OwnedFd>) {
        loop {
            let Ok(mut guard) = readiness.readable().await else {
                return;
            };
            let (_, drained) = self.upstream_turn();
            if drained {
                guard.clear_ready();
            } else {
                // Not otherwise: a step back makes the runtime ask the kernel what there is to do, for nothing.
                tokio::task::yield_now().await;
            }
        }
    }

    /// Takes in what has arrived on upstream sockets. Returns when it began, and whether that was all.
    fn upstream_turn(&self) -> (Time, bool) {
        let Inbox { batch, ready } = &mut *self.inbox.borrow_mut();
        let began = self.clock.now();
        self.take_bearings(began);
        let mut drained = true;
        ready.clear();
        self.core.borrow_mut().exchanges.udp.ready(ready);
        for &socket in ready.iter() {
            let mut full = 0;
            loop {
                let received = self.core.borrow_mut().exchanges.udp.receive(socket, batch);
                // Read once the batch is there: otherwise a stall just before would make round trips short.
                let now = self.clock.now();
                self.take_bearings(now);
                let looked = self.lookout.get().looked(now);
                // All are read before the first is told, and told before the first is acted upon: each of
                // the three is about as much code as a CPU keeps close by.
                let mut responses = SmallVec::<[_; BATCH]>::new();
                for datagram in (0..received.unwrap_or(0)).filter_map(|i| batch.datagram(i)) {
                    let claimed = self.shielded(|core| core.exchanges.udp.claim(socket, datagram));
                    if let Some(claimed) = claimed.flatten() {
                        responses.push(claimed);
                    }
                }
                let mut heard = SmallVec::<[_; BATCH]>::new();
                for claimed in &responses {
                    let told = self.shielded(|core| core.hear(claimed, looked, now));
                    if let Some(told) = told.flatten() {
                        heard.push(told);
                    }
                }
                for heard in heard {
                    self.shielded(|core| core.act_on(heard, now));
                }
                self.shielded(|core| core.heard_all(now));
                full += 1;
                if received.is_none() || !batch.is_full() {
                    break;
                }
                if full == BATCHES {
                    drained = false;
                    break;
                }
            }
        }
        self.end_of_turn(began);
        drained &= ready.len() < UdpSockets::READY_MAX;
        if drained {
            let mut lookout = self.lookout.get();
            lookout.saw_nothing(began);
            self.lookout.set(lookout);
        }
        (began, drained)
    }

    async fn keep_time(self: Rc<Self>) {
        loop {
            let wake = self.core.borrow().next_wake();
            // What should have been is no appointment: nobody was told.
            let armed = wake.map_or(Time::NEVER, |it| it.max(self.clock.now()));
            self.armed.set(armed);
            match wake {
                Some(wake) => {
                    let sleep = tokio::time::sleep_until(self.clock.instant(wake).into());
                    tokio::select! {
                        () = sleep => {}
                        () = self.rearm.notified() => continue,
                    }
                    // If this thread had to wait for its core, answers have arrived meanwhile: they
                    // must not be taken for overdue.
                    let (mut now, _) = self.upstream_turn();
                    if let Some(over) = self.lookout.get().shadow(now) {
                        self.armed.set(over);
                        tokio::time::sleep_until(self.clock.instant(over).into()).await;
                        (now, _) = self.upstream_turn();
                    }
                    // Not again and again, for a host that does little else than stall must get on, too. But
                    // streams are read before anything is held against them.
                    if self.lookout.get().shadow(now).is_some() {
                        tokio::task::yield_now().await;
                        (now, _) = self.upstream_turn();
                    }
                    self.shielded(|core| core.wake(now));
                    self.end_of_turn(now);
                }
                None => self.rearm.notified().await,
            }
        }
    }

    /// Closes old sockets, tells what is in flight, and calls the roll.
    async fn keep_house(self: Rc<Self>, roll: Weak<Roll>) {
        let mut asked = 0;
        while let Some(roll) = roll.upgrade() {
            let now = self.clock.now();
            let rests = asked == self.asked.get() && self.core.borrow().questions() == 0;
            asked = self.asked.get();
            let pause = match rests {
                true => ROLL_CALL_RESTING,
                false => ROLL_CALL,
            };
            roll.call(now, pause);
            self.shielded(|core| {
                core.exchanges.udp.sweep(now);
                core.gauge();
            });
            tokio::time::sleep(pause).await;
        }
    }
}

impl Service for Worker {
    #[inline]
    fn ask(
        &self,
        query: &Query<'_>,
        asker: impl FnOnce() -> Asker,
        now: Time,
        limit: usize,
        out: &mut [u8],
    ) -> Turn {
        self.take_bearings(now);
        self.asked.set(self.asked.get().wrapping_add(1));
        self.shielded(|core| core.ask(query, asker, now, limit, out))
            .unwrap_or(Turn::Drop)
    }

    fn end_of_turn(&self, now: Time) {
        self.shielded(|core| {
            core.end_of_turn(now);
            if core.is_sending() {
                core.left(now, self.clock.now());
            }
            // In a stall's shadow the timers wait for its end.
            let shadow = self.lookout.get().shadow(now).unwrap_or_default();
            let wake = core
                .next_wake()
                .map_or(Time::NEVER, |it| it.max(shadow).max(now));
            if wake < self.armed.get() {
                self.armed.set(wake);
                self.rearm.notify_one();
            }
        });
    }
}

impl StreamEvents for Worker {
    fn connected(&self, connection: usize) {
        let now = self.clock.now();
        self.shielded(|core| {
            for tag in core.exchanges.streams.connected(connection, now) {
                core.connected(tag, now);
            }
        });
    }

    fn message(&self, connection: usize, message: &[u8]) {
        let now = self.clock.now();
        self.take_bearings(now);
        let looked = self.lookout.get().looked(now);
        self.shielded(|core| {
            let claimed = core.exchanges.streams.claim(connection, message, now);
            let Some((claimed, stream_facts)) = claimed else {
                return;
            };
            if let Some(stream_facts) = stream_facts {
                core.carried(claimed.tag(), &stream_facts, now);
            }
            core.claimed(&claimed, looked, now);
        });
    }

    fn read(&self) {
        self.end_of_turn(self.clock.now());
    }

    fn closed(&self, connection: usize, ended: Ended) {
        self.turn(|core, now| core.exchanges.stream_closed(connection, ended, now));
    }
}
