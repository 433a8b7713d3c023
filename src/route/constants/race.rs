//! What bounds one question's attempts.

constants! {
    /// One question's attempts.
    attempts;
    /// Attempts of one question at most, duplicates for measurement included.
    MOST: usize = 8, "", "own; 3 to one server (RFC 9520 section 3.1)";
    /// A stream needs a handshake before its round trip: it is given this many timeouts.
    STREAM_TIMEOUTS: u32 = 4, "", "own";
    /// Where the budget refused, it is asked again after this, and twice as long each time,
    REFUSED_STEP: Duration = millis(50), "", "own";
    /// so often at most.
    REFUSED_DOUBLINGS: u32 = 4, "doublings", "own";
    /// How long a useless answer, or a truncated one, is held back for a better one.
    POOR_HELD: Duration = secs(1), "", "own";
    /// A race wakes no sooner than this.
    WAKE_LEAST: Duration = Duration::from_micros(100), "", "own";
    /// How long a question waits for the end of an outage, or of a surge in which it was lost, before it fails.
    HOLD: Duration = millis(500), "", "own";
    /// For so long after an outage began, those that were asked before wait on: their answers may be on their way from an
    /// upstream that is slow, not gone.
    HOLD_ASKED: Duration = millis(850), "", "own";
    /// The same where it was never measured, so that nobody knows how slow it is.
    HOLD_UNMEASURED: Duration = secs(3), "", "own";
    /// How often it looks whether the outage is over.
    HOLD_STEP: Duration = millis(100), "", "own";
    /// How long a question waits for the means to ask it, before it fails. It is tried again within that time.
    SHORT: Duration = secs(1), "", "own";
    /// While nothing is clear a question is asked again no sooner than this,
    AGAIN_LEAST: Duration = millis(800), "", "own";
    /// and no later: three tries must fit a deadline of 4.5 s.
    AGAIN_MOST: Duration = millis(1_200), "", "own";
    /// The same over a route that was tried already while others are clear but cannot be had: a slow question takes an
    /// upstream longer than a packet does.
    SAME_AGAIN: Duration = millis(800), "", "own";
    /// A question that two packets have brought no answer to is not helped by haste: the third goes out this long after
    /// the first, each further one after a step twice as long as the one before.
    BACK_OFF: Duration = millis(200), "", "RFC 8085 section 3.1.1";
    /// So many packets are enough for a question that brings none of them back over ways that answer others.
    ENOUGH: usize = 3, "", "own";
    /// Attempts of a question that was truncated and asked over a stream twice.
    TWICE: usize = 4, "", "own";
    /// A refresh, a hedge and a question that has nothing under way are worth a route's room below this share of its limit.
    ROOM: f32 = 0.5, "", "as IN_USE of the limit";
}

constants! {
    /// A denial by one who is not asked first.
    denial;
    /// How long it is held back at most: longer than a full queue holds an answer, and not so long that a client asks
    /// again.
    HELD: Duration = millis(1_500), "", "own";
    /// How often it is looked whether one who comes first may still answer.
    STEP: Duration = millis(50), "", "own";
}
