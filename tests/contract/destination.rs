//! What a destination owes its caller, shown on queues, topics and buckets of two servers, and on the fake. The
//! destinations are those that the daemon makes: one door to AWS, one connector.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_config::Region;
use aws_sdk_sns::config::Credentials;
use aws_sdk_sqs::types::QueueAttributeName;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use bytes::Bytes;
use esmd::aws::{Aws, loader};
use esmd::clock::Clock;
use esmd::connect::{AwsConnector, Connector};
use esmd::core::Timestamp;
use esmd::core::record::{SequenceNumber, ShardId};
use esmd::destination::{DeliveryError, Destination};
use esmd::event::failure::{BatchInfo, Condition, FailureRecord, RecordsInfo, ResponseContext};
use esmd::mapping::on_failure::{OnFailure, Undeliverable};
use esmd::mapping::{
    Batching, EsmdSettings, EventSourceMapping, Retries, SourceSettings, StartingPosition, StreamKind, StreamSettings,
};
use serde_json::Value;
use tokio::sync::Barrier;
use uuid::Uuid;

use crate::fakes::destination::FakeDestination;

/// Where the destinations are, though another region is configured.
const REGION: &str = "eu-west-1";
const CONFIGURED_REGION: &str = "us-east-1";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Queue,
    Topic,
    Bucket,
}

/// A server with destinations of one kind; without server the fake, which is most like a queue.
struct Server {
    address: Option<String>,
    kind: Kind,
}

impl Server {
    fn ministack(kind: Kind) -> Self {
        Self { address: Some(address("ESMD_TEST_MINISTACK")), kind }
    }

    fn fauxqs(kind: Kind) -> Self {
        Self { address: Some(address("ESMD_TEST_FAUXQS")), kind }
    }

    fn moto(kind: Kind) -> Self {
        Self { address: Some(address("ESMD_TEST_MOTO")), kind }
    }

    fn fake(kind: Kind) -> Self {
        Self { address: None, kind }
    }
}

/// Makes of each rule one test per server and kind, and one on the fake.
macro_rules! rules {
    (shared: { $($shared:ident,)* } buckets: { $($bucket:ident,)* }) => {
        mod ministack {
            rules! { @kind queue ministack Queue $($shared)* }
            rules! { @kind topic ministack Topic $($shared)* }
            rules! { @kind bucket ministack Bucket $($shared)* $($bucket)* }
        }
        mod fauxqs {
            rules! { @kind queue fauxqs Queue $($shared)* }
            rules! { @kind topic fauxqs Topic $($shared)* }
            rules! { @kind bucket fauxqs Bucket $($shared)* $($bucket)* }
        }
        mod moto {
            rules! { @kind queue moto Queue $($shared)* }
            rules! { @kind topic moto Topic $($shared)* }
            rules! { @kind bucket moto Bucket $($shared)* $($bucket)* }
        }
        rules! { @kind fake fake Queue $($shared)* }
    };
    (@kind $module:ident $server:ident $kind:ident $($rule:ident)*) => {
        mod $module {
            use crate::destination::{Kind, Server};
            $(#[tokio::test] async fn $rule() {
                crate::destination::$rule(Server::$server(Kind::$kind)).await;
            })*
        }
    };
}

rules! {
    shared: {
        a_record_arrives_once_and_as_rendered,
        a_record_delivered_again_is_confirmed_again,
        a_destination_that_does_not_exist_refuses,
    }
    buckets: {
        an_object_has_its_key_and_type,
        a_repeated_delivery_overwrites_its_object,
        records_of_one_moment_have_objects_of_their_own,
    }
}

/// `docs/semantics.md` 6.7 and 9 (invariant 83).
async fn a_record_arrives_once_and_as_rendered(server: Server) {
    let place = Place::make(&server).await;
    let failure = failure();

    place.destination().await.deliver(&failure).await.unwrap();

    let rendered = match server.kind {
        Kind::Queue | Kind::Topic => failure.message(),
        Kind::Bucket => String::from_utf8(failure.object().to_vec()).unwrap(),
    };
    assert_eq!(place.taken().await, [rendered]);
}

