//! What makes two crashes one, and what does not.

use proptest::prelude::*;

use super::*;

fn frame(module: &str, function: Option<&str>, offset: u64) -> Frame {
    Frame {
        number: 0,
        pc: 0x5000 + offset,
        function: function.map(ToOwned::to_owned),
        file: None,
        line: None,
        inline: false,
        signal_handler: false,
        trust: Trust::Cfi,
        module: Some(module.to_owned()),
        build_id: Some("ab12cd".parse().unwrap()),
        offset: Some(offset),
        arguments: Vec::new(),
        locals: Vec::new(),
        gap: None,
    }
}

fn thread(frames: Vec<Frame>) -> ThreadReport {
    ThreadReport { tid: 1, crashed: true, frames }
}

fn of_names(names: &[&str]) -> Vec<String> {
    let frames = names.iter().zip(1..).map(|(name, n)| match *name {
        "??" => frame("/bin/x", None, n),
        "SIGNAL" => Frame { signal_handler: true, ..frame("/lib/libc.so.6", None, n) },
        name => frame("/bin/x", Some(name), n),
    });
    let signature = CrashSignature::of(&thread(frames.collect()));
    signature.functions.map(|functions| functions.frames).unwrap_or_default()
}

#[test]
fn noise_is_left_out_and_recursion_counts_once() {
    let cases: [(&[&str], &[&str]); 9] = [
        (&["raise", "abort", "f", "main", "__libc_start_call_main", "_start"], &["x!f", "x!main"]),
        (&["__memmove_evex_unaligned_erms", "f", "main"], &["x!f", "x!main"]),
        (&["f", "f", "f", "g"], &["x!f", "x!g"]),
        (&["??", "??", "g"], &["x!??", "x!g"]),
        (&["??", "??"], &[]),
        (&["abort", "raise"], &["x!abort", "x!raise"]),
        (&["raise", "report", "SIGNAL", "f", "main"], &["x!f", "x!main"]),
        (&["report", "SIGNAL", "f", "main"], &["x!report", "x!f", "x!main"]),
        (&["a", "b", "c", "d", "e", "f", "g"], &["x!a", "x!b", "x!c", "x!d", "x!e"]),
    ];
    for (names, want) in cases {
        assert_eq!(of_names(names), want, "{names:?}");
    }
}

#[test]
fn a_guess_ends_the_stack() {
    let guess = Frame { trust: Trust::Scan, ..frame("/bin/x", Some("g"), 2) };
    let cut =
        CrashSignature::of(&thread(vec![frame("/bin/x", Some("f"), 1), guess.clone(), frame("/bin/x", Some("h"), 3)]));
    assert_eq!(cut, CrashSignature::of(&thread(vec![frame("/bin/x", Some("f"), 1)])));
    assert_eq!(CrashSignature::of(&thread(vec![guess.clone()])).group(), None);
    assert_eq!(stack_digest(&thread(vec![frame("/bin/x", Some("f"), 1), guess])), None);
}

#[test]
fn inlined_functions_count_for_the_functions_and_not_for_the_addresses() {
    let inlined = Frame { inline: true, ..frame("/bin/x", Some("g"), 2) };
    let with = CrashSignature::of(&thread(vec![inlined, frame("/bin/x", Some("f"), 2)]));
    let without = CrashSignature::of(&thread(vec![frame("/bin/x", Some("f"), 2)]));
    assert_eq!(with.addresses, without.addresses);
    assert_ne!(with.functions, without.functions);
}

#[test]
fn what_a_client_computes_is_what_the_result_has() {
    let id: BuildId = "ab12cd".parse().unwrap();
    let frames: Vec<_> = (1..20).map(|n| frame("/bin/x", None, n)).collect();
    let asked = address_signature((1..20).map(|n| Some((&id, n))));
    assert_eq!(CrashSignature::of(&thread(frames)).addresses, asked);
    // printf 'retrace-signature/1\naddresses\nab12cd+1\n...ab12cd+8\n' | sha256sum
    assert_eq!(asked.unwrap().to_string(), "880cba1d9417ac22ace8ee33a7760c41316aaf728d6a8e4e01efb88c59fd99d4");
    assert_eq!(address_signature([None, None]), None);
}

#[test]
fn a_stack_is_known_for_certain_only_with_every_build_id() {
    let known = frame("/bin/x", None, 1);
    assert!(stack_digest(&thread(vec![known.clone()])).is_some());
    assert_eq!(stack_digest(&thread(vec![known, Frame { build_id: None, ..frame("/bin/x", None, 2) }])), None);
    assert_eq!(stack_digest(&thread(Vec::new())), None);
}

proptest! {
    /// Another build, loaded elsewhere: other build-ids, addresses, folders and versions of libraries.
    #[test]
    fn a_rebuild_keeps_the_functions_and_changes_the_addresses(
        names in proptest::collection::vec("[a-z]{3,6}", 1..8),
        shift in 1..1000_u64,
    ) {
        let build = |shift: u64, id: &str, module: &str| {
            let frames = names.iter().zip(1..).map(|(name, n)| {
                Frame { build_id: Some(id.parse().unwrap()), ..frame(module, Some(name), n * 16 + shift) }
            });
            CrashSignature::of(&thread(frames.collect()))
        };
        let (old, new) = (build(0, "ab12cd", "/lib/libx.so.1"), build(shift, "ef34ab", "/usr/lib64/libx.so.1.2"));
        prop_assert_eq!(old.functions, new.functions);
        prop_assert_ne!(old.addresses, new.addresses);
    }

    #[test]
    fn another_function_makes_another_signature(names in proptest::collection::vec("own_[a-z]{3,6}", 1..5), at in 0..5_usize) {
        let changed: Vec<_> = names.iter().enumerate().map(|(n, name)| if n == at % names.len() { "own" } else { name }).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        prop_assert_ne!(of_names(&names), of_names(&changed));
    }
}
