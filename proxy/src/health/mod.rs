//! Active checks: what is asked of an endpoint when no request is there to tell.

mod checker;
mod state;

pub use self::{
    checker::Checks,
    state::{Change, HealthState},
};
