//! Names of functions and files without what changes from build to build.

/// Bytes of a name that are looked at, and that are kept: a template can have names of megabytes.
const MAX_INPUT_BYTES: usize = 4096;
const MAX_NAME_BYTES: usize = 256;

/// How deep qualified paths of Rust are followed into each other.
const MAX_DEPTH: usize = 8;

/// What optimisers append to the name of a function that they split, cloned or moved. Sources: GCC's `-fipa-*` passes, LLVM's
/// hot/cold splitting and ThinLTO.
const SUFFIXES: [&str; 11] = [
    ".part",
    ".isra",
    ".constprop",
    ".cold",
    ".lto_priv",
    ".llvm",
    ".localalias",
    ".warm",
    ".hot",
    ".specialized",
    ".clone",
];

/// Operators whose names hold brackets, the longest first.
const OPERATORS: [&str; 14] = ["<<=", ">>=", "<=>", "->*", "()", "[]", "<<", ">>", "<=", ">=", "->", "<", ">", "\"\""];

/// The name of a function without arguments, template arguments, return type, symbol version, suffixes of optimisers and
/// hashes of compilers. Lambdas and closures lose their numbers. At most 256 bytes.
///
/// Understands what gdb prints for C, C++, Rust, Go and D; other names are kept as they are.
#[must_use]
pub fn normalize(name: &str) -> String {
    // The methods of Objective-C.
    if name.starts_with("-[") || name.starts_with("+[") {
        return cut(name, MAX_NAME_BYTES).to_owned();
    }
    let name = plain(cut(name, MAX_INPUT_BYTES), 0);
    cut(without_suffixes(&name), MAX_NAME_BYTES).to_owned()
}

/// File name of a module without folder, `.so` and version: `libc` for `/lib/libc.so.6` and `/lib/libc-2.31.so`.
#[must_use]
pub fn module_name(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    let name = cut(name, MAX_NAME_BYTES);
    let Some((stem, _)) = name.split_once(".so") else { return name };
    match stem.rsplit_once('-') {
        Some((bare, version)) if !bare.is_empty() && is_version(version) => bare,
        _ => stem,
    }
}

fn is_version(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

fn plain(name: &str, depth: usize) -> String {
    let name = name.find('@').filter(|at| *at > 0).and_then(|at| name.get(..at)).unwrap_or(name);
    let name = name.split(" [clone").next().unwrap_or(name).trim();
    let mut out = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(c) = rest.chars().next() {
        if let Some(tail) = rest.strip_prefix("operator").filter(|_| !ends_in_identifier(&out)) {
            out.push_str("operator");
            rest = tail;
            if let Some(symbol) = OPERATORS.into_iter().find(|symbol| rest.starts_with(symbol)) {
                out.push_str(symbol);
                rest = rest.get(symbol.len()..).unwrap_or_default();
            }
            continue;
        }
        rest = match c {
            '<' => {
                let (content, tail) = group(rest, '<', '>');
                let begins = out.is_empty() || out.ends_with("::");
                if begins {
                    out.push_str(&qualified(content, depth));
                }
                tail
            }
            '(' => {
                let (content, tail) = group(rest, '(', ')');
                match content {
                    "anonymous namespace" => out.push_str("{anonymous}"),
                    // A method of Go on a pointer.
                    pointer if pointer.starts_with('*') && out.ends_with('.') => {
                        out.push_str(&plain(pointer.trim_start_matches('*'), MAX_DEPTH));
                    }
                    _ => {}
                }
                tail
            }
            '{' => {
                let (content, tail) = group(rest, '{', '}');
                let content = content.trim_matches(['{', '}']);
                let end = content.find(['(', '#', '<']).unwrap_or(content.len());
                out.push('{');
                out.push_str(content.get(..end).unwrap_or_default().trim());
                out.push('}');
                tail
            }
            '[' if rest.starts_with("[abi:") => group(rest, '[', ']').1,
            _ => {
                out.push(c);
                rest.get(c.len_utf8()..).unwrap_or_default()
            }
        };
    }
    without_types(&out).to_owned()
}

/// What stands in angle brackets where a name begins: a lambda as gdb names it, or a path of Rust.
fn qualified(content: &str, depth: usize) -> String {
    if content.starts_with("lambda") {
        return "{lambda}".to_owned();
    }
    if content.starts_with("impl ") {
        return "{impl}".to_owned();
    }
    if depth >= MAX_DEPTH {
        return String::new();
    }
    plain(
        content.split(" as ").next().unwrap_or(content).trim_start_matches(['&', '*', '[']).trim_end_matches(']'),
        depth + 1,
    )
}

/// What stands between the bracket that `text` begins with and the one that closes it, and what follows. Without the
/// closing one, everything belongs to it.
fn group(text: &str, open: char, close: char) -> (&str, &str) {
    let mut depth = 0_usize;
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        if c == open {
            depth += 1;
        } else if c == close && !(close == '>' && matches!(before, '-' | '=')) {
            depth = depth.saturating_sub(1);
            if depth == 0 {
                return (text.get(1..at).unwrap_or_default(), text.get(at + 1..).unwrap_or_default());
            }
        }
        before = c;
    }
    (text.get(1..).unwrap_or_default(), "")
}

fn ends_in_identifier(text: &str) -> bool {
    text.chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_')
}

