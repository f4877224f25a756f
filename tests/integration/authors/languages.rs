//! One small distribution in six forms: each passes the suite, and all give the same answers.

use serde_json::{Value, json as value};

use super::{author, has, json, new_and_build, status, suite};

/// Name of the template, and the program without which it cannot be built.
const TEMPLATES: [(&str, &str); 6] = [
    ("rust", "cargo"),
    ("rust-std", "cargo"),
    ("declarative", "cargo"),
    ("c", "clang"),
    ("javascript", "jco"),
    ("python", "componentize-py"),
];

fn release(version: &str) -> Value {
    value!({ "distro": "acme", "version": version, "rolling": false })
}

/// Questions: ordinary ones, and what crashed machines may send.
fn questions() -> Vec<(&'static str, Value)> {
    let os_release = |text: &str| ("parse-release", value!({ "source": { "os-release": text } }));
    let line = |text: &str| ("parse-release", value!({ "source": { "release-line": text } }));
    let package = |subject: Value| ("guess-release", value!({ "subject": subject }));
    let binary = value!({ "name": "bash", "epoch": 1, "version": "5.2", "release": "1.acme2", "arch": "x86_64", "kind": "binary" });
    let source = value!({ "name": "bash", "version": "5.2", "release": "1.acme2", "arch": "src", "kind": "source" });
    let no_release = value!({ "name": "bash", "version": "5.2", "arch": "x86_64", "kind": "binary" });
    let other = value!({ "distro": "other", "version": "2", "rolling": false });
    let names = value!([
        "bash-5.2.26-3.acme2.x86_64.rpm",
        "bind-libs-32:9.18.26-1.acme2.i686",
        "32:bind-libs-9.18.26-1.acme2.aarch64",
        "kernel-debuginfo-common-x86_64-6.8.5-301.acme2.x86_64",
        "glibc-debugsource-2.39-2.acme2.aarch64",
        "bash-5.2.26-3.acme2.src.rpm",
        "bash-5.2~rc1^git1-0.1.acme2.noarch",
        "bash-5.2.26-3.acme2",
        "1:bash-2:5-3.acme2.x86_64",
        "x:bash-5-3.acme2.x86_64",
        "bash-99999999999:5-3.acme2.x86_64",
        "bash--3.acme2.x86_64",
        "../bash-5-3.acme2.x86_64",
        "bash_5.2-1_amd64.deb",
        "bäsh-5-3.acme2.x86_64",
        "\u{0}-\n-.x86_64",
        ""
    ]);
    vec![
        ("describe", value!({})),
        ("releases", value!({})),
        os_release("NAME=\"Acme Linux\"\nID=acme\nVERSION_ID=\"2\"\n"),
        os_release("VERSION_ID='1'\r\nID=\"acme\"\r\nFOO=bar\r\n"),
        os_release("\u{feff}# comment\nID=debian\nID=acme\nVERSION_ID=2 # trailing\n"),
        os_release("ID=acme\nVERSION_ID=\"\\$2\\\"\"\n"),
        os_release("ID=acme\nVERSION_ID=\"2"),
        os_release("ID=acme\nVERSION_ID=a\\ b\n"),
        os_release("ID=fedora\nVERSION_ID=2\n"),
        os_release("ID=acme\n"),
        os_release("ID=acme\nVERSION_ID=99\n"),
        os_release(""),
        os_release("ID=acme\0\nVERSION_ID=2"),
        os_release(&format!("{}\nID=acme\nVERSION_ID={}\n", "#".repeat(60_000), "ü".repeat(100))),
        line("Acme Linux release 2 (Second)"),
        line("\n Acme Linux release 1\n"),
        line("Acme Linux release 3 (Third)"),
        line("Fedora release 2 (Two)"),
        line("Acme Linux release "),
        line("Acme Linux 2"),
        ("parse-release", value!({ "source": { "named": ["etc/acme-release", "Acme Linux release 2"] } })),
        package(value!({ "raw": "bash-5.2.26-3.acme2.x86_64" })),
        package(value!({ "raw": "bash-5.2.26-3.acme2_1.x86_64", "format": "rpm", "vendor": "Acme Linux" })),
        package(value!({ "raw": "bash-5.2.26-3.acme1~bootstrap", "vendor": "Somebody" })),
        package(value!({ "raw": "bash-5.2.26-3.acme7.x86_64" })),
        package(value!({ "raw": "bash-5.2.26-3.fc40.x86_64" })),
        package(value!({ "raw": "bash-5.2.26-3.acme2.x86_64", "format": "deb" })),
        package(value!({ "raw": "bash-5.2.26-3.acme2.x86_64", "format": { "other": "apk" } })),
        package(value!({ "raw": "bash.acme2-1-3acme2.acme22222.acmex.x86_64" })),
        package(value!({ "raw": "" })),
        ("repositories", value!({ "release": release("2"), "arch": "x86_64" })),
        ("repositories", value!({ "release": release("1"), "arch": "aarch64" })),
        ("repositories", value!({ "release": release("3"), "arch": "x86_64" })),
        ("repositories", value!({ "release": release("2"), "arch": "s390x" })),
        ("repositories", value!({ "release": other, "arch": "x86_64" })),
        ("debugger-for", value!({ "release": release("2"), "arch": "x86_64" })),
        ("debugger-for", value!({ "release": release("2"), "arch": "vax" })),
        ("parse-file-names", value!({ "names": names })),
        ("parse-file-names", value!({ "names": [] })),
        ("format-file-name", value!({ "subject": binary })),
        ("format-file-name", value!({ "subject": no_release })),
        ("debug-packages", value!({ "subject": binary })),
        ("debug-packages", value!({ "subject": source })),
    ]
}

#[test]
fn one_distribution_in_six_forms_passes_the_suite_and_gives_the_same_answers() {
    let Some(cli) = author() else { return };
    let mut reference: Option<Vec<Value>> = None;
    for (template, program) in TEMPLATES {
        if !has(&cli, program, "`make setup` installs it") {
            continue;
        }
        let component = new_and_build(&cli, "acme", template);
        let component = component.to_str().expect("a plain path");
        let inspected = json(&cli.run(["plugin", "inspect", component, "--format", "json"]).expect_code(0));
        assert!(!inspected["imports"].to_string().contains("wasi"), "{template}: {inspected}");
        let fixtures = format!("{template}/fixtures");
        let metadata = &inspected["metadata"];
        assert_eq!(
            (&metadata["id"], &metadata["version"]),
            (&"acme".into(), &"0.1.0".into()),
            "{template}: {metadata}"
        );
        let report = suite(&cli, component, &fixtures);
        for id in ["A6", "C1", "D1", "G1", "G2"] {
            assert_eq!(status(&report, id), "pass", "{template}: {id}: {report}");
        }
        if template == "declarative" {
            // It reads more than the template's code does, and words its errors by itself; the fixtures are the same.
            continue;
        }

        let ask = |(function, input): (&str, Value)| {
            let input = input.to_string();
            let run = cli.run(["plugin", "call", component, function, "--json", &input, "--format", "json"]);
            json(&run.expect_code(0))["answer"].clone()
        };
        let answers: Vec<_> = questions().into_iter().map(ask).collect();
        let Some(reference) = &reference else {
            reference = Some(answers);
            continue;
        };
        for (((function, input), answer), expected) in questions().iter().zip(&answers).zip(reference) {
            assert_eq!(answer, expected, "{template} answers {function} {input} otherwise than Rust");
        }
    }
}