/// A caller that did not hear the answer delivers again, and must get on. A bucket's object is one and the same.
async fn a_record_delivered_again_is_confirmed_again(server: Server) {
    let place = Place::make(&server).await;
    let (destination, failure) = (place.destination().await, failure());

    destination.deliver(&failure).await.unwrap();
    destination.deliver(&failure).await.unwrap();

    let copies = if server.kind == Kind::Bucket { 1 } else { 2 };
    assert_eq!(place.taken_at_least(copies).await.len(), copies);
}

async fn a_destination_that_does_not_exist_refuses(server: Server) {
    let place = Place::missing(&server);
    let refused = place.destination().await.deliver(&failure()).await;
    assert!(matches!(refused, Err(DeliveryError::Refused(_))), "{refused:?}");
}

/// `docs/semantics.md` 6.7 and 9 (invariant 84).
async fn an_object_has_its_key_and_type(server: Server) {
    let place = Place::make(&server).await;
    let failure = failure();

    place.destination().await.deliver(&failure).await.unwrap();

    assert_eq!(place.keys().await, [failure.object_key()]);
    let object = place.object(&failure.object_key()).await;
    assert_eq!(object.content_type(), Some("application/octet-stream"));
}

async fn a_repeated_delivery_overwrites_its_object(server: Server) {
    let place = Place::make(&server).await;
    let failure = failure();
    let changed = FailureRecord { invoke_count: 9, ..failure.clone() };

    place.destination().await.deliver(&failure).await.unwrap();
    place.destination().await.deliver(&changed).await.unwrap();

    assert_eq!(place.taken().await, [String::from_utf8(changed.object().to_vec()).unwrap()]);
}

async fn records_of_one_moment_have_objects_of_their_own(server: Server) {
    let place = Place::make(&server).await;
    let destination = place.destination().await;

    destination.deliver(&failure()).await.unwrap();
    destination.deliver(&failure()).await.unwrap();

    assert_eq!(place.keys().await.len(), 2);
}

/// Nothing listens there.
#[tokio::test]
async fn a_server_out_of_reach_is_transient() {
    for kind in KINDS {
        let place = Place::missing(&Server { address: Some("http://127.0.0.1:1".to_owned()), kind });
        let failed = place.destination().await.deliver(&failure()).await;
        assert!(matches!(failed, Err(DeliveryError::Transient(_))), "{kind:?}: {failed:?}");
    }
}

/// One request each: nobody below the caller repeats it.
#[tokio::test]
async fn each_refusal_has_its_meaning() {
    for kind in KINDS {
        for (status, code, transient) in [
            (400, "ThrottlingException", true),
            (400, "InvalidParameter", false),
            (403, "AccessDenied", false),
            (404, "NotFound", false),
            (429, "Throttled", true),
            (500, "InternalError", true),
            (503, "SlowDown", true),
        ] {
            let host = Host::start(status, code).await;
            let place = Place::missing(&Server { address: Some(host.address.clone()), kind });

            let error = place.destination().await.deliver(&failure()).await.unwrap_err();

            assert_eq!(matches!(error, DeliveryError::Transient(_)), transient, "{kind:?} {status} {code}: {error:?}");
            assert_eq!(host.requests().len(), 1, "{kind:?} {status} {code}");
        }
    }
}

/// Or with a server that never answers, the last of ten lanes would be done minutes after the first.
#[tokio::test]
async fn no_delivery_waits_for_another() {
    for kind in KINDS {
        let host = Host::of_callers(2, 400, "InvalidParameter").await;
        let place = Place::missing(&Server { address: Some(host.address.clone()), kind });
        let (destination, failures) = (place.destination().await, [failure(), failure()]);

        let answers = tokio::join!(destination.deliver(&failures[0]), destination.deliver(&failures[1]));

        let (Err(DeliveryError::Refused(_)), Err(DeliveryError::Refused(_))) = answers else {
            panic!("{kind:?}: {answers:?}")
        };
    }
}

