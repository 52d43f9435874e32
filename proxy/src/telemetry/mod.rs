//! What operators see: metrics, the access log and events.

pub mod access_log;
mod certificates;
pub mod clients;
pub mod counter;
pub mod downstream;
pub mod events;
mod labels;
pub mod log_writer;
mod losses;
pub mod metrics;
pub mod observe;
pub mod output;
mod publish;
mod rate_limits;
pub mod series;
mod timestamp;
mod traffic;
