//! Every rule of the file, broken once: the message names the file, the key and what is wrong.

use crate::load;

const ACME: &str = include_str!("../../tests/declared/acme.toml");
const GNAT: &str = include_str!("../../tests/declared/gnat.toml");

/// The smallest file that is accepted.
const SMALL: &str = r#"
[plugin]
id = "acme"
aliases = ["acme-server"]
name = "Acme Linux"
format = "rpm"

[architectures]
big = ["x86_64", "aarch64"]

[basearch]
x86_64 = "x86_64"

[[release]]
version = "2"
codename = "anvil"
minors = true
title = "Acme"
architectures = ["@big"]
end_of_life = "2024-02-29"
keys = ["acme"]
vars = { TREE = "two" }
annotations = { note = "n" }

[[release]]
version = "1"
distro = "acme-server"
architectures = ["x86_64"]

[os_release]
version_keys = ["VERSION_ID"]

[[os_release.rule]]
when = { VARIANT_ID = "old" }
release = "1"

[release_line]
names = ["Acme"]

[[release_line.rule]]
when = { codename = "Old" }
ours = false

[files]
acme-release = "release-line"

[[guess]]
tag = ".ac$VER"
confidence = "likely"
vendors = ["Acme"]

[[guess]]
tag = ".old"
release = "1"
confidence = "weak"

[keys]
acme = { path = "acme/key.asc", fingerprint = "0123456789ABCDEF0123456789ABCDEF01234567" }

[mirrors]
main = ["https://mirror.example/$VER"]

[[repository]]
id = "base"
title = "Base $VER"
content = "packages"
from = "main"
path = "os/$BASEARCH/"
signatures = ["packages"]
keys = ["acme"]
config = { client = "yes" }

[[repository]]
id = "debug"
content = "debug-info"
mirrors = ["https://mirror.example/debug/$ARCH"]
signatures = []

[[debugger]]
releases = ["1"]
packages = ["gdb"]
path = "/usr/bin/gdb"
environment = "chroot"

[[debug_package]]
names = ["glibc*"]
packages = ["glibc-debuginfo"]

[[kernel]]
uname = "*.ac*"
packages = ["kernel-debuginfo"]
vmlinux = "/usr/lib/debug/$UNAME/vmlinux"

[[environment_advice]]
wanted = ["python3*"]
packages = ["python3-debug"]
"#;

/// The message for the small file with one text replaced by another.
fn message(from: &str, to: &str) -> String {
    assert_eq!(SMALL.matches(from).count(), 1, "{from:?} has to occur once");
    load("acme.toml", &SMALL.replace(from, to)).err().unwrap_or_else(|| "accepted".to_owned())
}

#[test]
fn the_examples_of_the_documentation_are_accepted_and_the_tested_ones() {
    let page = include_str!("../../docs/declarative.md");
    let blocks: Vec<_> = page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(blocks, [ACME, GNAT]);
    for (file, text) in [("acme.toml", ACME), ("gnat.toml", GNAT), ("small.toml", SMALL)] {
        load(file, text).unwrap();
    }
}

#[test]
fn every_key_of_the_schema_is_documented() {
    let page = include_str!("../../docs/declarative.md");
    let schema = include_str!("schema.rs");
    let fields = schema.lines().filter_map(|line| line.trim().strip_prefix("pub(crate) ")?.split_once(':'));
    for (field, _) in fields.filter(|(field, _)| field.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')) {
        let shown = [
            format!("`{field}`"),
            format!("[{field}]"),
            format!(".{field}]"),
            format!("{field} ="),
            format!("`{field} "),
        ];
        assert!(shown.iter().any(|form| page.contains(form)), "key {field} is not in docs/declarative.md");
    }
}

