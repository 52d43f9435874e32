//! What happens to header fields on their way through, in both directions.

pub mod cdn_loop;
pub mod connection_auth;
pub mod forwarded;
pub mod hop_by_hop;
pub mod lines;
pub mod request_fields;
pub mod request_id;
pub mod response_fields;
pub mod rfc7239;
pub mod spelling;
pub mod stage;
pub mod trace;
