//! Elements of `Forwarded`.

use proptest::prelude::*;

use super::*;

fn headers(fields: &[&[u8]]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for field in fields {
        headers.append(FORWARDED, HeaderValue::from_bytes(field).expect("is a value"));
    }
    headers
}

/// The clients that a field names, the last one first; "?" for one without address.
fn clients(fields: &[&str]) -> Vec<String> {
    let fields: Vec<&[u8]> = fields.iter().map(|field| field.as_bytes()).collect();
    let headers = headers(&fields);
    let text = |element: Element<'_>| {
        element.client.map_or_else(|| "?".to_owned(), |client| client.to_string())
    };
    elements(&headers).map(text).collect()
}

#[test]
fn every_form_of_an_address_is_read_from_the_right() {
    for (fields, expected) in [
        (&["for=192.0.2.1"][..], &["192.0.2.1"][..]),
        (&["For=192.0.2.1;by=_x;proto=http;host=a.test"], &["192.0.2.1"]),
        (&["for=192.0.2.1, for=\"[2001:db8::1]\""], &["2001:db8::1", "192.0.2.1"]),
        (&["for=192.0.2.1", "for=192.0.2.2"], &["192.0.2.2", "192.0.2.1"]),
        (&["for=\"192.0.2.1:80\",for=\"[::1]:_x\""], &["::1", "192.0.2.1"]),
        (&["for=\"[::ffff:192.0.2.1]\""], &["192.0.2.1"]),
        (&["for=\"192.\\0.2.1\""], &["192.0.2.1"]),
        (&["for=unknown, for=_hidden, for=\"_x:1\", proto=http"], &["?", "?", "?", "?"]),
        (&[";for=192.0.2.1;;"], &["192.0.2.1"]),
        (&[" , for=192.0.2.1 ,, "], &["192.0.2.1"]),
        (&["for=192.0.2.1;ext=\"a, for=6.6.6.6\""], &["192.0.2.1"]),
        (&["for=192.0.2.1;ext=\"\\\", for=6.6.6.6\""], &["192.0.2.1"]),
    ] {
        assert_eq!(clients(fields), expected, "{fields:?}");
    }
}

#[test]
fn what_is_malformed_ends_it() {
    for wrong in [
        "for",
        "for=",
        "for=\"\"",
        "for=192.0.2.1:80",
        "for=[::1]",
        "for=\"::1\"",
        "for=\"[::1\"",
        "for=\"[::1]x\"",
        "for=\"[192.0.2.1]\"",
        "for=\"192.0.2.1:\"",
        "for=\"192.0.2.1:123456\"",
        "for=192.0.2.256",
        "for=192.0.2.1;x",
        "for=192.0.2.1; proto=http",
        "for =192.0.2.1",
        "for=192.0.2.1;for=192.0.2.2",
        "for=192.0.2.1;FOR=192.0.2.1",
        "for=_",
        "for=a.test",
        "192.0.2.1",
        "for=\"192.0.2.1",
        "for=192.0.2.1\"",
        "for=\"192.0.2.1\\\"",
        "for='192.0.2.1'",
    ] {
        assert_eq!(clients(&[wrong]), Vec::<String>::new(), "{wrong}");
        // Nor does it hide what stands to the right of it.
        let with_more = format!("for=6.6.6.6, {wrong}, for=9.9.9.9;host=a.test");
        assert_eq!(clients(&[&with_more])[0], "9.9.9.9", "{wrong}");
        assert_eq!(clients(&[wrong, "for=9.9.9.9"]), ["9.9.9.9"], "{wrong}");
    }
}

#[test]
fn more_elements_than_the_bound_are_not_looked_at() {
    let field = vec!["for=192.0.2.1"; MOST_ELEMENTS + 1].join(",");
    assert_eq!(clients(&[&field]).len(), MOST_ELEMENTS);
}

#[test]
fn host_and_protocol_are_taken_only_if_they_can_be() {
    let headers = headers(&[b"host=\"a.test/x\";proto=gopher", b"host=\"[::1]:80\";proto=HTTPS"]);
    let read: Vec<_> = elements(&headers).map(|one| (one.host, one.proto)).collect();
    let good: (Option<Cow<'_, [u8]>>, _) = (Some(b"[::1]:80"[..].into()), Some("https"));
    assert_eq!(read, [good, (None, None)]);
}

proptest! {
    #[test]
    fn nothing_makes_the_reader_panic_and_what_it_reads_stands_there(
        fields in prop::collection::vec("(for=|host=|[\"\\\\,;=a1:._ ]|\\[|\\]|::1|1\\.2\\.3\\.4){0,24}", 0..4),
    ) {
        let bytes: Vec<&[u8]> = fields.iter().map(|field| field.as_bytes()).collect();
        let headers = headers(&bytes);
        for element in elements(&headers) {
            let found = |field: &&[u8]| memchr::memmem::find(field, element.text).is_some();
            prop_assert!(bytes.iter().any(found));
            prop_assert!(parse(element.text).is_some());
        }
    }

    #[test]
    fn what_is_written_is_read_back_whatever_stands_before_it(
        v6 in any::<bool>(),
        address in any::<u128>(),
        host in "([a-z]{1,8}(\\.[a-z]{1,8}){0,2}(:[1-9][0-9]{0,3})?|\\[::1\\])",
        is_https in any::<bool>(),
        before in "[\"\\\\,;=a-z0-9:. ]{0,24}",
    ) {
        let address = if v6 {
            IpAddr::V6(Ipv6Addr::from(address))
        } else {
            IpAddr::V4(Ipv4Addr::from(u32::try_from(address & 0xffff_ffff).expect("fits")))
        };
        let proto = if is_https { "https" } else { "http" };
        let mut out = BytesMut::from(before.as_bytes());
        out.put_slice(b", ");
        write(Some(address), host.as_bytes(), proto, &mut out);
        let headers = headers(&[&out]);
        let read = elements(&headers).next().expect("is well-formed");
        prop_assert_eq!(read.client, Some(address.to_canonical()));
        prop_assert_eq!(read.host.as_deref(), Some(host.as_bytes()));
        prop_assert_eq!(read.proto, Some(proto));
    }
}