/// Or a queue of the same name in the configured region would get what is meant for another.
#[tokio::test]
async fn a_queue_or_topic_is_called_in_its_own_region() {
    for (kind, region) in [(Kind::Queue, REGION), (Kind::Topic, REGION), (Kind::Bucket, CONFIGURED_REGION)] {
        let host = Host::start(400, "InvalidParameter").await;
        let place = Place::missing(&Server { address: Some(host.address.clone()), kind });

        place.destination().await.deliver(&failure()).await.unwrap_err();

        let scope = host.requests()[0].headers["authorization"].to_str().unwrap().to_owned();
        assert!(scope.contains(&format!("/{region}/")), "{kind:?}: {scope}");
    }
}

/// Other servers than AWS have no host name per bucket, and some refuse checksums.
#[tokio::test]
async fn an_object_goes_to_another_server_by_path_and_without_checksum() {
    let host = Host::start(400, "InvalidRequest").await;
    let place = Place::missing(&Server { address: Some(host.address.clone()), kind: Kind::Bucket });
    let failure = failure();

    place.destination().await.deliver(&failure).await.unwrap_err();

    let request = &host.requests()[0];
    let bucket = place.arn.strip_prefix("arn:aws:s3:::").unwrap();
    assert_eq!(
        (&request.method, request.path.as_str()),
        (&Method::PUT, &*format!("/{bucket}/{}", failure.object_key()))
    );
    let names: Vec<&str> = request.headers.keys().map(axum::http::HeaderName::as_str).collect();
    assert!(names.iter().all(|name| !name.contains("checksum") && *name != "content-encoding"), "{names:?}");
}

/// A mapping without a destination discards in silence, as at AWS.
#[tokio::test]
async fn a_mapping_without_destination_has_none() {
    let connector = connector("http://127.0.0.1:1").await;
    assert!(connector.destination(&mapping(None)).is_none());
}

/// A destination, and the way to see what it took.
struct Place {
    arn: String,
    address: Option<String>,
    fake: FakeDestination,
    reader: Option<Reader>,
}

enum Reader {
    Queue { client: aws_sdk_sqs::Client, url: String, of_topic: bool },
    Bucket { client: aws_sdk_s3::Client, name: String },
}

impl Place {
    async fn make(server: &Server) -> Self {
        let place = Self::missing(server);
        place.fake.set_missing(false);
        let Some(address) = &place.address else { return place };
        let name = place.arn.rsplit(':').next().unwrap();
        let (arn, reader) = match server.kind {
            Kind::Queue => make_queue(address, name, false).await,
            Kind::Topic => make_topic(address, name).await,
            Kind::Bucket => (place.arn.clone(), make_bucket(address, name).await),
        };
        Self { arn, reader: Some(reader), ..place }
    }

    /// One that was never made.
    fn missing(server: &Server) -> Self {
        let name = format!("failed-{}", Uuid::new_v4().simple());
        let arn = match server.kind {
            Kind::Queue => format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"),
            Kind::Topic => format!("arn:aws:sns:{REGION}:{ACCOUNT}:{name}"),
            Kind::Bucket => format!("arn:aws:s3:::{name}"),
        };
        let fake = FakeDestination::default();
        fake.set_missing(true);
        Self { arn, address: server.address.clone(), fake, reader: None }
    }

    async fn destination(&self) -> Arc<dyn Destination> {
        let Some(address) = &self.address else { return Arc::new(self.fake.clone()) };
        connector(address).await.destination(&mapping(Some(&self.arn))).expect("the mapping has a destination")
    }

    /// What it took, after a queue had the time to show more than one message.
    async fn taken(&self) -> Vec<String> {
        self.taken_at_least(1).await
    }

