use std::{
    fs,
    os::unix::fs::symlink,
    time::{Duration, Instant},
};

use retrace_plugin_host::{HostOptions, Limits, NotAPlugin, PluginError, PluginHost};

use crate::support::{component, faults, host_with, options_in};

fn refusal(bytes: &[u8], limits: Limits) -> NotAPlugin {
    let host = host_with(&[("x.wasm", bytes)], limits);
    assert_eq!(host.plugins().count(), 0);
    match faults(&host).as_slice() {
        [PluginError::NotAPlugin { source, .. }] => source.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_component_with_wasi_is_told_what_to_change() {
    let refusal = refusal(&component("examples/bad_wasi"), Limits::default());
    let text = refusal.to_string();
    assert!(matches!(refusal, NotAPlugin::ForbiddenImport { .. }), "{text}");
    assert!(text.contains("wasi:") && text.contains("no_std"), "{text}");
}

#[test]
fn what_is_no_component_is_refused() {
    let limits = Limits::default();
    assert!(matches!(refusal(b"", limits.clone()), NotAPlugin::Invalid(_)));
    assert!(matches!(refusal(b"\x7fELF random bytes \0\x01\x02", limits.clone()), NotAPlugin::Invalid(_)));
    assert_eq!(refusal(b"\0asm\x01\0\0\0", limits), NotAPlugin::CoreModule);
}

#[test]
fn a_damaged_component_is_refused_or_serves_but_never_breaks_the_host() {
    let good = component("retrace_plugin_debian");
    let step = (good.len() / 16).max(1);
    for at in (8..good.len()).step_by(step) {
        let truncated = good.get(..at).unwrap();
        let host = host_with(&[("x.wasm", truncated)], Limits::default());
        assert_eq!(host.plugins().count(), 0, "truncated at {at}");
        let mut flipped = good.clone();
        if let Some(byte) = flipped.get_mut(at) {
            *byte ^= 0x55;
        }
        let _ = host_with(&[("x.wasm", &flipped)], Limits::default());
    }
}

#[test]
fn an_oversized_file_is_not_read() {
    let limits = Limits { file_bytes: 1000, ..Limits::default() };
    let bytes = component("retrace_plugin_debian");
    assert!(matches!(refusal(&bytes, limits), NotAPlugin::TooLarge { limit: 1000, .. }));

    // A sparse file far larger than memory is refused as quickly.
    let dir = tempfile::tempdir().unwrap();
    let options = options_in(dir.path(), Limits::default());
    fs::create_dir(&options.plugin_dir).unwrap();
    fs::File::create(options.plugin_dir.join("huge.wasm")).unwrap().set_len(1 << 40).unwrap();
    let host = PluginHost::load(&options).unwrap().registry();
    assert!(matches!(faults(&host).as_slice(), [PluginError::NotAPlugin { source: NotAPlugin::TooLarge { .. }, .. }]));
}

#[test]
fn counts_are_checked_before_anything_is_compiled() {
    let bytes = component("retrace_plugin_debian");
    let cases = [
        Limits { functions: 10, ..Limits::default() },
        Limits { function_bytes: 100, ..Limits::default() },
        Limits { locals: 1, ..Limits::default() },
        Limits { modules: 0, ..Limits::default() },
    ];
    for limits in cases {
        assert!(matches!(refusal(&bytes, limits), NotAPlugin::TooComplex { .. }));
    }
}

#[test]
fn a_compile_bomb_is_refused_at_once() {
    // A function of some 2.7 MB and 2 000 locals, which would take the compiler minutes.
    let started = Instant::now();
    let refusal = refusal(&bomb(2_000, 300_000), Limits::default());
    assert!(matches!(refusal, NotAPlugin::TooComplex { .. }), "{refusal}");
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
}

/// A component that holds one core module with one function: so many locals, and so many additions over them.
fn bomb(locals: u32, additions: u32) -> Vec<u8> {
    let mut body = vec![];
    leb(&mut body, 1);
    leb(&mut body, locals);
    body.push(0x7f); // i32
    for i in 0..additions {
        body.push(0x20); // local.get
        leb(&mut body, i % locals);
        body.push(0x20);
        leb(&mut body, i.wrapping_mul(7) % locals);
        body.push(0x6a); // i32.add
        body.push(0x21); // local.set
        leb(&mut body, i.wrapping_mul(3) % locals);
    }
    body.push(0x0b);
    let mut code = vec![];
    leb(&mut code, 1);
    leb(&mut code, u32::try_from(body.len()).unwrap());
    code.extend(body);

    let mut module = b"\0asm\x01\0\0\0".to_vec();
    section(&mut module, 1, &[1, 0x60, 0, 0]); // type () -> ()
    section(&mut module, 3, &[1, 0]);
    section(&mut module, 10, &code);

    let mut component = b"\0asm\x0d\0\x01\0".to_vec();
    section(&mut component, 1, &module);
    component
}

fn section(out: &mut Vec<u8>, id: u8, content: &[u8]) {
    out.push(id);
    leb(out, u32::try_from(content.len()).unwrap());
    out.extend_from_slice(content);
}

fn leb(out: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        out.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).unwrap());
}

#[test]
fn a_distribution_is_served_once() {
    let bytes = component("retrace_plugin_debian");
    let host = host_with(&[("a.wasm", &bytes), ("b.wasm", &bytes)], Limits::default());
    assert_eq!(host.plugins().count(), 1);
    assert!(matches!(faults(&host).as_slice(), [PluginError::Duplicate { id, .. }] if id.as_str() == "debian"));
}

#[test]
fn only_plain_visible_wasm_files_are_read() {
    let bytes = component("retrace_plugin_debian");
    let dir = tempfile::tempdir().unwrap();
    let options = options_in(dir.path(), Limits::default());
    let missing = PluginHost::load(&options).err().unwrap();
    assert!(missing.to_string().contains("make plugins"), "{missing}");

    fs::create_dir_all(options.plugin_dir.join("folder.wasm")).unwrap();
    for name in [".half.wasm", "notes.txt", "folder.wasm/inner.wasm"] {
        fs::write(options.plugin_dir.join(name), "x").unwrap();
    }
    fs::write(dir.path().join("elsewhere"), bytes).unwrap();
    symlink(dir.path().join("elsewhere"), options.plugin_dir.join("link.wasm")).unwrap();
    let host = PluginHost::load(&options).unwrap().registry();
    assert_eq!(host.plugins().count(), 1);
    assert!(matches!(faults(&host).as_slice(), [PluginError::Read { path, .. }] if path.ends_with("folder.wasm")));

    let few = HostOptions { limits: Limits { plugins: 1, ..Limits::default() }, ..options };
    assert!(matches!(PluginHost::load(&few), Err(PluginError::TooManyPlugins { .. })));
}
