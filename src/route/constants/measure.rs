//! What is measured of each route and each server.

constants! {
    /// What a route's round trips are, and were in health.
    round_trip;
    /// `base` is the least of so many minutes.
    BASE_MINUTES: usize = 10, "min", "LEDBAT's base history (RFC 6817 section 3.4), BBR's windowed minimum";
    /// Round trips that count as recent,
    RECENT: usize = 32, "", "own";
    /// if they are no older than this.
    RECENT_AGE: Duration = secs(10), "", "own";
    /// So many of the last ones count however old they are: a sidecar asks twice a second.
    RECENT_LEAST: usize = 3, "", "own";
    /// The low quantile of recent round trips is the first in so many: a queue lifts it, a slow question lifts only the tail.
    LOW_PART: usize = 4, "", "Copa's standing round trip";
    /// It is worked out anew after so many round trips.
    LOW_EVERY: usize = 8, "", "own: what a race costs";
    /// The share of answers of a clear route that come before its far tail.
    TAIL: f32 = 0.995, "", "Dean and Barroso, The Tail at Scale";
    /// A step of the far tail, as a share of it,
    TAIL_STEP: f32 = 0.05, "", "stochastic approximation (Robbins and Monro)";
    /// or of this where the tail is shorter.
    TAIL_STEP_LEAST_US: f32 = 500.0, "µs", "own";
    /// What is late is learnt no faster than so many round trips a second would teach it: a queue that fills more slowly
    /// than answers come would pass for health all the way up.
    LESSONS: f32 = 16.0, "/s", "own";
    /// ... once so many were seen.
    FIRST_LESSONS: u32 = 64, "", "own";
    /// Mean and deviation of health are those of about so many round trips.
    HEALTH_GAIN: u32 = 16, "", "own";
    /// A first round trip is its own mean; the deviation is taken for this share of it.
    FIRST_DEVIATION: f32 = 0.25, "", "own";
    /// What an earlier process remembered counts as so many round trips: trusted, and soon corrected.
    RECALLED: u32 = 8, "", "own";
    /// Gain of the smoothed round trip.
    SRTT_GAIN: f32 = 1.0 / 8.0, "", "RFC 6298 section 2.3";
    /// Gain of its deviation.
    RTTVAR_GAIN: f32 = 1.0 / 4.0, "", "RFC 6298 section 2.3";
    /// Its deviation after the first one, as a share of it.
    RTTVAR_FIRST: f32 = 0.5, "", "RFC 6298 section 2.2";
    /// Deviations that the retransmission timeout lies beyond the smoothed round trip,
    RTO_DEVIATIONS: f32 = 4.0, "", "RFC 6298 section 2.3";
    /// but no less than this: the clock's grain.
    RTO_GRAIN_US: f32 = 1_000.0, "µs", "RFC 6298 section 2.3";
    /// The retransmission timeout is no less than this many far tails of health.
    RTO_TAILS: u64 = 2, "", "own";
    /// The least retransmission timeout. Far below RFC 6298's second: a forwarder's peers are near, and an answer that
    /// comes later still corrects the record.
    RTO_MIN: Duration = millis(25), "", "own";
    /// The most: with a deadline of 4.5 s, later is too late to ask again.
    RTO_MAX: Duration = millis(1_500), "", "own";
    /// The retransmission timeout of a route that was never measured.
    UNKNOWN_RTO: Duration = millis(400), "", "own; unbound's first guess is 376 ms";
    /// ... and the least of a measured one as long as nothing is known of its server's slow questions.
    FIRST_RTO: Duration = secs(1), "", "RFC 6298 section 2.1";
    /// The round trip expected of a route that was never measured.
    UNKNOWN_US: f32 = 30_000.0, "µs", "linkerd's default";
    /// The hedge timer of one, within the operator's bounds.
    UNKNOWN_HEDGE: Duration = millis(100), "", "own";
    /// An answer this much later than the mean may be the host's own doing: timers tick in milliseconds, and a process
    /// waits its turn.
    HOST_NOISE_US: f32 = 2_000.0, "µs", "own";
    /// Deviations beyond the mean of health after which an answer is overdue.
    OVERDUE_DEVIATIONS: f32 = 3.0, "", "design: mean and three deviations";
    /// Means of health after which it is worth a look whether a route stalled.
    CHECK_MEANS: f32 = 2.0, "", "own";
    /// An excess below this is no trouble: there are faster routes, but this one is not jammed.
    EXCESS: Duration = millis(8), "", "own; CoDel's target is 5 ms (RFC 8289)";
    /// A peak is forgotten at this pace.
    PEAK_TAU_SECS: f32 = 2.0, "s", "peak EWMA (Finagle, linkerd2)";
    /// A peak younger than this is not worked out anew.
    PEAK_AGE_SECS: f32 = 0.001, "s", "own: what a race costs";
    /// A way is longer for good, not fuller, if its quartiles are apart by no more than this share of what it rose by,
    REBASE_SPREAD: u32 = 10, "1/", "own";
    /// and by this.
    REBASE_SPREAD_US: u32 = 500, "µs", "own";
}

constants! {
    /// How long slow questions take at one server.
    service_time;
    /// Steps of the histogram: from a millisecond to four seconds.
    STEPS: usize = 48, "", "own";
    /// The first of them.
    FIRST_US: f64 = 1_000.0, "µs", "own";
    /// Steps in an octave.
    PER_OCTAVE: f64 = 4.0, "", "own";
    /// Answers that are remembered: at twice as many all counts are halved.
    MEMORY: u32 = 2048, "", "own";
    /// The share of answers that take longer than is usual.
    USUAL: f64 = 0.1, "", "own";
    /// The share that takes longer than the far tail.
    FAR: f64 = 0.005, "", "as TAIL of round trips";
    /// Nothing is known of the tail before so many answers,
    KNOWN: u32 = 32, "", "own";
    /// nor so long after the first one: what is asked at once at the start is all under way when the first answer comes.
    KNOWN_AFTER: Duration = secs(1), "", "own";
    /// Where questions are few it counts as known after this.
    KNOWN_AT_LAST: Duration = secs(10), "", "own";
    /// A quick answer is looked at once in so many: one at the bottom moves a quantile but slowly.
    QUICK_EVERY: u32 = 16, "", "own: what a race costs";
}

constants! {
    /// What a server has answered lately.
    answered;
    /// Types of questions that are told apart; what is beyond shares places.
    KINDS: usize = 16, "", "own";
    /// A type that a server has left unanswered for so long, while it answered others, is not for it.
    FORGETS: Duration = secs(10), "", "own";
    /// The usual gap between useful answers is a mean over about so many.
    GAP_MEAN: u32 = 8, "", "own";
    /// After so many usual gaps without a useful answer it is no longer one that answers,
    GAPS: u32 = 4, "", "own";
    /// but not before this,
    LATELY_LEAST: Duration = secs(2), "", "own";
    /// and by then.
    LATELY_MOST: Duration = secs(60), "", "own";
}

constants! {
    /// What TCP saw of a stream.
    stream;
    /// A peer may hold an acknowledgement back to send it along with its answer, so what a round trip rose by less than
    /// this may be the server's.
    DELAYED_ACK: Duration = millis(50), "", "Linux holds one back for 40 ms";
}

constants! {
    /// What an operator's graph shows of the last minute.
    recent;
    /// Parts of the window.
    PARTS: usize = 6, "", "own";
    /// The length of a part.
    PART: Duration = secs(10), "", "own";
}
