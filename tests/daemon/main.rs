//! The exam: the real program between real sockets, clients of every temper on one side and
//! upstreams of every temper on the other.
//!
//! Nothing here asserts how long something takes. Where order matters, gates make it; times are
//! guards against hanging, and what must not happen is told by what comes after it.

mod activation;
mod admin;
mod answers;
mod caching;
mod clients;
mod commands;
mod control;
mod cookies;
mod counts;
mod crowd;
mod dns64;
mod doctor;
mod drop_ins;
mod edns;
mod fair;
mod first_minute;
mod follow;
mod forgery;
mod forwarding;
mod front_end;
mod guard;
mod held_up;
mod identity;
mod journal;
mod kit;
mod link_local;
mod listeners;
mod local;
mod loops;
mod manners;
mod openapi;
mod passing;
mod paths;
mod precedence;
mod query;
mod query_log;
mod recorder;
mod reload;
mod rotation;
mod search_list;
mod setup;
mod shortage;
mod sleeping;
mod special;
mod staleness;
mod stalls;
mod standby;
mod stopping;
mod streams;
mod survival;
mod takeover;
mod tcp;
#[cfg(feature = "tls")]
mod tls;
mod told;
mod top;
mod trace;
mod truncation;
mod upstream_tcp;
#[cfg(feature = "tls")]
mod upstream_tls;
mod useless;
mod vital;
mod words;
mod zones;
