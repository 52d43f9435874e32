//! Random JSON objects from a seed: books and near-books with everything Python may meet.
//!
//! Made to hit the rules where printers differ: escapes, surrogates, floats, big integers,
//! repeated keys, blanks. [`Source::damaged`] breaks a document at one place.

/// Shapes of numbers that are printed in different ways.
const NUMBERS: [&str; 16] = [
    "0",
    "-0",
    "-0.0",
    "0e0",
    "1E5",
    "1e16",
    "1e-5",
    "0.0001",
    "1e400",
    "-1e400",
    "5e-324",
    "1e22",
    "1e23",
    "NaN",
    "Infinity",
    "-Infinity",
];
/// Few, so that they repeat; some are the same key written in another way.
const KEYS: [&str; 10] =
    ["name", "author", "\\u006eame", "auth\\u006fr", "", "é", "\\u00E9", "a", "\\ud800", "\\\""];
const BLANKS: [&str; 6] = ["", "", "", " ", "\n\t", " \r\n "];
const DAMAGE: &[u8] = b"{}[],:\"\\0159eE.+-unNI/ \n\x1f";

/// A splitmix64 generator: <https://prng.di.unimi.it/splitmix64.c>.
pub struct Source(pub u64);

impl Source {
    /// A JSON object, most of the time with the keys of a book.
    pub fn object(&mut self) -> String {
        let mut members = Vec::new();
        for key in ["name", "author"] {
            if self.below(10) > 0 {
                members.push(format!("\"{key}\":{}", self.value(0)));
            }
        }
        for _ in 0..self.below(6) {
            members.push(self.member(0));
        }
        self.shuffle(&mut members);
        let blank = self.blank();
        format!("{blank}{{{}}}{}", members.join(","), self.blank())
    }

    /// `json` with one character removed, repeated, replaced or put in between.
    pub fn damaged(&mut self, json: &str) -> String {
        let mut characters: Vec<char> = json.chars().collect();
        let place = self.below(characters.len());
        let other = char::from(*self.pick(DAMAGE));
        match self.below(4) {
            0 => drop(characters.remove(place)),
            1 => characters.insert(place, characters[place]),
            2 => characters[place] = other,
            _ => characters.insert(place, other),
        }
        characters.into_iter().collect()
    }

    fn member(&mut self, depth: usize) -> String {
        let key = self.pick(&KEYS).to_string();
        let (before, after) = (self.blank(), self.blank());
        format!("{before}\"{key}\"{after}:{}", self.value(depth))
    }

    fn value(&mut self, depth: usize) -> String {
        let kinds = if depth < 4 { 8 } else { 6 };
        let text = match self.below(kinds) {
            0 => self.pick(&["true", "false", "null"]).to_string(),
            1 => self.pick(&NUMBERS).to_string(),
            2 => self.integer(),
            3 => self.float(),
            4 | 5 => self.string(),
            6 => self.several(|source| source.value(depth + 1), "[", "]"),
            _ => self.several(|source| source.member(depth + 1), "{", "}"),
        };
        format!("{}{text}{}", self.blank(), self.blank())
    }

    fn several(&mut self, one: impl Fn(&mut Self) -> String, open: &str, close: &str) -> String {
        let parts: Vec<String> = (0..self.below(5)).map(|_| one(self)).collect();
        format!("{open}{}{}{close}", self.blank(), parts.join(","))
    }

    fn integer(&mut self) -> String {
        let sign = self.pick(&["", "-"]).to_string();
        let first = 1 + self.below(9);
        let digits = (0..self.below(60)).map(|_| char::from(b'0' + self.below(10) as u8));
        let digits: String = digits.collect();
        format!("{sign}{first}{digits}")
    }

    /// Half of them any bit pattern, half of them digits and an exponent as people write them.
    fn float(&mut self) -> String {
        let bits = f64::from_bits(self.next());
        if bits.is_finite() && self.below(2) == 0 {
            return format!("{bits:e}");
        }
        let exponent = self.below(50);
        let form = *self.pick(&["e", "E", "e+", "e-", "E-"]);
        let fraction = self.next() >> self.below(64);
        format!("{}.{fraction}{form}{exponent}", self.integer())
    }

    fn string(&mut self) -> String {
        let characters: String = (0..self.below(12)).map(|_| self.character()).collect();
        format!("\"{characters}\"")
    }

    fn character(&mut self) -> String {
        match self.below(8) {
            0 => format!("\\u{:04x}", self.below(0x1_0000)),
            1 => format!("\\u{:04X}", 0xd800 + self.below(0x800)),
            2 => format!("\\{}", self.pick(&["\"", "\\", "/", "b", "f", "n", "r", "t"])),
            3 => self.unescaped(0x7f, 0x400),
            4 => self.unescaped(0x7f, 0x11_0000),
            _ => self.unescaped(0x20, 0x7f),
        }
    }

    /// A character as it is; nothing where it would need an escape or is none.
    fn unescaped(&mut self, from: usize, below: usize) -> String {
        let code = from + self.below(below - from);
        let character = char::from_u32(code as u32).filter(|c| !matches!(c, '"' | '\\'));
        character.map_or_else(String::new, String::from)
    }

    fn blank(&mut self) -> &'static str {
        BLANKS[self.below(BLANKS.len())]
    }

    fn shuffle(&mut self, items: &mut [String]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }

    fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
