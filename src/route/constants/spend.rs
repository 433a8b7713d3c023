//! What extra packets are paid from.

constants! {
    /// The purses of one pool.
    budget;
    /// The steady purse holds the share of so long a time's questions,
    STEADY_WINDOW_SECS: f64 = 5.0, "s", "Finagle's retry budget";
    /// and so much at least: at two questions a second a share is nothing.
    STEADY_MIN: f64 = 10.0, "packets", "Finagle's retry budget";
    /// Of these so many are not for measurements: the last ones are for questions that hang.
    STEADY_KEPT: f64 = 2.0, "packets", "own";
    /// A burst moves what health sends in so long,
    BURST_SECS: f64 = 0.1, "s", "own";
    /// and so much at least.
    BURST_MIN: f64 = 16.0, "packets", "own";
    /// An emptied burst is whole again after this.
    BURST_REFILL_SECS: f64 = 30.0, "s", "own";
    /// Of the ceiling's rate so long a time's packets may go out at once,
    CEILING_BURST_SECS: f64 = 0.1, "s", "own";
    /// and so many always: few questions a second come in bunches, which are no storm.
    CEILING_BURST_MIN: f64 = 10.0, "packets", "own";
    /// What the ceiling allows beyond what is asked, where a multiple of that is nothing.
    CEILING_MORE: f64 = 0.5, "/s", "own: a fleet's floors add up";
    /// So many questions are let out under it however quiet health was, if they are asked: a quiet host that wakes up is
    /// no retry.
    CEILING_WAKES: f64 = 10.0, "/s", "own";
    /// What is asked is taken over so long,
    DEMAND_SECS: f64 = 3.0, "s", "own";
    /// and trusted after this.
    DEMAND_LEAST_SECS: f64 = 0.5, "s", "own";
    /// After so long a time of health it is known what that asks for: a start in the middle of an outage must be able to
    /// work.
    KNOWN_SECS: f64 = 10.0, "s", "own";
    /// Share of the ceiling's purse that is kept for questions asked for the first time.
    FIRST_ASK_RESERVE: f64 = 0.25, "", "own";
    /// What an answer earns for asking again while nothing is clear: where nothing answers, nothing asks again.
    ANSWER_EARNS: f64 = 0.4, "packets", "own";
    /// The earnings of so long a time are kept,
    EARNED_SECS: f64 = 2.0, "s", "own";
    /// and so many packets always,
    EARNED_MIN: f64 = 2.0, "packets", "own";
    /// and so many come for nothing: who asks once a minute is no storm.
    EARNED_FREE: f64 = 0.1, "/s", "own";
    /// Share of the ceiling that renews what is in use, whatever else is asked,
    RENEWALS_SHARE: f64 = 0.25, "", "own";
    /// and how many at once.
    RENEWALS_BURST: f64 = 4.0, "packets", "own";
    /// Probes while nothing is clear at most,
    PROBES_RATE: f64 = 8.0, "/s", "own";
    /// and at once,
    PROBES_BURST: f64 = 4.0, "packets", "own";
    /// and as a share of the ceiling.
    PROBES_SHARE: f64 = 0.3, "", "own: a fleet's floors add up";
    /// Probes for each route that may be idle, whatever is asked.
    IDLE: f64 = 0.1, "/s", "own";
    /// Probes that a return waits for, however little is asked,
    RETURNS_RATE: f64 = 0.5, "/s", "own";
    /// and at once.
    RETURNS_BURST: f64 = 4.0, "packets", "own";
    /// Refreshes at least, however quiet health was.
    REFRESH_MIN: f64 = 50.0, "/s", "own";
    /// What is wanted at present is taken over so long.
    PRESENT_SECS: f64 = 0.1, "s", "own";
    /// More than this multiple of health is a surge of byway's own,
    SURGE: f64 = 1.5, "times", "own";
    /// where health is taken for so much at least.
    SURGE_MIN: f64 = 20.0, "/s", "own";
    /// Above this multiple known names do not even wait for a round trip.
    FLOOD: f64 = 5.0, "times", "own";
    /// What health asks for is a mean over so long a time of it.
    HEALTH_SECS: f64 = 60.0, "s", "own";
    /// What an earlier process knew of it counts as this share of that: soon corrected.
    RECALLED: f64 = 0.5, "", "own";
}
