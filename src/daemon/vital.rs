//! What the daemon cannot do without, and how that is watched.
//!
//! A worker's tasks ([`Roll`]) and the threads beside the workers show that they are alive ([`Pulses`]);
//! `/healthz` names who does not. A worker's task that ends or panics has left the worker half dead, in a
//! state that nobody knows: the main thread is told ([`Alarm`]), and the daemon ends in order, with its snapshot
//! and an error, for its supervisor to start it anew within a second. The threads that look after paths, the
//! snapshot and the admin endpoint hold nothing that a client waits for: each of them goes on after
//! a panic, and says so.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::task::AbortHandle;

use super::reload::Wish;
use crate::clock::{Clock, Time};

/// Who is so much later than it meant to be is stuck.
const STUCK: Duration = Duration::from_secs(5);

/// How often a worker calls its roll. Each task is woken for it.
pub(super) const ROLL_CALL: Duration = Duration::from_millis(500);

/// How often one calls it that nobody asks for anything: a host that does nothing should not be woken for it.
pub(super) const ROLL_CALL_RESTING: Duration = Duration::from_secs(4);

/// What the main thread hears.
#[derive(Debug)]
pub(super) enum News {
    /// A worker listens, and all of its tasks have had a turn.
    Started(u16),
    /// A worker's life is over.
    Ended(u16, io::Result<()>),
    /// Something that the daemon cannot do without is gone; this says what, and how.
    Lost(String),
    /// A signal asks for the end.
    Stop(&'static str),
    /// The configuration is to be read anew.
    Reload(Wish),
}

/// The way to the main thread.
#[derive(Clone, Debug)]
pub(super) struct Alarm(Sender<News>);

/// An alarm, and where it is heard.
pub(super) fn alarm() -> (Alarm, Receiver<News>) {
    let (sender, news) = mpsc::channel();
    (Alarm(sender), news)
}

impl Alarm {
    /// Tells the main thread, if it still listens.
    pub(super) fn tell(&self, news: News) {
        let _ = self.0.send(news);
    }
}

/// Everybody's signs of life.
#[derive(Debug, Default)]
pub(super) struct Pulses(Mutex<Vec<Arc<Pulse>>>);

/// One's signs of life.
#[derive(Debug)]
pub(super) struct Pulse {
    who: String,
    vital: bool,
    /// When it shows itself again, at the latest, as [`Time::nanos`].
    due: AtomicU64,
    /// What it is about: one more than the index of a name, 0 for nothing in particular.
    doing: AtomicUsize,
    names: Mutex<Vec<String>>,
}

impl Pulses {
    /// One more, who was alive at `now`, and whom answers depend on.
    pub(super) fn join(&self, who: String, now: Time) -> Arc<Pulse> {
        self.enter(who, now, true)
    }

    /// One more whom no answer depends on: that it is stuck is said, and no reason to start byway anew.
    /// A disk that hangs would keep the new process from starting.
    pub(super) fn beside(&self, who: String, now: Time) -> Arc<Pulse> {
        self.enter(who, now, false)
    }

    fn enter(&self, who: String, now: Time, vital: bool) -> Arc<Pulse> {
        let pulse = Arc::new(Pulse {
            who,
            vital,
            due: AtomicU64::new(now.nanos()),
            doing: AtomicUsize::new(0),
            names: Mutex::default(),
        });
        self.all().push(Arc::clone(&pulse));
        pulse
    }

    /// Whether nobody whom answers depend on is stuck; then, who else is, if anybody.
    ///
    /// # Errors
    /// One line that names who is stuck, for how long, and in what.
    pub(super) fn health(&self, now: Time) -> Result<Option<String>, String> {
        let (mut stuck, mut beside) = (Vec::new(), Vec::new());
        for pulse in self.all().iter() {
            let kind = if pulse.vital { &mut stuck } else { &mut beside };
            kind.extend(pulse.complaint(now));
        }
        if stuck.is_empty() {
            return Ok((!beside.is_empty()).then(|| beside.join(", ")));
        }
        stuck.append(&mut beside);
        Err(stuck.join(", "))
    }