#[test]
fn the_form_is_checked() {
    let cases = [
        ("[plugin]\n", "[plugin\n", "acme.toml: line 2: "),
        ("id = \"acme\"\n", "", "acme.toml: line 2: plugin: missing field `id`"),
        ("id = \"acme\"\n", "id = 7\n", "acme.toml: line 3: plugin.id: invalid type: integer `7`, expected a string"),
        (
            "minors = true",
            "minor = true",
            "acme.toml: line 17: release[0].minor: unknown field `minor`, expected one of",
        ),
        ("[basearch]", "[base-arch]", "line 11: base-arch: unknown field `base-arch`"),
        ("content = \"packages\"", "content = \"binary\"", "repository[0].content: unknown variant `binary`"),
        ("format = \"rpm\"", "format = \"apk\"", "plugin.format: unknown variant `apk`"),
        (
            "main = [\"https://mirror.example/$VER\"]",
            "main = [{ url = \"https://mirror.example\", arches = [] }]",
            "mirrors.main[0].arches: unknown field `arches`",
        ),
        (
            "main = [\"https://mirror.example/$VER\"]",
            "main = [7]",
            "mirrors.main[0]: invalid type: integer `7`, expected a URL",
        ),
    ];
    for (from, to, want) in cases {
        let got = message(from, to);
        assert!(got.contains(want) && got.starts_with("acme.toml: line "), "{to:?} gives {got:?}, wanted {want:?}");
    }
}

