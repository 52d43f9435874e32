//! JSON numbers, read and printed as Python does.
//!
//! An integer keeps its digits, whatever its size. A float becomes the nearest `f64` and prints
//! as `repr`: Rust's `{:?}` and Python both give the shortest digits that read back the same,
//! and both turn to an exponent below 1e-4 and from 1e16 on. They differ in the form of the
//! exponent and in the choice between two candidates that are equally near.

use std::fmt::Write;

use super::Refused;

/// `sys.int_info.default_max_str_digits` of Python 3.11; the sign does not count.
pub const INTEGER_DIGITS_LIMIT: usize = 4300;

/// Prints the number that `json` starts with and returns what follows. Reads as far as Python
/// does: of `01` the zero, of `1.` the one, and what follows is then the caller's mistake.
pub fn print<'a>(json: &'a str, text: &mut String) -> Result<&'a str, Refused> {
    let bytes = json.as_bytes();
    let integer = integer_length(bytes);
    let fraction = integer + fraction_length(&bytes[integer..]);
    let end = fraction + exponent_length(&bytes[fraction..]);
    let (number, rest) = json.split_at(end);
    if end == integer {
        print_integer(number, text)?;
    } else {
        print_float(number.parse().map_err(|_| Refused)?, text);
    }
    Ok(rest)
}

fn print_integer(number: &str, text: &mut String) -> Result<(), Refused> {
    if number.trim_start_matches('-').len() > INTEGER_DIGITS_LIMIT {
        return Err(Refused);
    }
    // Python's integers have no negative zero.
    text.push_str(if number == "-0" { "0" } else { number });
    Ok(())
}

fn print_float(number: f64, text: &mut String) {
    if number.is_infinite() {
        text.push_str(if number > 0.0 { "Infinity" } else { "-Infinity" });
        return;
    }
    let digits = shortest_digits(number);
    match digits.split_once('e') {
        Some((digits, exponent)) => {
            let (sign, exponent) = match exponent.strip_prefix('-') {
                Some(exponent) => ('-', exponent),
                None => ('+', exponent),
            };
            write!(text, "{digits}e{sign}{exponent:0>2}").expect("a String takes all text");
        }
        None => text.push_str(&digits),
    }
}

/// The shortest digits that read back as `number`, and of two candidates equally near the one
/// that ends in an even digit. Rust takes the upper one there (131807770447138.13 for ….125),
/// but rounds to even when told how many decimals to print.
fn shortest_digits(number: f64) -> String {
    let shortest = format!("{number:?}");
    let (digits, exponent) = shortest.split_once('e').unwrap_or((&shortest, ""));
    let decimals = digits.split_once('.').map_or(0, |(_, d)| d.len());
    let rounded = if exponent.is_empty() {
        format!("{number:.decimals$}")
    } else {
        format!("{number:.decimals$e}")
    };
    // Next to a power of two the nearest number of that length may read back as another one.
    if rounded.parse() == Ok(number) { rounded } else { shortest }
}

fn integer_length(bytes: &[u8]) -> usize {
    let sign = usize::from(bytes.starts_with(b"-"));
    match bytes.get(sign) {
        Some(b'0') => sign + 1,
        _ => sign + digits_length(&bytes[sign..]),
    }
}

fn fraction_length(bytes: &[u8]) -> usize {
    match bytes {
        [b'.', digits @ ..] if digits_length(digits) > 0 => 1 + digits_length(digits),
        _ => 0,
    }
}

fn exponent_length(bytes: &[u8]) -> usize {
    let sign = match bytes {
        [b'e' | b'E', b'+' | b'-', ..] => 1,
        [b'e' | b'E', ..] => 0,
        _ => return 0,
    };
    match digits_length(&bytes[1 + sign..]) {
        0 => 0,
        digits => 1 + sign + digits,
    }
}

