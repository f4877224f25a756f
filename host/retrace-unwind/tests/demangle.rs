//! Names of real libraries, compared with `c++filt`, which is told to shorten `std::string` as gdb does.

#![cfg(test)]

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use object::{Object as _, ObjectSymbol as _};
use retrace_unwind::demangle::{Style, demangle};

/// Agreement that was reached, in percent: it may not fall. With libLLVM-14, 43 928 names, it is 98.45 %. What is left is
/// in cpp_demangle: packs of references that are expanded in the wrong places, blanks in types of functions.
const FLOOR: f64 = 97.5;

/// Libraries that are there wherever C++ programs are built.
const LIBRARIES: &[&str] = &["/usr/lib/x86_64-linux-gnu/libstdc++.so.6"];

#[test]
fn names_of_libraries_are_those_of_cxxfilt() {
    let mut names: Vec<String> = LIBRARIES.iter().filter_map(|path| mangled(path)).flatten().collect();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() {
        assert!(std::env::var_os("RETRACE_REQUIRE_TOOLS").is_none_or(|value| value != "1"), "no C++ library");
        eprintln!("skipped: no C++ library");
        return;
    }
    let wanted = filtered(&names);
    let pairs: Vec<_> = names.iter().zip(wanted.lines()).filter(|(name, wanted)| name.as_str() != *wanted).collect();
    let differing: Vec<_> = pairs.iter().filter(|(name, wanted)| demangle(name, Style::Full) != **wanted).collect();
    let percent = 100.0 - 100.0 * differing.len() as f64 / pairs.len().max(1) as f64;
    println!("demangle: {percent:.2} % of {} names as c++filt", pairs.len());
    let examples: Vec<String> = differing
        .iter()
        .step_by(differing.len().div_ceil(40).max(1))
        .map(|(name, wanted)| format!("{name}\n  c++filt {wanted}\n  here    {}", demangle(name, Style::Full)))
        .collect();
    assert!(percent >= FLOOR, "{percent:.2} %\n{}", examples.join("\n"));
}

fn mangled(path: &str) -> Option<Vec<String>> {
    let bytes = std::fs::read(path).ok()?;
    let file = object::File::parse(bytes.as_slice()).ok()?;
    let names = file.dynamic_symbols().filter_map(|symbol| symbol.name().ok().map(ToOwned::to_owned));
    Some(names.filter(|name| name.starts_with("_Z")).collect())
}

#[expect(clippy::disallowed_methods, reason = "c++filt on names that this test gives it")]
fn filtered(names: &[String]) -> String {
    let mut child =
        Command::new("c++filt").arg("--no-verbose").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let input = names.join("\n");
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    String::from_utf8(output.stdout).unwrap()
}
