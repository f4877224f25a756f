//! Installing plugins with the real command: signatures, tampering, versions, packs, and what is left of a killed install.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use retrace_tests::{Cli, Run, skip};
use serde_json::Value;
use tempfile::TempDir;

use crate::view::salted;

/// A site without bundled plugins that trusts the key `acme`.
struct Site {
    cli: Cli,
    fingerprint: String,
}

impl Site {
    fn new() -> Option<Self> {
        let mut cli = Cli::new()?;
        let (bundled, trust) = (cli.path("bundled"), cli.path("trust"));
        fs::create_dir(&bundled).unwrap();
        fs::create_dir(&trust).unwrap();
        cli.set("RETRACE_PLUGIN_DIR", &bundled).set("RETRACE_PLUGINS_TRUST_DIR", &trust);
        let key = cli.path("acme");
        let run =
            cli.run(["plugin", "keygen", "--name", "Acme <a@acme.example>", "--format", "json", "--out", text(&key)]);
        let document = json(&run.expect_code(0));
        fs::copy(cli.path("acme.asc"), trust.join("acme.asc")).unwrap();
        Some(Self { cli, fingerprint: document["fingerprint"].as_str().unwrap().to_owned() })
    }

    /// A copy of a plugin of Retrace, which stands for that of a third party. `salt` makes other bytes of it.
    fn plugin(&self, distribution: &str, salt: Option<u8>) -> PathBuf {
        let path = self.cli.path(&format!("{distribution}{}.wasm", salt.map(|s| s.to_string()).unwrap_or_default()));
        fs::write(&path, salted(distribution, salt)).unwrap();
        path
    }

    fn signed(&self, distribution: &str, salt: Option<u8>) -> PathBuf {
        let path = self.plugin(distribution, salt);
        self.run(&["sign", text(&path), "--key", text(&self.cli.path("acme.key"))]).expect_code(0);
        path
    }

    fn run(&self, arguments: &[&str]) -> Run {
        self.cli.run(["plugin"].iter().chain(arguments))
    }

    fn install(&self, path: &Path) -> Run {
        self.run(&["install", text(path)])
    }

    /// The plugins of `list`, by id.
    fn list(&self) -> Vec<Value> {
        json(&self.run(&["list", "--format", "json"]).expect_code(0)).as_array().unwrap().clone()
    }

    fn only(&self) -> Value {
        let list = self.list();
        assert_eq!(list.len(), 1, "{list:?}");
        list.into_iter().next().unwrap()
    }

    fn library(&self) -> PathBuf {
        self.cli.path("state/plugins")
    }

    fn releases(&self, id: &str) -> Run {
        self.run(&["show", id])
    }
}

/// GnuPG with keys of its own.
struct Gpg(TempDir);

