//! Characters and strings as gdb writes them: quoted, with repeats and a limit.

use std::fmt::Write as _;

/// More than so many equal elements in a row are written once (`print repeats`).
pub(crate) const REPEATS: usize = 10;
/// Elements of a string or an array that are written (`print elements`).
pub(crate) const ELEMENTS: usize = 200;

/// One character of a string, or bytes that are none.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Unit {
    Character(char),
    Bytes(Vec<u8>),
}

/// A string of characters of `width` bytes (1: UTF-8, 2: UTF-16, 4: UTF-32), with what stands before its quotes. A
/// last NUL is left out; `cut` says that it goes on behind the bytes.
pub(crate) fn string(bytes: &[u8], width: usize, big_endian: bool, prefix: &str, cut: bool) -> String {
    quoted(bytes, width, big_endian, prefix, '"', cut)
}

/// The same in other quotes.
pub(crate) fn quoted(bytes: &[u8], width: usize, big_endian: bool, prefix: &str, quote: char, cut: bool) -> String {
    let mut units = units(bytes, width, big_endian);
    if !cut && units.last() == Some(&Unit::Character('\0')) {
        units.pop();
    }
    let mut out = String::new();
    let mut is_open = false;
    let mut written = 0;
    let mut rest = units.as_slice();
    while let Some(unit) = rest.first() {
        if written >= ELEMENTS {
            break;
        }
        let count = rest.iter().take_while(|other| *other == unit).count();
        if count > REPEATS {
            let close = if is_open { format!("{quote}, ") } else { String::new() };
            let separator = if is_open || out.is_empty() { "" } else { ", " };
            let _ = write!(out, "{close}{separator}{prefix}'{}' <repeats {count} times>", escaped(unit, '\''));
            is_open = false;
            written += count;
            rest = rest.get(count..).unwrap_or_default();
            continue;
        }
        if !is_open {
            let separator = if out.is_empty() { "" } else { ", " };
            let _ = write!(out, "{separator}{prefix}{quote}");
            is_open = true;
        }
        out.push_str(&escaped(unit, quote));
        written += 1;
        rest = rest.get(1..).unwrap_or_default();
    }
    if out.is_empty() {
        let _ = write!(out, "{prefix}{quote}");
        is_open = true;
    }
    if is_open {
        out.push(quote);
    }
    if cut || !rest.is_empty() {
        out.push_str("...");
    }
    out
}

/// A character in single quotes.
pub(crate) fn character(bytes: &[u8], big_endian: bool, prefix: &str) -> String {
    let text: String = units(bytes, bytes.len().max(1), big_endian).iter().map(|unit| escaped(unit, '\'')).collect();
    format!("{prefix}'{text}'")
}

fn units(bytes: &[u8], width: usize, big_endian: bool) -> Vec<Unit> {
    match width {
        2 => {
            let word = |bytes: &[u8]| u16::try_from(number(bytes, big_endian)).unwrap_or_default();
            let words: Vec<u16> = bytes.chunks_exact(2).map(word).collect();
            let lone = |word: u16| Unit::Bytes(if big_endian { word.to_be_bytes() } else { word.to_le_bytes() }.into());
            let decoded = char::decode_utf16(words);
            decoded.map(|word| word.map_or_else(|error| lone(error.unpaired_surrogate()), Unit::Character)).collect()
        }
        4 => bytes
            .chunks_exact(4)
            .map(|bytes| {
                char::from_u32(number(bytes, big_endian)).map_or_else(|| Unit::Bytes(bytes.into()), Unit::Character)
            })
            .collect(),
        _ => {
            let chunk = |chunk: std::str::Utf8Chunk<'_>| {
                let mut units: Vec<Unit> = chunk.valid().chars().map(Unit::Character).collect();
                units.extend(chunk.invalid().iter().map(|byte| Unit::Bytes(vec![*byte])));
                units
            };
            bytes.utf8_chunks().flat_map(chunk).collect()
        }
    }
}

fn number(bytes: &[u8], big_endian: bool) -> u32 {
    let fold = |number: u32, byte: &u8| number << 8 | u32::from(*byte);
    if big_endian { bytes.iter().fold(0, fold) } else { bytes.iter().rev().fold(0, fold) }
}

fn escaped(unit: &Unit, quote: char) -> String {
    let octal = |bytes: &[u8]| bytes.iter().map(|byte| format!("\\{byte:03o}")).collect();
    match unit {
        Unit::Character(character) => match character {
            '\x07' => "\\a".to_owned(),
            '\x08' => "\\b".to_owned(),
            '\t' => "\\t".to_owned(),
            '\n' => "\\n".to_owned(),
            '\x0b' => "\\v".to_owned(),
            '\x0c' => "\\f".to_owned(),
            '\r' => "\\r".to_owned(),
            '\\' => "\\\\".to_owned(),
            character if *character == quote => format!("\\{character}"),
            character if character.is_control() => octal(character.to_string().as_bytes()),
            character => character.to_string(),
        },
        Unit::Bytes(bytes) => octal(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_written_as_gdb_writes_them() {
        let repeated = [&b"ab"[..], &[b'c'; 17], b"d", &[0; 44]].concat();
        let cases: &[(&[u8], &str)] = &[
            (b"hi\0\0\0\0\0\0", r#""hi\000\000\000\000\000""#),
            (b"abc", r#""abc""#),
            (b"", r#""""#),
            (b"\0", r#""""#),
            (b"hello\tworld\"\\ \xc3\xa9 \x01\0", r#""hello\tworld\"\\ é \001""#),
            (b"aaaaaaaaaa\0", r#""aaaaaaaaaa""#),
            (b"aaaaaaaaaaa\0", r#"'a' <repeats 11 times>"#),
            (&repeated, r#""ab", 'c' <repeats 17 times>, "d", '\000' <repeats 43 times>"#),
            (b"\xff'", r#""\377'""#),
        ];
        for (bytes, want) in cases {
            assert_eq!(string(bytes, 1, false, "", false), *want);
        }
        let long: Vec<u8> = (b'a'..=b'z').cycle().take(300).collect();
        let text = string(&long, 1, false, "", false);
        assert!(text.ends_with("\"...") && text.len() == 205, "{text}");
        assert_eq!(string(&[0; 1000], 1, false, "", false), r"'\000' <repeats 999 times>");
        assert_eq!(string(b"x\0\xac\x20", 2, false, "u", true), "u\"x€\"...");
        assert_eq!(string(b"\0\xd8", 2, false, "u", true), r#"u"\000\330"..."#, "a lone surrogate");
        assert_eq!(character(b"'", false, ""), r"'\''");
        assert_eq!(character(&[0], false, ""), r"'\000'");
        assert_eq!(character(&[0xff], false, ""), r"'\377'");
        assert_eq!(character(&[0, 0, 0x20, 0xac], true, "U"), "U'€'");
    }
}
