//! Objects as a whole; strings and numbers have their own tables beside their code.

use super::*;

fn printed(json: &str) -> Option<String> {
    print_object(json.as_bytes()).ok().map(Object::into_text)
}

/// Right column: what CPython 3.11 prints for the left one.
#[rustfmt::skip]
const AS_PYTHON_PRINTS: &[(&str, &str)] = &[
    ("{}", "{}"),
    (" \t\r\n{ \t\r\n} \t\r\n", "{}"),
    (r#"{"b":1,"a":2}"#, r#"{"b": 1, "a": 2}"#),
    (r#"{"a":[1,true,false,null,{"b":[]}],"c":{}}"#, r#"{"a": [1, true, false, null, {"b": []}], "c": {}}"#),
    (r#"{"a" : [ 1 , 2 ] , "b" : { } }"#, r#"{"a": [1, 2], "b": {}}"#),
    ("\u{feff}{\"a\":1}", r#"{"a": 1}"#),
    (r#"{"a":1,"b":2,"a":3}"#, r#"{"a": 3, "b": 2}"#),
    (r#"{"a":1,"\u0061":2}"#, r#"{"a": 2}"#),
    (r#"{"a":{"x":1,"x":2},"b":[{"y":1,"z":0,"y":[3]}],"a":{"w":1,"v":2,"w":3}}"#, r#"{"a": {"w": 3, "v": 2}, "b": [{"y": [3], "z": 0}]}"#),
    ("{\"\u{e9}\":1,\"\\u00E9\":2}", r#"{"\u00e9": 2}"#),
    ("{\"a\":\"\\u0022\",\"a\":\"\u{e9}\"}", r#"{"a": "\u00e9"}"#),
    (r#"{"":1,"":2}"#, r#"{"": 2}"#),
];

/// Python fails on these, or reads something other than an object.
#[rustfmt::skip]
const REFUSED: &[&str] = &[
    "",
    "null",
    "1",
    r#""name author""#,
    "[]",
    r#"["name", "author"]"#,
    "{",
    r#"{"a""#,
    r#"{"a":"#,
    r#"{"a":1"#,
    r#"{"a":1,"#,
    r#"{"a":1,}"#,
    "{,}",
    r#"{"a" 1}"#,
    "{a:1}",
    "{'a':1}",
    r#"{"a":1}}"#,
    r#"{"a":1} x"#,
    "{\"a\":1}\u{c}",
    "{\"a\":1}\u{a0}",
    r#"{"a":[1,]}"#,
    r#"{"a":[1 2]}"#,
    r#"{"a":[}"#,
    r#"{"a":[1}"#,
    r#"{"a":01}"#,
    r#"{"a":-}"#,
    r#"{"a":+1}"#,
    r#"{"a":.5}"#,
    r#"{"a":1.}"#,
    r#"{"a":1.e5}"#,
    r#"{"a":1e}"#,
    r#"{"a":1e+}"#,
    r#"{"a":0x10}"#,
    r#"{"a":1_000}"#,
    r#"{"a":-01}"#,
    "{\"a\":\u{661}}",
    r#"{"a":True}"#,
    r#"{"a":nul}"#,
    r#"{"a":-NaN}"#,
    r#"{"a":+Infinity}"#,
    r#"{"a":inf}"#,
    r#"{"a":--1}"#,
    r#"{"a":- 1}"#,
    "{\"a\":\"\n\"}",
    "{\"a\":\"\u{0}\"}",
    r#"{"a":"\x41"}"#,
    r#"{"a":"\u12"}"#,
    r#"{"a":"\u12G4"}"#,
    r#"{"a":"\u+123"}"#,
    r#"{"a":"\u 123"}"#,
    r#"{"a":"\ud800\u12"}"#,
    "{\"a\":\"\\u00\u{e9}\"}",
    r#"{"a":"}"#,
    r#"{"a":"\"}"#,
    r#"{"a":"\"#,
    "{1:2}",
    r#"{"a":1}//"#,
    r#"{"a":1 "b":2}"#,
    "\u{feff}\u{feff}{}",
    "{null:1}",
];

#[test]
fn objects_print_as_python_prints_them() {
    for (json, expected) in AS_PYTHON_PRINTS {
        assert_eq!(printed(json).as_deref(), Some(*expected), "{json}");
    }
}

#[test]
fn everything_but_an_object_is_refused() {
    for json in REFUSED {
        assert_eq!(printed(json), None, "{json}");
    }
}

#[test]
fn bytes_that_are_not_utf8_are_refused() {
    let surrogate = b"{\"a\":\"\xed\xa0\x80\"}";
    let latin1 = b"{\"a\":\"\xe9\"}";
    let utf16 = b"\xff\xfe{\0}\0";
    for json in [surrogate.as_slice(), latin1, utf16, b"{\0}\0"] {
        assert!(print_object(json).is_err(), "{json:?}");
    }
}

#[test]
fn depth_limit_is_the_deepest_that_is_accepted() {
    let nested = |levels: usize| {
        let arrays = levels - 1;
        format!("{{\"a\": {}{}}}", "[".repeat(arrays), "]".repeat(arrays))
    };
    let deepest = nested(DEPTH_LIMIT);
    assert_eq!(printed(&deepest), Some(deepest));
    assert_eq!(printed(&nested(DEPTH_LIMIT + 1)), None);
    assert_eq!(printed(&"{\"a\":".repeat(1 << 18)), None);
}

#[test]
fn depth_counts_open_levels_and_not_all_of_them() {
    let wide = format!("{{\"a\": [[]{}]}}", ", []".repeat(DEPTH_LIMIT));
    assert_eq!(printed(&wide), Some(wide));
}

#[test]
fn only_keys_of_the_object_itself_count() {
    let object = print_object(br#"{"x":{"name":1},"y":"name","na\u006de2":2,"\"name":3}"#);
    let object = object.expect("holds in this test");
    assert!(object.has_key("x") && object.has_key("y") && object.has_key("name2"));
    assert!(!object.has_key("name"));
}

#[test]
fn keys_are_found_after_repeated_ones_were_merged() {
    let json = br#"{"long key":"long value","name":1,"long key":0,"author":2,"name":3}"#;
    let object = print_object(json).expect("holds in this test");
    assert!(object.has_key("long key") && object.has_key("name") && object.has_key("author"));
    assert_eq!(object.into_text(), r#"{"long key": 0, "name": 3, "author": 2}"#);
}
