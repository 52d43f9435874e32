//! Server names (RFC 6066 section 3) that are no names of hosts, such as `localhost:8443` of a client that
//! puts the authority there. rustls ends such a handshake with `illegal_parameter`; other servers go on,
//! and so does the proxy: the client counts as one that names no server.
//!
//! The extension is renamed in the bytes that rustls reads (`hello.rs`), to one that it ignores, and
//! wherever rustls hashes or verifies the hello the name stands again (`transcript.rs`): both sides
//! must have the same transcript (docs/adr/0010).

mod hello;
mod records;
mod transcript;

pub(super) use self::transcript::{verifying, with_names};
use self::{
    hello::InvalidName,
    records::{Begin, Heard},
};

/// Bytes of a client's hello, with the headers of its records, up to which its name is looked at.
pub const MOST_HELLO: usize = 16 * 1024;
/// Bytes of a name that are told.
const MOST_TOLD: usize = 64;

/// What is known of a hello while its bytes come.
pub struct HelloReader(records::Records);

impl HelloReader {
    /// For the first bytes of a client.
    pub fn first() -> Self {
        Self(records::Records::new(Begin::Hello))
    }

    /// For what comes behind a `HelloRetryRequest`: a `change_cipher_spec` may precede the hello (RFC 8446
    /// appendix D.4).
    pub fn after_retry() -> Self {
        Self(records::Records::new(Begin::ChangeCipherSpec))
    }

    /// Whether `bytes`, all that have come, are a part of a hello that is to be waited for. Never
    /// once there are `MOST_HELLO` of them.
    pub fn is_partial(&mut self, bytes: &[u8]) -> bool {
        self.0.read(bytes) == Heard::Part
    }

    /// Hides the server name from rustls if rustls would refuse it, and tells it: in ASCII, other bytes
    /// escaped, the first 64 of them. All other bytes stay as they are, and so does their number.
    pub fn hide_invalid_name(&mut self, bytes: &mut [u8]) -> Option<String> {
        if self.0.read(bytes) != Heard::Whole {
            return None;
        }
        let message = self.0.message(bytes)?;
        let InvalidName { at, name } = hello::invalid_name(&message)?;
        let told = name.get(..MOST_TOLD).unwrap_or(name).escape_ascii().to_string();
        let places = [self.0.place(bytes, at)?, self.0.place(bytes, at + 1)?];
        for (place, byte) in places.into_iter().zip(hello::HIDDEN.to_be_bytes()) {
            *bytes.get_mut(place)? = byte;
        }
        Some(told)
    }
}

#[cfg(test)]
mod tests;
