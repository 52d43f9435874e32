//! Header blocks (RFC 7541): fields as literals to send, and whatever the proxy sends decoded.

use std::collections::VecDeque;

use super::huffman;

/// What the reader of a connection remembers of its blocks (section 2.3.2).
pub struct Decoder {
    table: VecDeque<(String, String)>,
    size: usize,
    /// The most that `size` may be.
    limit: usize,
}

/// An integer behind a prefix of so many bits (section 5.1); `first` holds the bits before it.
pub fn integer(first: u8, prefix: u8, value: usize) -> Vec<u8> {
    let most = (1_usize << prefix) - 1;
    let low = |value: usize| u8::try_from(value).expect("fits into its bits");
    if value < most {
        return vec![first | low(value)];
    }
    let (mut bytes, mut rest) = (vec![first | low(most)], value - most);
    while rest >= 128 {
        bytes.push(low(rest % 128) | 128);
        rest /= 128;
    }
    bytes.push(low(rest));
    bytes
}

/// A field, its name included, that is not to be remembered (section 6.2.2).
pub fn literal(name: &[u8], value: &[u8]) -> Vec<u8> {
    let text = |text: &[u8]| [&integer(0, 7, text.len())[..], text].concat();
    [&[0][..], &text(name), &text(value)].concat()
}

impl Decoder {
    pub fn new() -> Self {
        Self { table: VecDeque::new(), size: 4096, limit: 4096 }
    }

    /// Allows a table of so many bytes: the next block says that it keeps to fewer than before.
    pub fn limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// The fields of a block.
    ///
    /// # Panics
    /// If the block breaks a rule.
    pub fn decode(&mut self, mut block: &[u8]) -> Vec<(String, String)> {
        let mut fields = Vec::new();
        let shrinks = block.first().is_some_and(|first| first & 0xe0 == 0x20);
        assert!(shrinks || self.size <= self.limit, "a table of {} bytes", self.size);
        while let Some(&first) = block.first() {
            match first {
                0x80.. => fields.push(self.indexed(read_integer(&mut block, 7))),
                0x40.. => {
                    let field = self.literal(&mut block, 6);
                    self.remember(field.clone());
                    fields.push(field);
                }
                0x20.. => {
                    assert!(fields.is_empty(), "a size update follows a field");
                    self.size = read_integer(&mut block, 5);
                    assert!(self.size <= self.limit, "a size of {} was never allowed", self.size);
                    self.evict();
                }
                _ => fields.push(self.literal(&mut block, 4)),
            }
        }
        fields
    }

    fn indexed(&self, index: usize) -> (String, String) {
        let known = index.checked_sub(1).expect("index 0 is no field");
        if let Some((name, value)) = STATIC.get(known) {
            return ((*name).to_owned(), (*value).to_owned());
        }
        self.table.get(known - STATIC.len()).expect("the index is in the table").clone()
    }

    fn literal(&self, block: &mut &[u8], prefix: u8) -> (String, String) {
        let name = match read_integer(block, prefix) {
            0 => read_text(block),
            index => self.indexed(index).0,
        };
        (name, read_text(block))
    }

    fn remember(&mut self, field: (String, String)) {
        self.table.push_front(field);
        self.evict();
    }

    fn evict(&mut self) {
        let size = |(name, value): &(String, String)| name.len() + value.len() + 32;
        while self.table.iter().map(size).sum::<usize>() > self.size {
            self.table.pop_back();
        }
    }
}

fn read_integer(block: &mut &[u8], prefix: u8) -> usize {
    let mut next = || {
        let (first, rest) = block.split_first().expect("the integer ends in its block");
        *block = rest;
        usize::from(*first)
    };
    let most = (1 << prefix) - 1;
    let mut value = next() & most;
    if value < most {
        return value;
    }
    for shift in (0..28).step_by(7) {
        let byte = next();
        value += (byte & 127) << shift;
        if byte < 128 {
            return value;
        }
    }
    panic!("an integer is too large");
}

