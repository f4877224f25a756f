//! Makes names of functions and files comparable.
//!
//! What is left out says nothing about which function it is: blanks, lists of parameters, return types, ABI tags, what
//! compilers append to copies of a function (`.cold`, `.part.0`), hashes of Rust's symbols, versions of symbols.
//! gdb and the engine differ there because one shows a name from DWARF and the other one from a symbol table.

/// A function's name in the form that is compared.
pub(crate) fn function(name: &str) -> String {
    let name = without_suffixes(name);
    let name = without_parameters(name);
    let name = without_return_type(&name);
    let name = without_rust_hashes(&without_tags(name));
    name.chars().filter(|character| !character.is_whitespace()).collect()
}

/// The last part of a path.
pub(crate) fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// True if two paths can be the same file: equal after `.` and `..` are resolved, or one is the end of the other.
pub(crate) fn same_path(one: &str, other: &str) -> bool {
    let (one, other) = (parts(one), parts(other));
    let (short, long) = if one.len() <= other.len() { (&one, &other) } else { (&other, &one) };
    long.ends_with(short)
}

fn parts(path: &str) -> Vec<&str> {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    // What is left of `..` leads to where nobody can say without the folder of compilation.
    parts.into_iter().skip_while(|part| *part == "..").collect()
}

/// Cuts ` [clone .cold]`, `.cold`, `[cold]` as gdb writes it, `.constprop.0`, `@@GLIBC_2.34` and the like.
fn without_suffixes(name: &str) -> &str {
    const CLONES: [&str; 11] = [
        " [clone",
        "[cold]",
        ".cold",
        ".part",
        ".isra",
        ".constprop",
        ".lto_priv",
        ".llvm.",
        ".localalias",
        ".clone",
        "@",
    ];
    let ends = CLONES.into_iter().filter_map(|mark| name.find(mark)).filter(|at| *at > 0);
    name.get(..ends.min().unwrap_or(name.len())).unwrap_or(name)
}

/// Leaves out `(..)` outside of angle brackets and braces, with the `const` and `&` that follow it. `operator()`,
/// `(anonymous namespace)` and the receiver of a Go method stay.
fn without_parameters(name: &str) -> String {
    let mut result = String::with_capacity(name.len());
    let mut rest = name;
    let mut depth = 0_u32;
    while let Some(character) = rest.chars().next() {
        if let Some(operator) = operator_at(&result, rest) {
            result.push_str(operator);
            rest = after_qualifiers(rest.get(operator.len()..).unwrap_or_default());
            continue;
        }
        if depth == 0 && character == '(' && !rest.starts_with("(anonymous namespace)") && !rest.starts_with("(*") {
            rest = after_parameters(rest);
            continue;
        }
        match character {
            '<' | '{' | '(' => depth += 1,
            // The `>` of `->` in a type of a result closes nothing.
            '>' if result.ends_with('-') => {}
            '>' | '}' | ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        result.push(character);
        rest = rest.get(character.len_utf8()..).unwrap_or_default();
    }
    result
}

/// The operator at the beginning of `rest`, if `before` ends in the word `operator`: its brackets are no brackets.
fn operator_at<'a>(before: &str, rest: &'a str) -> Option<&'a str> {
    const OPERATORS: [&str; 12] = ["()", "<<=", ">>=", "<=>", "->*", "->", "<<", ">>", "<=", ">=", "<", ">"];
    let head = before.strip_suffix("operator")?;
    if head.chars().next_back().is_some_and(|character| character.is_alphanumeric() || character == '_') {
        return None;
    }
    let found = OPERATORS.into_iter().find(|operator| rest.starts_with(operator))?;
    rest.get(..found.len())
}

/// What follows a list of parameters that `text` begins with.
fn after_parameters(text: &str) -> &str {
    let mut depth = 0_u32;
    for (at, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' if depth == 1 => {
                return after_qualifiers(text.get(at + 1..).unwrap_or_default());
            }
            ')' => depth -= 1,
            _ => {}
        }
    }
    ""
}

/// What follows the qualifiers of a member function.
fn after_qualifiers(mut text: &str) -> &str {
    const QUALIFIERS: [&str; 5] = [" const", " volatile", " &&", " &", " noexcept"];
    while let Some(less) = QUALIFIERS.iter().find_map(|word| text.strip_prefix(word)) {
        text = less;
    }
    text
}

