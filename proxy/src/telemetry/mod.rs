//! What operators see: metrics, the access log and events.

pub mod access_log;
pub mod clients;
pub mod counter;
pub mod downstream;
pub mod events;
pub mod labels;
pub mod log_writer;
mod losses;
pub mod metrics;
pub mod output;
pub mod series;
mod timestamp;
