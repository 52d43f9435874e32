//! What h2 gets for fields that it cannot take.

use super::*;

/// A literal: its first byte with an index below its prefix, and texts of less than 127 bytes.
fn literal(first: u8, texts: &[&[u8]]) -> Vec<u8> {
    let text = |text: &&[u8]| [&[u8::try_from(text.len()).expect("is short")], *text].concat();
    [vec![first], texts.iter().flat_map(text).collect()].concat()
}

fn read(blocks: &mut FieldBlocks, block: &[u8]) -> Option<Vec<u8>> {
    blocks.read(block, Of::Head, false)
}

fn malformed(block: &[u8]) -> Option<Vec<u8>> {
    Some([block, &MALFORMED].concat())
}

#[test]
fn a_block_that_is_valid_stays_as_it_is() {
    let block = [
        &[0x20, 0x82, 0x86][..],
        &literal(0x44, &[b"/a?b=c&d=%20"]),
        &literal(0x40, &[b"x-a", b"b c\t\xff"]),
        &literal(0x40, &[b":method", b"PURGE"]),
        &literal(0, &[b"x", b""]),
        &[0xbe],
    ];
    assert_eq!(read(&mut FieldBlocks::default(), &block.concat()), None);
}

#[test]
fn a_wrong_field_becomes_a_harmless_one_of_its_size() {
    for (wrong, instead) in [
        (literal(0x40, &[b"x-a", b"b\nc"]), literal(0x40, &[b"x-a", b"xxx"])),
        (literal(0x10, &[b"x-A", b"bc"]), literal(0x10, &[b"x", b"xxxx"])),
        (literal(0x40, &[b"", b"b"]), literal(0x40, &[b"x", b""])),
        (literal(0, &[b"", b""]), literal(0x10, &[b"x", b""])),
        (literal(0, &[b"!path", b"/"]), literal(0x10, &[b"x", b"xxxxx"])),
        (literal(0x40, &[b":odd", b"b"]), literal(0x40, &[b"x", b"xxxx"])),
        (literal(0x42, &[b""]), literal(0x40, &[b"x", b"xxxxxx"])),
        (literal(0x42, &[b"G T"]), literal(0x42, &[b"xxx"])),
        (literal(0x48, &[b"abc"]), literal(0x40, &[b"x", b"xxxxxxxxx"])),
        (literal(0x41, &[b"\xff"]), literal(0x41, &[b"x"])),
        (literal(0x44, &[b"/\0"]), literal(0x44, &[b"xx"])),
    ] {
        let mut blocks = FieldBlocks::default();
        let given = [&[0x86][..], &wrong, &[0x84]].concat();
        let expected = malformed(&[&[0x86][..], &instead, &[0x84]].concat());
        assert_eq!(read(&mut blocks, &given), expected, "{wrong:?}");
        if wrong[0] & 0x40 != 0 {
            assert_eq!(read(&mut blocks, &[0xbe]), malformed(&[0xbe]), "{wrong:?}");
        }
    }
}

#[test]
fn a_wrong_name_that_is_remembered_stays_wrong_and_a_wrong_value_does_not() {
    let mut blocks = FieldBlocks::default();
    let both = [literal(0x40, &[b"x-a", b"\0"]), literal(0x40, &[b"X", b"b"])].concat();
    read(&mut blocks, &both);
    assert_eq!(read(&mut blocks, &literal(0x0f, &[])).as_deref(), Some(&[UNREADABLE][..]));
    assert_eq!(read(&mut blocks, &[&[0x0f, 48][..], &literal(1, &[])[..], b"c"].concat()), None);
    let wrong = [&[0x0f, 47, 1][..], b"c"].concat();
    assert_eq!(read(&mut blocks, &wrong), malformed(&literal(0x10, &[b"x", b"x"])));
}

#[test]
fn an_odd_path_goes_beside_another_of_its_size() {
    let mut blocks = FieldBlocks::default();
    let beside = literal(0x10, &[b"!path", b"/a#\"\xff"]);
    let shown = literal(0x44, &[b"/xxxx"]);
    let expected = |block: &[u8]| Some([block, &beside].concat());
    assert_eq!(read(&mut blocks, &literal(0x44, &[b"/a#\"\xff"])), expected(&shown));
    assert_eq!(read(&mut blocks, &[0x82, 0xbe]), expected(&[0x82, 0xbe]));
    assert_eq!(read(&mut blocks, &[0xbe, 0xbe]), malformed(&[0xbe, 0xbe]));
    assert_eq!(blocks.read(&[0xbe], Of::Trailers, false), None);
    assert_eq!(blocks.read(&[0xbe], Of::Past, false), None);
}

#[test]
fn what_cannot_be_read_gets_nothing_behind_it() {
    let wrong = literal(0, &[b"X", b"b"]);
    let shown = literal(0x10, &[b"x", b"x"]);
    for cut in [&[0, 1][..], &[0xff, 0x80], &[0x7f], &[0, 1, b'x', 5, b'a']] {
        let read = read(&mut FieldBlocks::default(), &[&wrong, cut].concat());
        assert_eq!(read, Some([&shown[..], &[UNREADABLE]].concat()), "{cut:?}");
    }
}
