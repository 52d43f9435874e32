//! The Huffman code of HPACK (RFC 7541 Appendix B). It is canonical: of two codes of one length
//! the greater symbol has the greater code, so that the lengths alone tell all of it.

use std::{collections::HashMap, iter, sync::LazyLock};

/// Bits of the code of each byte, and last of the end of the string.
#[rustfmt::skip]
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7,
    7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21,
    23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24,
    21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];

/// Stands for no byte: it must not occur in a string.
const END: usize = 256;

/// Symbols by length and code.
static SYMBOLS: LazyLock<HashMap<(u8, u32), usize>> = LazyLock::new(|| {
    codes().into_iter().enumerate().map(|(symbol, code)| (code, symbol)).collect()
});

/// The length and the code of each symbol.
fn codes() -> Vec<(u8, u32)> {
    let mut codes = vec![(0, 0); LENGTHS.len()];
    let mut next = 0;
    for length in 1..=30 {
        next <<= 1;
        for symbol in (0..LENGTHS.len()).filter(|symbol| LENGTHS[*symbol] == length) {
            codes[symbol] = (length, next);
            next += 1;
        }
    }
    codes
}

pub fn encode(bytes: &[u8]) -> Vec<u8> {
    let codes = codes();
    let bits = bytes.iter().flat_map(|byte| {
        let (length, code) = codes[usize::from(*byte)];
        (0..length).rev().map(move |bit| code >> bit & 1 == 1)
    });
    let mut bits: Vec<bool> = bits.collect();
    bits.extend(iter::repeat_n(true, (8 - bits.len() % 8) % 8));
    let byte = |bits: &[bool]| bits.iter().fold(0, |byte, bit| byte << 1 | u8::from(*bit));
    bits.chunks(8).map(byte).collect()
}

/// The string, unless it breaks a rule of section 5.2.
pub fn decode(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::new();
    let (mut length, mut code) = (0, 0);
    for bit in bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)) {
        (length, code) = (length + 1, code << 1 | u32::from(bit));
        let Some(symbol) = SYMBOLS.get(&(length, code)) else { continue };
        decoded.push(u8::try_from(*symbol).ok().filter(|_| *symbol != END)?);
        (length, code) = (0, 0);
    }
    let is_padding = length < 8 && code == (1 << length) - 1;
    is_padding.then_some(decoded)
}
