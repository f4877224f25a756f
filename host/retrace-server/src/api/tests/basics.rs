//! What all areas share: problems, methods, limits, credentials, the document and its page.

use retrace_store::Role;

use super::*;

fn with_api(api: ApiOptions) -> ServerOptions {
    ServerOptions { api, ..PLAIN }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_is_as_it_was_reviewed() {
    let server = TestServer::start(PLAIN).await;
    let document = server.get("/api/v1/openapi.json", "").await;
    assert_eq!((document.status(), document.header("Content-Type")), (200, Some("application/json")));
    let value: serde_json::Value = serde_json::from_str(&document.body).unwrap();
    assert!(value["openapi"].as_str().unwrap().starts_with("3.1"));
    let mut names: Vec<_> = document.body.lines().filter(|line| line.contains("\"operationId\"")).collect();
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count, "generated clients name their functions so");
    insta::assert_snapshot!("openapi", document.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_served_from_here_and_may_load_nothing_else() {
    let server = TestServer::start(PLAIN).await;
    let moved = server.get("/api/v1/docs", "").await;
    assert_eq!((moved.status(), moved.header("Location")), (308, Some("/api/v1/docs/")));
    let head = |path: &'static str| {
        let server = &server;
        async move { server.send(format!("HEAD {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")).await }
    };
    for (path, content_type) in [
        ("/api/v1/docs/", "text/html"),
        ("/api/v1/docs/swagger-ui-bundle.js", "text/javascript"),
        ("/api/v1/docs/swagger-ui.css", "text/css"),
    ] {
        let reply = head(path).await;
        assert_eq!((reply.status(), reply.header("Content-Type")), (200, Some(content_type)), "{path}");
        let policy = reply.header("Content-Security-Policy").unwrap();
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("http"), "{policy}");
    }
    let config = server.get("/api/v1/docs/swagger-initializer.js", "").await;
    assert!(config.body.contains("/api/v1/openapi.json"), "{}", config.body);
    assert_eq!(server.get("/api/v1/docs/nothing.js", "").await.status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_is_a_problem_document() {
    let server = TestServer::start(PLAIN).await;
    let mut told = String::new();
    for (method, path, headers) in [
        ("GET", "/api/v2", ""),
        ("GET", "/api/v2/tasks", ""),
        ("POST", "/api/v1/nothing", "Content-Length: 4\r\n"),
        ("DELETE", "/api/v1/problems", ""),
        ("GET", "/api/v1/problems/none", ""),
        ("GET", "/api/v1", "Authorization: Basic eDp5\r\n"),
        ("GET", "/api/v1", "Authorization: Bearer rtr_00\r\n"),
    ] {
        let body = if headers.contains("Length") { "body" } else { "" };
        let request = format!("{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{headers}\r\n{body}");
        let reply = server.send(request).await;
        assert_eq!(reply.header("Content-Type"), Some("application/problem+json"), "{reply:?}");
        let value: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
        assert_eq!((value["status"].as_u64(), value["instance"].as_str()), (Some(reply.status().into()), Some(path)));
        let allow = reply.header("Allow").unwrap_or("-");
        told += &format!("{method} {path}: {} {} (Allow: {allow})\n", value["type"].as_str().unwrap(), value["detail"]);
    }
    insta::assert_snapshot!(told);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_problem_is_described_where_its_type_points() {
    let server = TestServer::start(PLAIN).await;
    let all = server.get("/api/v1/problems", "").await.body;
    let all: Vec<serde_json::Value> = serde_json::from_str(&all).unwrap();
    let listed: Vec<_> =
        all.iter().map(|kind| format!("{} {} {}", kind["status"], kind["type"], kind["title"])).collect();
    insta::assert_snapshot!(listed.join("\n"));
    for kind in &all {
        let reply = server.get(kind["type"].as_str().unwrap(), "").await;
        assert_eq!(serde_json::from_str::<serde_json::Value>(&reply.body).unwrap(), *kind);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn methods_are_answered_as_http_has_it() {
    let server = TestServer::start(PLAIN).await;
    let ask = |method: &'static str, headers: &'static str| {
        let server = &server;
        let request = format!("{method} /api/v1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{headers}\r\n");
        async move { server.send(request).await }
    };
    let (get, head, options) = (ask("GET", "").await, ask("HEAD", "").await, ask("OPTIONS", "").await);
    assert_eq!((get.status(), head.status(), options.status()), (200, 200, 204));
    assert!(head.body.is_empty() && head.header("Content-Length") == get.header("Content-Length"));
    assert_eq!(options.header("Allow"), Some("GET,HEAD"));
    let question = "Origin: https://a.example\r\nAccess-Control-Request-Method: POST\r\n";
    assert_eq!(ask("OPTIONS", question).await.header("Access-Control-Allow-Origin"), None, "off by default");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_named_origins_may_use_the_api() {
    let cors_origins = vec!["https://a.example".to_owned()];
    let server = TestServer::start(with_api(ApiOptions { cors_origins, ..ApiOptions::DEFAULT })).await;
    let question = |origin: &str| {
        format!(
            "OPTIONS /api/v1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\nOrigin: {origin}\r\n\
             Access-Control-Request-Method: POST\r\n\r\n"
        )
    };
    let allowed = server.send(question("https://a.example")).await;
    assert_eq!(allowed.status(), 204);
    assert_eq!(allowed.header("Access-Control-Allow-Origin"), Some("https://a.example"));
    assert!(allowed.header("Access-Control-Allow-Headers").unwrap().contains("X-Task-Password"));
    let other = server.send(question("https://b.example")).await;
    assert_eq!(other.header("Access-Control-Allow-Origin"), None);
    let reply = server.get("/api/v1", "Origin: https://a.example\r\n").await;
    assert_eq!(reply.header("Access-Control-Allow-Origin"), Some("https://a.example"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_too_often_is_told_when_to_come_back() {
    let api = ApiOptions { requests_per_minute: 3, token_requests_per_minute: 5, ..ApiOptions::DEFAULT };
    let server = TestServer::start(with_api(api)).await;
    let mut left = Vec::new();
    for _ in 0..3 {
        let reply = server.get("/api/v1", "").await;
        assert_eq!(reply.header("RateLimit-Policy"), Some("\"requests\";q=3;w=60"));
        left.push(reply.header("RateLimit").unwrap().split(";t").next().unwrap().to_owned());
    }
    assert_eq!(left, ["\"requests\";r=2", "\"requests\";r=1", "\"requests\";r=0"]);
    let refused = server.get("/api/v1", "").await;
    assert_eq!(refused.status(), 429);
    assert!((1..=21).contains(&refused.header("Retry-After").unwrap().parse::<u32>().unwrap()));
    let (_, secret) = server.store.create_token("ci", Role::Submit, None).await.unwrap();
    let with_token = server.get("/api/v1", &format!("Authorization: Bearer {secret}\r\n")).await;
    assert_eq!(with_token.status(), 200, "a token has its own count");
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_is_bounded() {
    let server = TestServer::start(with_api(ApiOptions { failures_per_minute: 3, ..ApiOptions::DEFAULT })).await;
    let (_, secret) = server.store.create_token("ci", Role::Submit, None).await.unwrap();
    let good = format!("Authorization: Bearer {secret}\r\n");
    assert_eq!(server.get("/api/v1", &good).await.status(), 200);
    for _ in 0..3 {
        assert_eq!(server.get("/api/v1", "Authorization: Bearer rtr_1\r\n").await.status(), 401);
    }
    let refused = server.get("/api/v1", &good).await;
    assert_eq!(refused.status(), 429, "not even the right one is looked at: else guessing went on");
    assert!(refused.header("Retry-After").is_some());
    assert_eq!(server.get("/api/v1", "").await.status(), 200, "who names no secret is not concerned");
}
