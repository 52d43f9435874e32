//! The Huffman code of header compression (RFC 7541 appendix B). It is canonical: codes of one length
//! follow one another as their symbols do, so the lengths are all there is to know.

/// Bits of each symbol's code, by symbol. The end of the string, 30 ones, is no symbol.
const LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5,
    5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6,
    6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22,
    23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22,
    21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20,
    22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19,
    21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22,
    22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];
const SHORTEST: usize = 5;
const LONGEST: usize = 30;

/// By the length of a code.
struct Codes {
    /// The first code, and the one behind the last, from the highest bit of a word.
    first: [u32; LONGEST + 1],
    end: [u32; LONGEST + 1],
    /// Where the symbols begin.
    at: [usize; LONGEST + 1],
    symbols: [u8; 256],
}

static CODES: Codes = Codes::new();

impl Codes {
    const fn new() -> Self {
        let none = [0; LONGEST + 1];
        let mut codes = Self { first: none, end: none, at: [0; LONGEST + 1], symbols: [0; 256] };
        let (mut code, mut known, mut length) = (0_u32, 0, 1);
        while length <= LONGEST {
            codes.first[length] = code << (32 - length);
            codes.at[length] = known;
            let mut symbol = 0;
            while symbol < 256 {
                if LENGTHS[symbol] as usize == length {
                    codes.symbols[known] = symbol.to_le_bytes()[0];
                    known += 1;
                    code += 1;
                }
                symbol += 1;
            }
            codes.end[length] = code << (32 - length);
            code <<= 1;
            length += 1;
        }
        codes
    }
}

/// What the bytes stand for; `None` if they are no code, or padded with anything but up to 7 ones.
pub(super) fn decode(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(bytes.len() * 8 / SHORTEST);
    let mut bytes = bytes.iter();
    let (mut window, mut bits) = (0_u64, 0_usize);
    loop {
        while bits <= 56 {
            let Some(byte) = bytes.next() else { break };
            window |= u64::from(*byte) << (56 - bits);
            bits += 8;
        }
        let next = u32::try_from(window >> 32).unwrap_or(u32::MAX);
        let length = (SHORTEST..=LONGEST).find(|length| next < CODES.end[*length]);
        match length.filter(|length| *length <= bits) {
            Some(length) => {
                let nth = (next - CODES.first[length]) >> (32 - length);
                decoded.push(CODES.symbols[CODES.at[length] + nth as usize]);
                window <<= length;
                bits -= length;
            }
            None => {
                let is_padding = bits < 8 && window.leading_ones() as usize == bits;
                return is_padding.then_some(decoded);
            }
        }
    }
}

/// Whether there are so many ones (7 or 10) with a zero behind them, as codes begin that are longer than
/// those of common bytes. Without them, whatever the bytes stand for is common.
pub(super) fn has_ones<const ONES: u32>(bytes: &[u8]) -> bool {
    const { assert!(ONES == 7 || ONES == 10) };
    // Pieces overlap by more than what is looked for.
    (0..bytes.len()).step_by(6).any(|at| {
        let rest = &bytes[at..];
        let word = rest.first_chunk::<8>().copied().unwrap_or_else(|| {
            // Padding is ones, too.
            let mut word = [0xff; 8];
            word[..rest.len()].copy_from_slice(rest);
            word
        });
        let word = u64::from_be_bytes(word);
        let two = word & word << 1;
        let four = two & two << 2;
        let run = if ONES == 7 { four & two << 4 & word << 6 } else { four & four << 4 & two << 8 };
        run & !(word << ONES) & u64::MAX << ONES != 0
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The code of these bytes, padded.
    fn encode(bytes: &[u8]) -> Vec<u8> {
        let mut bits = String::new();
        for byte in bytes {
            let length = usize::from(LENGTHS[usize::from(*byte)]);
            let from = CODES.at[length];
            let nth = CODES.symbols[from..].iter().position(|symbol| symbol == byte);
            let nth = u32::try_from(nth.expect("is known")).expect("is small");
            let code = (CODES.first[length] >> (32 - length)) + nth;
            bits.push_str(&format!("{code:0length$b}"));
        }
        while !bits.len().is_multiple_of(8) {
            bits.push('1');
        }
        let byte = |eight: &[u8]| {
            let eight = std::str::from_utf8(eight).expect("is ASCII");
            u8::from_str_radix(eight, 2).expect("is binary")
        };
        bits.as_bytes().chunks(8).map(byte).collect()
    }

    #[test]
    fn the_examples_of_the_rfc_are_read() {
        let host = [0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff];
        assert_eq!(decode(&host).as_deref(), Some(&b"www.example.com"[..]));
        assert_eq!(encode(b"www.example.com"), host);
        assert_eq!(
            decode(&[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf]).as_deref(),
            Some(&b"no-cache"[..])
        );
    }

    #[test]
    fn what_is_no_code_is_found() {
        for wrong in [&[0xff; 4][..], &[0x1f, 0xff], &[0x18], &[0xff]] {
            assert_eq!(decode(wrong), None, "{wrong:x?}");
        }
    }

    proptest! {
        #[test]
        fn all_bytes_are_read_and_odd_ones_are_noticed(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let coded = encode(&bytes);
            let decoded = decode(&coded);
            prop_assert_eq!(decoded.as_deref(), Some(&bytes[..]));
            let is_control = |byte: &u8| matches!(byte, 0..=0x1f | 0x7f..);
            prop_assert!(has_ones::<10>(&coded) || !bytes.iter().any(is_control));
            let is_odd = |byte: &u8| matches!(byte, 0..=0x1f | 0x7f.. | b'"' | b'#' | b'<' | b'>' | b'`' | b'[' | b']' | b'^' | b'{'..=b'}' | b'\\');
            prop_assert!(has_ones::<7>(&coded) || !bytes.iter().any(is_odd));
        }

        #[test]
        fn common_bytes_cost_no_look(text in "[a-z0-9/._ -]{0,60}") {
            prop_assert!(!has_ones::<10>(&encode(text.as_bytes())));
        }
    }
}
