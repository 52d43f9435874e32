//! The cookie of a sticky service: which endpoint a client was sent to, signed, so that nobody can
//! choose an endpoint or learn by trying which there are. HMAC-SHA-256 (RFC 2104), cut to 128 bits
//! (section 5), over `name=id`: a value holds for its cookie alone. It does not expire and says
//! nothing about who holds it. The id is a hash of the endpoint's URL, not a secret: who guesses the
//! URL can see that it is right.
//!
//! A check costs two blocks of SHA-256, and a request makes `MOST_CHECKS` at most.

use actix_http::header::HeaderValue;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::config::{CookieAttributes, SameSite};

/// Hexadecimal digits of an endpoint's id and of a tag.
const ID_DIGITS: usize = 16;
const TAG_DIGITS: usize = 2 * TAG_BYTES;
const TAG_BYTES: usize = 16;
/// Of the cookies with our name in a request, so many that look like ours are checked: a client
/// has one for each path and domain that set it, and needs no more.
const MOST_CHECKS: usize = 8;

/// Signs and verifies the cookies of one name. Has no `Debug`: it holds the secret.
pub struct StickyCookie {
    name: String,
    /// Holds the secret and `name=`.
    signer: Hmac<Sha256>,
    /// Behind the value.
    attributes: String,
    is_always_secure: bool,
}

impl StickyCookie {
    /// `name` is a token (RFC 6265 section 4.1.1).
    pub fn new(name: &str, secret: &[u8]) -> Self {
        let mut signer =
            Hmac::new_from_slice(secret).expect("HMAC takes keys of any length (RFC 2104)");
        signer.update(name.as_bytes());
        signer.update(b"=");
        let cookie = Self {
            name: name.to_owned(),
            signer,
            attributes: String::new(),
            is_always_secure: false,
        };
        cookie.with(&CookieAttributes::default())
    }

    /// What browsers are told of it.
    pub fn with(self, told: &CookieAttributes) -> Self {
        let mut attributes = format!("; Path={}", told.path);
        if let Some(domain) = &told.domain {
            attributes += &format!("; Domain={domain}");
        }
        if let Some(age) = told.max_age {
            attributes += &format!("; Max-Age={}", age.as_secs());
        }
        attributes += "; HttpOnly; SameSite=";
        attributes += told.same_site.word();
        // Browsers take no other.
        Self { attributes, is_always_secure: told.same_site == SameSite::None, ..self }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The endpoint id of the first valid cookie of this name in the values of `Cookie` fields
    /// (RFC 6265 section 5.4; several fields as in RFC 9113 section 8.2.3).
    pub fn find<'a>(&self, fields: impl IntoIterator<Item = &'a [u8]>) -> Option<u64> {
        fields
            .into_iter()
            .flat_map(|field| field.split(|byte| *byte == b';'))
            .filter_map(|pair| self.parse(pair.trim_ascii()))
            .take(MOST_CHECKS)
            .find_map(|given| self.verify(&given))
    }

    /// The value of the `Set-Cookie` field that keeps a client with an endpoint. Allocates: it is
    /// sent once to a client, not with every answer.
    pub fn set_cookie(&self, id: u64, is_secure: bool) -> HeaderValue {
        let digits = format!("{id:016x}");
        let tag = self.signed(digits.as_bytes()).finalize().into_bytes();
        let mut text = format!("{}={digits}.", self.name);
        for byte in &tag[..TAG_BYTES] {
            text.extend([byte >> 4, byte & 15].map(|digit| char::from(HEX[usize::from(digit)])));
        }
        text += &self.attributes;
        text += if is_secure || self.is_always_secure { "; Secure" } else { "" };
        HeaderValue::try_from(text).expect("a token, digits and attributes are visible ASCII")
    }

    /// Takes apart what has our name and form.
    fn parse<'a>(&self, pair: &'a [u8]) -> Option<Given<'a>> {
        let value = pair.strip_prefix(self.name.as_bytes())?.strip_prefix(b"=")?;
        let (digits, rest) = value.split_at_checked(ID_DIGITS)?;
        let tag_digits = rest.strip_prefix(b".").filter(|tag| tag.len() == TAG_DIGITS)?;
        let mut tag = [0; TAG_BYTES];
        for (byte, two) in tag.iter_mut().zip(tag_digits.chunks_exact(2)) {
            *byte = digit(two[0])? << 4 | digit(two[1])?;
        }
        let mut id = 0;
        for byte in digits {
            id = id << 4 | u64::from(digit(*byte)?);
        }
        Some(Given { digits, id, tag })
    }

    /// Compares in constant time.
    fn verify(&self, given: &Given<'_>) -> Option<u64> {
        let verified = self.signed(given.digits).verify_truncated_left(&given.tag);
        verified.ok().map(|()| given.id)
    }

    fn signed(&self, digits: &[u8]) -> Hmac<Sha256> {
        self.signer.clone().chain_update(digits)
    }
}

