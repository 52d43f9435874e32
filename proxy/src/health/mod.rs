//! Active checks: what is asked of an endpoint when no request is there to tell.

pub mod checker;
mod state;

pub use self::state::{Change, HealthState};