/// A string (section 5.2); bytes beyond ASCII as the characters of Latin-1.
fn read_text(block: &mut &[u8]) -> String {
    let is_coded = block.first().is_some_and(|first| first & 128 != 0);
    let length = read_integer(block, 7);
    let (text, rest) = block.split_at_checked(length).expect("the string ends in its block");
    *block = rest;
    let decoded = if is_coded { huffman::decode(text) } else { Some(text.to_vec()) };
    decoded.expect("is a Huffman code").into_iter().map(char::from).collect()
}

/// Appendix A.
#[rustfmt::skip]
const STATIC: [(&str, &str); 61] = [
    (":authority", ""), (":method", "GET"), (":method", "POST"), (":path", "/"),
    (":path", "/index.html"), (":scheme", "http"), (":scheme", "https"), (":status", "200"),
    (":status", "204"), (":status", "206"), (":status", "304"), (":status", "400"),
    (":status", "404"), (":status", "500"), ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"), ("accept-language", ""), ("accept-ranges", ""),
    ("accept", ""), ("access-control-allow-origin", ""), ("age", ""), ("allow", ""),
    ("authorization", ""), ("cache-control", ""), ("content-disposition", ""),
    ("content-encoding", ""), ("content-language", ""), ("content-length", ""),
    ("content-location", ""), ("content-range", ""), ("content-type", ""), ("cookie", ""),
    ("date", ""), ("etag", ""), ("expect", ""), ("expires", ""), ("from", ""), ("host", ""),
    ("if-match", ""), ("if-modified-since", ""), ("if-none-match", ""), ("if-range", ""),
    ("if-unmodified-since", ""), ("last-modified", ""), ("link", ""), ("location", ""),
    ("max-forwards", ""), ("proxy-authenticate", ""), ("proxy-authorization", ""), ("range", ""),
    ("referer", ""), ("refresh", ""), ("retry-after", ""), ("server", ""), ("set-cookie", ""),
    ("strict-transport-security", ""), ("transfer-encoding", ""), ("user-agent", ""),
    ("vary", ""), ("via", ""), ("www-authenticate", ""),
];

/// The examples of Appendix C.6.
#[test]
fn the_examples_of_the_rfc_are_decoded() {
    let bytes = |hex: &str| -> Vec<u8> {
        let digits = hex.as_bytes().chunks(2).map(|two| std::str::from_utf8(two).expect("ASCII"));
        digits.map(|two| u8::from_str_radix(two, 16).expect("is a byte")).collect()
    };
    let mut decoder = Decoder::new();
    decoder.size = 256;
    let first = "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff\
                 6e919d29ad171863c78f0b97c8e9ae82ae43d3";
    let third = "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd\
                 7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007";
    let date = |seconds| ("date".to_owned(), format!("Mon, 21 Oct 2013 20:13:{seconds} GMT"));
    let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let (location, private) =
        (field("location", "https://www.example.com"), field("cache-control", "private"));
    let common = [private.clone(), date(21), location.clone()];
    assert_eq!(decoder.decode(&bytes(first)), [&[field(":status", "302")], &common[..]].concat());
    let second = decoder.decode(&bytes("4883640effc1c0bf"));
    assert_eq!(second, [&[field(":status", "307")], &common[..]].concat());
    let cookie = "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";
    let last = [
        field(":status", "200"),
        private,
        date(22),
        location,
        field("content-encoding", "gzip"),
        field("set-cookie", cookie),
    ];
    assert_eq!(decoder.decode(&bytes(third)), last);
    assert_eq!(decoder.table.len(), 3);
}

/// The examples of Appendix C.1, and one of C.4.1.
#[test]
fn the_examples_of_the_rfc_are_encoded() {
    assert_eq!(integer(0, 5, 10), [0b01010]);
    assert_eq!(integer(0, 5, 1337), [0b11111, 0b1001_1010, 0b1010]);
    assert_eq!(integer(0, 8, 42), [42]);
    let coded = [0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff];
    assert_eq!(huffman::encode(b"www.example.com"), coded);
    assert_eq!(huffman::decode(&coded).as_deref(), Some(&b"www.example.com"[..]));
}
