//! DNS in place, on bytes.
//!
//! A query is never decoded into objects: [`inspect`] reads what must be known from the packet
//! where it lies and says whether it is a question to be answered, one to be refused, or garbage.
//! A response from upstream is checked once by [`examine`], record by record, and kept as an
//! [`Answer`]: what belongs to the answer and not to one hop only, compressed, in a single allocation.
//! From then on an answer is a copy and a few patches ([`Answer::write`]), because everything a
//! reply needs to find (every TTL, every record's end) was written down when it was kept.
//!
//! Two rules hold throughout. What comes from outside is reached only through checked access, so
//! no packet can panic a worker; and nothing allocates but what makes an [`Answer`], and a chain of
//! aliases that is long or made by a DNAME.

mod answer;
mod belonging;
mod chain;
mod cookie;
mod effort;
mod header;
mod identity;
mod join;
mod keep;
mod name;
mod off_limits;
mod own;
mod pack;
mod place;
mod present;
mod purpose;
mod query;
mod question;
mod rdata;
mod record;
mod refusal;
mod reply;
mod response;
mod rotate;
#[cfg(test)]
mod tests;
mod types;
mod upstream;

pub use answer::Answer;
pub use cookie::{Cookie, CookieSecret, bake};
pub use identity::{MOST_IDENTITY, set_identity};
pub use keep::Dropped;
pub use name::{NameError, name_from_text, name_to_text};
pub use own::{OWN_SERVER, Own, OwnRecord, own_answer, own_denial, own_soa, write_own};
pub use present::{Escaped, Lines};
pub use purpose::ede_purpose;
pub use query::{Garbage, Inspected, Query, inspect};
pub use question::{
    Asked, ClientEdns, KeptKey, KeyRef, OwnedAsked, QuestionKey, asked_name, asked_type,
};
pub use refusal::Refusal;
pub use reply::{Render, TtlRule, write_error, write_nothing};
pub use response::{Kind, Mismatch, Response, Sent, examine};
pub use types::{CLASS_IN, Ede, Rcode, RecordType, UnknownType};
pub use upstream::{OutgoingEdns, QueryFlags, pad_query, randomize_case, write_query};
