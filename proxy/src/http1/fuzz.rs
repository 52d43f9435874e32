//! The doors of this room for the fuzz targets (`tests/fuzz`); no other build has them.

use actix_http::Request;
use bytes::Bytes;

use super::{credentials::Credentials, head::HeadScanner, parse};
use crate::{config::HeadBounds, error::Reason, framing::Rest};

#[derive(Default)]
pub struct Scanner(HeadScanner);

/// A request, and what follows its head.
pub struct Head {
    pub request: Request,
    pub body: Rest,
    pub keeps_alive: bool,
    pub offers_upgrade: bool,
}

impl Scanner {
    pub fn scan(&mut self, bytes: &[u8], bounds: HeadBounds) -> Result<Option<usize>, Reason> {
        self.0.scan(bytes, bounds)
    }
}

pub fn parse(head: &Bytes) -> Result<Head, Reason> {
    let parse::Head { request, body, keeps_alive, offers_upgrade, .. } =
        parse::parse(head.clone(), None, &mut Credentials::default())?;
    Ok(Head { request, body, keeps_alive, offers_upgrade })
}

/// A chunked body as a client may send it.
pub fn chunked() -> Rest {
    Rest::chunked(parse::CHUNK_BOUNDS)
}
