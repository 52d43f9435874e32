//! The server name of a `ClientHello` (RFC 8446 section 4.1.2, RFC 6066 section 3), and whether rustls ends the
//! handshake for it: what it reads as no host name and no address, or a list without a host name.
//!
//! Pure. Where the message breaks a rule of its own, nothing is found: rustls has an alert for it.

use rustls::pki_types::ServerName;

use super::records::{MESSAGE_HEADER, big_endian};

const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;
const HOST_NAME: u8 = 0;
/// The type of an extension whose server name is hidden: of those for private use, which nobody is
/// given (RFC 8447 section 8).
pub(super) const HIDDEN: u16 = 0xff4e;

/// A name that rustls refuses.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct InvalidName<'a> {
    /// Where in the message the type of the extension stands.
    pub(super) at: usize,
    /// Empty if there is none in the list.
    pub(super) name: &'a [u8],
}

/// The server name of this hello, if rustls refuses the hello for it and for nothing else here.
pub(super) fn invalid_name(message: &[u8]) -> Option<InvalidName<'_>> {
    let mut extensions = Extensions::of(message)?;
    let mut found = None;
    for extension in &mut extensions {
        match extension.kind {
            HIDDEN => return None,
            SERVER_NAME if found.is_some() => return None,
            SERVER_NAME => found = Some(extension),
            _ => {}
        }
    }
    let Extension { at, content, .. } = found.filter(|_| extensions.are_whole())?;
    let name = host_name(content)?.unwrap_or_default();
    ServerName::try_from(name).is_err().then_some(InvalidName { at, name })
}

/// Where in `bytes`, a hello or its first part and what may follow it, the type of an extension stands whose name
/// is hidden.
pub(super) fn hidden(bytes: &[u8]) -> Option<usize> {
    Extensions::of(bytes)?.find(|one| one.kind == HIDDEN).map(|one| one.at)
}

/// The host name of a list, which has one at most; `None` for a list that is malformed. A name of another
/// kind ends the list: nobody knows where it ends.
fn host_name(list: &[u8]) -> Option<Option<&[u8]>> {
    let mut list = Fields(list);
    let mut names = Fields(list.sized::<2>()?);
    if !list.0.is_empty() || names.0.is_empty() {
        return None;
    }
    let mut found = None;
    while !names.0.is_empty() {
        if names.take(1)? != [HOST_NAME] {
            break;
        }
        let name = names.sized::<2>()?;
        if name.is_empty() || found.is_some() {
            return None;
        }
        found = Some(name);
    }
    Some(found)
}

struct Extension<'a> {
    kind: u16,
    /// Where in the message its type stands.
    at: usize,
    content: &'a [u8],
}

/// The extensions of a hello, up to the first that is cut.
struct Extensions<'a> {
    /// The end of the message, or of what there is of it.
    end: usize,
    rest: Fields<'a>,
    /// Whether the message has what its lengths say.
    is_complete: bool,
}

impl<'a> Extensions<'a> {
    /// `None` if `bytes` begin with no hello that has extensions.
    fn of(bytes: &'a [u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        let header = fields.take(MESSAGE_HEADER)?;
        let [CLIENT_HELLO, length @ ..] = header else { return None };
        let length = big_endian(length);
        let mut fields = Fields(fields.0.get(..length).unwrap_or(fields.0));
        let end = MESSAGE_HEADER + fields.0.len();
        fields.take(VERSION_AND_RANDOM)?;
        fields.sized::<1>()?;
        fields.sized::<2>()?;
        fields.sized::<1>()?;
        let declared = big_endian(fields.take(2)?);
        let is_complete = declared == fields.0.len() && end == MESSAGE_HEADER + length;
        Some(Self { end, rest: fields, is_complete })
    }

    /// Whether the last one ended where the message does.
    fn are_whole(&self) -> bool {
        self.is_complete && self.rest.0.is_empty()
    }
}

const VERSION_AND_RANDOM: usize = 2 + 32;

impl<'a> Iterator for Extensions<'a> {
    type Item = Extension<'a>;

    fn next(&mut self) -> Option<Extension<'a>> {
        let at = self.end - self.rest.0.len();
        let mut rest = Fields(self.rest.0);
        let kind = u16::from_be_bytes(rest.take(2)?.try_into().ok()?);
        let content = rest.sized::<2>()?;
        self.rest = rest;
        Some(Extension { kind, at, content })
    }
}

/// What is left of a message.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// What stands behind its length, a number of `WIDTH` bytes.
    fn sized<const WIDTH: usize>(&mut self) -> Option<&'a [u8]> {
        let length = big_endian(self.take(WIDTH)?);
        self.take(length)
    }
}
