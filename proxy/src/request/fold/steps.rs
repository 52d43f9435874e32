//! The single steps by which servers make of a path what they serve. Each is `None` where it changes
//! nothing.

pub(super) type Step = fn(&[u8]) -> Option<Vec<u8>>;

/// All of them.
pub(super) const ALL: [Step; 11] = [
    decode,
    to_ascii,
    without_line_ends,
    with_slashes,
    before_query,
    before_parameters,
    without_parameters,
    without_authority,
    without_tails,
    merged,
    resolved,
];

/// Those that say for a pattern what it means, in their order: nothing of it is cut off.
pub(super) fn of_pattern() -> [Step; 7] {
    [to_ascii, without_line_ends, with_slashes, without_parameters, without_tails, merged, resolved]
}

/// Escapes decoded once, those of IIS (`%u0061`) too, but for braces: they are placeholders in a
/// pattern.
pub(super) fn decode(path: &[u8]) -> Option<Vec<u8>> {
    memchr::memchr(b'%', path)?;
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let [byte, after @ ..] = rest {
        rest = after;
        if *byte != b'%' {
            decoded.push(*byte);
        } else if let Some(one) = number(after, 2).filter(|one| ![0x7b, 0x7d].contains(one)) {
            decoded.extend(u8::try_from(one));
            rest = &after[2..];
        } else if let Some(one) = wide(after) {
            decoded.extend_from_slice(one.encode_utf8(&mut [0; 4]).as_bytes());
            rest = &after[5..];
        } else {
            decoded.push(b'%');
        }
    }
    changed(path, decoded)
}

/// What stands behind the `%` of `%u0061`.
fn wide(after: &[u8]) -> Option<char> {
    let digits = after.strip_prefix(b"u").or_else(|| after.strip_prefix(b"U"))?;
    number(digits, 4).and_then(char::from_u32).filter(|one| !['{', '}'].contains(one))
}

/// The number that so many hexadecimal digits at the start of `text` are.
fn number(text: &[u8], digits: usize) -> Option<u32> {
    text.get(..digits)?.iter().try_fold(0, |number, digit| {
        char::from(*digit).to_digit(16).map(|digit| number << 4 | digit)
    })
}

/// ASCII in other forms as ASCII: fullwidth (U+FF01 to U+FF5E, as NFKC and "best fit" do), and in
/// more bytes of UTF-8 than it takes (RFC 3629 section 10).
fn to_ascii(path: &[u8]) -> Option<Vec<u8>> {
    if path.is_ascii() {
        return None;
    }
    let mut mapped = Vec::with_capacity(path.len());
    let mut rest = path;
    while let [byte, after @ ..] = rest {
        let (one, length) = match rest {
            [0xef, 0xbc, low @ 0x81..=0xbf, ..] => (low - 0x81 + b'!', 3),
            [0xef, 0xbd, low @ 0x80..=0x9e, ..] => (low - 0x80 + b'`', 3),
            [high @ (0xc0 | 0xc1), low @ 0x80..=0xbf, ..] => ((high & 1) << 6 | (low & 0x3f), 2),
            [0xe0, high @ (0x80 | 0x81), low @ 0x80..=0xbf, ..]
            | [0xf0, 0x80, high @ (0x80 | 0x81), low @ 0x80..=0xbf, ..]
            | [0xf8, 0x80, 0x80, high @ (0x80 | 0x81), low @ 0x80..=0xbf, ..]
            | [0xfc, 0x80, 0x80, 0x80, high @ (0x80 | 0x81), low @ 0x80..=0xbf, ..] => {
                ((high & 1) << 6 | (low & 0x3f), byte.leading_ones() as usize)
            }
            _ => {
                mapped.push(*byte);
                rest = after;
                continue;
            }
        };
        mapped.push(one);
        rest = &rest[length..];
    }
    changed(path, mapped)
}

/// As the URL standard of browsers has it (section 4.4), and who parses by it.
fn without_line_ends(path: &[u8]) -> Option<Vec<u8>> {
    memchr::memchr3(b'\t', b'\r', b'\n', path)?;
    Some(path.iter().copied().filter(|byte| !b"\t\r\n".contains(byte)).collect())
}