    async fn taken_at_least(&self, count: usize) -> Vec<String> {
        match &self.reader {
            None => self.fake.delivered().iter().map(FailureRecord::message).collect(),
            Some(Reader::Queue { client, url, of_topic }) => receive_all(client, url, *of_topic, count).await,
            Some(Reader::Bucket { .. }) => {
                let mut objects = Vec::new();
                for key in self.keys().await {
                    let body = self.object(&key).await.body.collect().await.unwrap();
                    objects.push(String::from_utf8(body.to_vec()).unwrap());
                }
                objects
            }
        }
    }

    async fn keys(&self) -> Vec<String> {
        let (client, name) = self.bucket();
        let listed = client.list_objects_v2().bucket(name).send().await.unwrap();
        listed.contents().iter().map(|object| object.key().unwrap().to_owned()).collect()
    }

    async fn object(&self, key: &str) -> aws_sdk_s3::operation::get_object::GetObjectOutput {
        let (client, name) = self.bucket();
        client.get_object().bucket(name).key(key).send().await.unwrap()
    }

    fn bucket(&self) -> (&aws_sdk_s3::Client, &str) {
        let Some(Reader::Bucket { client, name }) = &self.reader else { panic!("only buckets have this rule") };
        (client, name)
    }
}

async fn make_queue(address: &str, name: &str, of_topic: bool) -> (String, Reader) {
    let client = aws(address, REGION).await.sqs();
    let url = client.create_queue().queue_name(name).send().await.unwrap().queue_url.unwrap();
    let attributes = client.get_queue_attributes().queue_url(&url).attribute_names(QueueAttributeName::QueueArn);
    let attributes = attributes.send().await.unwrap().attributes.unwrap();
    (attributes[&QueueAttributeName::QueueArn].clone(), Reader::Queue { client, url, of_topic })
}

/// A topic whose messages a queue gets.
async fn make_topic(address: &str, name: &str) -> (String, Reader) {
    let client = aws(address, REGION).await.sns_in(REGION);
    let topic = client.create_topic().name(name).send().await.unwrap().topic_arn.unwrap();
    let (queue_arn, reader) = make_queue(address, name, true).await;
    client.subscribe().topic_arn(&topic).protocol("sqs").endpoint(queue_arn).send().await.unwrap();
    (topic, reader)
}

async fn make_bucket(address: &str, name: &str) -> Reader {
    let client = aws(address, CONFIGURED_REGION).await.s3();
    client.create_bucket().bucket(name).send().await.unwrap();
    Reader::Bucket { client, name: name.to_owned() }
}

/// Receives until there are so many and a further receive, which waits a second, brings none.
async fn receive_all(client: &aws_sdk_sqs::Client, url: &str, of_topic: bool, count: usize) -> Vec<String> {
    let mut bodies = Vec::new();
    for _ in 0..10 {
        let call = client.receive_message().queue_url(url).max_number_of_messages(10).wait_time_seconds(1);
        let messages = call.send().await.unwrap().messages.unwrap_or_default();
        if messages.is_empty() && bodies.len() >= count {
            break;
        }
        bodies.extend(messages.into_iter().map(|message| message.body.unwrap()));
    }
    if of_topic { bodies.iter().map(|body| published(body)).collect() } else { bodies }
}

/// The message in a topic's envelope.
fn published(body: &str) -> String {
    let envelope: Value = serde_json::from_str(body).unwrap();
    assert!(envelope["Subject"].is_null(), "{envelope}");
    envelope["Message"].as_str().unwrap().to_owned()
}

/// A server that refuses everything in the same way and keeps what it was asked.
struct Host {
    address: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

#[derive(Clone, Debug)]
struct Request {
    method: Method,
    path: String,
    headers: HeaderMap,
}

impl Host {
    async fn start(status: u16, code: &'static str) -> Self {
        Self::of_callers(1, status, code).await
    }

