//! How many requests those may make who have something in common, and how many of theirs may be in
//! flight. `gcra.rs` decides, `table.rs` counts in the process, `store.rs` in Redis for all who share
//! it, and `shared.rs` says what the two make of one request; `fields.rs` tells the client where it
//! stands.

mod fields;
pub mod gcra;
mod health;
mod key;
mod limit;
mod link;
mod normal;
mod places;
mod shared;
pub mod stage;
mod store;
pub mod table;

pub use self::{
    limit::{Limit, RateLimits},
    stage::Limited,
    store::SharedStore,
};
