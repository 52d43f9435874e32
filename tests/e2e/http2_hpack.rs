//! Header compression (RFC 7541): blocks that break a rule end the connection, since both sides
//! would remember different fields from then on; blocks in all ways to write one are read.

use crate::support::http2::{Credit, Fields, Http2, World, frame, integer, literal};

/// RFC 9113 section 4.3; crate h2 says the general code.
const COMPRESSION: &[u32] = &[frame::COMPRESSION_ERROR, frame::PROTOCOL_ERROR];

/// `:method: GET`, `:scheme: http` and `:path: /` of the static table, and `:authority: a`.
const GET: &[u8] = &[0x82, 0x86, 0x84, 0x01, 1, b'a'];

impl World {
    /// Sends a block of these parts as a request on this connection.
    fn request(client: &mut Http2, parts: &[&[u8]]) -> u32 {
        let stream = client.next_stream();
        client.write(frame::headers(stream, &parts.concat(), true));
        stream
    }

    fn wrong_block(&self, name: &str, parts: &[&[u8]]) -> Option<String> {
        let mut client = self.client();
        Self::request(&mut client, parts);
        let code = client.ending().goaway.map(|(_, code)| code);
        let is_right = code.is_some_and(|code| COMPRESSION.contains(&code));
        (!is_right).then(|| format!("{name}: {code:?} is none of {COMPRESSION:?}"))
    }
}

/// A field whose value is coded as Huffman says, of these bytes.
fn coded(bytes: &[u8]) -> Vec<u8> {
    [&[0, 1, b'x'][..], &integer(0x80, 7, bytes.len()), bytes].concat()
}

