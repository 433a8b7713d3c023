//! Who is who: upstreams, paths, routes and pools by their numbers.

use std::sync::Arc;

/// An upstream, by its number in the [`Lineup`](crate::config::lineup::Lineup).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UpstreamId(pub u16);

/// A path, by its number in the [`Lineup`](crate::config::lineup::Lineup).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathId(pub u16);

/// A route, as an index into [`Engine::routes`](crate::route::Engine::routes).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteId(pub u16);

/// One upstream over one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The resolver asked.
    pub upstream: UpstreamId,
    /// The way out.
    pub path: PathId,
    /// `upstream@path`, as the operator sees it.
    pub name: Arc<str>,
}

/// A pool, as an index into what [`Config::pools`](crate::config::Config::pools) gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolId(pub u16);

impl PoolId {
    /// That of all names that no zone with upstreams of its own takes.
    pub const MAIN: PoolId = PoolId(0);
}
