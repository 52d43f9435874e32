//! Who a client's certificate says it is.

use std::{
    fmt::Write,
    time::{SystemTime, UNIX_EPOCH},
};

use rustls::pki_types::CertificateDer;
use x509_parser::{
    asn1_rs::ToDer,
    prelude::{FromDer, X509Certificate},
    x509::AttributeTypeAndValue,
};

/// In bytes.
const LONGEST: usize = 256;
/// At the end of a subject that is longer.
const CUT: char = '…';

/// The subject of a client's certificate as RFC 4514 writes it, most specific part first, without
/// control characters; at most 256 bytes, and one that was cut ends in "…". `None` if it is empty.
pub fn subject(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let parts: Vec<_> = certificate.subject().iter_rdn().collect();
    let mut text = String::new();
    for part in parts.into_iter().rev() {
        for (index, attribute) in part.iter().enumerate() {
            match index {
                0 if text.is_empty() => {}
                0 => text.push(','),
                _ => text.push('+'),
            }
            write_attribute(attribute, &mut text);
        }
        if text.len() > LONGEST {
            break;
        }
    }
    (!text.is_empty()).then(|| bounded(text))
}

/// Whether the time of a certificate is over.
pub fn has_ended(certificate: &CertificateDer<'_>, now: SystemTime) -> bool {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return true };
    let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    certificate.validity().not_after.timestamp() < i64::try_from(now).unwrap_or(i64::MAX)
}

fn write_attribute(attribute: &AttributeTypeAndValue<'_>, text: &mut String) {
    let id = attribute.attr_type().to_id_string();
    match (short_name(&id), attribute.as_str()) {
        (Some(name), Ok(value)) => {
            text.push_str(name);
            text.push('=');
            write_value(value, text);
        }
        _ => {
            text.push_str(&id);
            text.push_str("=#");
            write_hex(&attribute.attr_value().to_der_vec().unwrap_or_default(), text);
        }
    }
}

/// RFC 4514 section 3, and what else stands in subjects.
fn short_name(id: &str) -> Option<&'static str> {
    Some(match id {
        "2.5.4.3" => "CN",
        "2.5.4.4" => "SN",
        "2.5.4.5" => "serialNumber",
        "2.5.4.6" => "C",
        "2.5.4.7" => "L",
        "2.5.4.8" => "ST",
        "2.5.4.9" => "STREET",
        "2.5.4.10" => "O",
        "2.5.4.11" => "OU",
        "2.5.4.12" => "title",
        "2.5.4.42" => "GN",
        "0.9.2342.19200300.100.1.1" => "UID",
        "0.9.2342.19200300.100.1.25" => "DC",
        "1.2.840.113549.1.9.1" => "emailAddress",
        _ => return None,
    })
}

/// RFC 4514 section 2.4; control characters too, so that a line of a log stays one.
fn write_value(value: &str, text: &mut String) {
    let last = value.chars().count().saturating_sub(1);
    for (index, character) in value.chars().enumerate() {
        let is_special = match character {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => true,
            '#' => index == 0,
            ' ' => index == 0 || index == last,
            _ => false,
        };
        if character.is_control() {
            for byte in character.encode_utf8(&mut [0; 4]).bytes() {
                let _ = write!(text, "\\{byte:02X}");
            }
        } else {
            if is_special {
                text.push('\\');
            }
            text.push(character);
        }
    }
}

fn write_hex(bytes: &[u8], text: &mut String) {
    for byte in bytes.iter().take(LONGEST) {
        let _ = write!(text, "{byte:02x}");
    }
}

fn bounded(mut text: String) -> String {
    if text.len() > LONGEST {
        text.truncate(text.floor_char_boundary(LONGEST - CUT.len_utf8()));
        text.push(CUT);
    }
    text
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    /// The subject of a certificate with these attributes, in the order of the certificate.
    fn of(attributes: Vec<(DnType, &str)>) -> Option<String> {
        let key = KeyPair::generate().expect("is generated");
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, value) in attributes {
            params.distinguished_name.push(kind, value);
        }
        subject(params.self_signed(&key).expect("is signed").der())
    }

    fn of_name(name: &str) -> Option<String> {
        of(vec![(DnType::CommonName, name)])
    }

    #[test]
    fn the_most_specific_part_comes_first() {
        let attributes = vec![
            (DnType::CountryName, "DE"),
            (DnType::OrganizationName, "Example, Inc."),
            (DnType::CommonName, "alice"),
        ];
        assert_eq!(of(attributes).as_deref(), Some("CN=alice,O=Example\\, Inc.,C=DE"));
    }

    #[test]
    fn special_characters_are_escaped_and_control_characters_shown_as_hex() {
        for (name, text) in [
            ("a+b=c", "CN=a\\+b=c"),
            ("\"<a>;\\", "CN=\\\"\\<a\\>\\;\\\\"),
            ("#1 #2", "CN=\\#1 #2"),
            (" a b ", "CN=\\ a b\\ "),
            ("a\nb\r\0\u{7f}\u{85}", "CN=a\\0Ab\\0D\\00\\7F\\C2\\85"),
            ("Jürgen", "CN=Jürgen"),
            ("a,CN=admin", "CN=a\\,CN=admin"),
        ] {
            assert_eq!(of_name(name).as_deref(), Some(text));
        }
    }

    #[test]
    fn an_unknown_attribute_is_shown_by_its_number_in_hex() {
        let attribute = DnType::CustomDnType(vec![1, 2, 3, 4]);
        assert_eq!(of(vec![(attribute, "ab")]).as_deref(), Some("1.2.3.4=#0c026162"));
    }

    #[test]
    fn a_long_subject_is_cut_and_shows_it() {
        assert_eq!(of_name(&"a".repeat(253)).map(|text| text.len()), Some(256));
        let cut = of_name(&"ä".repeat(200)).expect("has a subject");
        assert!(cut.len() <= 256 && cut.ends_with("ä…"), "{cut}");
        let many = vec![(DnType::OrganizationName, "b"); 1];
        assert_eq!(of(many).as_deref(), Some("O=b"));
    }

    #[test]
    fn an_empty_subject_is_none() {
        assert_eq!(of(Vec::new()), None);
        assert_eq!(subject(&CertificateDer::from(b"none".to_vec())), None);
    }
}
