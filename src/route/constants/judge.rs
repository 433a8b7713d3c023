//! What turns measurements into verdicts.

constants! {
    /// What single outcomes add up to.
    suspicion;
    /// A lost attempt: ln(0.05 / 0.005), one in twenty lost against one in two hundred.
    LOST: f32 = 2.3, "nats", "CUSUM of log-likelihood ratios (Page 1954)";
    /// What an answered one takes away: -ln(0.95 / 0.995).
    CARRIED: f32 = 0.046, "nats", "Page 1954";
    /// The sum at which loss makes suspicious: one loss with half a second of trust at ten a second.
    SUSPECT_LOSS: f32 = 2.5, "nats", "own";
    /// The most trust: one loss' worth.
    TRUST: f32 = 2.3, "nats", "own";
    /// The time in which it fades.
    TRUST_FADES: Duration = secs(1), "", "own";
    /// Suspicion of one that stayed clear fades over so many times that.
    SUSPICION_FADES: f32 = 10.0, "times", "own";
    /// Sums fade no more often than this.
    FADE_STEP: Duration = millis(10), "", "own: what a race costs";
    /// The most suspicion by loss: two losses' worth.
    DISTRUST: f32 = 4.6, "nats", "own";
    /// An answer later than health's far tail: ln(0.75 / 0.3).
    LATE: f32 = 0.92, "nats", "Page 1954";
    /// What one in time takes away: ln(0.7 / 0.25).
    TIMELY: f32 = 1.03, "nats", "Page 1954";
    /// The sum at which lateness makes suspicious: three in a row.
    SUSPECT_LATE: f32 = 2.5, "nats", "own";
    /// The most suspicion by lateness.
    LATE_MAX: f32 = 4.0, "nats", "own";
    /// A useless answer where another upstream knew: ln(0.2 / 0.02).
    POOR: f32 = 2.3, "nats", "Page 1954; outlier ejection (Envoy)";
    /// What a useful one takes away: ln(0.98 / 0.8).
    USEFUL: f32 = 0.2, "nats", "Page 1954";
    /// A useless answer that nothing could be compared with.
    POOR_ALONE: f32 = 0.6, "nats", "own";
    /// The sum at which a server is sick: two useless answers close together, or seven without comparison.
    SICK: f32 = 4.0, "nats", "own";
    /// The most suspicion by uselessness.
    POOR_MAX: f32 = 6.0, "nats", "own";
    /// Below this a sum no longer counts.
    FORGIVEN: f32 = 0.3, "nats", "own";
    /// What was seen of a clear route before a pause this long does not count any more.
    STALE: Duration = secs(5), "", "own";
}

constants! {
    /// What proves a bad verdict.
    proof;
    /// Bad attempts at least,
    PROOF: u32 = 3, "", "own";
    /// over this long.
    PROOF_SPAN: Duration = millis(100), "", "own";
    /// Death needs this long without any answer: a queue that holds less is not taken for it.
    DEATH_SPAN: Duration = millis(700), "", "own";
    /// One that answered after all is given twice as long the next time, so often at most.
    DEATHS: u32 = 3, "doublings", "own";
    /// Where so much is lost the first losses are proof.
    MOSTLY: f32 = 0.5, "", "own";
    /// Elsewhere so many are: of one lost in a hundred, which is ordinary, two come close together now and then.
    PROOF_AMONG: u32 = 5, "", "own";
    /// ... and one more for each so many attempts.
    ORDINARY: u32 = 25, "attempts", "own";
    /// Loss that congestion is made of.
    LOSSY: f32 = 0.04, "", "own";
    /// Lateness that congestion is made of: the lower quartile is late.
    LATE_SHARE: f32 = 0.75, "", "own";
    /// What comes closer together than this counts as one.
    BUNCH: Duration = millis(1), "", "own";
    /// Attempts that TCP saw held up on the way before it is believed,
    ON_THE_WAY: u32 = 2, "", "own";
    /// as long as those at the server are no more than so many times as many;
    ON_THE_WAY_RATIO: u32 = 2, "times", "own";
    /// and at the server, with none held up on the way,
    AT_THE_SERVER: u32 = 4, "", "own";
    /// if this share of the attempts was bad: an answer that was lost on its way back looks as if the server were late.
    AT_THE_SERVER_SHARE: (u64, u64) = (3, 4), "of", "own";
    /// A route with so many bad attempts counts as bad for the grid, and is no witness.
    GRID_BAD: u32 = 2, "", "own";
    /// What goes wrong within this of each other may have one cause.
    TOGETHER: Duration = secs(3), "", "own";
}

