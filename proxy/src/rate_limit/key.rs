//! What requests have in common that are counted together: the parts of a limit's key, as bytes that
//! no other parts have.

use std::{
    hash::{Hash, Hasher},
    net::IpAddr,
};

use actix_http::{RequestHead, header::HeaderName};
use sha2::{Digest, Sha256};

use super::normal::{self, Normal};
use crate::{config::KeyPart, downstream::ClientNetwork, record::RequestRecord};

/// Bytes of a digest that are kept: among fewer keys than 2^60 no two have the same.
const DIGEST: usize = 16;

/// In place of a length: no value is as long.
const AMBIGUOUS: u64 = u64::MAX - 1;

/// The key of one request for one limit.
#[derive(Clone, Copy)]
pub struct Parts<'a> {
    pub key: &'a [KeyPart],
    pub record: &'a RequestRecord,
    pub head: &'a RequestHead,
    /// The name of the route.
    pub route: &'a str,
    /// Fields that say who the client is: what it writes into them itself counts for nothing.
    pub identity_fields: &'a [HeaderName],
}

impl Parts<'_> {
    /// For memory that others see: neither addresses nor secrets in the clear, and the same in all
    /// processes. In hex.
    pub fn digest(&self) -> String {
        let mut digest = Sha256::new();
        self.feed(&mut |bytes| digest.update(bytes));
        let digest = digest.finalize();
        let mut hex = String::with_capacity(2 * DIGEST);
        for byte in &digest[..DIGEST] {
            for half in [byte >> 4, byte & 15] {
                hex.push(char::from_digit(half.into(), 16).expect("is below 16"));
            }
        }
        hex
    }

    /// Each part with its length, so that none runs into the next. What is not there is told from what
    /// is empty.
    fn feed(&self, take: &mut impl FnMut(&[u8])) {
        for part in self.key {
            match part {
                KeyPart::ClientIp => match self.record.client.get().map(ClientNetwork::of) {
                    Some(network) => match network.address() {
                        IpAddr::V4(address) => values(take, [&address.octets()[..]]),
                        IpAddr::V6(address) => values(take, [&address.octets()[..]]),
                    },
                    None => values(take, []),
                },
                KeyPart::Header(name) if self.identity_fields.contains(name) => {
                    let identity = self.record.identity.get();
                    let fields = identity.iter().flat_map(|identity| &identity.fields);
                    let fields = fields.filter(|(field, _)| field == name);
                    values(take, fields.map(|(_, value)| value.as_bytes()));
                }
                KeyPart::Header(name) => match normal::form(&self.head.headers, name) {
                    Normal::Missing => values(take, []),
                    Normal::One(form) => values(take, [&form[..]]),
                    Normal::Ambiguous => {
                        take(&AMBIGUOUS.to_le_bytes());
                        values(take, []);
                    }
                },
                KeyPart::Claim(name) => {
                    let identity = self.record.identity.get();
                    let claim = identity.and_then(|identity| identity.claim(name));
                    values(take, claim.as_ref().map(|claim| claim.as_bytes()));
                }
                KeyPart::Route => values(take, [self.route.as_bytes()]),
            }
        }
    }
}

/// Feeds the values of one part, and where it ends.
fn values<'a>(take: &mut impl FnMut(&[u8]), values: impl IntoIterator<Item = &'a [u8]>) {
    for value in values {
        take(&(value.len() as u64).to_le_bytes());
        take(value);
    }
    take(&u64::MAX.to_le_bytes());
}

impl Hash for Parts<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.feed(&mut |bytes| state.write(bytes));
    }
}
