//! The cookie that names an endpoint. Of any `Cookie` fields, those values alone are believed that
//! the proxy would write itself, and the first of them is taken.
//!
//! A value cannot be guessed: byte 1 of the input stands for one of ours, 2 for another, 3 for a
//! forgery, and byte 4 ends a field.

#![no_main]

use libfuzzer_sys::fuzz_target;
use proxy::balance::StickyCookie;

const NAME: &str = "lb";
/// Beyond so many that look like ours, none is read.
const MOST: usize = 8;

fuzz_target!(|input: &[u8]| {
    let cookie = StickyCookie::new(NAME, b"0123456789abcdef");
    let mut wire = Vec::new();
    for byte in input {
        match byte {
            1 => wire.extend_from_slice(pair(&cookie, 1).as_bytes()),
            2 => wire.extend_from_slice(pair(&cookie, u64::MAX).as_bytes()),
            3 => wire.extend_from_slice(pair(&cookie, 1).replace("1.", "2.").as_bytes()),
            other => wire.push(*other),
        }
    }
    let fields: Vec<&[u8]> = wire.split(|byte| *byte == 4).collect();
    assert_eq!(cookie.find(fields.iter().copied()), read_plainly(&cookie, &fields));
});

/// The cookie as a client sends it back.
fn pair(cookie: &StickyCookie, id: u64) -> String {
    let field = cookie.set_cookie(id, true);
    let field = field.to_str().expect("is text");
    let (pair, attributes) = field.split_once("; ").expect("has attributes");
    assert_eq!(attributes, "Path=/; HttpOnly; SameSite=Lax; Secure");
    pair.to_owned()
}

fn read_plainly(cookie: &StickyCookie, fields: &[&[u8]]) -> Option<u64> {
    let all = fields.join(&b';');
    let mut ids = Vec::new();
    for pair_read in all.split(|byte| *byte == b';') {
        let text = str::from_utf8(pair_read.trim_ascii()).unwrap_or_default();
        let Some((NAME, value)) = text.split_once('=') else { continue };
        let Some((id, tag)) = value.split_once('.') else { continue };
        let is_hex = |text: &str| text.bytes().all(|byte| b"0123456789abcdef".contains(&byte));
        if id.len() == 16 && tag.len() == 32 && is_hex(id) && is_hex(tag) {
            let id = u64::from_str_radix(id, 16).expect("is hexadecimal");
            ids.push((pair(cookie, id) == text).then_some(id));
        }
    }
    ids.into_iter().take(MOST).flatten().next()
}
