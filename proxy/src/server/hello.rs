//! The bytes of a client's hello, read before rustls reads them: a server name that rustls would end the
//! handshake for is hidden. Whatever is no hello is left as it came, and so is what comes behind one.

use std::io;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::tls::invalid_names::HelloReader;

/// Bytes read at once, as rustls would: a hello has fewer.
const READ: usize = 4096;

/// What was read.
pub(super) struct Hello {
    pub(super) bytes: BytesMut,
    /// What is hidden in `bytes`.
    pub(super) invalid_name: Option<String>,
}

/// Reads until there is a hello, or what cannot become one; `bytes` were read before.
pub(super) async fn read(
    io: &mut (impl AsyncRead + Unpin),
    mut bytes: BytesMut,
    mut reader: HelloReader,
) -> io::Result<Hello> {
    while reader.is_partial(&bytes) {
        bytes.reserve(READ);
        // What is missing at the end is for rustls to say.
        if io.read_buf(&mut bytes).await? == 0 {
            break;
        }
    }
    let invalid_name = reader.hide_invalid_name(&mut bytes);
    Ok(Hello { bytes, invalid_name })
}