constants! {
    /// How what was left earns its return; times are shares of `return-within`.
    probation;
    /// The first probe, usually,
    FIRST: f64 = 0.4, "return-within", "own: all parts add up to less than one";
    /// and where questions are few.
    FIRST_FEW: f64 = 0.68, "return-within", "own";
    /// Probes are so far apart at most, usually,
    LONGEST: f64 = 0.55, "return-within", "own";
    /// and where questions are few.
    LONGEST_FEW: f64 = 0.68, "return-within", "own";
    /// Probes are lengthened or shortened by chance by this share at most: hosts do not knock in step.
    JITTER: f32 = 0.05, "", "own";
    /// Good answers must come over this,
    HOLD: f64 = 0.02, "return-within", "own";
    /// or over this after a return that did not last,
    HOLD_RELAPSED: f64 = 0.15, "return-within", "own";
    /// and where questions are few.
    HOLD_RELAPSED_FEW: f64 = 0.1, "return-within", "own";
    /// The share of the traffic grows over this, usually,
    RAMP: f64 = 0.12, "return-within", "own";
    /// and where questions are few.
    RAMP_FEW: f64 = 0.08, "return-within", "own";
    /// The shares: the first one, up to this part of that time,
    SHARE_FIRST: (f32, f32) = (0.1, 0.33), "until", "own";
    /// the second one, up to this part of it,
    SHARE_SECOND: (f32, f32) = (0.3, 0.67), "until", "own";
    /// and the third one.
    SHARE_THIRD: f32 = 0.6, "", "own";
    /// A return counts as one that did not last within this.
    MEMORY: f64 = 3.0, "return-within", "own";
    /// A return that did not last makes the next one harder, so often at most.
    RELAPSES: u32 = 3, "doublings", "own";
    /// Good answers in a row that a return takes, usually,
    LEAST: u32 = 3, "", "own";
    /// and where questions are few.
    LEAST_FEW: u32 = 2, "", "own";
    /// So many as make it unlikely that the loss that was seen is still there, but no more than this,
    MANY: (u32, u32) = (3, 24), "to", "own";
    /// nor than this share of a second's packets in health: each is a duplicate that somebody pays for.
    MANY_SHARE: f64 = 0.06, "s", "own";
    /// Below so many packets a second in health questions are few: each probe is felt in the bill.
    FEW: f64 = 50.0, "/s", "own";
    /// A row of good answers counts if this share of what was sent in its time was answered: what is lost is known for
    /// lost only after the timeout.
    SOLID: (u64, u64) = (3, 4), "of", "compare RACK (RFC 8985 section 3)";
    /// While nothing is clear questions are the probes, and so many good answers in a row earn a return: at a loss of 25 %
    /// they happen by chance once in a thousand tries.
    STREAK: u32 = 24, "", "own";
    /// ... or so many
    STREAK_SLOW: u32 = 8, "", "own";
    /// over this.
    STREAK_SLOW_SPAN: Duration = secs(1), "", "own";
    /// A return that did not last doubles both, so often at most.
    RELAPSES_DESPERATE: u32 = 3, "doublings", "own";
    /// The least between two probes.
    TRIAL_STEP: Duration = millis(20), "", "own";
    /// A probe that took this share of the one before, or less, shows a queue that drains,
    DRAINS: f32 = 0.7, "", "own";
    /// and is worth another one after this.
    DRAIN_STEP: Duration = millis(500), "", "own";
}

constants! {
    /// Losses that may be their names' own doing.
    doubts;
    /// Losses that are kept for a route, and names that must hang before they speak at most: where nine in ten fail.
    MOST: usize = 64, "", "own";
    /// Names must hang for so long: a host that asks for ten dead names at once may be answered another one in a moment.
    SPAN: Duration = millis(120), "", "own";
    /// As many names must hang as hang together by chance so often.
    CHANCE: f32 = 1e-4, "", "own";
    /// The share of names that hang anyway is taken for this at least: three names then,
    SHARE_LEAST: f32 = 0.03, "", "own";
    /// and for this at most.
    SHARE_MOST: f32 = 0.99, "", "own";
    /// What one name moves it.
    GAIN: f32 = 1.0 / 32.0, "", "own";
}

constants! {
    /// Names and zones known to fail.
    failing;
    /// Places for names and zones; a newer one takes the place of an older one.
    PLACES: usize = 4096, "", "own";
    /// What failed is remembered for so long after the last time.
    MEMORY: Duration = secs(300), "", "RFC 9520 section 3.2: no longer than 5 minutes";
    /// Names of a zone that must have failed in a row before its others are expected to.
    ZONE: u16 = 3, "", "own";
}