fn digits_length(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Right column: what CPython 3.11 prints for the left one.
    #[rustfmt::skip]
    const AS_PYTHON_PRINTS: &[(&str, &str)] = &[
        ("0", "0"),
        ("-0", "0"),
        ("7", "7"),
        ("-12", "-12"),
        ("18446744073709551616", "18446744073709551616"),
        ("-170141183460469231731687303715884105728", "-170141183460469231731687303715884105728"),
        ("0.0", "0.0"),
        ("-0.0", "-0.0"),
        ("-0e5", "-0.0"),
        ("1.0", "1.0"),
        ("1.10", "1.1"),
        ("1e0", "1.0"),
        ("1e5", "100000.0"),
        ("1E+5", "100000.0"),
        ("1.5e3", "1500.0"),
        ("0.1", "0.1"),
        ("0.0001", "0.0001"),
        ("0.00001", "1e-05"),
        ("1e-7", "1e-07"),
        ("1.25E-5", "1.25e-05"),
        ("123456.789e3", "123456789.0"),
        ("9999999999999998.0", "9999999999999998.0"),
        ("1e15", "1000000000000000.0"),
        ("1e16", "1e+16"),
        ("1e22", "1e+22"),
        ("1e23", "1e+23"),
        ("123456789012345680.0", "1.2345678901234568e+17"),
        ("1e100", "1e+100"),
        ("1.7976931348623157e308", "1.7976931348623157e+308"),
        ("1e400", "Infinity"),
        ("-1E400", "-Infinity"),
        ("1e-400", "0.0"),
        ("-1e-400", "-0.0"),
        ("5e-324", "5e-324"),
        ("2.2250738585072014e-308", "2.2250738585072014e-308"),
        ("9007199254740993.0", "9007199254740992.0"),
        ("0.30000000000000004", "0.30000000000000004"),
        ("4.35", "4.35"),
        ("131807770447138.125", "131807770447138.12"),
        ("740488405290520.25", "740488405290520.2"),
        ("-740488405290520.75", "-740488405290520.8"),
        ("0.000030517578125", "3.0517578125e-05"),
        ("5.684341886080802e-14", "5.684341886080802e-14"),
        ("9.5367431640625e-07", "9.5367431640625e-07"),
        ("8.41e21", "8.41e+21"),
        ("2e-44", "2e-44"),
        ("9.007199254740992e15", "9007199254740992.0"),
        ("4503599627370497.5", "4503599627370498.0"),
        ("2.2250738585072011e-308", "2.225073858507201e-308"),
        ("1.1754943508222875e-38", "1.1754943508222875e-38"),
        ("100000000000000000000000.0", "1e+23"),
    ];

    #[test]
    fn numbers_print_as_python_prints_them() {
        for (json, expected) in AS_PYTHON_PRINTS {
            let mut text = String::new();
            let rest = print(json, &mut text);
            assert_eq!((rest, text.as_str()), (Ok(""), *expected), "{json}");
        }
    }

    #[test]
    fn number_ends_where_python_ends_it() {
        for (json, left) in [
            ("01", "1"),
            ("-00", "0"),
            ("1.", "."),
            ("1.e5", ".e5"),
            ("1e+", "e+"),
            ("1.5e", "e"),
            ("1_0", "_0"),
            ("0x1", "x1"),
        ] {
            assert_eq!(print(json, &mut String::new()), Ok(left), "{json}");
        }
    }

    #[test]
    fn integer_of_4300_digits_is_kept_and_a_longer_one_refused() {
        for sign in ["", "-"] {
            let longest = format!("{sign}{}", "7".repeat(INTEGER_DIGITS_LIMIT));
            let mut text = String::new();
            assert_eq!(print(&longest, &mut text), Ok(""));
            assert_eq!(text, longest);
            assert_eq!(print(&format!("{longest}7"), &mut text), Err(Refused));
        }
    }

    #[test]
    fn float_may_have_any_number_of_digits() {
        let mut text = String::new();
        let json = format!("0.{}1", "0".repeat(2 * INTEGER_DIGITS_LIMIT));
        assert_eq!(print(&json, &mut text), Ok(""));
        assert_eq!(text, "0.0");
    }
}
