//! A plugin that loads like any other and misbehaves in its calls: the caller picks how, by the version of the release or
//! by the name of the file that it asks about.
#![cfg_attr(target_family = "wasm", no_std)]

use retrace_plugin_sdk::prelude::*;

/// The plugin.
pub struct Bad;

impl Distribution for Bad {
    const ID: &'static str = "bad";

    fn describe() -> Description {
        Description {
            id: "bad".into(),
            aliases: vec!["worse".into()],
            name: "Bad Linux".into(),
            format: PackageFormat::Other("bad".into()),
            plugin_version: "1.0.0".into(),
            annotations: vec![],
        }
    }

    fn releases() -> Vec<ReleaseEntry> {
        vec![]
    }

    fn parse_release(source: ReleaseSource) -> Result<Option<Release>, CallError> {
        let ReleaseSource::Named((how, _)) = source else { return Ok(None) };
        match how.as_str() {
            "loop" => endless_loop(),
            "hog" => hog(),
            "panic" => out_of_range(&[]),
            "recursion" => drop(recursion(1)),
            "flood" => {
                for _ in 0..1000 {
                    log(Level::Info, "\x1b[31mflood\n");
                }
            }
            "big-log" => log(Level::Info, &"x".repeat(4 << 20)),
            "big-answer" => return Ok(Some(release(&"9".repeat(4 << 20)))),
            "error" => return Err(CallError::MalformedInput("two\nlines\x1b[31m".into())),
            "foreign" => return Ok(Some(Release { distro: "debian".into(), ..release("12") })),
            "bad-version" => return Ok(Some(release("../12"))),
            "alias" => return Ok(Some(Release { distro: "worse".into(), ..release("1") })),
            _ => return Ok(None),
        }
        Ok(Some(release("1")))
    }

    fn repositories(release: Release, _arch: String) -> Result<Vec<Repository>, CallError> {
        let mut repository = Repository {
            id: "main".into(),
            title: "Main".into(),
            layout: RepositoryLayout::RpmMd,
            content: RepositoryContent::Packages,
            mirrors: vec!["http://mirror.example/$VER/$ARCH".into()],
            signatures: Signatures::PACKAGES,
            keys: vec![KeyFile { path: "bad/key.asc".into(), fingerprint: None }],
            config: vec![],
        };
        match release.version.as_str() {
            "empty" => return Ok(vec![]),
            "twice" => return Ok(vec![repository.clone(), repository]),
            "id" => repository.id = "a/b".into(),
            "title" => repository.title = "a\nb".into(),
            "scheme" => repository.mirrors = vec!["gopher://mirror.example/".into()],
            "dots" => repository.mirrors = vec!["file:///srv/../etc".into()],
            "escaped-dots" => repository.mirrors = vec!["http://mirror.example/%2E%2e/".into()],
            "variable" => repository.mirrors = vec!["http://mirror.example/$HOME".into()],
            "no-minor" => repository.mirrors = vec!["http://mirror.example/$MINOR".into()],
            "user" => repository.mirrors = vec!["http://user@mirror.example/".into()],
            "no-mirror" => repository.mirrors = vec![],
            "key" => repository.keys = vec![KeyFile { path: "bad/../debian/key.asc".into(), fingerprint: None }],
            "foreign-key" => repository.keys = vec![KeyFile { path: "debian/key.asc".into(), fingerprint: None }],
            "absolute-key" => repository.keys = vec![KeyFile { path: "/etc/passwd".into(), fingerprint: None }],
            "no-key" => repository.keys = vec![],
            "fingerprint" => {
                repository.keys = vec![KeyFile { path: "bad/key.asc".into(), fingerprint: Some("abc".into()) }];
            }
            "suite" => {
                let suite = DebSuite { suite: "a/../b".into(), components: vec!["main".into()] };
                repository.layout = RepositoryLayout::DebDists(suite);
            }
            "config" => repository.config = vec![("a key".into(), String::new())],
            _ => {}
        }
        Ok(vec![repository])
    }

    fn debugger_for(release: Release, _arch: String) -> Result<Option<Debugger>, CallError> {
        let path = if release.version == "path" { "usr/bin/gdb" } else { "/usr/bin/gdb" };
        let packages = if release.version == "packages" { vec![] } else { vec!["gdb".into()] };
        Ok(Some(Debugger { packages, path: path.into(), environment: Environment::Chroot }))
    }

    fn parse_file_names(names: Vec<String>) -> Result<Vec<Option<PackageId>>, CallError> {
        let id = |name: &String| PackageId {
            name: name.clone(),
            epoch: None,
            version: "1".into(),
            release: None,
            arch: "noarch".into(),
            kind: PackageKind::Binary,
        };
        let too_few = names.first().is_some_and(|name| name == "too-few");
        Ok(names.iter().skip(usize::from(too_few)).map(|name| Some(id(name))).collect())
    }
}

fn release(version: &str) -> Release {
    Release { distro: "bad".into(), version: version.into(), minor: None, codename: None, rolling: false }
}

fn endless_loop() {
    let mut turns = 0_u64;
    loop {
        turns = core::hint::black_box(turns.wrapping_add(1));
    }
}

fn hog() {
    let mut blocks: Vec<Vec<u8>> = vec![];
    loop {
        blocks.push(core::hint::black_box(vec![1; 1 << 20]));
    }
}

/// A panic whose text has to reach the host.
#[expect(clippy::indexing_slicing, reason = "the panic is what this is for")]
fn out_of_range(values: &[u8]) {
    core::hint::black_box(values[core::hint::black_box(7)]);
}

#[expect(unconditional_recursion, reason = "the stack overflow is what this is for")]
fn recursion(depth: u64) -> [u64; 64] {
    let mut frame = core::hint::black_box([depth; 64]);
    let [first, ..] = recursion(depth.wrapping_add(1));
    frame.fill(first);
    core::hint::black_box(frame)
}

retrace_plugin_sdk::export_plugin!(Bad);