#[test]
fn blocks_that_cannot_be_read_end_the_connection() {
    let world = World::start();
    let many = [0x80; 12];
    let rows: [(&str, &[&[u8]]); 22] = [
        ("6.1 index 0", &[GET, &[0x80]]),
        ("2.3.3 an index beyond an empty table", &[GET, &[0x80 | 62]]),
        ("2.3.3 an index far beyond", &[GET, &integer(0x80, 7, 100_000)]),
        ("2.3.3 a name beyond the table", &[GET, &integer(0x40, 6, 70), &[1, b'y']]),
        ("2.3.3 a name far beyond, not to be remembered", &[GET, &integer(0, 4, 7000), &[1, b'y']]),
        ("2.3.3 a name beyond, never to be indexed", &[GET, &integer(0x10, 4, 70), &[1, b'y']]),
        ("4.2 a size beyond the limit", &[&integer(0x20, 5, 4097), GET]),
        ("4.2 a size far beyond the limit", &[&integer(0x20, 5, 1 << 30), GET]),
        ("4.2 a size behind a field", &[GET, &[0x20]]),
        ("5.1 an index without end", &[GET, &[0xff], &many]),
        ("5.1 an index of more than 64 bits", &[GET, &[0xff], &[0xff; 10], &[0x7f]]),
        ("5.1 an index that is cut", &[GET, &[0xff, 0x80]]),
        ("5.1 a length without end", &[GET, &[0, 1, b'x', 0x7f], &many]),
        ("5.1 a length of more than 64 bits", &[GET, &[0, 1, b'x', 0x7f], &[0xff; 10], &[0x7f]]),
        ("5.2 a value that is cut", &[GET, &[0, 1, b'x', 10, b'y']]),
        ("5.2 a name that is cut", &[GET, &[0, 10, b'x']]),
        ("5.2 a field without a value", &[GET, &[0, 1, b'x']]),
        ("5.2 a field without a name", &[GET, &[0]]),
        ("5.2 the end of the string as a symbol", &[GET, &coded(&[0xff; 4])]),
        ("5.2 padding of more than 7 bits", &[GET, &coded(&[0x1f, 0xff])]),
        ("5.2 padding of zeros", &[GET, &coded(&[0x18])]),
        ("5.2 padding alone", &[GET, &coded(&[0xff])]),
    ];
    let wrong: Vec<String> =
        rows.iter().filter_map(|(name, parts)| world.wrong_block(name, parts)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let mut client = world.client();
    let stream = World::request(&mut client, &[GET]);
    assert_eq!(client.reply(stream).text(), "ok");
    assert_eq!(world.origin.heads().len(), 1);
}

/// Appendix C.4.1: a path of the static table, Huffman, and a field to be remembered.
#[test]
fn blocks_in_all_ways_to_write_one_are_read() {
    let world = World::start();
    let mut client = world.client();
    let host = [0x41, 0x8c, 0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff];
    let no_cache = [0x58, 0x86, 0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf];
    for parts in [
        &[&[0x82, 0x86, 0x84][..], &host][..],
        &[&[0x82, 0x86, 0x84, 0xbe][..], &no_cache],
        &[&[0x82, 0x86, 0x84, 0xbf, 0xbe]],
    ] {
        let stream = World::request(&mut client, parts);
        assert_eq!(client.reply(stream).text(), "ok", "{parts:?}");
        assert_eq!(world.origin.last_head().headers("host"), ["www.example.com"]);
    }
    assert_eq!(world.origin.last_head().headers("cache-control"), ["no-cache"]);
}

#[test]
fn a_table_that_shrinks_forgets_and_one_that_grows_again_remembers() {
    let world = World::start();
    let mut client = world.client();
    let remembered = [&[0x40][..], &[1, b'x', 1, b'1']].concat();
    let stream = World::request(&mut client, &[GET, &remembered, &[0xbe]]);
    assert_eq!(client.reply(stream).text(), "ok");
    assert_eq!(world.origin.last_head().headers("x"), ["1", "1"]);
    // To nothing, and back: two size updates at the start of one block (section 4.2).
    let stream = World::request(&mut client, &[&[0x20], &integer(0x20, 5, 4096), GET, &remembered]);
    assert_eq!(client.reply(stream).text(), "ok");
    let stream = World::request(&mut client, &[GET, &[0xbe]]);
    assert_eq!(client.reply(stream).text(), "ok");
    assert_eq!(world.origin.last_head().headers("x"), ["1"]);
    World::request(&mut client, &[&[0x20], GET, &[0xbe]]);
    assert!(client.ending().goaway.is_some(), "what was forgotten is no field");
}

/// An entry larger than the table empties it, which is no error (section 4.4).
#[test]
fn a_field_too_large_to_be_remembered_is_read() {
    let world = World::start();
    let mut client = world.client();
    let large = vec![b'v'; 5000];
    let field = [&[0x40, 1, b'x'][..], &integer(0, 7, large.len()), &large].concat();
    let stream = World::request(&mut client, &[GET, &field]);
    assert_eq!(client.reply(stream).text(), "ok");
    assert_eq!(world.origin.last_head().header("x").map(str::len), Some(5000));
    World::request(&mut client, &[GET, &[0xbe]]);
    assert!(client.ending().goaway.is_some(), "the table is empty");
}

/// Both sides must remember the same behind a request that was refused or given up.
#[test]
fn what_a_refused_request_taught_is_known() {
    let world = World::start();
    let mut client = world.client();
    let teach = |value: &[u8]| [&[0x40, 1, b'x', 1][..], value].concat();
    let malformed = literal(b"connection", b"close");
    let refused = World::request(&mut client, &[GET, &teach(b"1"), &malformed, &teach(b"2")]);
    client.reply(refused);
    let stream = client.next_stream();
    client.write(
        [frame::headers(stream, &[GET, &teach(b"3")].concat(), true), frame::reset(stream, 8)]
            .concat(),
    );
    let stream = World::request(&mut client, &[GET, &[0xbe, 0xbf, 0xc0]]);
    assert_eq!(client.reply(stream).text(), "ok");
    let heads = world.origin.heads();
    assert!(heads.iter().any(|head| head.headers("x") == ["3", "2", "1"]), "{heads:?}");
}

/// What must not be remembered by anybody on the way (section 6.2.3) is a field like others.
#[test]
fn a_secret_field_goes_on() {
    let world = World::start();
    let mut client = world.client();
    let secret = [&[0x1f, 0x08][..], &[6], b"Bearer"].concat();
    let stream = World::request(&mut client, &[GET, &secret]);
    assert_eq!(client.reply(stream).text(), "ok");
    assert_eq!(world.origin.last_head().headers("authorization"), ["Bearer"]);
}

/// The client allows no table: nothing of an answer may be remembered.
#[test]
fn a_client_without_a_table_can_read_the_answers() {
    let world = World::start();
    let settings = [(frame::HEADER_TABLE_SIZE, 0)];
    let mut client = Http2::with(world.proxy.address, &settings, Credit::Returned);
    for _ in 0..5 {
        let reply = client.ask(&Fields::get("/"));
        assert_eq!((reply.text().as_str(), reply.headers("x-request-id").len()), ("ok", 1));
    }
}