    fn all(&self) -> MutexGuard<'_, Vec<Arc<Pulse>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pulse {
    /// It is alive and shows itself again by `due`; [`Time::NEVER`]: not any more.
    pub(super) fn beat(&self, due: Time) {
        self.due.store(due.nanos(), Relaxed);
    }

    fn complaint(&self, now: Time) -> Option<String> {
        let late = now.since(Time::from_nanos(self.due.load(Relaxed)));
        if late <= STUCK {
            return None;
        }
        let mut line = format!(
            "{} has not turned over for {:.1} s",
            self.who,
            late.as_secs_f64()
        );
        let doing = self.doing.load(Relaxed);
        if let Some(name) = doing
            .checked_sub(1)
            .and_then(|doing| self.names().get(doing).cloned())
        {
            line += &format!(" (in its {name})");
        }
        Some(line)
    }

    fn names(&self) -> MutexGuard<'_, Vec<String>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One worker's tasks. Lives on its thread.
pub(super) struct Roll {
    worker: u16,
    clock: Clock,
    alarm: Alarm,
    pulses: Arc<Pulses>,
    pulse: Arc<Pulse>,
    members: RefCell<Vec<Rc<Member>>>,
}

struct Member {
    pulse: Arc<Pulse>,
    /// How often it has had a turn, and how often it had at the last call.
    turns: Cell<u32>,
    called: Cell<u32>,
    waker: RefCell<Option<Waker>>,
}

impl Roll {
    /// Without tasks yet.
    pub(super) fn new(worker: u16, pulses: &Arc<Pulses>, alarm: Alarm, clock: Clock) -> Rc<Roll> {
        Rc::new(Roll {
            worker,
            clock,
            alarm,
            pulses: Arc::clone(pulses),
            pulse: pulses.join(format!("worker {worker}"), clock.now()),
            members: RefCell::default(),
        })
    }

    /// Starts a task that is to go on for as long as the worker does. To be called within a `LocalSet`.
    pub(super) fn spawn(
        self: &Rc<Self>,
        name: impl Into<String>,
        task: impl Future<Output = ()> + 'static,
    ) -> AbortHandle {
        let name = name.into();
        let who = format!("worker {}'s {name}", self.worker);
        let number = {
            let mut names = self.pulse.names();
            names.push(name);
            names.len()
        };
        let member = Rc::new(Member {
            pulse: self.pulses.join(who, self.clock.now()),
            turns: Cell::new(0),
            called: Cell::new(0),
            waker: RefCell::default(),
        });
        self.members.borrow_mut().push(Rc::clone(&member));
        tokio::task::spawn_local(Watched {
            roll: Rc::clone(self),
            member,
            number,
            task: Box::pin(task),
        })
        .abort_handle()
    }

    /// Whether every task has had a turn.
    pub(super) fn is_complete(&self) -> bool {
        let has_begun = |member: &Rc<Member>| member.turns.get() > 0;
        self.members.borrow().iter().all(has_begun)
    }

    /// Notes who has had a turn since the last call, and sees to it that all have one before the next, after `pause`.
    pub(super) fn call(&self, now: Time, pause: Duration) {
        self.pulse.beat(now + pause);
        for member in self.members.borrow().iter() {
            if member.called.replace(member.turns.get()) != member.turns.get() {
                member.pulse.beat(now + pause);
            }
            if let Some(waker) = &*member.waker.borrow() {
                waker.wake_by_ref();
            }
        }
    }
}

/// A task whose turns are counted and whose end is told.
struct Watched {
    roll: Rc<Roll>,
    member: Rc<Member>,
    number: usize,
    task: Pin<Box<dyn Future<Output = ()>>>,
}

impl Future for Watched {
    type Output = ();

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        this.member
            .turns
            .set(this.member.turns.get().wrapping_add(1));
        let mut waker = this.member.waker.borrow_mut();
        if !waker
            .as_ref()
            .is_some_and(|it| it.will_wake(context.waker()))
        {
            *waker = Some(context.waker().clone());
        }
        drop(waker);
        let doing = &this.roll.pulse.doing;
        doing.store(this.number, Relaxed);
        let polled = catch_unwind(AssertUnwindSafe(|| this.task.as_mut().poll(context)));
        doing.store(0, Relaxed);
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(())) => this.gone("has ended"),
            Err(_) => this.gone("panicked"),
        }
    }
}