    /// Answers when so many ask at once. The code stands wherever one of the three protocols looks for it.
    async fn of_callers(callers: usize, status: u16, code: &'static str) -> Self {
        let meeting = Arc::new(Barrier::new(callers));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&requests);
        let answer = move |method: Method, uri: Uri, headers: HeaderMap| async move {
            let body = if headers.contains_key("x-amz-target") {
                format!("{{\"__type\":\"{code}\",\"message\":\"no\"}}")
            } else if method == Method::POST {
                format!("<ErrorResponse><Error><Code>{code}</Code><Message>no</Message></Error></ErrorResponse>")
            } else {
                format!("<Error><Code>{code}</Code><Message>no</Message></Error>")
            };
            shared.lock().unwrap().push(Request { method, path: uri.path().to_owned(), headers });
            meeting.wait().await;
            (StatusCode::from_u16(status).unwrap(), body)
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(answer)).await });
        Self { address, requests }
    }

    fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

async fn connector(address: &str) -> AwsConnector {
    AwsConnector {
        aws: aws(address, CONFIGURED_REGION).await,
        clock: Clock::system(),
        queue_wait_time: Duration::from_secs(1),
        shard_poll_interval: Duration::from_secs(1),
    }
}

pub async fn aws(address: &str, region: &'static str) -> Aws {
    let credentials = Credentials::new("test", "test", None, None, "test");
    let loader = loader().region(Region::new(region)).credentials_provider(credentials).endpoint_url(address);
    Aws::from_loader(loader).await.unwrap()
}

fn mapping(destination: Option<&str>) -> EventSourceMapping {
    let source = SourceSettings::Stream(StreamSettings {
        arn: STREAM.parse().unwrap(),
        kind: StreamKind::Kinesis,
        starting_position: StartingPosition::TrimHorizon,
        parallelization_factor: 1,
        tumbling_window: None,
        retries: Retries::default(),
        on_failure: destination
            .map(|arn| OnFailure { destination: arn.parse().unwrap(), undeliverable: Undeliverable::Keep }),
    });
    EventSourceMapping {
        source,
        function: "worker".parse().unwrap(),
        batching: Batching { size: 1, window: Duration::ZERO },
        reports_failures: false,
        filter: None,
        enabled: true,
        esmd: EsmdSettings::default(),
    }
}

/// Each with an id of its own. The payload has what JSON must escape, and more than ASCII.
fn failure() -> FailureRecord {
    let arrived_at = Timestamp::from_millis(1_760_700_004_835);
    FailureRecord {
        id: Uuid::new_v4().to_string(),
        mapping: "6f1c2d34-5e6f-4a7b-8c9d-0e1f2a3b4c5d".into(),
        request_id: "0b5b1f0a-3c1d-4e2f-8a9b-112233445566".to_owned(),
        function_arn: "arn:aws:lambda:eu-west-1:111111111111:function:worker:live".to_owned(),
        condition: Condition::RetryAttemptsExhausted,
        invoke_count: 2,
        response: Some(ResponseContext {
            executed_version: "7".to_owned(),
            function_error: Some("Unhandled".to_owned()),
        }),
        discarded_at: Timestamp::from_millis(1_760_700_020_123),
        batch: BatchInfo {
            kind: StreamKind::Kinesis,
            shard: ShardId::new("shardId-000000000001"),
            stream_arn: STREAM.to_owned(),
            records: Some(RecordsInfo {
                first_sequence_number: SequenceNumber::new("49660000000000000000000000000000000000000000000000000002"),
                last_sequence_number: SequenceNumber::new("49660000000000000000000000000000000000000000000000000002"),
                first_arrived_at: arrived_at,
                last_arrived_at: arrived_at,
                size: 1,
            }),
        },
        window: None,
        payload: Bytes::from_static("{\"Records\":[{\"kinesis\":{\"partitionKey\":\"\\\"é\\u2603\\\"\"}}]}".as_bytes()),
    }
}

fn address(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| panic!("{variable} is not set: run `make test`"))
}

const KINDS: [Kind; 3] = [Kind::Queue, Kind::Topic, Kind::Bucket];
const ACCOUNT: &str = "000000000000";
const STREAM: &str = "arn:aws:kinesis:eu-west-1:111111111111:stream/clicks";