impl Gpg {
    fn new() -> Option<Self> {
        if Command::new("gpg").arg("--version").output().is_err() {
            skip("there is no gpg");
            return None;
        }
        let home = tempfile::tempdir().unwrap();
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o700)).unwrap();
        Some(Self(home))
    }

    fn run(&self, arguments: &[&str]) -> Vec<u8> {
        let mut gpg = Command::new("gpg");
        gpg.env("GNUPGHOME", self.0.path()).args(["--batch", "--yes", "--quiet", "--pinentry-mode", "loopback"]);
        let output = gpg.args(["--passphrase", ""]).args(arguments).output().unwrap();
        assert!(output.status.success(), "gpg {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }
}

impl Drop for Gpg {
    fn drop(&mut self) {
        let _ = Command::new("gpgconf").env("GNUPGHOME", self.0.path()).args(["--kill", "all"]).output();
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn json(run: &Run) -> Value {
    serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("no JSON ({error}): {run}"))
}

#[test]
fn a_signed_plugin_is_installed_and_serves() {
    let Some(site) = Site::new() else { return };
    assert!(site.list().is_empty());
    site.releases("fedora").expect_code(2);
    let plugin = site.signed("fedora", None);
    let run = site.run(&["install", text(&plugin), "--format", "json"]).expect_code(0);
    assert_eq!(json(&run)["signer"]["fingerprint"], site.fingerprint.as_str());
    let listed = site.only();
    let expected = [("id", "fedora"), ("source", "installed"), ("state", "ready"), ("signer", &site.fingerprint)];
    for (key, value) in expected.into_iter().chain([("contract", "1.0.0"), ("key_file", "acme.asc")]) {
        assert_eq!(listed[key], value, "{key}: {listed}");
    }
    assert_eq!(listed["unsigned"], false);
    assert!(listed["size_bytes"].as_u64().unwrap() > 10_000);
    site.releases("fedora").expect_code(0);
    let version = listed["version"].as_str().unwrap();
    let folder = site.library().join("fedora").join(version);
    for name in ["plugin.wasm", "plugin.wasm.asc", "install.toml"] {
        assert!(folder.join(name).is_file(), "{name}");
    }
    let lock = fs::read_to_string(site.library().join("plugins.lock")).unwrap();
    assert!(lock.contains(&site.fingerprint) && lock.contains(listed["sha256"].as_str().unwrap()), "{lock}");
    // Again: nothing to do.
    let again = json(&site.run(&["install", text(&plugin), "--format", "json"]).expect_code(0));
    assert_eq!(again["unchanged"], true);
    site.run(&["verify", "--installed"]).expect_code(0);
}

#[test]
fn signatures_of_gnupg_count_and_gnupg_reads_ours() {
    let (Some(site), Some(gpg)) = (Site::new(), Gpg::new()) else { return };
    let plugin = site.signed("fedora", None);
    let signature = site.cli.path("fedora.wasm.asc");
    // Ours, read by GnuPG; then the secret key itself, used by GnuPG.
    gpg.run(&["--import", text(&site.cli.path("acme.key"))]);
    gpg.run(&["--verify", text(&signature), text(&plugin)]);
    fs::remove_file(&signature).unwrap();
    gpg.run(&["--armor", "--local-user", &site.fingerprint, "--detach-sign", text(&plugin)]);
    site.install(&plugin).expect_code(0);

    // A key of GnuPG, and GnuPG's secret key used by us.
    gpg.run(&["--quick-gen-key", "Other <o@other.example>", "ed25519", "sign", "0"]);
    fs::write(site.cli.path("trust/other.asc"), gpg.run(&["--armor", "--export", "o@other.example"])).unwrap();
    let debian = site.plugin("debian", None);
    gpg.run(&["--armor", "--local-user", "o@other.example", "--detach-sign", text(&debian)]);
    site.run(&["verify", text(&debian)]).expect_code(0);
    let secret = site.cli.path("other.key");
    fs::write(&secret, gpg.run(&["--armor", "--export-secret-keys", "o@other.example"])).unwrap();
    site.run(&["sign", text(&debian), "--key", text(&secret)]).expect_code(0);
    site.install(&debian).expect_code(0);
    assert_eq!(site.list().len(), 2);
}

#[test]
fn a_protected_key_signs_with_its_passphrase_only() {
    let (Some(mut site), Some(gpg)) = (Site::new(), Gpg::new()) else { return };
    let (out, pass) = (site.cli.path("locked"), site.cli.path("passphrase"));
    fs::write(&pass, "open sesame\n").unwrap();
    let keygen = ["keygen", "--name", "Locked", "--out", text(&out), "--expires-days", "30"];
    site.run(&[&keygen[..], &["--passphrase-file", text(&pass)]].concat()).expect_code(0);
    let secret = site.cli.path("locked.key");
    assert_eq!(fs::metadata(&secret).unwrap().permissions().mode() & 0o777, 0o600);
    site.run(&keygen).expect_code(2); // never over a key
    let plugin = site.plugin("fedora", None);
    let sign = ["sign", text(&plugin), "--key", text(&secret)];
    let run = site.run(&sign).expect_code(2);
    assert!(run.stderr.contains("RETRACE_SIGNING_PASSPHRASE"), "{run}");
    site.run(&[&sign[..], &["--passphrase-file", text(&pass)]].concat()).expect_code(0);
    site.cli.set("RETRACE_SIGNING_PASSPHRASE", "open barley");
    site.run(&sign).expect_code(2);
    site.cli.set("RETRACE_SIGNING_PASSPHRASE", "open sesame");
    site.run(&sign).expect_code(0);
    // GnuPG opens the protected key as well.
    gpg.run(&["--passphrase", "open sesame", "--import", text(&secret)]);
    gpg.run(&["--passphrase", "open sesame", "--armor", "--local-user", "Locked", "--detach-sign", text(&plugin)]);
    site.run(&["verify", text(&plugin), "--key", text(&site.cli.path("locked.asc"))]).expect_code(0);
}

#[test]
fn what_is_not_well_signed_is_refused_and_says_what_to_do() {
    let (Some(site), Some(gpg)) = (Site::new(), Gpg::new()) else { return };
    let refused = |run: Run, words: &[&str]| {
        let run = run.expect_code(1);
        for word in words {
            assert!(run.stderr.contains(word), "no {word:?}: {run}");
        }
        assert!(!site.library().join("fedora").exists(), "{run}");
    };
    let plugin = site.plugin("fedora", None);
    refused(site.install(&plugin), &["not signed", "--allow-unsigned"]);

    // Signed, then changed.
    let signed = site.signed("fedora", Some(1));
    let signature = fs::read(site.cli.path("fedora1.wasm.asc")).unwrap();
    fs::write(site.cli.path("fedora.wasm.asc"), &signature).unwrap();
    refused(site.install(&plugin), &["changed after it was signed"]);
    // --allow-unsigned is no way around a wrong signature.
    refused(site.run(&["install", "--allow-unsigned", text(&plugin)]), &["changed after it was signed"]);
    fs::write(site.cli.path("fedora.wasm.asc"), "-----BEGIN PGP SIGNATURE-----\n\njunk").unwrap();
    refused(site.install(&plugin), &["signature"]);

    // A stranger: the message names the key and the folder.
    gpg.run(&["--quick-gen-key", "Stranger", "ed25519", "sign", "0"]);
    gpg.run(&["--armor", "--detach-sign", text(&plugin)]);
    let listing = String::from_utf8(gpg.run(&["--with-colons", "--list-keys", "Stranger"])).unwrap();
    let stranger = listing.lines().find_map(|line| line.strip_prefix("fpr:::::::::")).unwrap().trim_end_matches(':');
    refused(site.install(&plugin), &[stranger, text(&site.cli.path("trust"))]);

    // A trusted key that has expired: even a signature dated back to when it was good does not count.
    let then = ["--faked-system-time", "20200101T000000"];
    gpg.run(&[&then[..], &["--quick-gen-key", "Old", "ed25519", "sign", "1y"]].concat());
    gpg.run(&[&then[..], &["--armor", "--local-user", "Old", "--detach-sign", text(&plugin)]].concat());
    fs::write(site.cli.path("trust/old.asc"), gpg.run(&["--armor", "--export", "Old"])).unwrap();
    refused(site.install(&plugin), &["expired"]);

    // A trusted key that was revoked.
    fs::write(site.cli.path("trust/stranger.asc"), gpg.run(&["--armor", "--export", "Stranger"])).unwrap();
    gpg.run(&["--armor", "--local-user", "Stranger", "--detach-sign", text(&plugin)]);
    site.run(&["verify", text(&plugin)]).expect_code(0);
    let certificate = gpg.0.path().join(format!("openpgp-revocs.d/{stranger}.rev"));
    let revocation = fs::read_to_string(&certificate).unwrap().replace(":-----", "-----");
    fs::write(&certificate, revocation).unwrap();
    gpg.run(&["--import", text(&certificate)]);
    fs::write(site.cli.path("trust/stranger.asc"), gpg.run(&["--armor", "--export", "Stranger"])).unwrap();
    refused(site.install(&plugin), &["revoked"]);

    // A trust folder that others can write to is no trust folder.
    fs::set_permissions(site.cli.path("trust"), fs::Permissions::from_mode(0o777)).unwrap();
    let run = site.install(&signed).expect_code(2);
    assert!(run.stderr.contains("not safe"), "{run}");
    fs::set_permissions(site.cli.path("trust"), fs::Permissions::from_mode(0o755)).unwrap();
    site.install(&signed).expect_code(0);
}

#[test]
fn keys_may_come_after_the_plugin_but_not_be_others() {
    let Some(mut site) = Site::new() else { return };
    let keys = site.cli.path("keys");
    fs::create_dir_all(keys.join("rocky")).unwrap();
    site.cli.set("RETRACE_KEYS_DIR", &keys);
    let path = site.signed("rocky", None);

    let run = site.install(&path).expect_code(0);
    let (_, missing) = run.stdout.split_once("before the first sync, put its keys into").expect("it is said");
    let named: Vec<_> = missing.lines().skip(1).map(str::trim).collect();
    assert!(!named.is_empty() && named.iter().all(|key| key.starts_with("rocky/")), "{run}");

    fs::copy(site.cli.path("acme.asc"), keys.join(named[0])).unwrap();
    site.run(&["remove", "rocky"]).expect_code(0);
    let run = site.install(&path).expect_code(1);
    assert!(run.stderr.contains("B11") && run.stderr.contains(named[0]), "{run}");
}

#[test]
fn an_unsigned_plugin_is_marked_for_ever() {
    let Some(site) = Site::new() else { return };
    let plugin = site.plugin("fedora", None);
    let run = site.run(&["install", "--allow-unsigned", text(&plugin)]).expect_code(0);
    assert!(run.stdout.contains("NOT SIGNED"), "{run}");
    let listed = site.only();
    assert_eq!((&listed["unsigned"], &listed["signer"]), (&Value::Bool(true), &Value::Null));
    let table = site.run(&["list"]).expect_code(0);
    assert!(table.stdout.contains("UNSIGNED"), "{table}");
    let folder = site.library().join("fedora").join(listed["folder"].as_str().unwrap());
    assert!(fs::read_to_string(folder.join("install.toml")).unwrap().contains("unsigned = true"));
    // The same bytes with a signature are another install: the mark goes.
    site.signed("fedora", None);
    site.install(&plugin).expect_code(0);
    assert_eq!(site.only()["unsigned"], false);
}

#[test]
fn what_is_no_plugin_is_refused() {
    let Some(site) = Site::new() else { return };
    let junk = site.cli.path("junk.wasm");
    for bytes in [&b"junk"[..], b"\0asm\x01\0\0\0", b"\0asm\x0d\0\x01\0", b""] {
        fs::write(&junk, bytes).unwrap();
        site.run(&["install", "--allow-unsigned", text(&junk)]).expect_code(3);
    }
    fs::File::create(&junk).unwrap().set_len(1 << 30).unwrap();
    site.run(&["install", "--allow-unsigned", text(&junk)]).expect_code(2);
    site.run(&["install", "--allow-unsigned", text(&site.cli.path("nowhere.wasm"))]).expect_code(2);
    assert!(site.list().is_empty());
    let left: Vec<_> = fs::read_dir(site.library()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().starts_with(".staging")), "{left:?}");
}

#[test]
fn a_plugin_that_was_changed_on_disk_is_not_loaded() {
    let Some(site) = Site::new() else { return };
    let plugin = site.signed("fedora", None);
    site.install(&plugin).expect_code(0);
    let folder = site.library().join("fedora").join(site.only()["folder"].as_str().unwrap());
    let other = fs::read(site.plugin("fedora", Some(9))).unwrap();
    let mut same_size = fs::read(folder.join("plugin.wasm")).unwrap();
    *same_size.last_mut().unwrap() ^= 1;
    for bytes in [other, same_size] {
        fs::write(folder.join("plugin.wasm"), bytes).unwrap();
        let listed = site.only();
        assert_eq!(listed["state"], "refused", "{listed}");
        assert!(listed["reason"].as_str().unwrap().contains("plugin.wasm"), "{listed}");
        site.releases("fedora").expect_code(2);
        site.run(&["verify", "--installed"]).expect_code(1);
        site.run(&["reload"]).expect_code(1);
    }
    // A record that is damaged is as bad.
    let record = fs::read_to_string(folder.join("install.toml")).unwrap();
    fs::write(folder.join("install.toml"), "schema = 1").unwrap();
    assert_eq!(site.only()["state"], "refused");
    fs::write(folder.join("install.toml"), record).unwrap();
    // Installing it again mends it, in another folder.
    site.install(&plugin).expect_code(0);
    assert_eq!(site.only()["state"], "ready");
    site.releases("fedora").expect_code(0);
}

#[test]
fn versions_come_and_go() {
    let Some(site) = Site::new() else { return };
    let (first, second) = (site.signed("fedora", None), site.signed("fedora", Some(2)));
    site.install(&first).expect_code(0);
    let before = site.only();
    // The number of a version belongs to its bytes.
    let run = site.install(&second).expect_code(1);
    assert!(run.stderr.contains("raise the version"), "{run}");
    site.run(&["install", "--replace", text(&second)]).expect_code(0);
    let after = site.only();
    assert_ne!(before["sha256"], after["sha256"]);
    assert_eq!(after["earlier"][0], before["folder"]);

    site.run(&["rollback", "fedora"]).expect_code(0);
    assert_eq!(site.only()["sha256"], before["sha256"]);
    let run = site.run(&["rollback", "fedora"]).expect_code(1);
    assert!(run.stderr.contains("--to"), "{run}");
    let folder = after["folder"].as_str().unwrap();
    site.run(&["rollback", "fedora", "--to", folder]).expect_code(0);
    assert_eq!(site.only()["sha256"], after["sha256"]);
    site.run(&["rollback", "fedora", "--to", "9.9.9"]).expect_code(2);
    site.run(&["rollback", "fedora", "--to", "../fedora"]).expect_code(2);

    site.run(&["remove", "fedora", "--version", folder]).expect_code(1);
    site.run(&["remove", "fedora", "--version", before["folder"].as_str().unwrap()]).expect_code(0);
    site.run(&["rollback", "fedora"]).expect_code(1);

    site.run(&["disable", "fedora"]).expect_code(0);
    assert_eq!(site.only()["state"], "disabled");
    site.releases("fedora").expect_code(2);
    site.run(&["enable", "fedora"]).expect_code(0);
    site.releases("fedora").expect_code(0);

    site.run(&["remove", "fedora"]).expect_code(0);
    assert!(site.list().is_empty());
    site.run(&["remove", "fedora"]).expect_code(2);
    site.run(&["disable", "fedora"]).expect_code(1);
}

#[test]
fn an_installed_plugin_takes_the_place_of_a_bundled_one() {
    let Some(site) = Site::new() else { return };
    let bundled = site.cli.path("bundled/retrace_plugin_fedora.wasm");
    fs::copy(site.plugin("fedora", None), &bundled).unwrap();
    assert_eq!(site.only()["source"], "bundled");
    let own = site.signed("fedora", Some(3));
    site.install(&own).expect_code(0);
    let listed = site.only();
    assert_eq!((&listed["source"], &listed["replaces_bundled"]), (&"installed".into(), &Value::Bool(true)));
    site.run(&["disable", "fedora"]).expect_code(0);
    assert_eq!(site.only()["state"], "disabled");
    site.releases("fedora").expect_code(2);
    site.run(&["enable", "fedora"]).expect_code(0);
    site.run(&["remove", "fedora"]).expect_code(0);
    assert_eq!(site.only()["source"], "bundled");
    // A bundled plugin can be switched off as well.
    site.run(&["disable", "fedora"]).expect_code(0);
    site.releases("fedora").expect_code(2);
    site.run(&["enable", "fedora"]).expect_code(0);
    site.releases("fedora").expect_code(0);
}

#[test]
fn a_pack_carries_a_plugin_to_another_site() {
    let (Some(here), Some(there)) = (Site::new(), Site::new()) else { return };
    let plugin = here.signed("fedora", None);
    here.install(&plugin).expect_code(0);
    let (one, two) = (here.cli.path("one.tar"), here.cli.path("two.tar"));
    here.run(&["pack", "fedora", "--out", text(&one)]).expect_code(0);
    std::thread::sleep(Duration::from_millis(1100)); // another second on the clock
    here.run(&["pack", text(&plugin), "--out", text(&two)]).expect_code(0);
    assert_eq!(fs::read(&one).unwrap(), fs::read(&two).unwrap(), "the same plugin, the same bytes");

    // The other site decides by its own keys.
    let run = there.install(&one).expect_code(1);
    assert!(run.stderr.contains(&here.fingerprint), "{run}");
    fs::copy(here.cli.path("acme.asc"), there.cli.path("trust/friend.asc")).unwrap();
    let lock = here.library().join("plugins.lock");
    there.run(&["install", "--lock", text(&lock), text(&one)]).expect_code(0);
    assert_eq!(there.only()["signer"], here.fingerprint.as_str());
    assert_eq!(there.only()["key_file"], "friend.asc");
    let other = here.signed("debian", None);
    there.run(&["install", "--lock", text(&lock), text(&other)]).expect_code(1);
}

#[test]
fn hostile_packs_are_refused() {
    let Some(site) = Site::new() else { return };
    let script = r#"
import io, sys, tarfile
out, wasm = sys.argv[1], open(sys.argv[2], 'rb').read()
def make(name, *members):
    with tarfile.open(f'{out}/{name}.tar', 'w', format=tarfile.USTAR_FORMAT) as tar:
        for path, kind, data in members:
            info = tarfile.TarInfo(path)
            info.type, info.size, info.linkname = kind, len(data), '/etc/passwd' if kind != tarfile.REGTYPE else ''
            tar.addfile(info, io.BytesIO(data))
R, S, L, D = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE
make('out', ('../../plugin.wasm', R, wasm))
make('absolute', ('/tmp/plugin.wasm', R, wasm))
make('link', ('plugin.wasm', S, b''))
make('hardlink', ('plugin.wasm', R, wasm), ('plugin.toml', L, b''))
make('folder', ('plugin.wasm', R, wasm), ('x', D, b''))
make('twice', ('plugin.wasm', R, wasm), ('plugin.wasm', R, wasm))
make('more', ('plugin.wasm', R, wasm), ('evil.so', R, b'x'))
make('large', ('plugin.wasm', R, wasm), ('plugin.toml', R, b'x' * (1 << 20)))
with tarfile.open(f'{out}/pax.tar', 'w', format=tarfile.PAX_FORMAT) as tar:
    info = tarfile.TarInfo('plugin.wasm'); info.size = len(wasm); info.pax_headers = {'path': '../x'}
    tar.addfile(info, io.BytesIO(wasm))
whole = open(f'{out}/more.tar', 'rb').read()
open(f'{out}/cut.tar', 'wb').write(whole[:4096])
"#;
    let dir = site.cli.path("packs");
    fs::create_dir(&dir).unwrap();
    let plugin = site.plugin("fedora", None);
    let python = Command::new("python3").args(["-c", script, text(&dir), text(&plugin)]).output();
    let python = python.expect("python3 is there");
    assert!(python.status.success(), "{}", String::from_utf8_lossy(&python.stderr));
    let mut count = 0;
    for entry in fs::read_dir(&dir).unwrap() {
        let path = entry.unwrap().path();
        let run = site.run(&["install", "--allow-unsigned", text(&path)]).expect_code(3);
        assert!(run.stderr.contains("no plugin pack"), "{run}");
        count += 1;
    }
    assert_eq!(count, 10);
    assert!(site.list().is_empty());
}

#[test]
fn two_plugins_never_share_a_name() {
    let Some(site) = Site::new() else { return };
    let plugin = site.signed("fedora", None);
    site.install(&plugin).expect_code(0);
    // The same plugin under another id, as nothing but a manipulated library can hold it.
    let dir = site.library();
    let copy = Command::new("cp").arg("-a").arg(dir.join("fedora")).arg(dir.join("zzz")).status();
    assert!(copy.unwrap().success());
    let list = site.list();
    let zzz = list.iter().find(|plugin| plugin["id"] == "zzz").unwrap();
    assert_eq!(zzz["state"], "refused", "{zzz}");
    site.releases("fedora").expect_code(0);
}

#[test]
fn a_killed_install_leaves_the_old_state_or_the_new_one() {
    let Some(site) = Site::new() else { return };
    let first = site.signed("fedora", None);
    site.install(&first).expect_code(0);
    let old = site.only()["sha256"].clone();
    let mut killed = 0;
    let mut delay = 2;
    for salt in 10..40 {
        let plugin = site.signed("fedora", Some(salt));
        let mut running = site.cli.start(["plugin", "install", "--replace", text(&plugin)]);
        let ended = running.wait(Duration::from_millis(delay));
        let pid = running.pid();
        drop(running); // SIGKILL
        killed += u32::from(ended.is_none());
        let listed = site.only();
        assert_eq!(listed["state"], "ready", "killed {pid} after {delay} ms: {listed}");
        assert!(listed["sha256"] == old || ended.is_some() || listed["folder"].as_str().unwrap().contains('@'));
        site.releases("fedora").expect_code(0);
        site.run(&["verify", "--installed"]).expect_code(0);
        if ended.is_some() {
            break;
        }
        delay = delay * 3 / 2 + 1;
    }
    assert!(killed >= 4, "only {killed} installs were killed in the middle");
    // The next change clears away what the killed ones left.
    site.run(&["disable", "fedora"]).expect_code(0);
    let left = fs::read_dir(site.library()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let left: Vec<_> = left.filter(|name| name.starts_with(".staging")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn installs_at_the_same_time_wait_for_each_other() {
    let Some(site) = Site::new() else { return };
    let plugins: Vec<_> = (50..54).map(|salt| site.signed("fedora", Some(salt))).collect();
    let debian = site.signed("debian", None);
    let mut running: Vec<_> = plugins
        .iter()
        .chain([&debian])
        .map(|path| site.cli.start(["plugin", "install", "--replace", text(path)]))
        .collect();
    for install in &mut running {
        let status = install.wait(Duration::from_secs(120)).expect("it ends");
        assert_eq!(status.code(), Some(0), "{}", fs::read_to_string(&install.log).unwrap());
    }
    let list = site.list();
    assert_eq!(list.len(), 2, "{list:?}");
    assert!(list.iter().all(|plugin| plugin["state"] == "ready"), "{list:?}");
    let fedora = list.iter().find(|plugin| plugin["id"] == "fedora").unwrap();
    assert_eq!(fedora["earlier"].as_array().unwrap().len(), 3, "{fedora}");
    let lock = fs::read_to_string(site.library().join("plugins.lock")).unwrap();
    assert!(lock.contains(fedora["sha256"].as_str().unwrap()), "{lock}");
}

#[test]
fn warm_fills_the_cache_once() {
    let Some(site) = Site::new() else { return };
    site.install(&site.signed("fedora", None)).expect_code(0);
    fs::remove_dir_all(site.cli.path("cache/plugins")).unwrap();
    let warm = || json(&site.run(&["warm", "--format", "json"]).expect_code(0));
    assert_eq!(warm()["plugins"][0]["compiled"], true);
    assert_eq!(warm()["plugins"][0]["compiled"], false);
}

#[test]
fn every_command_has_help_with_examples_and_a_man_page() {
    let Some(cli) = Cli::new() else { return };
    let man = cli.path("man");
    cli.run(["man", text(&man)]).expect_code(0);
    let commands = [
        "keygen", "sign", "verify", "pack", "install", "list", "enable", "disable", "remove", "rollback", "reload",
        "warm", "dev",
    ];
    for command in commands {
        let help = cli.run(["plugin", command, "--help"]).expect_code(0).stdout;
        assert!(help.contains("Example") && help.contains("Exit codes:"), "{command}: {help}");
        assert!(man.join(format!("retrace-plugin-{command}.1")).is_file(), "{command}");
    }
}
