//! Makes values comparable.
//!
//! A pointer is its address: which name or text stands behind it is counted with the exact texts. Everything else is
//! compared as printed, blanks aside.

/// True if both texts show the same number, character, enumerator or address.
pub(crate) fn same_scalar(gdb: &str, native: &str) -> bool {
    match (address(gdb), address(native)) {
        (Some(one), Some(other)) => one == other,
        _ => squeezed(gdb) == squeezed(native),
    }
}

/// The address that a pointer's text begins with, a cast before it aside.
fn address(text: &str) -> Option<u64> {
    let text = text.trim();
    let plain = if text.starts_with('(') {
        text.rsplit_once(") 0x").map(|(_, digits)| digits)?
    } else {
        text.strip_prefix("0x")?
    };
    let end = plain.find(|character: char| !character.is_ascii_hexdigit()).unwrap_or(plain.len());
    u64::from_str_radix(plain.get(..end)?, 16).ok()
}

fn squeezed(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_are_compared_by_what_they_are() {
        let cases = [
            ("5", "5", true),
            ("5", "6", false),
            ("97 'a'", "97 'a'", true),
            ("97 'a'", "98 'b'", false),
            ("0x10 \"text\"", "0x10", true),
            ("0x10", "0x11", false),
            ("(int (*)(int)) 0x10 <f>", "0x10 <f>", true),
            ("0x0", "0", false),
            ("@0x10: 5", "@0x10: 6", false),
            ("(FLAG_A | FLAG_C)", "(FLAG_A | FLAG_C)", true),
            ("(FLAG_A | FLAG_C)", "FLAG_A", false),
            ("1.5", "1.50", false),
        ];
        for (gdb, native, want) in cases {
            assert_eq!(same_scalar(gdb, native), want, "{gdb} {native}");
        }
    }
}
