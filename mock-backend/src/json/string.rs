//! JSON strings, read and printed as Python does with `ensure_ascii`.
//!
//! Escapes are handled one UTF-16 unit at a time, so a surrogate pair and a lone surrogate
//! need no case of their own: Python prints either unit by unit, too.

use super::Refused;

const HEX_DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Prints the string whose opening quote has been read, quotes included, and returns what
/// follows its closing quote.
pub fn print<'a>(json: &'a str, text: &mut String) -> Result<&'a str, Refused> {
    let mut rest = json;
    text.push('"');
    loop {
        rest = copy_plain(rest, text);
        let mut characters = rest.chars();
        let character = characters.next().ok_or(Refused)?;
        rest = characters.as_str();
        match character {
            '"' => break,
            '\\' => rest = print_escape(rest, text)?,
            '\0'..' ' => return Err(Refused),
            _ => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    print_unit(*unit, text);
                }
            }
        }
    }
    text.push('"');
    Ok(rest)
}

fn copy_plain<'a>(json: &'a str, text: &mut String) -> &'a str {
    let is_plain = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
    let length = json.as_bytes().iter().take_while(|b| is_plain(b)).count();
    let (plain, rest) = json.split_at(length);
    text.push_str(plain);
    rest
}

fn print_escape<'a>(json: &'a str, text: &mut String) -> Result<&'a str, Refused> {
    let mut characters = json.chars();
    let unit = match characters.next().ok_or(Refused)? {
        'u' => return print_hex_escape(characters.as_str(), text),
        'b' => 0x08,
        't' => 0x09,
        'n' => 0x0a,
        'f' => 0x0c,
        'r' => 0x0d,
        same @ ('"' | '\\' | '/') => same as u16,
        _ => return Err(Refused),
    };
    print_unit(unit, text);
    Ok(characters.as_str())
}

fn print_hex_escape<'a>(json: &'a str, text: &mut String) -> Result<&'a str, Refused> {
    let (digits, rest) = json.split_at_checked(4).ok_or(Refused)?;
    // `from_str_radix` would also take a sign.
    if digits.starts_with('+') {
        return Err(Refused);
    }
    print_unit(u16::from_str_radix(digits, 16).map_err(|_| Refused)?, text);
    Ok(rest)
}

fn print_unit(unit: u16, text: &mut String) {
    match unit {
        0x08 => text.push_str("\\b"),
        0x09 => text.push_str("\\t"),
        0x0a => text.push_str("\\n"),
        0x0c => text.push_str("\\f"),
        0x0d => text.push_str("\\r"),
        0x22 => text.push_str("\\\""),
        0x5c => text.push_str("\\\\"),
        0x20..=0x7e => text.push(char::from(unit as u8)),
        _ => {
            text.push_str("\\u");
            for shift in [12, 8, 4, 0] {
                text.push(char::from(HEX_DIGITS[usize::from(unit >> shift & 0xf)]));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Right column: what CPython 3.11 prints for the left one.
    #[rustfmt::skip]
    const AS_PYTHON_PRINTS: &[(&str, &str)] = &[
        (r#""""#, r#""""#),
        (r#""plain text""#, r#""plain text""#),
        (r#""\/ \\ \" \b\f\n\r\t""#, r#""/ \\ \" \b\f\n\r\t""#),
        (r#""\u0041\u0022\u005C\u002f""#, r#""A\"\\/""#),
        (r#""\u0000\u001f\u000b""#, r#""\u0000\u001f\u000b""#),
        ("\"\u{7f} \\u007F \u{80}\"", r#""\u007f \u007f \u0080""#),
        ("\"\u{e9}\u{df}\u{20ac}\"", r#""\u00e9\u00df\u20ac""#),
        ("\"\u{1f600} \\ud83d\\ude00\"", r#""\ud83d\ude00 \ud83d\ude00""#),
        (r#""\uD800""#, r#""\ud800""#),
        (r#""\udc00\ud800""#, r#""\udc00\ud800""#),
        (r#""\ud800\ud83d\ude00x""#, r#""\ud800\ud83d\ude00x""#),
        ("\"\u{2028}\u{feff}\u{ffff}\"", r#""\u2028\ufeff\uffff""#),
        (r#""it's""#, r#""it's""#),
    ];

    #[test]
    fn strings_print_as_python_prints_them() {
        for (json, expected) in AS_PYTHON_PRINTS {
            let mut text = String::new();
            let rest = print(&json[1..], &mut text);
            assert_eq!((rest, text.as_str()), (Ok(""), *expected), "{json}");
        }
    }

    #[test]
    fn text_after_the_closing_quote_is_left_to_the_caller() {
        assert_eq!(print("a\"b\"", &mut String::new()), Ok("b\""));
    }
}
