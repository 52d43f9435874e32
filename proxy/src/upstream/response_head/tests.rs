//! Heads as endpoints send them.

use super::*;

const BOUNDS: HeadBounds = HeadBounds { bytes: 1024, fields: 256 };

static NO_RULES: std::sync::OnceLock<HeaderRules> = std::sync::OnceLock::new();

fn asked(method: &Method) -> Asked<'_> {
    Asked {
        method,
        upgrade: None,
        signs_in: false,
        rules: NO_RULES.get_or_init(HeaderRules::default),
    }
}

fn read(wire: &str, method: &Method) -> Result<ResponseHead, HeadError> {
    match parse(&mut BytesMut::from(wire), asked(method), BOUNDS)? {
        Parsed::Final(head) => Ok(head),
        other => panic!("expected a final head, found {other:?}"),
    }
}

fn framing(wire: &str, method: &Method) -> Result<Framing, HeadError> {
    read(wire, method).map(|head| head.framing)
}

#[test]
fn framing_follows_method_status_and_length_fields() {
    for (wire, method, expected) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Method::GET, Framing::Length(5)),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
            Method::GET,
            Framing::Length(5),
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Method::HEAD, Framing::Empty(Some(5))),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n", Method::GET, Framing::Chunked),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            Method::HEAD,
            Framing::Empty(None),
        ),
        ("HTTP/1.1 200 OK\r\n\r\n", Method::GET, Framing::UntilClose),
        ("HTTP/1.0 200 OK\r\n\r\n", Method::GET, Framing::UntilClose),
        ("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", Method::GET, Framing::Empty(None)),
        (
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
            Method::GET,
            Framing::Empty(Some(5)),
        ),
    ] {
        assert_eq!(framing(wire, &method), Ok(expected), "{wire:?}");
    }
}

#[test]
fn ambiguous_heads_are_refused() {
    for (wire, expected) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
            HeadError::ContentLength,
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n", HeadError::ContentLength),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n", HeadError::ContentLength),
        ("HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n", HeadError::ContentLength),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            HeadError::TwoLengths,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            HeadError::TransferEncoding,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            HeadError::TransferEncoding,
        ),
        ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", HeadError::TransferEncoding),
        ("HTTP/1.1 101 Switching Protocols\r\n\r\n", HeadError::Unasked101),
        ("HTTP/1.1 099 No\r\n\r\n", HeadError::Status),
    ] {
        assert_eq!(framing(wire, &Method::GET), Err(expected), "{wire:?}");
    }
    assert!(matches!(framing("HTTQ/1.1 200 OK\r\n\r\n", &Method::GET), Err(HeadError::Syntax(_))));
}

#[test]
fn an_interim_head_is_skipped_and_the_rest_kept() {
    let mut buffer = BytesMut::from("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200");
    assert!(matches!(parse(&mut buffer, asked(&Method::GET), BOUNDS), Ok(Parsed::Interim)));
    assert_eq!(&buffer[..], b"HTTP/1.1 200");
    assert!(matches!(parse(&mut buffer, asked(&Method::GET), BOUNDS), Ok(Parsed::Partial)));
}

#[test]
fn a_head_is_bounded_whole_or_not() {
    let wire = format!("HTTP/1.1 200 OK\r\nX-Long: {}\r\n\r\n", "x".repeat(1000));
    for cut in [wire.len(), wire.len() - 1] {
        let mut buffer = BytesMut::from(&wire[..cut]);
        let parsed = parse(&mut buffer, asked(&Method::GET), HeadBounds { bytes: 1000, ..BOUNDS });
        assert!(matches!(parsed, Err(HeadError::TooLarge)), "{parsed:?}");
    }
}

#[test]
fn hop_by_hop_fields_go_and_repeats_stay() {
    let head = read(
        "HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n\
         Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n",
        &Method::GET,
    )
    .expect("is a head");
    assert_eq!(head.fields.as_bytes(), b"Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n");
}

#[test]
fn reuse_needs_a_length_and_no_close() {
    for (wire, expected) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", false),
        ("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", false),
        ("HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: Keep-Alive\r\n\r\n", true),
        ("HTTP/1.1 200 OK\r\n\r\n", false),
    ] {
        assert_eq!(read(wire, &Method::GET).map(|head| head.keeps_alive), Ok(expected), "{wire:?}");
    }
}

#[test]
fn only_an_offered_protocol_is_switched_to() {
    let offer = HeaderValue::from_static("foo/1, WebSocket");
    let switch = |fields: &str, upgrade| {
        let wire = format!("HTTP/1.1 101 Switching Protocols\r\n{fields}\r\nearly");
        let asked = Asked { upgrade, ..asked(&Method::GET) };
        match parse(&mut BytesMut::from(wire.as_str()), asked, BOUNDS)? {
            Parsed::Final(head) => Ok(head.framing),
            other => panic!("expected a final head, found {other:?}"),
        }
    };
    let good = "Connection: upgrade\r\nUpgrade: websocket\r\n";
    assert_eq!(switch(good, Some(&offer)), Ok(Framing::Tunnel));
    assert_eq!(switch(good, None), Err(HeadError::Unasked101));
    for fields in [
        "Upgrade: websocket\r\n",
        "Connection: upgrade\r\n",
        "Connection: upgrade\r\nUpgrade: h2c\r\n",
        "Connection: upgrade\r\nUpgrade: websocket\r\nUpgrade: foo/1\r\n",
    ] {
        assert_eq!(switch(fields, Some(&offer)), Err(HeadError::Unasked101), "{fields:?}");
    }
}
