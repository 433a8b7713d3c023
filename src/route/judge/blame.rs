//! Path or server?
//!
//! Routes form a grid, upstreams by paths. One bad route has three possible culprits: its path, its
//! server, or itself. The culprit is the one that explains what was seen with the fewest others
//! (boolean tomography: Duffield, IEEE Transactions on Information Theory 52(12), 2006):
//!
//! * another server is bad over the same path too, and none is good over it: the path;
//! * the same server is good over another path since the trouble began, and nothing is good over
//!   this one: the path;
//! * the same server is bad over every path, and one of them is good for others: the server;
//! * both its path and its server are good elsewhere: the route alone.
//!
//! Where the grid leaves it open and the route's attempts go over a stream, the kernel may know: what it
//! had to send again was lost on the way, and what was acknowledged lies with the server.
//!
//! With a policy that asks one route at a time most of the grid is unmeasured when trouble starts. So
//! until the culprit is known, questions prefer routes that share neither path nor server with the
//! bad one, and one duplicate of a real question asks the same server over another path: its answer
//! tells the two apart at the price of one packet.

use crate::clock::Time;
use crate::route::constants::judge::proof::GRID_BAD;
use crate::route::ids::{PathId, RouteId, UpstreamId};
use crate::route::measure::stream::HeldUp;
use crate::route::rules::Rule;

/// What the inference knows of one route.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// Its server.
    pub upstream: UpstreamId,
    /// Its path.
    pub path: PathId,
    /// Bad on its own record since then; [`Time::NEVER`] if it is not.
    pub bad_since: Time,
    /// Bad attempts it showed since.
    pub bad: u32,
    /// Where that happened, if TCP saw enough to say so.
    pub held_up: Option<HeldUp>,
    /// When the newest attempt with a good answer was sent.
    pub good: Time,
    /// It may be asked at all.
    pub usable: bool,
}

impl Seen {
    fn is_bad(&self) -> bool {
        self.bad_since != Time::NEVER
    }

    /// Good since `onset`, and not bad.
    fn is_good(&self, onset: Time) -> bool {
        !self.is_bad() && self.good >= onset
    }
}

/// Who a bad route's trouble is put down to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Culprit {
    /// Its path.
    Path,
    /// Its server.
    Upstream,
    /// Nothing but itself.
    Route,
    /// Not known yet; asking this one would tell, if there is one to ask.
    Unknown(Option<RouteId>),
}

/// Who is to blame for what route `bad` shows. `order` ranks routes worth asking: least first.
pub fn culprit(grid: &[Seen], bad: RouteId, order: impl Fn(RouteId) -> f32) -> Culprit {
    let it = grid[bad.0 as usize];
    let onset = it.bad_since;
    let others = || grid.iter().filter(|other| other.usable);
    let same_path = || others().filter(|o| o.path == it.path && o.upstream != it.upstream);
    let same_upstream = || others().filter(|o| o.upstream == it.upstream && o.path != it.path);

    let path_good = same_path().any(|o| o.is_good(onset));
    let path_bad = same_path().any(Seen::is_bad);
    let upstream_good = same_upstream().any(|o| o.is_good(onset));
    let upstream_bad =
        same_upstream().all(Seen::is_bad) && same_upstream().any(|o| o.bad >= GRID_BAD);
    let has_other_paths = same_upstream().next().is_some();
    let has_other_upstreams = same_path().next().is_some();

    if path_bad && !path_good && Rule::PathByOthers.stands() {
        return Culprit::Path;
    }
    if upstream_good && Rule::PathBySame.stands() {
        return if path_good {
            Culprit::Route
        } else {
            Culprit::Path
        };
    }
    if upstream_bad && Rule::ServerByPaths.stands() {
        // Its other paths must be innocent, or the bad grid has simpler explanations.
        let elsewhere_good = path_good
            || others().any(|o| {
                o.upstream != it.upstream
                    && o.is_good(onset)
                    && same_upstream().any(|same| same.path == o.path)
            });
        if elsewhere_good || !has_other_upstreams {
            return Culprit::Upstream;
        }
    }
    if path_good && !has_other_paths && Rule::ServerAlone.stands() {
        return Culprit::Upstream;
    }
    match it.held_up {
        Some(HeldUp::OnTheWay) => Culprit::Path,
        Some(HeldUp::AtTheServer) => Culprit::Upstream,
        None if !Rule::Witness.stands() => Culprit::Unknown(None),
        None => Culprit::Unknown(witness(grid, it, has_other_paths, onset, order)),
    }
}

/// The route whose answer would tell path from server: the same server over another path, or
/// another server over the same path.
fn witness(
    grid: &[Seen],
    it: Seen,
    has_other_paths: bool,
    onset: Time,
    order: impl Fn(RouteId) -> f32,
) -> Option<RouteId> {
    (0u16..)
        .map(RouteId)
        .zip(grid)
        .filter(|(_, o)| o.usable && o.good < onset && o.bad < GRID_BAD)
        .filter(|(_, o)| match has_other_paths {
            true => o.upstream == it.upstream && o.path != it.path,
            false => o.path == it.path && o.upstream != it.upstream,
        })
        .min_by(|(a, _), (b, _)| order(*a).total_cmp(&order(*b)))
        .map(|(id, _)| id)
}

#[cfg(test)]
mod tests;
