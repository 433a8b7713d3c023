//! The rules of the engine by name, so that each can be taken away to see who misses it.
//!
//! A rule that nobody misses has no place here. `tests/ablation.rs` takes them away one after the other and says which unit tests
//! and which rows of the simulation then fail; `docs/rules.md` keeps what it found. What is shipped holds all rules, and `Rule::stands` is no code there: only tests,
//! and a build with the feature `ablation`, look whether the environment names one (`BYWAY_WITHOUT`).

/// Names the rules and says what each of them is, step by step.
macro_rules! rules {
    ($($(#[doc = $step:literal])+ $topic:ident { $($(#[doc = $what:literal])+ $name:ident,)+ })+) => {
        /// A rule.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Rule {
            $($($(#[doc = $what])+ $name,)+)+
        }

        #[cfg(any(test, feature = "ablation"))]
        impl Rule {
            /// All of them, in the order of the steps.
            pub const ALL: &[Rule] = &[$($(Rule::$name,)+)+];

            /// What it is called.
            pub const fn name(self) -> &'static str {
                match self {
                    $($(Rule::$name => stringify!($name),)+)+
                }
            }

            /// What it says.
            pub const fn what(self) -> &'static str {
                match self {
                    $($(Rule::$name => concat!($($what),+),)+)+
                }
            }
        }
    };
}

rules! {
    /// What an answer shows
    observation {
        /// What TCP had to send again was lost on the way, be it answered or not.
        Resent,
        /// A late answer that a later question's came before is its own question's doing.
        OwnDoing,
        /// A late probe of what is in trouble, within what its server takes for slow questions, proves nothing.
        MayBeSlow,
        /// What was counted as lost and comes after all was late.
        Found,
        /// Of what came while the host stalled nobody knows whether it was in time.
        Censored,
        /// What comes later than health's far tail speaks of trouble.
        Late,
    }
    /// What a route takes
    measure {
        /// Out of health the base stands still: an hour of jam does not become the base.
        BaseStands,
        /// What is late is learnt slowly: a queue that fills slowly does not pass for health.
        SlowLessons,
        /// What a server takes for slow questions makes its routes wait.
        SlowQuestions,
        /// The first timeouts are long, as long as nothing is known of slow questions.
        FirstTimeouts,
        /// The timeout is no less than twice the far tail of health.
        PatientTimeout,
        /// Round trips that are steady for ten minutes become the base.
        Rebase,
        /// What returns is expected to take what it takes now, not what a slow queue taught it.
        ReturnsAsItIs,
        /// That another server was quick proves nothing where all are known to be slow at times.
        OthersAreSlow,
        /// A late answer between timely ones is a slow question's.
        AloneBetween,
        /// What a stall of the host held up is excused until it is read.
        HostStalls,
        /// What byway's own load delays or loses is held against nobody.
        SelfMade,
        /// What was lost while the host slept, or a path was gone, is held against nobody.
        NobodyThere,
    }
    /// What is made of it
    verdicts {
        /// Useless answers make a server sick.
        UselessIsSick,
        /// Losses and late answers are doubted before they are believed.
        DoubtFirst,
        /// One on its way back is left at the first doubt.
        RelapseAtOnce,
        /// One whose share has grown to all of it is clear.
        GrownIsClear,
        /// Good answers end a mere doubt, and while nothing is clear all trouble, at once.
        EarnedAtOnce,
        /// Good answers in a row begin a return.
        Earned,
        /// What answers is not dead.
        AnsweredIsAlive,
        /// What answers nothing for long is dead.
        SilentIsDead,
        /// One in doubt that answers uselessly is sick.
        DoubtedIsSick,
        /// Enough lost or late proves trouble.
        ProvenIsJam,
        /// Trust earned earlier fades in a second: where questions are few a loss counts for more.
        TrustFades,
        /// Suspicion fades, too.
        SuspicionFades,
        /// What comes late all at once was held up once.
        Bunch,
        /// What was sent before the answers that a return rests on says nothing against it.
        OldNews,
        /// Half of it lost proves trouble at the third loss.
        MostlyLost,
        /// Five lost, and one in 25, prove trouble.
        ManyLost,
        /// Three in four late or lost prove trouble.
        MostlyLate,
        /// A server that just answered uselessly is not dead.
        UselessIsAlive,
        /// One that was dead and answered is given twice as long before it is dead again.
        SlowerDeath,
        /// One that was accused returns by earning it.
        Distrust,
    }
    /// How it comes back
    comeback {
        /// A return is given a growing share of the questions.
        Shares,
        /// A good answer hastens the next probe.
        GoodHastens,
        /// One that may have been good does so, too.
        UnsureHastens,
        /// A queue that drains is probed again soon.
        DrainHastens,
        /// Probes come further apart each time.
        ProbesBackOff,
        /// Probes come at no steps that hosts have in common.
        ProbesJitter,
        /// A row of good answers counts only if nearly all that was sent came back.
        Solid,
        /// A return that did not last makes the next one harder.
        Relapses,
        /// ... and while nothing is clear, too.
        RelapsesInNeed,
        /// While nothing is clear eight answers over a second will do, where 24 take long.
        SlowStreak,
        /// Where questions are few, probes are fewer and a return is quicker.
        Few,
        /// Where questions are many a return takes more of them.
        Many,
    }
    /// Path or server
    blame {
        /// Another server bad over the same path: the path.
        PathByOthers,
        /// The same server well over another path: the path.
        PathBySame,
        /// The same server bad over all paths: the server.
        ServerByPaths,
        /// Others well over the only path: the server.
        ServerAlone,
        /// TCP saw where it was held up.
        TcpSaw,
        /// One more question to the right route tells path from server.
        Witness,
        /// The next client's question is that one, where it may be.
        Testimony,
        /// Until more is known the same culprit twice is simpler than two.
        SameCulprit,
        /// Where nobody waits others are heard before a path is accused.
        OthersHeard,
        /// A server accused of what a path explains is acquitted.
        Acquit,
        /// What a path or a server answers for is not held against its routes.
        Answerable,
        /// With the return of a path or a server its routes are well, too.
        Absolve,
        /// Questions keep away from what shares a path or server with a trouble that nobody is blamed for yet.
        Doubted,
    }
    /// Names fail too
    names {
        /// One question that hangs accuses nobody: several names have to.
        SeveralNames,
        /// The more names hang anyway, the more have to.
        UsualHanging,
        /// Names have to hang for a while.
        HangAWhile,
        /// The same name counts once.
        DistinctNames,
        /// A loss counts once another attempt at its question was answered.
        Vouched,
        /// What was sent before something that was answered is held against nobody.
        Refuted,
        /// What a name turns out to have done itself is taken back everywhere.
        TakenBack,
        /// What failed is expected to fail again, and accuses nobody.
        FailsAgain,
        /// So is what hangs.
        HangsAgain,
        /// So is a zone of which three names failed.
        ZoneFails,
        /// What one server alone fails at counts once while it answers others.
        FailsThere,
        /// A type that a server leaves out is not for it.
        KindsLeftOut,
        /// A useless answer that nobody knew better counts only of one that answers nothing else.
        ComparedOrAlone,
        /// One question that hangs alone has its route sounded.
        Sounding,
    }
    /// Which route
    choose {
        /// Traffic changes over only for much less, and not at once again.
        Stay,
        /// Routes about as good share the load.
        Peers,
        /// Each host likes some routes better.
        Taste,
        /// What is in flight makes a route dearer.
        Load,
        /// A question that failed over a route goes to another server.
        FailedElsewhere,
        /// A further attempt takes another path.
        OtherPath,
        /// A further attempt takes another server.
        OtherServer,
        /// Where nobody else may know better a dead server is asked that had a rest.
        Rested,
        /// At most three tries of a question at one server.
        TriesPerServer,
        /// What is asked again goes where it was not asked.
        AgainElsewhere,
        /// What a route in trouble takes is what it took of late.
        AsItIsNow,
        /// While nothing is clear a row of good answers makes a way likelier.
        Succession,
        /// ... and a server that is useless makes it less likely.
        UselessIsSlow,
        /// ... and ways about as good are drawn at random.
        Draw,
        /// With `spread` one that was away makes up for nothing.
        Turns,
        /// A route with an overdue answer is passed over.
        Overdue,
        /// ... sooner if several hang.
        Hanging,
        /// So is one that lost something and has answered nothing since.
        Silence,
        /// What shares a path or server with such a one comes after what does not.
        Neighbours,
        /// What was not heard for long comes after what was.
        Unheard,
        /// A later server's denial is held back while one before it may say otherwise.
        HoldDenial,
        /// A duplicate to a later server answers nothing that one before it was asked.
        OutOfTurn,
        /// One who comes before is asked once a later one denies.
        AskEarlier,
    }
    /// How many in flight
    load {
        /// What is not in use teaches nothing.
        InUse,
        /// The limit grows only when as many answers as it allows have come.
        WholeRounds,
        /// A cold start lets it grow twofold.
        SlowStart,
        /// A queue shrinks it.
        Gradient,
        /// A loss shrinks it.
        BackOff,
        /// Losses in a bunch are one message.
        LossesOnce,
        /// While nothing is clear it holds what the ceiling allows.
        KeepRoom,
        /// Health gives back what trouble took.
        Relax,
        /// In a surge of its own byway lets go of what it kept.
        LetGo,
        /// Names that are held stale have room of their own.
        RoomForHeld,
    }
    /// What a packet costs
    spend {
        /// A question over a doubtful route counts under the ceiling.
        Doubtful,
        /// Refreshes are bounded.
        Refreshes,
        /// Hedges and retries are a share.
        Extra,
        /// So are those that move to a clear route.
        Urgent,
        /// ... but for a burst.
        Burst,
        /// A stream's question after a truncated answer is paid for, into debt.
        Forced,
        /// Measurements are paid for.
        Measurement,
        /// ... and leave the last tokens to questions.
        LastTokens,
        /// What a return waits for is paid for.
        Return,
        /// ... from a purse of its own where questions are few.
        Returns,
        /// While nothing is clear first packets stay under the ceiling.
        First,
        /// So does what renews a stale answer.
        Renewal,
        /// ... which has a share of its own.
        Renewals,
        /// So does what is asked again.
        Again,
        /// What was met by silence is asked again on what answers earned.
        AfterSilence,
        /// So is what was answered uselessly paid for.
        AfterUseless,
        /// A quarter of the ceiling is kept for first packets.
        FirstReserve,
        /// Probes in an outage are bounded.
        Probe,
        /// So are those while nothing is clear.
        ProbeInNeed,
        /// So are those of idle routes.
        IdleProbe,
        /// Only seconds in which something was clear teach what health asks for.
        HealthOnly,
        /// As long as health was not seen for long the present demand stands for it.
        DemandUnknown,
        /// A quiet host that wakes up may ask.
        CeilingWakes,
        /// The ceiling is a little above what little is asked.
        CeilingMore,
    }
    /// When what carries nothing is measured
    probes {
        /// A probe waits for a question to ride along with.
        Ride,
        /// Where nobody asks, probes slow down.
        Quiet,
        /// New routes are asked a few times beside questions.
        Survey,
        /// While nothing is clear what was not asked for a while is tried out of its turn.
        Pressed,
        /// In an outage one route after the other is probed.
        OutageProbes,
        /// The route that answered well is tried again, not the next.
        Bearer,
        /// ... but for those that were bad before.
        Untested,
        /// Of those due at once the one asked longest ago comes first.
        LongestAgo,
        /// What was not answered is asked otherwise.
        OtherQuestion,
        /// Idle routes are asked now and then.
        Idle,
        /// ... only the fewest that tell of every server and path.
        IdleFewest,
        /// ... and again if they do not answer.
        IdleAgain,
        /// A server that fails at the first question is asked another one before that counts.
        PoorTwice,
        /// Every route is asked after the start.
        FirstRound,
        /// ... and once more where nothing came.
        FirstRoundAgain,
    }
    /// One question's attempts
    race {
        /// What is overdue is asked over another route, too.
        Hedge,
        /// ... at once where its route is seen to stall.
        EarlyHedge,
        /// The third packet and those after it wait.
        ThirdWaits,
        /// Three packets over ways that answer others are enough.
        OwnFault,
        /// The same route is not asked again at once.
        SameAgain,
        /// What is lost in a surge of byway's own is not asked again.
        Overloaded,
        /// A question with nothing under way is asked again even if the purse of extras is empty.
        Stranded,
        /// A question waits a while for the end of an outage.
        HoldOutage,
        /// ... longer if it was asked before that began.
        HoldAsked,
        /// ... and longer still over a route that was never measured.
        HoldUnmeasured,
        /// A useless answer is held back for a better one.
        HoldUseless,
        /// Two servers that say the same settle it.
        TwoAgree,
        /// Where no stream brings the whole answer the truncated one will do.
        Partial,
        /// A question that cannot be sent for want of means fails after a second.
        Short,
        /// While nothing is clear a question waits before it is asked again.
        PatientAgain,
        /// ... and a renewal is not asked again.
        RenewalOnce,
        /// What a closed connection took is asked once more.
        Reopen,
        /// What the budget refuses waits twice as long each time.
        RefusedBackOff,
        /// After trouble, questions over a doubtful route count under the ceiling for a while.
        Aftermath,
        /// A refresh goes only where there is room to spare.
        RefreshRoom,
    }
}

impl Rule {
    /// Whether it holds: always, but in a test that took it away.
    #[inline(always)]
    #[cfg(not(any(test, feature = "ablation")))]
    pub(in crate::route) const fn stands(self) -> bool {
        true
    }

    /// Whether it holds: unless the environment says that it does not.
    #[cfg(any(test, feature = "ablation"))]
    pub(in crate::route) fn stands(self) -> bool {
        *GONE != Some(self)
    }
}

/// The environment's variable that names the rule to do without.
#[cfg(any(test, feature = "ablation"))]
pub const WITHOUT: &str = "BYWAY_WITHOUT";

#[cfg(any(test, feature = "ablation"))]
static GONE: std::sync::LazyLock<Option<Rule>> = std::sync::LazyLock::new(|| {
    let name = std::env::var(WITHOUT).ok()?;
    let found = Rule::ALL.iter().find(|it| it.name() == name);
    Some(*found.unwrap_or_else(|| panic!("there is no rule {name}")))
});

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::time::Duration;

    use super::*;

    /// How often it is looked whether a test has ended, and for how many looks. Whoever hangs misses the rule as well.
    const LOOK: Duration = Duration::from_millis(10);
    const LOOKS: u32 = 6_000;

    /// Whether the test of this name fails without `rule`.
    fn misses(name: &str, rule: Rule) -> bool {
        let itself = std::env::current_exe().expect("this program");
        let mut child = Command::new(itself)
            .args(["--exact", name])
            .env(WITHOUT, rule.name())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        for _ in 0..LOOKS {
            if let Some(status) = child.try_wait().expect("a child") {
                return !status.success();
            }
            std::thread::sleep(LOOK);
        }
        child.kill().expect("it ends");
        child.wait().expect("it has ended");
        true
    }

    /// The unit tests that docs/rules.md names for each rule fail without it. The first of them is enough here; the full run
    /// looks at all, and `tests/ablation.rs` that they exist.
    #[test]
    fn the_unit_tests_that_the_page_names_miss_their_rule() {
        let page = std::fs::read_to_string("docs/rules.md").expect("the page");
        let mut wrong = Vec::new();
        for &rule in Rule::ALL {
            let start = format!("| `{}` | {} |", rule.name(), rule.what().trim());
            let row = page.lines().find_map(|line| line.strip_prefix(&start));
            let Some((units, _)) = row.and_then(|it| it.split_once('|')) else {
                wrong.push(format!("{}: not on the page", rule.name()));
                continue;
            };
            if let Some(name) = units.split('`').nth(1).filter(|name| !misses(name, rule)) {
                wrong.push(format!("{}: {name} does without", rule.name()));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}
