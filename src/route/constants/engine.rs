//! What the engine as a whole is bounded by.

constants! {
    /// The engine's own pace.
    pace;
    /// Events kept until someone takes them; older ones are dropped first.
    EVENTS: usize = 256, "", "own";
    /// Names told apart that were asked for in vain.
    IN_VAIN: usize = 8, "", "own";
    /// A name that nobody has asked for again for so long does not count among them.
    IN_VAIN_FOR: Duration = secs(300), "", "RFC 9520 section 3.2: no longer than 5 minutes";
    /// It ticks so often while something is in trouble,
    TICK_TROUBLED: Duration = millis(50), "", "own";
    /// and otherwise.
    TICK: Duration = millis(250), "", "own";
    /// While nothing is under way or in trouble it may rest for so long, and is woken by the first question.
    TICK_RESTING: Duration = secs(4), "", "own";
    /// The least that a hedge is given: hosts stall for tens of milliseconds now and then.
    HEDGE_LEAST: Duration = millis(40), "", "own";
    /// What a route in trouble has answered is no longer news after this.
    LATELY: Duration = secs(5), "", "own";
    /// After the start the first answers are awaited for so long before a route that gave none comes after those that
    /// did.
    FRESH: Duration = secs(1), "", "own";
    /// Packets over a route in health are a mean over so long.
    ROUTE_RATE_SECS: f32 = 60.0, "s", "as HEALTH_SECS of the budget";
}
