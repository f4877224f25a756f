//! Every scheme against a real server.

use std::{path::Path, time::Duration};

use retrace_process::{Invocation, run};
use retrace_types::{RepositoryLayout, SignatureState};

use super::{
    daemons::{Daemon, certificates, has},
    server::Server,
    support::{Bench, Fixture, deb_spec, fixture, rpm_spec, scope, shown},
};
use crate::{Access, MirrorError, MirrorOptions, Outcome, SshOptions, error::chain, reach};

/// Metadata comes, a second run has no news, a package comes and is verified.
async fn mirror_is_used(bench: &Bench, mirror: &str) {
    let spec = rpm_spec(&[mirror]);
    assert_eq!(bench.sync_updates(&spec).await, (6, 10), "{mirror}");
    assert!(matches!(bench.sync(&spec).await, Outcome::Unchanged), "{mirror}");
    let package = bench.store.find_packages(&scope(), "greet").await.unwrap().remove(0);
    let verified = bench.mirror.fetch(&package, &()).await.unwrap();
    assert!(matches!(verified.signature(), SignatureState::Package { .. }), "{mirror}");
    assert!(!bench.downloads().iter().any(|name| name.starts_with(".tmp")), "{:?}", bench.downloads());
}

/// A folder without metadata is indexed by its headers, through a pattern, and noticed when it changes.
async fn folder_is_used(fixture: &Fixture, bench: &Bench, root: &Path, base: &str) {
    for (folder, name) in [("a", "greet-1-1"), ("b", "greet-2-1"), ("b/deep", "greet-libs-1-1")] {
        std::fs::create_dir_all(root.join(folder)).unwrap();
        let name = format!("{name}.x86_64.rpm");
        std::fs::copy(fixture.path("rpm").join(&name), root.join(folder).join(&name)).unwrap();
    }
    std::fs::write(root.join("b/README"), "no package").unwrap();
    std::fs::write(root.join("b/broken.rpm"), "no package either").unwrap();
    let mut spec = rpm_spec(&[&format!("{base}/*/*.rpm")]);
    spec.layout = RepositoryLayout::Directory;
    spec.signatures.metadata = false;
    assert_eq!(bench.sync_updates(&spec).await.0, 2, "{base}");
    assert!(matches!(bench.sync(&spec).await, Outcome::Unchanged), "{base}");
    spec.mirrors = vec![base.to_owned()];
    assert_eq!(bench.sync_updates(&spec).await.0, 3, "{base}: without the pattern");
    let package = bench.store.find_packages(&scope(), "greet-libs").await.unwrap().remove(0);
    assert_eq!(package.location, "b/deep/greet-libs-1-1.x86_64.rpm");
    bench.mirror.fetch(&package, &()).await.unwrap();

    std::fs::remove_file(root.join("a/greet-1-1.x86_64.rpm")).unwrap();
    assert_eq!(bench.sync_updates(&spec).await.0, 2, "{base}: one is gone");
    spec.mirrors = vec![format!("{base}/nowhere")];
    let error = chain(&bench.sync_error(&spec).await);
    assert!(error.contains("nowhere"), "{error}");
}

#[tokio::test]
async fn ftp_mirrors_are_used() {
    let Some(fixture) = fixture().await else { return };
    if !has(&["/usr/bin/python3"], &["pyftpdlib"]).await {
        return;
    }
    let server = Daemon::start("ftp", &fixture.path("rpm"), &[]).await;
    let base = format!("ftp://127.0.0.1:{}", server.port);
    mirror_is_used(&Bench::new(&fixture).await, &base).await;

    let error = Bench::new(&fixture).await.sync_error(&rpm_spec(&[&format!("{base}/nowhere")])).await;
    assert!(matches!(error, MirrorError::NoRepository { .. }), "{error}");

    let old = Daemon::start("ftp", &fixture.path("rpm"), &["--old"]).await;
    mirror_is_used(&Bench::new(&fixture).await, &format!("ftp://127.0.0.1:{}/", old.port)).await;
}

