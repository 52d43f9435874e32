//! The hello of a TLS client. No bytes are waited for beyond the bound; what came in part is a part of
//! the same; two bytes change at most, and none if rustls takes the hello; what is hidden is what
//! rustls refuses for its server name, and nothing else of the hello is.

#![no_main]

use libfuzzer_sys::fuzz_target;
use proxy::tls::invalid_names::{HelloReader, MOST_HELLO};
use proxy_fuzz::pieces;
use rustls::{Error, PeerMisbehaved, server::Acceptor};

fuzz_target!(|input: &[u8]| {
    let (pieces, wire) = pieces(input);
    let mut reader = HelloReader::first();
    let mut end = 0;
    for piece in pieces {
        end += piece.len();
        let is_partial = reader.is_partial(&wire[..end]);
        assert_eq!(is_partial, HelloReader::first().is_partial(&wire[..end]));
        assert!(!is_partial || end < MOST_HELLO, "waits beyond the bound");
    }
    let mut hidden = wire.to_vec();
    let told = HelloReader::first().hide_invalid_name(&mut hidden);
    let differ = wire.iter().zip(&hidden).filter(|(old, new)| old != new).count();
    assert_eq!((hidden.len(), differ), (wire.len(), if told.is_some() { 2 } else { 0 }));
    match verdict(wire) {
        Some(Verdict::Taken) => assert_eq!(told, None),
        Some(Verdict::InvalidName) => assert!(told.is_some() || has_hidden(wire)),
        Some(Verdict::Refused) | None => {}
    }
    if told.is_some() {
        assert_ne!(verdict(&hidden), Some(Verdict::InvalidName));
    }
});

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Taken,
    InvalidName,
    Refused,
}

/// What rustls says; `None` if it wants more.
fn verdict(mut bytes: &[u8]) -> Option<Verdict> {
    let mut acceptor = Acceptor::default();
    loop {
        let Ok(read) = acceptor.read_tls(&mut bytes) else { return Some(Verdict::Refused) };
        match acceptor.accept() {
            Ok(Some(_)) => return Some(Verdict::Taken),
            Ok(None) if read == 0 => return None,
            Ok(None) => {}
            Err((error, _)) => {
                let why = PeerMisbehaved::ServerNameMustContainOneHostName;
                let is_name = error == Error::PeerMisbehaved(why);
                return Some(if is_name { Verdict::InvalidName } else { Verdict::Refused });
            }
        }
    }
}

/// Whether there may be an extension of the type by which names are hidden, or the hello is too long.
fn has_hidden(wire: &[u8]) -> bool {
    wire.len() > MOST_HELLO || wire.windows(2).any(|two| two == [0xff, 0x4e])
}
