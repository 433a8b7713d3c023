//! What a choice among routes rests on.

constants! {
    /// Which route a question takes.
    choice;
    /// Traffic changes over only to a route that takes less than this share of the present one's time,
    SWITCH: f32 = 0.8, "", "own";
    /// and not within this long of the last change, unless the present one is not clear.
    STAY: Duration = secs(2), "", "own";
    /// Routes within this ratio of the best are about as good,
    PEERS: f32 = 1.25, "", "own";
    /// or within this of it.
    PEERS_US: f32 = 300.0, "µs", "own";
    /// By how much a host may like one route less than another: a fleet does not ask the first of the file all together.
    TASTE: f32 = 0.1, "", "own";
    /// What a full limit adds to the expected time, as a multiple of it; half of it full adds a quarter of that.
    LOAD_WEIGHT: f32 = 3.0, "times", "own";
    /// While nothing is clear: what it costs to ask again what is lost.
    AGAIN_US: f32 = 800_000.0, "µs", "as AGAIN_LEAST of a race";
    /// The good answers that this is divided by count as so many more.
    SUCCESSION: u32 = 2, "", "Laplace's rule of succession";
    /// What the answers of a server that is useless are held to take longer.
    USELESS_US: f32 = 500_000.0, "µs", "own: fast is not healthy";
    /// A first question goes to one of those about as good, by a factor from here on, one higher at most.
    DRAW_FIRST: f32 = 0.5, "", "own";
    /// A question that is asked again, by a factor from here on,
    DRAW_AGAIN: f32 = 0.75, "", "own";
    /// so much higher at most.
    DRAW_AGAIN_WIDTH: f32 = 0.5, "", "own";
    /// With `spread`, a route that was away has this many turns at once and makes up for no more.
    TURNS: f64 = 2.0, "", "own";
    /// At most this many tries of one question at one server.
    TRIES_PER_SERVER: usize = 3, "", "RFC 9520 section 3.1";
}

constants! {
    /// Which routes stall just now.
    stalls;
    /// How long a loss after which nothing was answered keeps questions away.
    SILENCE: Duration = secs(1), "", "own";
    /// Attempts that must hang together before a route counts as stalled early.
    HANGING: u32 = 3, "", "own";
}