#[tokio::test]
async fn ftp_users_log_in_with_the_password_of_the_file() {
    let Some(fixture) = fixture().await else { return };
    if !has(&["/usr/bin/python3"], &["pyftpdlib"]).await {
        return;
    }
    let server = Daemon::start("ftp", &fixture.path("rpm"), &[]).await;
    // The folder of `me` is the one above that of everybody.
    let base = format!("ftp://127.0.0.1:{}/rpm", server.port);
    let anybody = Bench::new(&fixture).await.sync_error(&rpm_spec(&[&base])).await;
    assert!(matches!(anybody, MirrorError::NoRepository { .. }), "{anybody}");
    let netrc = server.netrc();
    let bench = Bench::with(&fixture, |options| options.access.credentials = Some(netrc)).await;
    mirror_is_used(&bench, &base).await;

    let wrong = format!("ftp://me:wr0ng@127.0.0.1:{}/rpm", server.port);
    let error = Bench::new(&fixture).await.sync_error(&rpm_spec(&[&wrong])).await;
    assert!(matches!(error, MirrorError::Denied { .. }), "{error}");
    let error = chain(&error);
    assert!(error.contains("credentials file") && !error.contains("wr0ng"), "{error}");
}

#[tokio::test]
async fn ftps_is_encrypted_and_checked() {
    let Some(fixture) = fixture().await else { return };
    if !has(&["/usr/bin/python3", "openssl"], &["pyftpdlib", "OpenSSL"]).await {
        return;
    }
    let certificates = certificates().await;
    let pem = certificates.path().join("both.pem");
    let server = Daemon::start("ftp", &fixture.path("rpm"), &["--pem", shown(&pem)]).await;
    let with = |name: &str| {
        let authorities = certificates.path().join(name);
        move |options: &mut MirrorOptions| options.access.authorities = Some(authorities)
    };
    let base = format!("ftps://127.0.0.1:{}", server.port);
    mirror_is_used(&Bench::with(&fixture, with("ca.pem")).await, &base).await;
    let error = Bench::with(&fixture, with("other-ca.pem")).await.sync_error(&rpm_spec(&[&base])).await;
    assert!(chain(&error).contains("certificate"), "{}", chain(&error));
    let plain = Bench::new(&fixture).await.sync_error(&rpm_spec(&[&base.replace("ftps", "ftp")])).await;
    assert!(matches!(plain, MirrorError::Transport { .. }), "the server wants TLS: {plain}");
}

#[tokio::test]
async fn folders_are_indexed_by_ftp() {
    let Some(fixture) = fixture().await else { return };
    if !has(&["/usr/bin/python3"], &["pyftpdlib"]).await {
        return;
    }
    for options in [&[][..], &["--old"]] {
        let root = tempfile::tempdir().unwrap();
        let server = Daemon::start("ftp", root.path(), options).await;
        let base = format!("ftp://127.0.0.1:{}/x", server.port);
        folder_is_used(&fixture, &Bench::new(&fixture).await, &root.path().join("x"), &base).await;
    }
}

#[tokio::test]
async fn rsync_mirrors_are_used() {
    let Some(fixture) = fixture().await else { return };
    if !has(&["/usr/bin/python3", "rsync"], &[]).await {
        return;
    }
    let server = Daemon::start("rsync", &fixture.path(""), &[]).await;
    let base = format!("rsync://127.0.0.1:{}/mirror", server.port);
    for module in ["mirror", "old"] {
        mirror_is_used(&Bench::new(&fixture).await, &format!("{}/rpm", base.replace("mirror", module))).await;
    }
    let bench = Bench::new(&fixture).await;
    assert_eq!(bench.sync_updates(&deb_spec(&[&format!("{base}/deb")])).await, (10, 2));

    for missing in [format!("{base}/nowhere"), base.replace("mirror", "nomodule")] {
        let error = Bench::new(&fixture).await.sync_error(&rpm_spec(&[&missing])).await;
        assert!(matches!(error, MirrorError::NoRepository { .. }), "{missing}: {error}");
    }
    let closed = base.replace("mirror", "closed/rpm");
    let denied = Bench::new(&fixture).await.sync_error(&rpm_spec(&[&closed])).await;
    assert!(matches!(denied, MirrorError::Denied { .. }), "{}", chain(&denied));
    let netrc = server.netrc();
    mirror_is_used(&Bench::with(&fixture, |options| options.access.credentials = Some(netrc)).await, &closed).await;
}

