//! What several targets need: input cut into pieces, and actix's own reading of a request.

use actix_http::{
    Request, ServiceConfig,
    h1::{Codec, Message, MessageType},
};
use bytes::{Bytes, BytesMut};
use proxy::{
    config::HeadBounds,
    http1::fuzz::{Scanner, parse},
};
use tokio_util::codec::Decoder;

/// Fields that `Connection` may not take away, and an option that is no field.
const NOT_NOMINATED: [&str; 13] = [
    "authorization",
    "close",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "forwarded",
    "host",
    "set-cookie",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-request-id",
];

/// What actix made of the bytes of one request.
pub struct Reading {
    pub request: Request,
    pub body: Body,
    /// Bytes behind the request.
    pub left: usize,
}

/// A body as far as it came.
#[derive(Debug)]
pub enum Body {
    None,
    Whole(Vec<u8>),
    Partial(Vec<u8>),
    Refused,
    /// All that follows.
    Endless,
}

/// Cuts the rest of `input` at places that its first bytes name: a count, then two bytes each.
/// Returns the wire too.
pub fn pieces(input: &[u8]) -> (Vec<&[u8]>, &[u8]) {
    let Some((count, rest)) = input.split_first() else { return (Vec::new(), input) };
    let count = usize::from(count % 8).min(rest.len() / 2);
    let (places, wire) = rest.split_at(count * 2);
    let place = |two: &[u8]| usize::from(u16::from_le_bytes([two[0], two[1]]));
    let mut places: Vec<usize> =
        places.chunks_exact(2).map(|two| place(two) % (wire.len() + 1)).collect();
    places.sort_unstable();
    let mut pieces = Vec::with_capacity(places.len() + 1);
    let mut from = 0;
    for to in places {
        pieces.push(&wire[from..to]);
        from = to;
    }
    pieces.push(&wire[from..]);
    (pieces, wire)
}

/// Whether one of the `values` of `Connection` names the field and may do so.
pub fn is_nominated<'a>(mut values: impl Iterator<Item = &'a [u8]>, name: &str) -> bool {
    !NOT_NOMINATED.contains(&name)
        && values.any(|value| {
            let mut options = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
            options.any(|option| option.eq_ignore_ascii_case(name.as_bytes()))
        })
}

/// How actix reads `wire`; `None` if that does not begin with a whole head that it takes.
pub fn read_request(wire: &[u8]) -> Option<Reading> {
    let mut codec = Codec::new(service_config());
    let mut buffer = BytesMut::from(wire);
    let request = match codec.decode(&mut buffer) {
        Ok(Some(Message::Item(request))) => request,
        Ok(Some(Message::Chunk(_))) => unreachable!("a body has a head before it"),
        Ok(None) | Err(_) => return None,
    };
    let body = match codec.message_type() {
        MessageType::Stream => Body::Endless,
        MessageType::None => Body::None,
        MessageType::Payload => read_body(&mut codec, &mut buffer),
    };
    Some(Reading { request, body, left: buffer.len() })
}

fn read_body(codec: &mut Codec, buffer: &mut BytesMut) -> Body {
    let mut body = Vec::new();
    loop {
        match codec.decode(buffer) {
            Ok(Some(Message::Chunk(Some(chunk)))) => body.extend_from_slice(&chunk),
            Ok(Some(Message::Chunk(None))) => return Body::Whole(body),
            Ok(Some(Message::Item(_))) => unreachable!("a body ends before the next head"),
            Ok(None) => return Body::Partial(body),
            Err(_) => return Body::Refused,
        }
    }
}

/// The request that `wire` begins with, as `http1/` hands it to the App.
pub fn take_request(wire: &[u8]) -> Option<Request> {
    let length = Scanner::default().scan(wire, HeadBounds::default()).ok()??;
    parse(&Bytes::copy_from_slice(&wire[..length])).ok().map(|head| head.request)
}

/// The configuration starts a clock, which wants a runtime around it.
fn service_config() -> ServiceConfig {
    thread_local! {
        static CONFIG: ServiceConfig =
            actix_rt::System::new().block_on(async { ServiceConfig::default() });
    }
    CONFIG.with(ServiceConfig::clone)
}
