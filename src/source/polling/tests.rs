//! What holds for every service that is polled, shown through its own adapter on a server that follows a script.

#![allow(clippy::unwrap_used)] // tests may

use serde_json::{Value, json};

use crate::core::checkpoint::UpTo;
use crate::core::record::{Origin, Position, PositionReset, Received, SequenceNumber};
use crate::source::script::{Answer, Server, html, iterator, json_answer, refusal};
use crate::source::{Receiver, SourceError};

/// What the cases must know of a service.
pub struct Service {
    /// Opens a reader of one shard, in no hurry to wait.
    pub open: fn(&Server, UpTo) -> Box<dyn Receiver>,
    /// A record with this number, as the service writes it.
    pub record: fn(&str) -> Value,
    /// What a call names the number after which it begins.
    pub after: &'static str,
    /// How the service refuses an iterator.
    pub stale: &'static [&'static str],
    /// How it refuses the number after which an iterator shall begin.
    pub unknown: &'static [&'static str],
    pub records_max: usize,
}

/// Makes of each case a test of the service.
macro_rules! cases {
    ($service:expr) => {
        $crate::source::polling::tests::cases!(
            $service;
            an_iterator_that_went_stale_is_replaced_after_the_last_record_read
            a_new_iterator_that_is_refused_is_an_error_and_not_a_loop
            three_unexplained_errors_in_a_row_replace_the_iterator
            an_iterator_of_what_is_missing_is_given_up
            a_position_that_is_unknown_reads_on_at_the_oldest_record
            a_position_is_given_up_only_for_an_iterator_at_the_oldest_record
            a_new_beginning_is_told_with_the_first_records_that_come
            a_shard_that_ends_without_the_records_it_had_tells_of_the_gap
            a_shard_ends_with_its_last_records_and_stays_ended
            a_shard_whose_checkpoint_says_ended_is_not_asked
            a_receive_never_asks_for_more_than_a_call_returns
            a_receive_that_is_dropped_while_the_server_works_loses_nothing
        );
    };
    ($service:expr; $($case:ident)+) => {
        $(#[tokio::test] async fn $case() { $crate::source::polling::tests::$case(&$service).await; })+
    };
}
pub(in crate::source) use cases;

/// `docs/semantics.md` 6.2 and 9 (invariant 91): after the last record read, never the starting position; a reader that
/// a full lane held up for as long as an iterator lives is normal, so it shows as nothing.
pub async fn an_iterator_that_went_stale_is_replaced_after_the_last_record_read(service: &Service) {
    for code in service.stale {
        let server = Server::start([
            iterator("first"),
            service.page(&["101", "102"], Some("second")),
            refusal(400, code),
            iterator("third"),
            service.page(&["103"], Some("fourth")),
        ])
        .await;
        let mut receiver = service.open(&server, UpTo::TrimHorizon);

        let read = [receiver.receive(10).await.unwrap(), receiver.receive(10).await.unwrap()];

        assert_eq!(read.each_ref().map(numbers), [vec!["101", "102"], vec!["103"]], "{code}");
        server.expect_calls(&[
            ("GetShardIterator", json!({"ShardIteratorType": "TRIM_HORIZON"})),
            ("GetRecords", json!({"ShardIterator": "first", "Limit": 10})),
            ("GetRecords", json!({"ShardIterator": "second"})),
            ("GetShardIterator", json!({"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", service.after: "102"})),
            ("GetRecords", json!({"ShardIterator": "third"})),
        ]);
    }
}

pub async fn a_new_iterator_that_is_refused_is_an_error_and_not_a_loop(service: &Service) {
    for code in service.stale {
        let server = Server::start([
            iterator("first"),
            refusal(400, code),
            iterator("second"),
            service.page(&["101"], Some("third")),
        ])
        .await;
        let mut receiver = service.open(&server, UpTo::TrimHorizon);

        assert!(matches!(receiver.receive(10).await, Err(SourceError::Transient(_))), "{code}");

        assert_eq!(numbers(&receiver.receive(10).await.unwrap()), ["101"]);
    }
}

/// `docs/semantics.md` 6.2: some servers answer a stale iterator with a page of HTML.
pub async fn three_unexplained_errors_in_a_row_replace_the_iterator(service: &Service) {
    let failure = || refusal(500, "InternalServerError");
    let server = Server::start([
        iterator("first"),
        service.page(&["101"], Some("second")),
        html(),
        failure(),
        service.page(&[], Some("third")),
        html(),
        failure(),
        html(),
        iterator("fourth"),
        service.page(&["102"], Some("fifth")),
    ])
    .await;
    let mut receiver = service.open(&server, UpTo::TrimHorizon);

    let mut failures = 0;
    let mut records = Vec::new();
    while records.len() < 2 {
        match receiver.receive(10).await {
            Ok(page) => records.extend(numbers(&page)),
            Err(error) => {
                assert!(matches!(error, SourceError::Transient(_)), "{error:?}");
                failures += 1;
            }
        }
    }

    assert_eq!((records, failures), (vec!["101".into(), "102".into()], 5));
    let calls = server.calls();
    assert_eq!(calls[5..8].iter().map(|(_, body)| &body["ShardIterator"]).collect::<Vec<_>>(), ["third"; 3]);
    assert_eq!(calls[8].1[service.after], "101");
}

/// `docs/semantics.md` 6.2: a stream made anew under its old name may call the old one's iterators missing for ever.
pub async fn an_iterator_of_what_is_missing_is_given_up(service: &Service) {
    let server = Server::start([
        iterator("first"),
        service.page(&["101"], Some("second")),
        refusal(400, "ResourceNotFoundException"),
        iterator("third"),
        service.page(&["102"], Some("fourth")),
    ])
    .await;
    let mut receiver = service.open(&server, UpTo::TrimHorizon);
    receiver.receive(10).await.unwrap();

    assert!(matches!(receiver.receive(10).await, Err(SourceError::Missing(_))));

    assert_eq!(numbers(&receiver.receive(10).await.unwrap()), ["102"]);
    assert_eq!(server.calls()[3].1[service.after], "101");
}

/// `docs/semantics.md` 6.2: trimmed, or the number of another stream of the same name.
pub async fn a_position_that_is_unknown_reads_on_at_the_oldest_record(service: &Service) {
    for code in service.unknown {
        let oldest = service.page(&["201"], Some("second"));
        let server = Server::start([refusal(400, code), iterator("first"), oldest]).await;
        let mut receiver = service.open(&server, after("101"));

        let read = receiver.receive(10).await;

        let is_trimmed = *code == "TrimmedDataAccessException";
        let reason = if is_trimmed { PositionReset::Trimmed } else { PositionReset::Unknown };
        assert!(
            read.as_ref().is_ok_and(|read| numbers(read) == ["201"] && read.reset == Some(reason)),
            "{code}: {read:?}"
        );
        server.expect_calls(&[
            ("GetShardIterator", json!({service.after: "101"})),
            ("GetShardIterator", json!({"ShardIteratorType": "TRIM_HORIZON"})),
            ("GetRecords", json!({"ShardIterator": "first"})),
        ]);
    }
}

/// `docs/semantics.md` 6.2: a source that refuses everything has not forgotten one record.
pub async fn a_position_is_given_up_only_for_an_iterator_at_the_oldest_record(service: &Service) {
    for refused in [service.unknown[0], "ResourceNotFoundException", "InternalFailure"] {
        let server = Server::start([
            refusal(400, service.unknown[0]),
            refusal(400, refused),
            iterator("first"),
            service.page(&["102"], Some("second")),
        ])
        .await;
        let mut receiver = service.open(&server, after("101"));
        receiver.receive(10).await.unwrap_err();

        let read = receiver.receive(10).await.unwrap();

        assert_eq!((numbers(&read), read.reset), (vec!["102".into()], None), "{refused}");
        assert_eq!(server.calls()[2].1[service.after], "101");
    }
}

/// `docs/semantics.md` 6.2: an empty page is normal; what comes after it is still the beginning.
pub async fn a_new_beginning_is_told_with_the_first_records_that_come(service: &Service) {
    let server = Server::start([
        refusal(400, service.unknown[0]),
        iterator("first"),
        service.page(&[], Some("second")),
        service.page(&["1"], Some("third")),
        service.page(&["2"], Some("fourth")),
    ])
    .await;
    let mut receiver = service.open(&server, after("500"));

    let mut resets = Vec::new();
    for _ in 0..3 {
        resets.push(receiver.receive(10).await.unwrap().reset.is_some());
    }

    assert_eq!(resets, [false, true, false]);
}

/// `docs/semantics.md` 6.2: what was trimmed up to the end of a closed shard is a gap like any other.
pub async fn a_shard_that_ends_without_the_records_it_had_tells_of_the_gap(service: &Service) {
    let server = Server::start([refusal(400, service.unknown[0]), iterator("oldest"), service.page(&[], None)]).await;
    let mut receiver = service.open(&server, after("101"));

    let last = receiver.receive(10).await.unwrap();

    assert!(last.ended && last.records.is_empty(), "{last:?}");
    assert!(last.reset.is_some(), "{last:?}");
}

/// `docs/semantics.md` 6.2: no next iterator, null or missing, is the end of the shard.
pub async fn a_shard_ends_with_its_last_records_and_stays_ended(service: &Service) {
    let server = Server::start([iterator("first"), service.page(&["101"], None)]).await;
    let mut receiver = service.open(&server, UpTo::TrimHorizon);

    let last = receiver.receive(10).await.unwrap();
    let again = receiver.receive(10).await.unwrap();

    assert_eq!((numbers(&last), last.ended), (vec!["101".into()], true));
    assert_eq!((numbers(&again), again.ended), (vec![], true));
    assert_eq!(server.calls().len(), 2);
}

pub async fn a_shard_whose_checkpoint_says_ended_is_not_asked(service: &Service) {
    let server = Server::start([]).await;

    assert!(service.open(&server, UpTo::Ended).receive(10).await.unwrap().ended);

    assert!(server.calls().is_empty());
}

/// `docs/semantics.md` 6.2: no call takes a limit above what it returns at most.
pub async fn a_receive_never_asks_for_more_than_a_call_returns(service: &Service) {
    let server = Server::start([iterator("first"), service.page(&[], Some("second"))]).await;

    service.open(&server, UpTo::TrimHorizon).receive(50_000).await.unwrap();

    assert_eq!(server.calls()[1].1["Limit"], service.records_max);
}

/// `Receiver::receive`: dropping it loses nothing, also when the source has already taken the call.
pub async fn a_receive_that_is_dropped_while_the_server_works_loses_nothing(service: &Service) {
    let page = || service.page(&["101"], Some("second"));
    let server = Server::start([iterator("first"), page(), page()]).await;
    let mut receiver = service.open(&server, UpTo::TrimHorizon);
    {
        let mut receive = receiver.receive(10);
        while server.calls().len() < 2 {
            assert!(futures_util::poll!(&mut receive).is_pending());
            tokio::task::yield_now().await;
        }
    }

    assert_eq!(numbers(&receiver.receive(10).await.unwrap()), ["101"]);
}

impl Service {
    fn open(&self, server: &Server, position: UpTo) -> Box<dyn Receiver> {
        (self.open)(server, position)
    }

    fn page(&self, numbers: &[&str], next: Option<&str>) -> Answer {
        page(numbers.iter().map(|number| (self.record)(number)), next)
    }
}

/// What a read answers. Only Kinesis tells how far behind the tip it is; to the others the member means nothing.
pub fn page(records: impl IntoIterator<Item = Value>, next: Option<&str>) -> Answer {
    let records: Vec<Value> = records.into_iter().collect();
    json_answer(&json!({"Records": records, "NextShardIterator": next, "MillisBehindLatest": 0}))
}

/// The position of a record.
pub fn after(number: &str) -> UpTo {
    UpTo::After(Position::from(SequenceNumber::new(number)))
}

/// The sequence numbers of a page.
pub fn numbers(received: &Received) -> Vec<String> {
    let number = |origin: &Origin| match origin {
        Origin::Position(position) => position.sequence_number.as_str().to_owned(),
        Origin::Message { .. } => panic!("a stream's record has a position"),
    };
    received.records.iter().map(|record| number(&record.origin)).collect()
}
