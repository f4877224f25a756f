//! Names of functions and data as people write them: C++ (Itanium ABI) and Rust (legacy and v0).
//!
//! Names come from symbol tables and debug information, which are hostile input: depth, length and the length of the
//! result are bounded, and what cannot be demangled within the bounds is given back as it is. Names of D and Swift, and
//! names that are not mangled, are left alone.

use std::{borrow::Cow, fmt::Write as _};

use cpp_demangle::{DemangleOptions, ParseOptions, Symbol};

/// Longest mangled name that is read, in bytes. Real ones of expression templates have up to 20 000.
const MAX_MANGLED_BYTES: usize = 64 * 1024;
/// Longest result, in bytes: substitutions can make a short name grow without bounds.
const MAX_NAME_BYTES: usize = 256 * 1024;
/// Productions in each other, parsing and writing; as deep as the stack of a thread allows with ease.
const MAX_DEPTH: u32 = 160;

/// What is written of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// With parameters and return type of templates, as gdb names a symbol: `<std::sort(int*, int*)+4>`.
    Full,
    /// The name only, as gdb names a frame: `std::sort`.
    Short,
}

/// The name as in the source; the mangled one if it is none that is known, or goes beyond the bounds.
#[must_use]
pub fn demangle(name: &str, style: Style) -> Cow<'_, str> {
    demangled(name, style).map_or(Cow::Borrowed(name), Cow::Owned)
}

/// The same; none for a name that stays as it is.
pub(crate) fn demangled(name: &str, style: Style) -> Option<String> {
    // A symbol's version is no part of its name.
    let (mangled, version) = name.find('@').map_or((name, ""), |at| name.split_at(at));
    if mangled.len() > MAX_MANGLED_BYTES {
        return None;
    }
    let readable = rust(mangled).or_else(|| cpp(mangled, style))?;
    Some(format!("{readable}{version}"))
}

/// Rust names, without the hash that tells two versions of a crate apart.
fn rust(mangled: &str) -> Option<String> {
    let is_v0 = mangled.starts_with("_R") || mangled.starts_with("__R");
    // Legacy names look like C++ but for the hash at their end.
    let is_legacy = mangled.starts_with("_ZN") && mangled.contains("17h");
    if !is_v0 && !is_legacy {
        return None;
    }
    let parsed = rustc_demangle::try_demangle(mangled).ok()?;
    let mut out = Bounded(String::new());
    write!(out, "{parsed:#}").ok()?;
    // A C++ name that has "17h" in it stays as it is without one.
    let is_rust = is_v0 || format!("{parsed}").rsplit_once("::h").is_some_and(|(_, hash)| is_hash(hash));
    is_rust.then_some(out.0)
}