#[tokio::test]
async fn rsync_continues_what_is_there_and_never_takes_more_than_announced() {
    let Some(fixture) = fixture().await else { return };
    if !has(&["/usr/bin/python3", "rsync"], &[]).await {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    fixture.copy("rpm", root.path());
    let server = Daemon::start("rsync", root.path(), &[]).await;
    let bench = Bench::new(&fixture).await;
    bench.sync_updates(&rpm_spec(&[&format!("rsync://127.0.0.1:{}/mirror", server.port)])).await;
    let package = bench.store.find_packages(&scope(), "greet").await.unwrap().remove(0);
    let path = root.path().join(&package.location);
    let bytes = std::fs::read(&path).unwrap();
    let partial = bench.dir.path().join("downloads/partial").join(package.sha256.unwrap().to_string());
    for left in [&bytes[..1000], &[0; 1000], &bytes[..]] {
        std::fs::write(&partial, left).unwrap();
        let verified = bench.mirror.fetch(&package, &()).await.unwrap();
        std::fs::remove_file(verified.path()).unwrap();
    }
    std::fs::write(&path, [&bytes[..], &[0; 5000]].concat()).unwrap();
    let error = chain(&bench.mirror.fetch(&package, &()).await.unwrap_err());
    assert!(error.contains("announced") && error.contains(&package.location), "{error}");
    std::fs::write(&path, vec![0; bytes.len()]).unwrap();
    let error = chain(&bench.mirror.fetch(&package, &()).await.unwrap_err());
    assert!(error.contains("checksum"), "{error}");
    assert_eq!(std::fs::metadata(&partial).map_or(0, |metadata| metadata.len()), 0, "nothing wrong is left");
}

#[tokio::test]
async fn folders_are_indexed_by_rsync() {
    let Some(fixture) = fixture().await else { return };
    if !has(&["/usr/bin/python3", "rsync"], &[]).await {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let server = Daemon::start("rsync", root.path(), &[]).await;
    let base = format!("rsync://127.0.0.1:{}/mirror/x", server.port);
    folder_is_used(&fixture, &Bench::new(&fixture).await, &root.path().join("x"), &base).await;
}

#[tokio::test]
async fn rsync_goes_by_the_remote_shell() {
    let Some(fixture) = fixture().await else { return };
    if !has(&["rsync", "ssh", "ssh-keygen", "/usr/sbin/sshd"], &[]).await {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let script = r#"
        set -euo pipefail; cd "$1"
        for name in host user; do ssh-keygen -q -t ed25519 -N '' -f $name; done
        printf 'fixture.invalid %s\n' "$(cut -d' ' -f1,2 host.pub)" >known_hosts
        printf '%s\n' "HostKey $1/host" "AuthorizedKeysFile $1/user.pub" 'StrictModes no' 'UsePAM no' 'LogLevel QUIET' \
            'PermitRootLogin prohibit-password' "PidFile none" >sshd_config
        [ "$(id -u)" != 0 ] || mkdir -p -m 755 /run/sshd"#;
    let path = std::env::var_os("PATH").unwrap();
    run(&Invocation::new("bash").args(["-c", script, "-"]).arg(dir.path()).env("PATH", path)).await.unwrap();
    let own = |name: &str| dir.path().join(name);
    // The server is started by the client, instead of listening.
    let proxy = format!("ProxyCommand=/usr/sbin/sshd -i -f {}", shown(&own("sshd_config")));
    let ssh = SshOptions { identity: Some(own("user")), known_hosts: Some(own("known_hosts")), options: vec![proxy] };
    let base = format!("rsync+ssh://fixture.invalid{}", shown(&fixture.path("rpm")));
    let access = Access { ssh: ssh.clone(), ..Access::default() };
    mirror_is_used(&Bench::with(&fixture, |options| options.access = access).await, &base).await;

    let stranger = SshOptions { known_hosts: Some("/dev/null".into()), ..ssh.clone() };
    let bench = Bench::with(&fixture, |options| options.access.ssh = stranger).await;
    let error = bench.sync_error(&rpm_spec(&[&base])).await;
    assert!(matches!(error, MirrorError::Denied { .. }), "{}", chain(&error));
    let broken = SshOptions { options: vec!["ProxyCommand='x".into()], ..ssh };
    let bench = Bench::with(&fixture, |options| options.access.ssh = broken).await;
    assert!(matches!(bench.sync_error(&rpm_spec(&[&base])).await, MirrorError::InvalidAccess { .. }));
}

#[tokio::test]
async fn folders_are_indexed_by_http_without_fetching_packages() {
    let Some(fixture) = fixture().await else { return };
    let root = tempfile::tempdir().unwrap();
    let server = Server::honest(root.path()).await;
    let base = format!("{}x", server.url);
    folder_is_used(&fixture, &Bench::new(&fixture).await, &root.path().join("x"), &base).await;

    let file = root.path().join("x/b/greet-2-1.x86_64.rpm");
    std::fs::write(&file, [std::fs::read(&file).unwrap(), vec![0; 4 << 20]].concat()).unwrap();
    let folder = Bench::new(&fixture).await;
    let mut spec = rpm_spec(&[&base]);
    (spec.layout, spec.signatures.metadata) = (RepositoryLayout::Directory, false);
    assert_eq!(folder.sync_updates(&spec).await.0, 2);
    let package = folder.store.find_packages(&scope(), "greet").await.unwrap().remove(0);
    assert!(package.size_bytes.unwrap() > 4 << 20, "the size is that of the whole: {:?}", package.size_bytes);
}

#[tokio::test]
async fn file_urls_and_folders_are_the_same() {
    let Some(fixture) = fixture().await else { return };
    let path = fixture.path("rpm");
    for base in [shown(&path).to_owned(), format!("file://{}", shown(&path))] {
        mirror_is_used(&Bench::new(&fixture).await, &base).await;
    }
    let root = tempfile::tempdir().unwrap();
    let base = shown(&root.path().join("x")).to_owned();
    folder_is_used(&fixture, &Bench::new(&fixture).await, &root.path().join("x"), &base).await;
}

#[tokio::test]
async fn a_silent_ftp_or_rsync_server_is_given_up() {
    let Some(fixture) = fixture().await else { return };
    if !has(&["rsync"], &[]).await {
        return;
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    for scheme in ["ftp", "rsync"] {
        let bench = Bench::with(&fixture, |options| {
            (options.retries, options.idle_timeout) = (0, Duration::from_secs(1));
        })
        .await;
        let start = std::time::Instant::now();
        let error = bench.sync_error(&rpm_spec(&[&format!("{scheme}://127.0.0.1:{port}/x/")])).await;
        assert!(matches!(error, MirrorError::Transport { passes: true, .. }), "{scheme}: {}", chain(&error));
        assert!(start.elapsed() < Duration::from_secs(20), "{scheme}: {:?}", start.elapsed());
    }
}

#[tokio::test]
async fn mirrors_of_every_scheme_are_reached() {
    let Some(fixture) = fixture().await else { return };
    if !has(&["/usr/bin/python3", "rsync"], &["pyftpdlib"]).await {
        return;
    }
    let ftp = Daemon::start("ftp", &fixture.path(""), &[]).await;
    let rsync = Daemon::start("rsync", &fixture.path(""), &[]).await;
    let http = Server::honest(&fixture.path("")).await;
    let bases = [
        format!("ftp://127.0.0.1:{}", ftp.port),
        format!("rsync://127.0.0.1:{}/mirror", rsync.port),
        http.url.trim_end_matches('/').to_owned(),
        shown(&fixture.path("")).trim_end_matches('/').to_owned(),
    ];
    let at = |folder: &str| -> Vec<_> { bases.iter().map(|base| format!("{base}/{folder}")).collect() };
    let named = |spec: fn(&[&str]) -> _, mirrors: &[String]| -> retrace_types::RepositorySpec {
        spec(&mirrors.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let mut folder = named(rpm_spec, &at("rpm/*.rpm"));
    folder.layout = RepositoryLayout::Directory;
    let specs = [named(rpm_spec, &at("rpm")), named(deb_spec, &at("deb")), folder, named(rpm_spec, &at("nowhere"))];
    let dir = tempfile::tempdir().unwrap();
    let options = MirrorOptions { download_dir: dir.path().to_owned(), ..MirrorOptions::default() };
    let reached = reach(&options, &"fixture".parse().unwrap(), &specs).await.unwrap();
    for (repository, want) in reached.iter().zip([true, true, true, false]) {
        for mirror in &repository.mirrors {
            assert_eq!(mirror.outcome.is_ok(), want, "{mirror:?}");
        }
        assert_eq!(repository.mirrors.len(), bases.len());
    }
}
