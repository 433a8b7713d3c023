//! When routes are measured that carry no questions.

constants! {
    /// Probes and duplicates of what is in trouble.
    probes;
    /// How long a due trial waits for a real question to ride along with.
    RIDE: Duration = millis(150), "", "own";
    /// With no question for this long nobody waits for anything,
    QUIET: Duration = secs(10), "", "own";
    /// and trials slow down to this.
    QUIET_STEP: Duration = secs(5), "", "own";
    /// Between two questions to the same witness.
    WITNESS_STEP: Duration = millis(60), "", "own";
    /// A route is sounded where one question alone hangs for so long and no other one comes along to tell what it means.
    SOUND_AFTER: Duration = millis(700), "", "own";
    /// Between the first two soundings; twice as long each time,
    SOUND_STEP: Duration = millis(300), "", "own";
    /// so often at most.
    SOUND_DOUBLINGS: u32 = 4, "doublings", "own";
    /// A route is new until it was measured this often,
    FIRST_SAMPLES: u64 = 3, "", "own";
    /// and is asked again after this.
    FIRST_STEP: Duration = millis(100), "", "own";
    /// While nothing is clear, what was not asked for this long is tried out of its turn,
    PRESSED: Duration = millis(500), "", "own";
    /// for this share of the packets that the ceiling allows,
    PRESSED_SHARE: f64 = 0.03, "", "own: a fleet's floors add up";
    /// and so many at least where they are few.
    PRESSED_LEAST: f64 = 0.1, "/s", "own";
    /// In an outage: this share of the healthy rate,
    OUTAGE_SHARE: f64 = 0.1, "", "own";
    /// no sooner after one another than this,
    OUTAGE_STEP_LEAST: f64 = 0.2, "s", "own";
    /// and no later.
    OUTAGE_STEP_MOST: f64 = 0.5, "s", "own";
    /// A step out of its turn, or in an outage, is made shorter or longer by chance, by this share of it at most.
    STEP_JITTER: f32 = 0.2, "", "own";
}

constants! {
    /// Probes of what carries no questions.
    idle;
    /// A server or a path is asked after when it was not heard of for so long: one that died just then is found out
    /// within 15 s, for less than a packet in ten seconds.
    PAUSE: Duration = millis(9_700), "", "own";
    /// ... and as much as this longer, by chance.
    CHANCE: Duration = secs(1), "", "own";
    /// The first time it may be as little as this: hosts that start together go on apart.
    FIRST: Duration = secs(2), "", "own";
    /// A route that tells of a server or a path only, and not of both, lets others go first for so long.
    DEFER: Duration = millis(400), "", "own";
    /// A route whose server and path were both heard of elsewhere has its turn after so long,
    TURN: Duration = secs(150), "", "own";
    /// or after this part of `unknown-after`,
    TURN_PART: u32 = 2, "1/", "own";
    /// and so many times what chance makes its pause longer.
    TURN_CHANCE: u32 = 5, "times", "own";
    /// Between two questions to one that does not answer, and twice as long each time.
    AGAIN: Duration = millis(300), "", "own";
    /// How often it is asked in a row.
    MOST: u32 = 6, "", "own";
    /// It is looked after this often.
    LOOK: Duration = millis(50), "", "own";
    /// A server that answered so lately can, whoever is asked for it.
    LATELY: Duration = secs(30), "", "own";
    /// With no question for so long nobody waits for a verdict.
    UNASKED: Duration = secs(1), "", "own";
    /// After it woke up, a host's network takes a while: its routes are asked between these two, by chance.
    WAKING: (Duration, Duration) = (secs(5), secs(10)), "to", "own";
    /// What is not heard until so long after it is asked as if it had been.
    AWAKE: Duration = secs(20), "", "own";
}

constants! {
    /// Every route once, after the start and after a reload.
    first_round;
    /// The first questions go out within this, at random: many hosts may start at once.
    SPREAD: Duration = millis(100), "", "own";
    /// What has brought nothing until then is asked once more, so that one packet lost is no news.
    AGAIN: Duration = millis(400), "", "own";
    /// When what has brought nothing is said.
    OVER: Duration = millis(900), "", "design: within a second";
    /// How often it is looked after.
    STEP: Duration = millis(20), "", "own";
}
