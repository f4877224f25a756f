//! How servers are reached: certificates, passwords, proxies, limits.

use std::{
    num::{NonZeroU64, NonZeroUsize},
    sync::Arc,
    time::{Duration, Instant},
};

use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use suppaftp::tokio_rustls::TlsAcceptor;

use super::{
    daemons::{Daemon, Proxy, certificates, has},
    server::{Answer, Server},
    support::{Bench, fixture, rpm_spec, scope},
};
use crate::{Access, AccessRule, ClientCertificate, MirrorError, ProxyChoice, error::chain};

/// A server's side of TLS that talks only to who shows a certificate of the authority.
fn acceptor(dir: &std::path::Path) -> TlsAcceptor {
    let provider = Arc::new(default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(dir.join("ca.pem")).unwrap()).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().unwrap();
    let chain = vec![CertificateDer::from_pem_file(dir.join("server.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(dir.join("server-key.pem")).unwrap();
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_client_cert_verifier(verifier).with_single_cert(chain, key).unwrap();
    TlsAcceptor::from(Arc::new(config))
}

#[tokio::test]
async fn a_subscription_opens_mirrors_that_want_its_certificate() {
    let Some(fixture) = fixture().await else { return };
    if !has(&["openssl"], &[]).await {
        return;
    }
    let dir = certificates().await;
    let own = |name: &str| dir.path().join(name);
    let server = Server::start_tls(&fixture.path("rpm"), acceptor(dir.path())).await;
    let mut spec = rpm_spec(&[&server.url]);
    spec.config = vec![("client-certificate".into(), "required".into())];

    let bare = Bench::new(&fixture).await.sync_error(&spec).await;
    assert!(matches!(bare, MirrorError::AccessRequired { .. }), "{bare}");
    assert!(server.requests().is_empty(), "nobody was asked");

    let access = Access {
        authorities: Some(own("ca.pem")),
        client_certificate: Some(ClientCertificate { certificate: own("client.pem"), key: own("client-key.pem") }),
        ..Access::default()
    };
    let rule = |access: &Access| AccessRule {
        distribution: Some("fixture".parse().unwrap()),
        repository: Some("base".into()),
        access: access.clone(),
    };
    let with = async |access: &Access| {
        Bench::with(&fixture, |options| {
            options.access_rules = vec![rule(access)];
            options.retries = 0;
        })
        .await
    };
    let bench = with(&access).await;
    bench.sync_updates(&spec).await;
    let package = bench.store.find_packages(&scope(), "greet").await.unwrap().remove(0);
    bench.mirror.fetch(&package, &()).await.unwrap();

    let unknown = Access { authorities: Some(own("other-ca.pem")), ..access.clone() };
    let error = chain(&with(&unknown).await.sync_error(&spec).await);
    assert!(error.contains("certificate") && error.contains(&server.url), "{error}");
    let stranger = ClientCertificate { certificate: own("other-ca.pem"), key: own("other-ca-key.pem") };
    let stranger = Access { client_certificate: Some(stranger), ..access.clone() };
    assert!(matches!(with(&stranger).await.sync_error(&spec).await, MirrorError::Http { .. }));
    for (certificate, key) in
        [("client.pem", "server-key.pem"), ("client.pem", "none.pem"), ("client-key.pem", "client-key.pem")]
    {
        let broken = ClientCertificate { certificate: own(certificate), key: own(key) };
        let broken = Access { client_certificate: Some(broken), ..access.clone() };
        let error = with(&broken).await.sync_error(&spec).await;
        assert!(matches!(error, MirrorError::AccessFile { .. }), "{certificate} {key}: {error}");
    }
}

#[tokio::test]
async fn passwords_of_the_file_go_to_their_host_alone() {
    let Some(fixture) = fixture().await else { return };
    let wanted = "Basic bWU6czNjcmV0";
    let server = Server::start(&fixture.path("rpm"), move |request| {
        if request.authorization.as_deref() == Some(wanted) { Answer::Honest } else { Answer::Status(401) }
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let netrc = dir.path().join("netrc");
    let host = server.url.trim_start_matches("http://").trim_end_matches('/');
    std::fs::write(&netrc, format!("machine {host}\nlogin me password s3cret\n")).unwrap();
    let other = Server::honest(&fixture.path("rpm")).await;
    let bench = Bench::with(&fixture, |options| options.access.credentials = Some(netrc)).await;
    bench.sync_updates(&rpm_spec(&[&server.url])).await;
    let elsewhere = Bench::with(&fixture, |options| options.access.credentials = None).await;
    let error = elsewhere.sync_error(&rpm_spec(&[&server.url])).await;
    assert!(matches!(error, MirrorError::Denied { .. }), "{error}");
    bench.sync(&rpm_spec(&[&other.url])).await;
    assert!(other.requests().iter().all(|request| request.authorization.is_none()), "{:?}", other.requests());

    // A redirect to another server does not take the password along.
    let to = format!("{}repodata/repomd.xml", other.url);
    let leads_away = Server::start(&fixture.path("rpm"), move |_| Answer::Redirect(to.clone())).await;
    let host = leads_away.url.trim_start_matches("http://").trim_end_matches('/').to_owned();
    let netrc = dir.path().join("second");
    std::fs::write(&netrc, format!("machine {host} login me password s3cret")).unwrap();
    let bench = Bench::with(&fixture, |options| options.access.credentials = Some(netrc)).await;
    bench.sync(&rpm_spec(&[&leads_away.url])).await;
    assert!(leads_away.requests().iter().all(|request| request.authorization.as_deref() == Some(wanted)));
    assert!(other.requests().iter().all(|request| request.authorization.is_none()));
}

#[tokio::test]
async fn a_proxy_is_used_where_it_is_set() {
    let Some(fixture) = fixture().await else { return };
    let proxy = Proxy::start(Some("Basic bWU6czNjcmV0")).await;
    let server = Server::honest(&fixture.path("rpm")).await;
    let dir = tempfile::tempdir().unwrap();
    let netrc = dir.path().join("netrc");
    std::fs::write(&netrc, format!("machine 127.0.0.1:{} login me password s3cret", proxy.port)).unwrap();
    let choice = ProxyChoice::Url(format!("http://127.0.0.1:{}", proxy.port));
    let access = Access { proxy: choice.clone(), credentials: Some(netrc), ..Access::default() };
    let bench = Bench::with(&fixture, |options| options.access = access.clone()).await;
    bench.sync_updates(&rpm_spec(&[&server.url])).await;
    assert_eq!(proxy.asked().len(), server.requests().len(), "everything went through it");
    assert!(proxy.asked()[0].starts_with(&format!("GET {}repodata/repomd.xml", server.url)), "{:?}", proxy.asked());

    let without_password = Bench::with(&fixture, |options| options.access.proxy = choice.clone()).await;
    let error = without_password.sync_error(&rpm_spec(&[&server.url])).await;
    assert!(matches!(error, MirrorError::Denied { .. }), "{error}");
    let before = proxy.asked().len();
    Bench::new(&fixture).await.sync_updates(&rpm_spec(&[&server.url])).await;
    assert_eq!(proxy.asked().len(), before, "not used where it is not set");

    if has(&["rsync", "/usr/bin/python3"], &[]).await {
        let daemon = Daemon::start("rsync", &fixture.path("rpm"), &[]).await;
        let bench = Bench::with(&fixture, |options| options.access = access).await;
        bench.sync_updates(&rpm_spec(&[&format!("rsync://127.0.0.1:{}/mirror", daemon.port)])).await;
        let wanted = format!("CONNECT 127.0.0.1:{} HTTP/1.0", daemon.port);
        assert!(proxy.asked().contains(&wanted), "{:?}", proxy.asked());
    }
    let bench = Bench::with(&fixture, |options| options.access.proxy = choice).await;
    let error = bench.sync_error(&rpm_spec(&["ftp://127.0.0.1:9/x"])).await;
    assert!(matches!(error, MirrorError::InvalidAccess { setting: "proxy", .. }), "{error}");
}

#[tokio::test]
async fn bandwidth_is_held() {
    let Some(fixture) = fixture().await else { return };
    let server = Server::honest(&fixture.path("rpm")).await;
    let bench = Bench::with(&fixture, |options| options.access.bytes_per_second = NonZeroU64::new(20_000)).await;
    bench.sync_updates(&rpm_spec(&[&server.url])).await;
    let package = bench.store.find_packages(&scope(), "greet").await.unwrap().remove(0);
    let start = Instant::now();
    bench.mirror.fetch(&package, &()).await.unwrap();
    let want = package.size_bytes.unwrap() as f64 / 20_000.0 - 0.1;
    let seconds = start.elapsed().as_secs_f64();
    assert!(seconds >= want && want > 0.2, "{seconds} s where {want} s were due");
}

#[tokio::test]
async fn no_more_connections_to_a_server_than_allowed() {
    let Some(fixture) = fixture().await else { return };
    for (most, parallel) in [(1, false), (4, true)] {
        let server = Server::honest(&fixture.path("rpm")).await;
        let bench = Bench::with(&fixture, |options| {
            options.access.connections_per_host = NonZeroUsize::new(most).unwrap();
            // Slow enough that they would meet.
            options.access.bytes_per_second = NonZeroU64::new(20_000);
        })
        .await;
        bench.sync_updates(&rpm_spec(&[&server.url])).await;
        let mut packages = bench.store.find_packages(&scope(), "greet").await.unwrap();
        let second = packages.pop().unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
        let (first, second) = (bench.mirror.fetch(&packages[0], &()), bench.mirror.fetch(&second, &()));
        let (first, second) = tokio::join!(first, second);
        first.unwrap();
        second.unwrap();
        let requests: Vec<_> = server.requests().into_iter().filter(|r| r.path.ends_with(".rpm")).collect();
        let apart = requests[1].at.unwrap() - requests[0].at.unwrap();
        assert_eq!(apart < Duration::from_millis(200), parallel, "{most} at a time: {apart:?} apart");
    }
}