impl Watched {
    #[cold]
    fn gone(&self, how: &str) -> Poll<()> {
        let line = format!("{} {how}", self.member.pulse.who);
        self.roll.alarm.tell(News::Lost(line));
        Poll::Ready(())
    }
}

impl Drop for Watched {
    /// Whoever aborts a task expects nothing more of it.
    fn drop(&mut self) {
        self.member.pulse.beat(Time::NEVER);
        *self.member.waker.borrow_mut() = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Time {
        Time::START + Duration::from_secs(secs)
    }

    #[test]
    fn who_is_late_is_named_with_what_it_is_about() {
        let pulses = Pulses::default();
        let worker = pulses.join("worker 0".into(), at(0));
        let tick = pulses.join("worker 0's tick".into(), at(0));
        worker.names().push("tick".into());
        assert_eq!(pulses.health(at(5)), Ok(None), "not yet stuck");
        worker.beat(at(9));
        worker.doing.store(1, Relaxed);
        assert_eq!(
            pulses.health(at(8)),
            Err("worker 0's tick has not turned over for 8.0 s".into())
        );
        tick.beat(Time::NEVER);
        assert_eq!(
            pulses.health(at(20)),
            Err("worker 0 has not turned over for 11.0 s (in its tick)".into())
        );
        worker.beat(at(30));
        assert_eq!(pulses.health(at(20)), Ok(None));
        // No answer waits for a disk.
        pulses.beside("the snapshot writer".into(), at(0));
        let line = "the snapshot writer has not turned over for 20.0 s";
        assert_eq!(pulses.health(at(20)), Ok(Some(line.into())));
    }

    /// Runs `test` as a worker would.
    fn on_a_worker<F: Future<Output = ()>>(test: impl FnOnce(Rc<Roll>, Receiver<News>) -> F) {
        let (alarm, news) = alarm();
        let roll = Roll::new(3, &Arc::default(), alarm, Clock::start());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        tokio::task::LocalSet::new().block_on(&runtime, test(roll, news));
    }

    async fn a_turn_each(roll: &Roll) {
        while !roll.is_complete() {
            tokio::task::yield_now().await;
        }
    }

    #[test]
    fn a_task_that_ends_or_panics_is_told_of() {
        on_a_worker(|roll, news| async move {
            roll.spawn("tick", async { panic!("a defect") });
            roll.spawn("acceptor", async {});
            roll.spawn("listener", std::future::pending());
            a_turn_each(&roll).await;
            let told: Vec<String> = news.try_iter().map(|news| format!("{news:?}")).collect();
            assert_eq!(
                told,
                [
                    "Lost(\"worker 3's tick panicked\")",
                    "Lost(\"worker 3's acceptor has ended\")"
                ]
            );
        });
    }

    #[test]
    fn tasks_that_wait_are_alive_and_those_aborted_are_not_missed() {
        on_a_worker(|roll, news| async move {
            let waiting = roll.spawn("listener", std::future::pending());
            a_turn_each(&roll).await;
            let now = roll.clock.now();
            roll.call(now, ROLL_CALL);
            let due = now + ROLL_CALL + STUCK;
            assert_eq!(roll.pulses.health(due), Ok(None));
            // Nothing happened to it, but it was called.
            tokio::task::yield_now().await;
            roll.call(due, ROLL_CALL);
            assert_eq!(roll.pulses.health(due + STUCK), Ok(None));
            // Now it got no turn between two calls.
            roll.call(due + STUCK, ROLL_CALL);
            let later = due + 3 * STUCK;
            let late = roll.pulses.health(later).expect_err("stuck");
            assert!(late.contains("worker 3's listener"), "{late}");
            waiting.abort();
            tokio::task::yield_now().await;
            roll.call(later, ROLL_CALL);
            assert_eq!(roll.pulses.health(later), Ok(None));
            assert!(news.try_iter().next().is_none(), "it was aborted");
        });
    }
}
