//! How many attempts a route may have in flight.

constants! {
    /// The adaptive limit of each route.
    limit;
    /// Where it starts.
    START: f32 = 64.0, "", "own";
    /// The least, so that a route can always be measured.
    FLOOR: f32 = 4.0, "", "own";
    /// Share of the limit that must be in use before anything is learnt, or before it counts as loaded: what is not used
    /// teaches nothing about what the route could carry.
    IN_USE: f32 = 0.5, "", "Netflix' concurrency limits";
    /// Low round trips up to this multiple of the base are no queue.
    TOLERANCE: f32 = 1.5, "", "Netflix' concurrency limits";
    /// The most that one round takes off it.
    STEEPEST: f32 = 0.5, "", "Netflix' concurrency limits";
    /// How many may stand in the queue, so that the server is never idle for want of questions.
    QUEUED: f32 = 4.0, "", "Netflix' concurrency limits";
    /// Of the way to where a round points, this much is gone at once.
    SMOOTHING: f32 = 0.3, "", "own";
    /// What a round without a queue makes of it,
    GROWTH: f32 = 1.25, "times", "own";
    /// and before the first queue was ever seen: a cold start does not turn clients away.
    FIRST_GROWTH: f32 = 2.0, "times", "slow start (RFC 5681 section 3.1)";
    /// What one loss leaves of it.
    BACK_OFF: f32 = 0.9, "times", "Netflix' concurrency limits";
    /// The least between two rounds, and between two back-offs: losses come in bunches and are one message.
    ROUND: Duration = millis(20), "", "own";
    /// What a second of health gives back of it without proof.
    EASY: f32 = 16.0, "", "own";
    /// Names that are held stale, and clients with little under way, have this part of it beyond it,
    HELD_PART: u32 = 4, "1/", "own";
    /// and so many at least: a few of them are no queue.
    HELD_ROOM: u32 = 4, "", "own";
}
