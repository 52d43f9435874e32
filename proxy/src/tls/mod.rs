//! TLS: what the files that the configuration names hold, made ready for handshakes.

pub mod acme;