/// Leaves out what stands before the last blank outside of brackets: the type of the result of a template's instance.
/// What follows the word `operator` is no such blank.
fn without_return_type(name: &str) -> &str {
    let (mut depth, mut start) = (0_u32, 0);
    for (at, character) in name.char_indices() {
        let before = name.get(..at).unwrap_or_default();
        if operator_at(before, name.get(at..).unwrap_or_default()).is_some() || before.ends_with("operator") {
            break;
        }
        match character {
            '<' | '(' | '{' | '[' => depth += 1,
            '>' if before.ends_with('-') => {}
            '>' | ')' | '}' | ']' => depth = depth.saturating_sub(1),
            ' ' if depth == 0 => start = at + 1,
            _ => {}
        }
    }
    name.get(start..).filter(|rest| !rest.is_empty()).unwrap_or(name)
}

/// Leaves out `[abi:cxx11]`.
fn without_tags(name: &str) -> String {
    let mut result = name.to_owned();
    while let Some(start) = result.find("[abi:") {
        let Some(length) = result.get(start..).and_then(|rest| rest.find(']')) else { break };
        result.replace_range(start..=start + length, "");
    }
    result
}

/// Leaves out `::h0123456789abcdef` at the end and the `[0123456789abcdef]` of crates.
fn without_rust_hashes(name: &str) -> String {
    let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut result = name.to_owned();
    if let Some((head, hash)) = name.rsplit_once("::h")
        && hash.len() == 16
        && is_hex(hash)
    {
        result = head.to_owned();
    }
    let mut from = 0;
    while let Some(start) = result.get(from..).and_then(|rest| rest.find('[')).map(|at| from + at) {
        let length = result.get(start + 1..).and_then(|rest| rest.find(']')).unwrap_or(0);
        let inner = result.get(start + 1..start + 1 + length).unwrap_or_default();
        if (8..=16).contains(&length) && is_hex(inner) {
            result.replace_range(start..start + length + 2, "");
        } else {
            from = start + 1;
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_what_does_not_tell_functions_apart() {
        let cases = [
            ("main", "main"),
            ("std::terminate()", "std::terminate"),
            ("foo(int, char) const", "foo"),
            ("void std::sort<int*, less>(int*, int*, less)", "std::sort<int*,less>"),
            (
                "int shop::(anonymous namespace)::countdown<3>(std::array<int, 3ul> const&)",
                "shop::(anonymousnamespace)::countdown<3>",
            ),
            (
                "by_segv(int)::{lambda(Item const&)#1}::operator()(Item const&) const",
                "by_segv::{lambda(Itemconst&)#1}::operator()",
            ),
            ("operator()<double&>", "operator()<double&>"),
            ("std::operator<< <char>(std::ostream&)", "std::operator<<<char>"),
            ("operator new(unsigned long)", "operatornew"),
            ("a::operator bool() const", "a::operatorbool"),
            ("name[abi:cxx11]()", "name"),
            ("main::$_4::operator() const", "main::$_4::operator()"),
            ("work.constprop.0", "work"),
            ("work.part", "work"),
            ("work[cold]", "work"),
            ("work(int) [clone .cold]", "work"),
            ("abort@@GLIBC_2.2.5", "abort"),
            ("crash::main::hc09beedd01234567", "crash::main"),
            ("std[e28293b1aa0f68bd]::rt::lang_start", "std::rt::lang_start"),
            ("<crash::Sack<T> as crash::Weigh>::weigh", "<crash::Sack<T>ascrash::Weigh>::weigh"),
            ("main.(*item).weigh", "main.(*item).weigh"),
            ("core::ops::FnOnce<(i32) -> bool>::call", "core::ops::FnOnce<(i32)->bool>::call"),
            ("[u8; 3]::len", "[u8;3]::len"),
            (".cold", ".cold"),
        ];
        for (name, want) in cases {
            assert_eq!(function(name), want, "{name}");
        }
    }

    #[test]
    fn different_functions_stay_different() {
        for (one, other) in [("a::f", "b::f"), ("f<int>", "f<long>"), ("__poll", "poll"), ("f()::g()", "h()::g()")] {
            assert_ne!(function(one), function(other));
        }
    }

    #[test]
    fn paths_that_can_be_one_file() {
        let cases = [
            ("./nptl/pthread_kill.c", "nptl/pthread_kill.c", true),
            ("../sysdeps/x86/start.S", "/build/glibc/csu/../sysdeps/x86/start.S", true),
            ("/a/b.c", "/a/./b.c", true),
            ("/a/b.c", "/x/b.c", false),
            ("b.c", "/x/bb.c", false),
        ];
        for (one, other, want) in cases {
            assert_eq!(same_path(one, other), want, "{one} {other}");
        }
    }
}