/// To Windows and to the URL standard, a backslash is one.
fn with_slashes(path: &[u8]) -> Option<Vec<u8>> {
    memchr::memchr(b'\\', path)?;
    Some(path.iter().map(|byte| if *byte == b'\\' { b'/' } else { *byte }).collect())
}

/// Who decodes before looking for the query finds one behind `%3F`; a fragment likewise; and to C a
/// text ends at NUL.
fn before_query(path: &[u8]) -> Option<Vec<u8>> {
    memchr::memchr3(b'?', b'#', 0, path).map(|end| start(path, end))
}

/// Parameters of the whole path.
fn before_parameters(path: &[u8]) -> Option<Vec<u8>> {
    memchr::memchr(b';', path).map(|end| start(path, end))
}

fn start(path: &[u8], end: usize) -> Vec<u8> {
    if end == 0 { b"/".to_vec() } else { path[..end].to_vec() }
}

/// Parameters of each segment (RFC 3986 section 3.3).
fn without_parameters(path: &[u8]) -> Option<Vec<u8>> {
    memchr::memchr(b';', path)?;
    let bare = |segment: &[u8]| memchr::memchr(b';', segment).unwrap_or(segment.len());
    Some(each_segment(path, |segment| &segment[..bare(segment)]))
}

/// Who takes the target for a reference to be resolved finds a host between `//` and the next slash
/// (RFC 3986 section 4.2), or behind more slashes yet.
fn without_authority(path: &[u8]) -> Option<Vec<u8>> {
    let mut authority = path.strip_prefix(b"//")?;
    while let [b'/', rest @ ..] = authority {
        authority = rest;
    }
    let end = memchr::memchr(b'/', authority);
    Some(end.map_or_else(|| b"/".to_vec(), |end| authority[end..].to_vec()))
}

/// What names of files of Windows lose: dots and spaces at the end, and streams (`::$DATA`).
fn without_tails(path: &[u8]) -> Option<Vec<u8>> {
    memchr::memchr3(b'.', b' ', b':', path)?;
    changed(path, each_segment(path, name_of_file))
}

fn name_of_file(segment: &[u8]) -> &[u8] {
    let is_stream = |pair: &[u8]| pair == b"::" || pair == b":$";
    let end = segment.windows(2).position(is_stream).unwrap_or(segment.len());
    let mut name = &segment[..end];
    while let [before @ .., last] = name
        && (*last == b' ' || (*last == b'.' && !name.iter().all(|byte| *byte == b'.')))
    {
        name = before;
    }
    name
}

/// Several slashes as one.
fn merged(path: &[u8]) -> Option<Vec<u8>> {
    memchr::memmem::find(path, b"//")?;
    let mut kept = path.to_vec();
    kept.dedup_by(|one, before| *one == b'/' && *before == b'/');
    Some(kept)
}

/// Without dot segments (RFC 3986 section 5.2.4): an empty segment is one that they take away.
fn resolved(path: &[u8]) -> Option<Vec<u8>> {
    let is_dots = |segment: &[u8]| segment == b"." || segment == b"..";
    if !path.split(|byte| *byte == b'/').any(is_dots) {
        return None;
    }
    let mut kept: Vec<&[u8]> = Vec::new();
    let mut segments = path.split(|byte| *byte == b'/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        match segment {
            b"." => {}
            b".." => drop(kept.pop()),
            name => kept.push(name),
        }
        if is_dots(segment) && segments.peek().is_none() {
            kept.push(b"");
        }
    }
    Some([b"/", kept.join(&b'/').as_slice()].concat())
}

fn each_segment(path: &[u8], cut: impl Fn(&[u8]) -> &[u8]) -> Vec<u8> {
    let segments: Vec<&[u8]> = path.split(|byte| *byte == b'/').map(cut).collect();
    segments.join(&b'/')
}

fn changed(before: &[u8], after: Vec<u8>) -> Option<Vec<u8>> {
    (before != after).then_some(after)
}