/// A value in the right form, not yet believed.
struct Given<'a> {
    digits: &'a [u8],
    id: u64,
    tag: [u8; TAG_BYTES],
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// One spelling only: that of `HEX`.
fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECRET: &[u8] = b"0123456789abcdef";
    const ID: u64 = 0x00f3_0000_0000_abcd;

    fn cookie() -> StickyCookie {
        StickyCookie::new("lb", SECRET)
    }

    /// `lb=…` as a client sends it back.
    fn pair(cookie: &StickyCookie, id: u64) -> String {
        let set = cookie.set_cookie(id, false);
        let text = set.to_str().expect("is text");
        text.split(';').next().expect("has a pair").to_owned()
    }

    fn find(fields: &[&str]) -> Option<u64> {
        cookie().find(fields.iter().map(|field| field.as_bytes()))
    }

    /// The tag is what Python says:
    /// `hmac.new(b"0123456789abcdef", b"lb=00f300000000abcd", "sha256").hexdigest()[:32]`.
    #[test]
    fn the_field_is_written_as_documented() {
        let plain =
            "lb=00f300000000abcd.237b6c1e00a928680b92571e0d2bc212; Path=/; HttpOnly; SameSite=Lax";
        assert_eq!(cookie().set_cookie(ID, false), plain);
        assert_eq!(cookie().set_cookie(ID, true), format!("{plain}; Secure"));
    }

    #[test]
    fn our_own_cookie_is_found_among_others() {
        let ours = pair(&cookie(), ID);
        for fields in [
            &[&ours[..]][..],
            &[&format!("a=b; {ours}; c=d")],
            &[&format!("a=b;{ours};c=d")],
            &[&format!(" \t{ours} ")],
            &["a=b", "", ";;=;", &ours],
            &[&format!("xlb=1; LB=2; lb; lb=; lbx=3; lb=other; {ours}")],
        ] {
            assert_eq!(find(fields), Some(ID), "{fields:?}");
        }
    }

    #[test]
    fn the_first_valid_cookie_wins() {
        let (ours, other) = (pair(&cookie(), ID), pair(&cookie(), 7));
        let forged = ours.replace("abcd.", "abce.");
        assert_eq!(find(&[&format!("{forged}; {ours}; {other}")]), Some(ID));
        assert_eq!(find(&[&format!("{other}; {ours}")]), Some(7));
        assert_eq!(find(&[&forged, &other, &ours]), Some(7));
    }

    #[test]
    fn no_more_than_eight_forgeries_are_checked() {
        let ours = pair(&cookie(), ID);
        let forged = ours.replace("abcd.", "abce.");
        let after = |count| format!("{}{ours}", format!("{forged}; lb=x; ").repeat(count));
        assert_eq!(find(&[&after(7)]), Some(ID));
        assert_eq!(find(&[&after(8)]), None);
    }

    #[test]
    fn what_we_did_not_sign_is_nobody_s() {
        let ours = pair(&cookie(), ID);
        let of = |name: &str, secret: &[u8]| pair(&StickyCookie::new(name, secret), ID);
        for wrong in [
            "",
            "a=b",
            "lb=00f300000000abcd",
            "lb=00f300000000abcd.",
            &ours.to_uppercase().replace("LB", "lb"),
            &format!("{}.{}", &ours[..19], ours[20..].to_uppercase()),
            &format!("{}\"", ours.replace('=', "=\"")),
            &format!("{ours}0"),
            &ours[..ours.len() - 1],
            &of("lb", b"fedcba9876543210"),
            &of("other", SECRET),
            &of("other", SECRET).replace("other", "lb"),
            &of("l", SECRET).replace("l=", "lb="),
        ] {
            assert_eq!(find(&[wrong]), None, "{wrong}");
        }
    }

    #[test]
    fn a_value_with_any_one_character_changed_is_refused() {
        let ours = pair(&cookie(), ID);
        for at in "lb=".len()..ours.len() {
            let mut changed = ours.clone().into_bytes();
            changed[at] = if changed[at] == b'0' { b'1' } else { b'0' };
            let changed = String::from_utf8(changed).expect("is ASCII");
            assert_eq!(find(&[&changed]), None, "{changed}");
        }
    }

    proptest! {
        #[test]
        fn foreign_bytes_are_never_ours_nor_hide_ours(bytes: Vec<u8>, id: u64) {
            let cookie = cookie();
            prop_assert_eq!(cookie.find([&bytes[..]]), None);
            let ours = pair(&cookie, id);
            prop_assert_eq!(cookie.find([&bytes[..], ours.as_bytes()]), Some(id));
            let one = [&bytes[..], b";", ours.as_bytes(), b";", &bytes].concat();
            prop_assert_eq!(cookie.find([&one[..]]), Some(id));
        }
    }
}