#[test]
fn every_rule_is_checked() {
    let cases = [
        // [plugin]
        ("id = \"acme\"\n", "id = \"Acme Linux\"\n", "plugin.id: \"Acme Linux\": want [a-z0-9]"),
        ("id = \"acme\"\n", "id = \".acme\"\n", "plugin.id: \".acme\" has to begin with a letter or digit"),
        ("[\"acme-server\"]", "[\"acme-server\", \"acme\"]", "plugin.aliases[1]: \"acme\" occurs twice"),
        ("name = \"Acme Linux\"", "name = \"\"", "plugin.name: is empty"),
        ("name = \"Acme Linux\"", "name = \"a\\nb\"", "plugin.name: holds a control character"),
        // [architectures], [basearch]
        (
            "big = [\"x86_64\", \"aarch64\"]",
            "big = [\"x86 64\", \"aarch64\"]",
            "architectures.big[0]: \"x86 64\": want",
        ),
        ("big = [\"x86_64\", \"aarch64\"]", "big = []", "architectures.big"),
        ("x86_64 = \"x86_64\"", "x86_64 = \"a/b\"", "basearch.x86_64: \"a/b\": want"),
        // [[release]]
        ("version = \"2\"", "version = \"2 beta\"", "release[0].version: \"2 beta\": want"),
        ("version = \"2\"", "version = \"2..3\"", "release[0].version: holds `..`"),
        (
            "distro = \"acme-server\"",
            "distro = \"debian\"",
            "release[1].distro: \"debian\" is neither plugin.id nor an alias",
        ),
        (
            "version = \"1\"\ndistro = \"acme-server\"",
            "version = \"2\"",
            "release[1].version: \"2\" is release[0] already",
        ),
        ("codename = \"anvil\"", "codename = \"the anvil\"", "release[0].codename: \"the anvil\": want"),
        (
            "title = \"Acme\"",
            "title = \"Acme $ARCH\"",
            "release[0].title: variable $ARCH means nothing here: known are $VER, $CODENAME",
        ),
        (
            "architectures = [\"x86_64\"]",
            "title = \"$CODENAME\"\narchitectures = [\"x86_64\"]",
            "release[1].title: $CODENAME has no value",
        ),
        (
            "architectures = [\"@big\"]",
            "architectures = [\"@small\"]",
            "release[0].architectures[0]: no group \"small\"",
        ),
        (
            "architectures = [\"@big\"]",
            "architectures = [\"@big\", \"x86_64\"]",
            "release[0].architectures[1]: x86_64 stands in the list twice",
        ),
        ("architectures = [\"x86_64\"]\n", "", "release[1].architectures: is missing, here and in [defaults]"),
        ("2024-02-29", "2023-02-29", "release[0].end_of_life: \"2023-02-29\" is no date YYYY-MM-DD"),
        ("2024-02-29", "2024-2-29", "release[0].end_of_life: \"2024-2-29\" is no date"),
        ("{ TREE = \"two\" }", "{ tree = \"two\" }", "release[0].vars.tree: want a name of capital letters"),
        ("{ TREE = \"two\" }", "{ VER = \"two\" }", "release[0].vars.VER: this variable has a meaning already"),
        ("{ TREE = \"two\" }", "{ TREE = \"a b\" }", "release[0].vars.TREE: \"a b\": want"),
        (
            "annotations = { note = \"n\" }",
            "annotations = { \"a note\" = \"n\" }",
            "release[0].annotations.a note: \"a note\": want a key",
        ),
        // recognition
        (
            "version_keys = [\"VERSION_ID\"]",
            "version_keys = [\"version\"]",
            "os_release.version_keys[0]: \"version\" is no name in os-release",
        ),
        ("when = { VARIANT_ID = \"old\" }", "when = {}", "os_release.rule[0].when: is empty"),
        (
            "when = { VARIANT_ID = \"old\" }",
            "when = { variant = \"old\" }",
            "os_release.rule[0].when.variant: \"variant\" is no name",
        ),
        (
            "VARIANT_ID = \"old\" }\nrelease = \"1\"",
            "VARIANT_ID = \"old\" }\nrelease = \"3\"",
            "os_release.rule[0].release: no release \"3\" in the file: there are 2, 1",
        ),
        (
            "VARIANT_ID = \"old\" }\nrelease = \"1\"",
            "VARIANT_ID = \"old\" }\nrelease = \"$VER-stream\"",
            "os_release.rule[0].release: no release of the file has the form",
        ),
        (
            "VARIANT_ID = \"old\" }\nrelease = \"1\"",
            "VARIANT_ID = \"old\" }\nrelease = \"$CODENAME\"",
            "os_release.rule[0].release: variable $CODENAME means nothing here",
        ),
        ("ours = false", "ours = true", "release_line.rule[0]: want either release"),
        ("ours = false", "ours = false\nrelease = \"1\"", "release_line.rule[0]: want either release"),
        (
            "when = { codename = \"Old\" }",
            "when = { word = \"Old\" }",
            "release_line.rule[0].when.word: known are line, name, version, codename",
        ),
        (
            "when = { codename = \"Old\" }",
            "when = { codename = \"*********\" }",
            "release_line.rule[0].when.codename: more than 8 `*`",
        ),
        ("names = [\"Acme\"]", "names = [\"\"]", "release_line.names[0]: is empty"),
        (
            "acme-release = ",
            "\"etc/acme-release\" = ",
            "files.\"etc/acme-release\": want the last part of the path only",
        ),
        // [[guess]]
        ("tag = \".old\"", "tag = \".ac$VER\"", "guess[1].tag: \".ac$VER\" is guess[0] already"),
        ("tag = \".old\"", "tag = \"\"", "guess[1].tag: \"\": want"),
        ("tag = \".old\"", "tag = \".old$VER\"", "guess[1].release: the tag names the release already"),
        ("tag = \".ac$VER\"", "tag = \".ac\"", "guess[0]: want $VER or $CODENAME in the tag"),
        ("tag = \".ac$VER\"", "tag = \"$VER\"", "guess[0].tag: begins with a variable"),
        ("tag = \".ac$VER\"", "tag = \".$VER$MINOR\"", "guess[0].tag: two variables without anything between"),
        ("tag = \".ac$VER\"", "tag = \".$VER.$CODENAME\"", "guess[0].tag: want either $VER or $CODENAME"),
        ("tag = \".ac$VER\"", "tag = \".$VER.$VER\"", "guess[0].tag: $VER occurs twice"),
        ("tag = \".ac$VER\"", "tag = \".$HOME\"", "guess[0].tag: variable $HOME means nothing here"),
        ("tag = \".ac$VER\"", "tag = \".ac$ver\"", "guess[0].tag: \".ac$ver\": `$` without a variable"),
        (
            "tag = \".ac$VER\"",
            "tag = \".$CODENAME\"\nreleases = [\"1\"]",
            "guess[0].tag: none of the releases has a code name",
        ),
        (
            "release = \"1\"\nconfidence",
            "release = \"1\"\nreleases = [\"1\"]\nconfidence",
            "guess[1].releases: means nothing beside `release`",
        ),
        ("vendors = [\"Acme\"]", "vendors = [\"\"]", "guess[0].vendors[0]: is empty"),
        // [keys]
        ("acme/key.asc", "/acme/key.asc", "keys.acme.path: \"/acme/key.asc\": want a relative path"),
        ("acme/key.asc", "acme/../key.asc", "keys.acme.path: \"acme/../key.asc\": want a relative path"),
        (
            "acme/key.asc",
            "debian/key.asc",
            "keys.acme.path: \"debian/key.asc\" has to lie in a folder of this plugin: acme/, acme-server/",
        ),
        (
            "89ABCDEF01234567\"",
            "89abcdef01234567\"",
            "keys.acme.fingerprint: \"0123456789ABCDEF0123456789abcdef01234567\" is no fingerprint",
        ),
        // [mirrors]
        (
            "https://mirror.example/$VER",
            "gopher://mirror.example/$VER",
            "mirrors.main[0]: scheme `gopher`: want https, http, rsync, ftp or file",
        ),
        ("https://mirror.example/$VER", "mirror.example/$VER", "mirrors.main[0]: scheme ``: want"),
        ("main = [\"https://mirror.example/$VER\"]", "main = []", "mirrors.main: 0 mirrors: want 1 to 256"),
        (
            "https://mirror.example/debug/$ARCH",
            "https://user@mirror.example/",
            "repository[1].mirrors[0]: \"https://user@mirror.example/\" holds a user name",
        ),
        (
            "https://mirror.example/debug/$ARCH",
            "https://mirror.example/?a",
            "repository[1].mirrors[0]: \"https://mirror.example/?a\" holds a query",
        ),
        (
            "https://mirror.example/debug/$ARCH",
            "https://mirror.example/../$ARCH",
            "holds `.` or `..` as a part of its path",
        ),
        ("https://mirror.example/debug/$ARCH", "https://mirror.example/%2e%2E/", "holds an escaped dot"),
        ("https://mirror.example/debug/$ARCH", "https:///debug", "wants a host"),
        (
            "https://mirror.example/debug/$ARCH",
            "https://mirror.example/$HOME",
            "repository[1].mirrors[0]: $HOME has no value for release 2 on x86_64",
        ),
        (
            "https://mirror.example/debug/$ARCH",
            "https://mirror.example/$CODENAME",
            "repository[1].mirrors[0]: $CODENAME has no value for release 1 on x86_64",
        ),
        (
            "https://mirror.example/debug/$ARCH",
            "https://mirror.example/$TREE",
            "repository[1].mirrors[0]: $TREE has no value for release 1 on x86_64",
        ),
        (
            "https://mirror.example/debug/$ARCH",
            "https://mirror.example/$MINOR",
            "release[0]: no repository with content = \"debug-info\" for release 2 on x86_64 (without a minor)",
        ),
        (
            "[\"https://mirror.example/debug/$ARCH\"]",
            "[{ url = \"https://mirror.example/\", releases = [\"1\"] }]",
            "repository[1].mirrors: no mirror for release 2 on x86_64",
        ),
        (
            "[\"https://mirror.example/debug/$ARCH\"]",
            "[{ url = \"https://mirror.example/\", releases = [] }]",
            "repository[1].mirrors[0].releases: selects nothing",
        ),
        (
            "[\"https://mirror.example/debug/$ARCH\"]",
            "[{ url = \"https://mirror.example/\", releases = [\"9\"] }]",
            "repository[1].mirrors[0].releases[0]: no release \"9\" in the file",
        ),
        (
            "[\"https://mirror.example/debug/$ARCH\"]",
            "[{ url = \"https://mirror.example/\", releases = [\"1..9\"] }]",
            "repository[1].mirrors[0].releases[0]: no release \"9\" in the file",
        ),
        (
            "[\"https://mirror.example/debug/$ARCH\"]",
            "[{ url = \"https://mirror.example/\", releases = [\"debian:*\"] }]",
            "no release of the file has distro \"debian\"",
        ),
        // [[repository]]
        ("id = \"base\"", "id = \"Base\"", "repository[0].id: \"Base\": want"),
        ("id = \"base\"", "id = \"debug\"", "repository[1].id: \"debug\" occurs twice for release 2 on x86_64"),
        (
            "content = \"packages\"\nfrom = \"main\"",
            "content = \"sources\"\nfrom = \"main\"",
            "release[0]: no repository with content = \"packages\" for release 2 on x86_64",
        ),
        (
            "from = \"main\"\npath = \"os/$BASEARCH/\"\n",
            "",
            "repository[0]: want either `from` (and `path`) or `mirrors`",
        ),
        ("from = \"main\"\n", "from = \"other\"\n", "repository[0].from: no list \"other\" in [mirrors]"),
        ("id = \"debug\"\n", "id = \"debug\"\npath = \"x\"\n", "repository[1].path: means nothing beside `mirrors`"),
        (
            "id = \"debug\"\n",
            "id = \"debug\"\nsuite = \"x\"\n",
            "repository[1].suite: means nothing without layout = \"deb\"",
        ),
        (
            "id = \"debug\"\n",
            "id = \"debug\"\ncomponents = [\"x\"]\n",
            "repository[1].components: means nothing without layout",
        ),
        (
            "id = \"debug\"\n",
            "id = \"debug\"\nlayout = \"deb\"\n",
            "repository[1].suite: is missing: layout `deb` wants one",
        ),
        (
            "id = \"debug\"\n",
            "id = \"debug\"\nlayout = \"deb\"\nsuite = \"a/../b\"\n",
            "repository[1].suite: \"a/../b\": want a relative path",
        ),
        (
            "id = \"debug\"\n",
            "id = \"debug\"\nlayout = \"deb\"\nsuite = \"$ARCH\"\n",
            "repository[1].suite: want $VER, $CODENAME and own variables only",
        ),
        (
            "id = \"debug\"\n",
            "id = \"debug\"\nlayout = \"deb\"\nsuite = \"a\"\ncomponents = []\n",
            "repository[1].components: 0 components: want 1 to 32",
        ),
        (
            "id = \"debug\"\n",
            "id = \"debug\"\nlayout = \"deb\"\nsuite = \"a\"\ncomponents = [\"\"]\n",
            "repository[1].components[0]: \"\": want",
        ),
        ("signatures = []\n", "", "repository[1].signatures: is missing, here and in [defaults]"),
        (
            "signatures = []\n",
            "signatures = [\"metadata\"]\n",
            "repository[1].keys: is empty for release 1, but something must be signed",
        ),
        ("title = \"Base $VER\"", "title = \"Base $ARCH\"", "repository[0].title: variable $ARCH means nothing here"),
        (
            "keys = [\"acme\"]\nconfig",
            "keys = [\"acme-$VER\"]\nconfig",
            "repository[0].keys[0]: no key \"acme-2\" in [keys] (for release 2)",
        ),
        (
            "keys = [\"acme\"]\nconfig",
            "keys = [\"acme\", \"acme\"]\nconfig",
            "repository[0].keys[1]: \"acme\" stands there twice",
        ),
        (
            "config = { client = \"yes\" }",
            "config = { Client = \"yes\" }",
            "repository[0].config.Client: \"Client\": want a key",
        ),
        (
            "[plugin]\n",
            "[defaults]\nconfig = { Client = \"yes\" }\n[plugin]\n",
            "defaults.config.Client: \"Client\": want a key",
        ),
        // the rest
        ("packages = [\"gdb\"]", "packages = []", "debugger[0].packages: 0 names: want 1 to 256"),
        (
            "packages = [\"gdb\"]",
            "packages = [\"a b\"]",
            "debugger[0].packages[0]: \"a b\": want the name of a package",
        ),
        (
            "path = \"/usr/bin/gdb\"",
            "path = \"usr/bin/gdb\"",
            "debugger[0].path: \"usr/bin/gdb\": want an absolute path",
        ),
        (
            "path = \"/usr/bin/gdb\"",
            "path = \"/usr/../gdb\"",
            "debugger[0].path: \"/usr/../gdb\": want an absolute path",
        ),
        ("names = [\"glibc*\"]", "names = []", "debug_package[0].names: is empty"),
        (
            "packages = [\"glibc-debuginfo\"]",
            "packages = [\"$VER\"]",
            "debug_package[0].packages[0]: variable $VER means nothing here: known are $NAME",
        ),
        (
            "uname = \"*.ac*\"",
            "uname = \"*.$VER\"",
            "kernel[0].uname: variable $VER means nothing here: known are $ARCH",
        ),
        (
            "packages = [\"kernel-debuginfo\"]",
            "packages = [\"a/b\"]",
            "kernel[0].packages[0]: \"a/b\": want the name of a package",
        ),
        ("\"/usr/lib/debug/$UNAME/vmlinux\"", "\"vmlinux\"", "kernel[0].vmlinux: \"vmlinux\": want an absolute path"),
        ("wanted = [\"python3*\"]", "wanted = [\"\"]", "environment_advice[0].wanted[0]: is empty"),
        (
            "packages = [\"python3-debug\"]",
            "packages = [\"..\"]",
            "environment_advice[0].packages[0]: \"..\" is no name of a package",
        ),
        (
            "packages = [\"python3-debug\"]",
            "packages = [\"a\"]\nreleases = [\"9\"]",
            "environment_advice[0].releases[0]: no release \"9\"",
        ),
    ];
    let wrong = |(from, to, want): (&str, &str, &str)| {
        let got = message(from, to);
        let right = got.starts_with("acme.toml: ") && got.contains(want);
        (!right).then(|| format!("{to:?} gives {got:?}, wanted {want:?}"))
    };
    let wrong: Vec<_> = cases.into_iter().filter_map(wrong).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_file_without_releases_is_no_distribution() {
    let text = "[plugin]\nid = \"a\"\nname = \"A\"\nformat = \"deb\"\n";
    assert_eq!(load("a.toml", text).unwrap_err(), "a.toml: release: is missing: want at least one [[release]]");
}

#[test]
fn a_kernel_of_a_debian_like_distribution_is_named_by_its_package() {
    let text = GNAT.replace("linux-image-$UNAME-dbg", "linux-image-dbg");
    let error = load("gnat.toml", &text).unwrap_err();
    assert!(error.contains("kernel[0].packages: want $UNAME in a name"), "{error}");
}

#[test]
fn a_version_of_two_distributions_is_named_with_its_distribution() {
    let text = SMALL.replace("version = \"1\"\ndistro", "version = \"2\"\ndistro");
    let error = load("acme.toml", &text).unwrap_err();
    assert!(error.contains(": no release \"1\" in the file: there are 2, 2"), "{error}");
    let error = load("acme.toml", &text.replace("\"1\"", "\"2\"")).unwrap_err();
    assert!(error.contains("\"2\" names two releases: write \"distro:2\""), "{error}");
    load("acme.toml", &text.replace("\"1\"", "\"acme-server:2\"")).unwrap();
}

mod arguments {
    use crate::input::parse;

    fn names(text: &str) -> Result<(String, String, Vec<String>), String> {
        let input = parse(text.parse().unwrap()).map_err(|error| error.message)?;
        let functions = input.functions.iter().map(|function| function.name.clone()).collect();
        Ok((input.file, input.name.to_string(), functions))
    }

    #[test]
    fn are_a_file_or_a_type_with_functions() {
        assert_eq!(names("\"acme.toml\""), Ok(("acme.toml".into(), "Plugin".into(), vec![])));
        assert_eq!(names("/// Docs.\npub struct Acme = \"a.toml\";"), Ok(("a.toml".into(), "Acme".into(), vec![])));
        let two = "struct Acme = \"a.toml\"; fn one() {} /// Docs.\nfn two(a: fn(u8)) -> [u8; { 1 }] { {} }";
        assert_eq!(names(two), Ok(("a.toml".into(), "Acme".into(), vec!["one".into(), "two".into()])));
    }

    #[test]
    fn that_are_wrong_are_named() {
        let cases = [
            ("", "want a file"),
            ("Acme", "want a file"),
            ("struct Acme;", "want a file"),
            ("struct Acme = 7;", "plain \"text\""),
            ("struct Acme = \"a\\\\b\";", "plain \"text\""),
            ("\"a.toml\", Acme", "nothing can follow the file"),
            ("struct Acme = \"a.toml\"; const A: u8 = 1;", "only whole functions"),
            ("struct Acme = \"a.toml\"; fn a() {} fn a() {}", "function a stands here twice"),
        ];
        for (text, want) in cases {
            let error = names(text).unwrap_err();
            assert!(error.contains(want), "{text:?} gives {error:?}");
        }
    }
}