/// Without the return type that demangled names of templates begin with, and the qualifiers that methods end in.
fn without_types(name: &str) -> &str {
    let mut name = name.trim();
    while let Some(shorter) =
        [" const", " volatile", " noexcept", " &&", " &"].into_iter().find_map(|word| name.strip_suffix(word))
    {
        name = shorter.trim_end();
    }
    // The name of a conversion holds blanks of its own.
    let end = name.find("operator").unwrap_or(name.len());
    let start = name.get(..end).and_then(|head| head.rfind(' ')).map_or(0, |blank| blank + 1);
    name.get(start..).unwrap_or(name)
}

fn without_suffixes(name: &str) -> &str {
    let mut name = name;
    loop {
        let shorter = without_suffix(name);
        if shorter.len() == name.len() || shorter.is_empty() {
            return name;
        }
        name = shorter;
    }
}

fn without_suffix(name: &str) -> &str {
    // The old mangling of Rust: `::h` and 16 hex digits.
    if let Some((path, hash)) = name.rsplit_once("::h")
        && hash.len() == 16
        && hash.bytes().all(|b| b.is_ascii_hexdigit())
    {
        return path;
    }
    if let Some(name) = name.strip_prefix("__GI_") {
        return name;
    }
    let bare = match name.rsplit_once('.') {
        Some((bare, number)) if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) => bare,
        _ => name,
    };
    SUFFIXES.into_iter().find_map(|suffix| bare.strip_suffix(suffix)).unwrap_or(name)
}

/// At most so many bytes, at the end of a character.
fn cut(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_lose_what_a_rebuild_changes() {
        let cases = [
            ("main", "main"),
            ("wc_sum_labels.part.0", "wc_sum_labels"),
            ("f.constprop.0.isra.0", "f"),
            ("f.cold", "f"),
            ("f.llvm.1234567890", "f"),
            ("memcpy@@GLIBC_2.14", "memcpy"),
            ("puts@plt", "puts"),
            ("__GI_raise", "raise"),
            ("crashd::Server::handle(crashd::Request const&) const", "crashd::Server::handle"),
            ("void std::sort<int*, std::less<int> >(int*, int*, std::less<int>)", "std::sort"),
            ("std::vector<int, std::allocator<int> >::push_back", "std::vector::push_back"),
            ("std::__cxx11::basic_string<char>::size[abi:cxx11]() const", "std::__cxx11::basic_string::size"),
            ("(anonymous namespace)::f(int)", "{anonymous}::f"),
            ("operator<< <char>(std::ostream&, char)", "operator<<"),
            ("A::operator()(int) const", "A::operator()"),
            ("A<int>::operator->() const", "A::operator->"),
            ("A::operator std::string() const", "A::operator std::string"),
            ("operator new[](unsigned long)", "operator new[]"),
            ("main::{lambda(int)#2}::operator()(int) const", "main::{lambda}::operator()"),
            ("main()::<lambda(int)>::operator()(int) const", "main::{lambda}::operator()"),
            ("std::function<void (int)>::operator()(int) const", "std::function::operator()"),
            ("f(int, void (*)(char)) [clone .constprop.0]", "f"),
            ("alloc::vec::Vec<T,A>::push::h0123456789abcdef", "alloc::vec::Vec::push"),
            ("<alloc::vec::Vec<T,A> as core::ops::drop::Drop>::drop", "alloc::vec::Vec::drop"),
            ("<[T] as core::slice::Index>::index", "T::index"),
            ("app::main::{{closure}}", "app::main::{closure}"),
            ("app::main::{closure#3}", "app::main::{closure}"),
            ("main.(*Server).Handle", "main.Server.Handle"),
            ("-[NSThing do: it:]", "-[NSThing do: it:]"),
            ("f(", "f"),
            ("a<b", "a"),
            ("", ""),
        ];
        for (name, want) in cases {
            assert_eq!(normalize(name), want, "{name}");
        }
    }

    #[test]
    fn files_lose_folder_and_version() {
        let cases = [
            ("/usr/lib64/libc.so.6", "libc"),
            ("/lib/libc-2.31.so", "libc"),
            ("/usr/lib/libpython3.11.so.1.0", "libpython3.11"),
            ("/usr/lib/libxul.so", "libxul"),
            ("/usr/bin/will-crash", "will-crash"),
            ("/usr/bin/python3.11", "python3.11"),
            ("/opt/a-1.2/x", "x"),
            ("[vdso]", "[vdso]"),
            ("", ""),
        ];
        for (path, want) in cases {
            assert_eq!(module_name(path), want, "{path}");
        }
    }

    proptest! {
        #[test]
        fn any_name_becomes_a_short_one_that_stays(name in r"[a-z_.<>()\[\]{}:*&@# \-]{0,60}") {
            let once = normalize(&name);
            prop_assert!(once.len() <= MAX_NAME_BYTES);
        }

        #[test]
        fn any_text_is_taken(name in ".*", path in ".*") {
            prop_assert!(normalize(&name).len() <= MAX_NAME_BYTES);
            prop_assert!(module_name(&path).len() <= MAX_NAME_BYTES);
        }

        #[test]
        fn template_arguments_make_no_difference(name in "[a-z_]{1,8}(::[a-z_]{1,8}){0,3}", argument in "[a-z:, ]{0,20}") {
            prop_assume!(!name.contains("operator") && !argument.contains("lambda"));
            prop_assert_eq!(normalize(&format!("{name}<{argument}>({argument})")), normalize(&name));
        }
    }
}