fn is_hash(text: &str) -> bool {
    let hash = text.get(..16).unwrap_or_default();
    hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn cpp(mangled: &str, style: Style) -> Option<String> {
    let is_cpp = ["_Z", "__Z", "___Z", "____Z", "_GLOBAL__"].iter().any(|prefix| mangled.starts_with(prefix));
    if !is_cpp {
        return None;
    }
    let symbol = Symbol::new_with_options(mangled, &ParseOptions::default().recursion_limit(MAX_DEPTH)).ok()?;
    let options = DemangleOptions::new().recursion_limit(MAX_DEPTH);
    let options = if style == Style::Short { options.no_params().no_return_type() } else { options };
    let mut out = Bounded(String::new());
    symbol.structured_demangle(&mut out, &options).ok()?;
    Some(mended(out.0))
}

/// A text that does not grow beyond the bound.
struct Bounded(String);

impl std::fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        if self.0.len() + text.len() > MAX_NAME_BYTES {
            return Err(std::fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}

/// What the library writes in other words than the GNU tools.
fn mended(name: String) -> String {
    let name = special(&name).unwrap_or(name);
    let name = if name.contains("(unsigned") || name.contains("(long") { literals(&name) } else { name };
    if name.contains(", >") || name.contains("(, ") || name.contains(", )") || name.contains("<, ") {
        name.replace(", >", ">").replace("<, ", "<").replace("(, ", "(").replace(", )", ")")
    } else {
        name
    }
}

/// `{vtable(A)}` is `vtable for A`.
fn special(name: &str) -> Option<String> {
    let inner = |prefix: &str| name.strip_prefix(prefix)?.strip_suffix(")}");
    if let Some(class) = inner("{vtable(") {
        return Some(format!("vtable for {class}"));
    }
    if let Some(class) = inner("{vtt(") {
        return Some(format!("VTT for {class}"));
    }
    let (offset, function) = inner("{virtual override thunk(")?.split_once("}, ")?;
    if let Some((_, function)) = function.split_once("}, ").filter(|_| function.starts_with('{')) {
        return Some(format!("covariant return thunk to {function}"));
    }
    let kind = if offset.contains("vcall") || offset.contains("virtual") { "virtual" } else { "non-virtual" };
    Some(format!("{kind} thunk to {function}"))
}

/// `(unsigned long)1` is `1ul`.
fn literals(name: &str) -> String {
    const SUFFIXES: [(&str, &str); 5] = [
        ("(unsigned long long)", "ull"),
        ("(unsigned long)", "ul"),
        ("(unsigned int)", "u"),
        ("(long long)", "ll"),
        ("(long)", "l"),
    ];
    let mut out = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(at) = rest.find('(') {
        let (before, cast) = rest.split_at(at);
        out.push_str(before);
        let literal = SUFFIXES.iter().find_map(|(prefix, suffix)| {
            let number = cast.strip_prefix(prefix)?;
            let digits = number.strip_prefix('-').unwrap_or(number);
            let count = digits.bytes().take_while(u8::is_ascii_digit).count();
            let length = number.len() - digits.len() + count;
            (count > 0).then(|| Some((number.get(..length)?, *suffix, number.get(length..)?)))?
        });
        match literal {
            Some((number, suffix, behind)) => {
                out.push_str(number);
                out.push_str(suffix);
                rest = behind;
            }
            None => {
                out.push('(');
                rest = cast.get(1..).unwrap_or_default();
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_source() {
        let cases = [
            ("main", "main", "main"),
            ("_Z3fooi", "foo(int)", "foo"),
            ("_ZTV1D", "vtable for D", "vtable for D"),
            ("_ZTT1D", "VTT for D", "VTT for D"),
            ("_ZThn16_N1D1fEv", "non-virtual thunk to D::f()", "non-virtual thunk to D::f"),
            ("_ZTv0_n24_N1D1fEv", "virtual thunk to D::f()", "virtual thunk to D::f"),
            ("_ZN3FooILm4ELl1EE1fEv", "Foo<4ul, 1l>::f()", "Foo<4ul, 1l>::f"),
            ("_ZN4core3fmt5write17h0123456789abcdefE", "core::fmt::write", "core::fmt::write"),
            ("_RNvC6_123foo3bar", "123foo::bar", "123foo::bar"),
            ("_D3std5stdio7writelnFZv", "_D3std5stdio7writelnFZv", "_D3std5stdio7writelnFZv"),
            ("$s4main3fooyyF", "$s4main3fooyyF", "$s4main3fooyyF"),
            ("_Znwm@@GLIBCXX_3.4", "operator new(unsigned long)@@GLIBCXX_3.4", "operator new@@GLIBCXX_3.4"),
            ("_ZL3foov.cold", "foo() [clone .cold]", "foo"),
            ("_Z", "_Z", "_Z"),
            ("", "", ""),
        ];
        for (mangled, full, short) in cases {
            assert_eq!(demangle(mangled, Style::Full), full, "{mangled}");
            assert_eq!(demangle(mangled, Style::Short), short, "{mangled}");
        }
    }

    #[test]
    fn a_name_that_grows_without_bounds_is_left_alone() {
        // Each argument pair is twice as long as the one before.
        let mut name = "_Z1fI1aE".to_owned();
        for _ in 0..64 {
            name.push_str("S0_IS1_S1_E");
        }
        assert!(demangle(&name, Style::Full).len() <= MAX_NAME_BYTES);
        let deep = format!("_Z1f{}i", "P".repeat(60_000));
        assert_eq!(demangle(&deep, Style::Full), deep);
        let long = format!("_Z{}", "1a".repeat(MAX_MANGLED_BYTES));
        assert_eq!(demangle(&long, Style::Full), long);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_name(name in ".{0,80}") {
            let _ = demangle(&name, Style::Full);
        }

        #[test]
        fn any_productions_are_a_name(name in "(_Z|_R|__Z|_ZN)[0-9a-zA-Z_.$]{0,60}") {
            let _ = demangle(&name, Style::Full);
            let _ = demangle(&name, Style::Short);
        }
    }
}
