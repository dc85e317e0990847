//! Who may call, once the listener has secrets: requests signed by botocore, tokens, and everybody else; over plain HTTP
//! and over TLS (`docs/semantics.md` 1.13).

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use esmd::access::Access;
use esmd::access::secrets::{SecretFiles, Secrets};
use esmd::clock::Clock;
use esmd::listener::{self, tls};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

use crate::controlled::REGION;
use crate::mappings::{LAMBDA, QUEUE, queue_mapping, stream_mapping};
use crate::signing::{KEY, Request, SECRET, signed};
use crate::{Daemon, http};

#[tokio::test]
async fn a_request_signed_by_botocore_is_served() {
    let daemon = Daemon::start_guarded().await;
    let tags = "/2017-03-31/tags/arn%3Aaws%3Alambda%3Aeu-west-1%3A111111111111%3Aevent-source-mapping\
                %3A00000000-0000-0000-0000-000000000001";
    let mut spaced = Request::new("GET", LAMBDA, "");
    spaced.headers.push(("X-Amz-Meta".to_owned(), "  two   spaces ".to_owned()));
    let requests = [
        (Request::new("POST", LAMBDA, &stream_mapping().to_string()), 202),
        (Request::new("GET", &format!("{LAMBDA}?EventSourceArn={}&MaxItems=5", encoded(QUEUE)), ""), 200),
        (Request::new("GET", &format!("{LAMBDA}?FunctionName=a%20b%2Fc&Marker=~"), ""), 400),
        (Request::new("POST", tags, r#"{"Tags":{"größe":"ä"}}"#), 204),
        (Request::new("DELETE", &format!("{tags}?tagKeys=gr%C3%B6%C3%9Fe&tagKeys=a"), ""), 204),
        (Request::new("GET", "/esmd/v1/mappings", ""), 200),
        (Request::new("GET", "/metrics", ""), 200),
        (Request::new("GET", "/nothing", ""), 404),
        (spaced, 200),
        (Request { ahead: 14 * 60, ..Request::new("GET", LAMBDA, "") }, 200),
        (Request { ahead: -14 * 60, ..Request::new("GET", LAMBDA, "") }, 200),
    ];

    let asked: Vec<_> = requests.iter().map(|(request, _)| request.clone()).collect();
    for (request, (_, status)) in signed(daemon.address, &asked).iter().zip(&requests) {
        let page = request.send(daemon.address).await;
        assert_eq!(page.status, *status, "{} {}: {}", request.method, request.path, page.body);
    }
}

#[tokio::test]
async fn a_byte_that_changes_after_the_signature_is_refused() {
    let daemon = Daemon::start_guarded().await;
    let path = format!("{LAMBDA}?MaxItems=5");
    let mut whole = Request::new("POST", &path, &queue_mapping().to_string());
    whole.headers.push(("X-Amz-Client".to_owned(), "tests".to_owned()));
    let whole = signed(daemon.address, &[whole]).remove(0);

    let mut changed = vec![Request { method: "PUT", ..whole.clone() }];
    for at in 0..whole.body.len() {
        changed.push(Request { body: flipped(&whole.body, at), ..whole.clone() });
    }
    for at in 1..whole.path.len() {
        changed.push(Request { path: flipped(&whole.path, at), ..whole.clone() });
    }
    changed.push(Request { body: format!("{} ", whole.body), ..whole.clone() });
    changed.push(Request { path: format!("{path}&Marker=x"), ..whole.clone() });
    changed.push(Request { path: path.replace("/event", "//event"), ..whole.clone() });
    let signed_headers = ["X-Amz-Client", "X-Amz-Date", "Content-Type", "Host"];
    for name in signed_headers {
        let mut request = whole.clone();
        request.headers.retain(|(given, _)| given != name);
        let value = whole.header(name).map_or(daemon.address.to_string(), str::to_owned);
        request.headers.push((name.to_owned(), flipped(&value, value.len() - 2)));
        changed.push(request);
    }
    let mut doubled = whole.clone();
    doubled.headers.push(("X-Amz-Client".to_owned(), "tests".to_owned()));
    let mut without = whole.clone();
    without.headers.retain(|(name, _)| name != "X-Amz-Client");
    changed.extend([doubled, without]);

    for request in changed {
        let page = request.send(daemon.address).await;
        assert_eq!(page.status, 403, "{request:?}: {}", page.body);
    }
    daemon.assert_nothing_was_made_by_anyone();
    assert_eq!(whole.send(daemon.address).await.status, 202, "it is right by itself");
}

/// The words and names are AWS's.
#[tokio::test]
async fn a_caller_who_does_not_show_who_it_is_is_told_why() {
    let daemon = Daemon::start_guarded().await;
    let list = || Request::new("GET", LAMBDA, "");
    let asked = [
        (Request { ahead: 16 * 60, ..list() }, "InvalidSignatureException", "Signature not yet current: "),
        (Request { ahead: -16 * 60, ..list() }, "InvalidSignatureException", "Signature expired: "),
        (Request { secret: "wrong", ..list() }, "InvalidSignatureException", "The request signature we calculated"),
        (Request { key: "AKNOBODY", ..list() }, "UnrecognizedClientException", UNKNOWN),
        (
            Request { region: "us-east-1", ..list() },
            "InvalidSignatureException",
            "Credential should be scoped to a valid region",
        ),
        (
            Request { service: "sqs", ..list() },
            "InvalidSignatureException",
            "Credential should be scoped to correct service: 'lambda'.",
        ),
    ];
    let requests: Vec<_> = asked.iter().map(|(request, ..)| request.clone()).collect();
    for (request, (_, name, message)) in signed(daemon.address, &requests).into_iter().zip(asked) {
        daemon.assert_denied(&request, name, message).await;
    }

    let with = |value: &str| {
        let mut request = list();
        request.headers.push(("Authorization".to_owned(), value.to_owned()));
        request.headers.push(("X-Amz-Date".to_owned(), "20260131T093000Z".to_owned()));
        request
    };
    let scope = format!("{KEY}/20260131/{REGION}/lambda/aws4_request");
    let missing = "MissingAuthenticationTokenException";
    let incomplete = "IncompleteSignatureException";
    let lines = [
        (list(), missing, "Missing Authentication Token"),
        (with(""), missing, "Missing Authentication Token"),
        (
            Request::new("GET", &format!("{LAMBDA}?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=0"), ""),
            incomplete,
            "Authorization header must hold the signature: one in the query (a presigned URL) is not taken.",
        ),
        (with("Basic dGVzdDp0ZXN0"), incomplete, "Authorization header must begin with AWS4-HMAC-SHA256."),
        (with("AWS4-HMAC-SHA256 a=b"), incomplete, "Authorization header requires 'Credential' parameter."),
        (
            with(&format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host;x-amz-date")),
            incomplete,
            "Authorization header requires 'Signature' parameter.",
        ),
        (with("AWS4-HMAC-SHA256 Credential=a/b/c, SignedHeaders=host, Signature=0"), incomplete, "Credential must be "),
        (
            with(&format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=x-amz-date, Signature=0")),
            incomplete,
            "'host' must be a signed header.",
        ),
        (with(&format!("Bearer {TOKEN}")), "AccessDeniedException", "tokens open /esmd/v1, "),
    ];
    for (request, name, message) in lines {
        daemon.assert_denied(&request, name, message).await;
    }
}

/// `docs/semantics.md` 1.13: every client of AWS sends the token of temporary credentials along.
#[tokio::test]
async fn temporary_credentials_are_served_with_their_session_token_alone() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("keys");
    let keys =
        format!("[ci]\naws_access_key_id = AKCI\naws_secret_access_key = {SECRET}\naws_session_token = {SESSION}\n");
    std::fs::write(&file, keys).unwrap();
    let daemon = Daemon::start_guarded_by(&SecretFiles { access_keys: Some(file), tokens: None }).await;
    let by = |key, session| Request { key, session, ..Request::new("GET", LAMBDA, "") };
    let refused = [
        (by("AKCI", None), format!("{UNKNOWN} This access key has a session token, which must come with it")),
        (by("AKCI", Some("another")), UNKNOWN.to_owned()),
        (by(KEY, Some(SESSION)), format!("{UNKNOWN} It came with a session token (X-Amz-Security-Token), which")),
    ];
    let asked: Vec<_> = refused.iter().map(|(request, _)| request.clone()).chain([by("AKCI", Some(SESSION))]).collect();

    let mut requests = signed(daemon.address, &asked);
    let mut whole = requests.pop().unwrap();
    assert_eq!(whole.send(daemon.address).await.status, 200);
    for (request, (_, message)) in requests.iter().zip(&refused) {
        daemon.assert_denied(request, "UnrecognizedClientException", message).await;
    }
    whole.headers.push(("X-Amz-Security-Token".to_owned(), SESSION.to_owned()));
    daemon.assert_denied(&whole, "IncompleteSignatureException", "X-Amz-Security-Token header must stand once.").await;
}

#[tokio::test]
async fn a_token_opens_esmds_own_routes_and_no_other() {
    let daemon = Daemon::start_guarded().await;
    let by_token = async |path: &str, token: &str| {
        let mut request = Request::new("GET", path, "");
        request.headers.push(("Authorization".to_owned(), format!("Bearer {token}")));
        request.send(daemon.address).await.status
    };

    for path in ["/esmd/v1/mappings", "/metrics", "/version"] {
        assert_eq!(by_token(path, TOKEN).await, 200, "{path}");
        assert_eq!(by_token(path, &flipped(TOKEN, 3)).await, 403, "{path}");
        assert_eq!(by_token(path, "").await, 403, "{path}");
    }
    assert_eq!(by_token(LAMBDA, TOKEN).await, 403);
}

#[tokio::test]
async fn nothing_but_health_is_served_to_nobody() {
    let daemon = Daemon::start_guarded().await;
    for path in ["/healthz", "/livez", "/readyz"] {
        assert_eq!(daemon.get(path).await.0, 200, "{path}");
    }
    let uuid = "6f1c2d34-5e6f-4a7b-8c9d-0e1f2a3b4c5d";
    let paths = [
        "/".to_owned(),
        "/metrics".to_owned(),
        "/version".to_owned(),
        "/nothing".to_owned(),
        "/healthz/".to_owned(),
        "/esmd/v1/mappings".to_owned(),
        format!("/esmd/v1/mappings/{uuid}"),
        LAMBDA.to_owned(),
        LAMBDA.trim_end_matches('/').to_owned(),
        format!("{LAMBDA}{uuid}"),
        format!("{LAMBDA}%FF"),
        format!("/2017-03-31/tags/{uuid}"),
        "/2015-03-31/functions".to_owned(),
    ];
    for path in paths {
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE"] {
            let page = Request::new(method, &path, "{}").send(daemon.address).await;
            assert_eq!(page.status, 403, "{method} {path}: {}", page.body);
        }
    }
}

/// Also one that would be read for nothing.
#[tokio::test]
async fn a_body_that_is_too_large_is_refused_and_nobodys_is_not_read() {
    let daemon = Daemon::start_guarded().await;
    let large = Request::new("POST", LAMBDA, &" ".repeat(3_000_000));
    let by_somebody = signed(daemon.address, std::slice::from_ref(&large)).remove(0);

    assert_eq!(by_somebody.send(daemon.address).await.status, 413);
    let head = format!("POST {LAMBDA} HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
    let mut stream = TcpStream::connect(daemon.address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 403");
}

/// Whoever renews a certificate writes its files one after the other.
#[tokio::test]
async fn tls_begins_with_the_certificate_that_is_in_its_files_then() {
    let daemon = Daemon::start().await;
    let directory = tempfile::tempdir().unwrap();
    let [certificate, key] = ["tls.pem", "tls.key"].map(|name| directory.path().join(name));
    let copy = |name: &str, to: &Path| {
        let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/tls");
        std::fs::copy(files.join(name), to).unwrap();
    };
    copy("one.pem", &certificate);
    copy("one.key", &key);
    let (config, follower) = tls::open(certificate.clone(), key.clone()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(follower.run());
    tokio::spawn(listener::serve(listener, Some(config), daemon.router(None)));

    assert_eq!(over_tls(address, "one.pem").await.unwrap(), 200);
    assert!(over_tls(address, "two.pem").await.is_err(), "nobody trusts another certificate");
    assert!(http::get(address, "/healthz").await.is_err(), "it does not speak plain HTTP");

    copy("two.pem", &certificate);
    tokio::time::sleep(std::time::Duration::from_secs(3)).await; // longer than a change must last to count
    assert_eq!(over_tls(address, "one.pem").await.unwrap(), 200, "a certificate without its key changes nothing");
    copy("two.key", &key);
    while over_tls(address, "two.pem").await.is_err() {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert!(over_tls(address, "one.pem").await.is_err());
}

/// The status of `/healthz`, asked by a client that trusts one certificate.
async fn over_tls(address: SocketAddr, trusted: &str) -> std::io::Result<u16> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/tls").join(trusted);
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(file).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer.split(' ').nth(1).unwrap().parse().unwrap())
}

impl Daemon {
    /// The routes with secrets, on the listener that the daemon has.
    pub(crate) async fn start_guarded() -> Self {
        Self::start_guarded_by(&SecretFiles::default()).await
    }

    /// The same with further secrets.
    async fn start_guarded_by(files: &SecretFiles) -> Self {
        let daemon = Self::start().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(listener::serve(listener, None, daemon.router(Some(access(files, Clock::system())))));
        Self { address, ..daemon }
    }

    async fn assert_denied(&self, request: &Request, name: &str, message: &str) {
        let page = request.send(self.address).await;
        assert_eq!(page.status, 403, "{request:?}");
        assert!(page.head.contains(&format!("\r\nx-amzn-errortype: {name}\r\n")), "{request:?}: {}", page.head);
        let body: serde_json::Value = serde_json::from_str(&page.body).unwrap();
        let told = body["message"].as_str().or(body["Message"].as_str()).unwrap();
        assert!(told.starts_with(message), "{told}");
        assert!(!page.body.contains(SECRET), "no secret is told");
    }

    fn assert_nothing_was_made_by_anyone(&self) {
        assert!(self.control().list().is_empty());
    }
}

/// What callers may know here.
pub(crate) fn access(files: &SecretFiles, clock: Clock) -> Access {
    let variable = |name: &str| {
        let value = match name {
            "ESMD_ACCESS_KEY_ID" => KEY,
            "ESMD_SECRET_ACCESS_KEY" => SECRET,
            "ESMD_TOKEN" => TOKEN,
            _ => return None,
        };
        Some(value.to_owned())
    };
    let (secrets, _) = Secrets::load(variable, files).unwrap().unwrap();
    Access { secrets, region: REGION.to_owned(), clock }
}

/// The text with another letter at one place. A slash becomes one too, so that a path stays one.
fn flipped(text: &str, at: usize) -> String {
    let mut bytes = text.as_bytes().to_vec();
    bytes[at] = if bytes[at] == b'y' { b'z' } else { b'y' };
    String::from_utf8(bytes).unwrap()
}

fn encoded(text: &str) -> String {
    text.replace(':', "%3A").replace('/', "%2F")
}

const TOKEN: &str = "0123456789abcdef-token";
const SESSION: &str = "FwoGZXIvYXdzEBYaDK+tests/session==";
const UNKNOWN: &str = "The security token included in the request is invalid.";
