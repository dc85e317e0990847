//! The test support does what it says: the function as the SDK's Lambda client sees it, and the ledger's judgement.

#![allow(clippy::unwrap_used)] // tests

#[path = "../support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use aws_sdk_lambda::Client;
use aws_sdk_lambda::config::retry::RetryConfig;
use aws_sdk_lambda::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_lambda::operation::invoke::{InvokeError, InvokeOutput};
use aws_sdk_lambda::primitives::Blob;
use serde_json::{Value, json};

use support::aws::{self, Queue, QueueCounts, Stream};
use support::function::{ARN_PREFIX, Behaviour, Function, ROLE, every_nth};
use support::ledger::{Entry, Ledger, assert_one_batch_per_key};
use support::lineage::{Lineage, Placed, Shard};

mod function {
    use super::*;

    #[tokio::test]
    async fn it_succeeds_and_records_what_arrived() {
        let function = Function::start();
        let arn = format!("{ARN_PREFIX}worker:live");

        let output =
            client(&function).invoke().function_name(&arn).payload(Blob::new(r#"{"a":1}"#)).send().await.unwrap();

        assert_eq!((output.status_code, output.function_error), (200, None));
        assert_eq!(output.payload.unwrap().as_ref(), b"null");
        let invocations = function.invocations();
        assert_eq!(invocations.len(), 1);
        assert_eq!(invocations[0].function, arn);
        assert_eq!(invocations[0].payload.as_ref(), br#"{"a":1}"#);
        assert_eq!(invocations[0].event["a"], 1);
        assert!(invocations[0].ended_at.unwrap() >= invocations[0].arrived_at);
    }

    #[tokio::test]
    async fn it_answers_as_it_is_told_and_then_succeeds_again() {
        let function = Function::start();
        function.answer_next([
            Behaviour::Succeed(json!({"batchItemFailures": []})),
            Behaviour::FunctionError { handled: false },
            Behaviour::Throttle,
            Behaviour::Refuse { status: 403, code: "AccessDeniedException" },
            Behaviour::Status(502),
        ]);
        let client = client(&function);

        assert_eq!(payload(&invoke(&client).await), json!({"batchItemFailures": []}));
        assert_eq!(invoke(&client).await.unwrap().function_error.as_deref(), Some("Unhandled"));
        assert!(matches!(
            invoke(&client).await.unwrap_err().into_service_error(),
            InvokeError::TooManyRequestsException(_)
        ));
        assert_eq!(invoke(&client).await.unwrap_err().code(), Some("AccessDeniedException"));
        assert_eq!(invoke(&client).await.unwrap_err().raw_response().unwrap().status().as_u16(), 502);
        assert_eq!(payload(&invoke(&client).await), Value::Null);
        assert_eq!(function.count(), 6);
    }

    #[tokio::test]
    async fn a_dropped_connection_gives_no_answer_and_the_next_one_works() {
        let function = Function::start();
        function.answer_next([Behaviour::DropConnection]);
        let client = client(&function);

        assert!(matches!(invoke(&client).await, Err(SdkError::DispatchFailure(_))));
        assert!(invoke(&client).await.is_ok());
        assert!(function.invocations()[0].behaviour.succeeds());
    }

    #[tokio::test]
    async fn a_delay_is_waited_for_while_others_are_answered() {
        let function = Function::start();
        function.answer_next([Behaviour::succeed().after(Duration::from_millis(300))]);
        let (slow, quick) = (client(&function), client(&function));
        let began = Instant::now();

        let slow = tokio::spawn(async move { invoke(&slow).await });
        function.wait_for(1, Duration::from_secs(5)).await;
        invoke(&quick).await.unwrap();

        assert!(began.elapsed() < Duration::from_millis(300));
        slow.await.unwrap().unwrap();
        assert!(began.elapsed() >= Duration::from_millis(300));
    }

    #[tokio::test]
    async fn every_nth_invocation_fails() {
        let function = Function::start();
        function.answer_with(every_nth(3, Behaviour::FunctionError { handled: true }, Behaviour::succeed()));
        let client = client(&function);

        let mut failed = Vec::new();
        for number in 1..=7 {
            if invoke(&client).await.unwrap().function_error.is_some() {
                failed.push(number);
            }
        }

        assert_eq!(failed, [3, 6]);
    }

    #[tokio::test]
    async fn it_refuses_connections_and_comes_back_on_the_same_port() {
        let mut function = Function::start();
        let client = client(&function);
        invoke(&client).await.unwrap();

        function.stop_listening().await;
        assert!(matches!(invoke(&client).await, Err(SdkError::DispatchFailure(_))));

        function.listen_again();
        invoke(&client).await.unwrap();
        assert_eq!(function.count(), 2);
    }

    #[tokio::test]
    async fn its_configuration_can_be_read_changed_and_hidden() {
        let function = Function::start();
        function.set_timeout(900);
        let client = client(&function);
        let read = || client.get_function_configuration().function_name("worker").qualifier("live").send();

        let configuration = read().await.unwrap();
        assert_eq!(configuration.timeout, Some(900));
        assert_eq!(configuration.role.as_deref(), Some(ROLE));
        assert_eq!(configuration.function_arn.unwrap(), format!("{ARN_PREFIX}worker:live"));

        function.hide_configuration();
        assert_eq!(read().await.unwrap_err().raw_response().unwrap().status().as_u16(), 404);
        assert_eq!(function.configuration_reads(), 2);
    }

    #[tokio::test]
    async fn a_payload_of_six_mebibytes_arrives_whole() {
        let function = Function::start();
        let payload = format!("\"{}\"", "x".repeat(6 * 1024 * 1024 - 2));

        client(&function).invoke().function_name("worker").payload(Blob::new(payload.clone())).send().await.unwrap();

        assert_eq!(function.invocations()[0].payload.len(), payload.len());
    }

    fn client(function: &Function) -> Client {
        let config = aws_sdk_lambda::config::Builder::from(&aws::config(&function.endpoint()));
        Client::from_conf(config.retry_config(RetryConfig::disabled()).build())
    }

    async fn invoke(client: &Client) -> Result<InvokeOutput, SdkError<InvokeError>> {
        client.invoke().function_name("worker").payload(Blob::new("{}")).send().await
    }

    fn payload(answer: &Result<InvokeOutput, SdkError<InvokeError>>) -> Value {
        serde_json::from_slice(answer.as_ref().unwrap().payload.as_ref().unwrap().as_ref()).unwrap()
    }
}

mod servers {
    use super::*;

    #[tokio::test]
    async fn queues_take_messages_and_count_them() {
        for server in [support::servers::ministack(), support::servers::fauxqs()] {
            let visibility = Duration::from_secs(5);
            for queue in [Queue::standard(&server, visibility).await, Queue::fifo(&server, visibility).await] {
                let mut ledger = Ledger::default();
                let entries: Vec<Entry> = (0..12).map(|_| ledger.next("a")).collect();

                queue.send(&entries).await;

                assert_eq!(queue.counts().await, QueueCounts { visible: 12, in_flight: 0 }, "{}", server.name);
            }
        }
    }

    #[tokio::test]
    async fn streams_become_active_and_take_records() {
        for server in [support::servers::ministack(), support::servers::kinesis_local()] {
            let stream = Stream::create(&server, 2).await;
            let mut ledger = Ledger::default();

            stream.put(&[ledger.next("a"), ledger.next("b")]).await;

            assert!(stream.arn.ends_with(&stream.name), "{}", server.name);
        }
    }
}

mod ledger {
    use super::*;

    #[tokio::test]
    async fn retries_and_repeats_are_no_disorder() {
        let (ledger, _) = judge(&[(false, &[0, 1]), (true, &[0, 1]), (true, &[1, 2])], 3).await;
        ledger.assert_complete();
        ledger.assert_in_order();
        assert_eq!(ledger.repeats(), 1);
    }

    #[tokio::test]
    #[should_panic(expected = "missing [1]")]
    async fn a_record_that_never_succeeded_is_missing() {
        let (ledger, _) = judge(&[(false, &[0, 1]), (true, &[0])], 2).await;
        ledger.assert_complete();
    }

    #[tokio::test]
    #[should_panic(expected = "first arrivals: 1 expected, 2 seen")]
    async fn a_first_arrival_before_its_predecessor_is_disorder() {
        let (ledger, _) = judge(&[(true, &[0, 2]), (true, &[1])], 3).await;
        ledger.assert_in_order();
    }

    #[tokio::test]
    #[should_panic(expected = "first successes: 0 expected, 1 seen")]
    async fn a_success_past_a_failed_predecessor_is_disorder() {
        let (ledger, _) = judge(&[(false, &[0]), (true, &[1])], 2).await;
        ledger.assert_in_order();
    }

    #[tokio::test]
    #[should_panic(expected = "invocations 1 and 2 ran at once")]
    async fn two_batches_of_one_key_at_once_are_found() {
        let function = Function::start();
        function.answer_with(|_, _| Behaviour::succeed().after(Duration::from_millis(200)));
        tokio::join!(deliver(&function, &[0]), deliver(&function, &[1]));
        assert_one_batch_per_key(&function.invocations());
    }

    /// Sends `count` records of one key, and lets the function see these batches one after the other.
    async fn judge(batches: &[(bool, &[u64])], count: u64) -> (Ledger, Function) {
        let function = Function::start();
        let mut ledger = Ledger::default();
        for _ in 0..count {
            ledger.next("a");
        }
        for (succeeds, batch) in batches {
            let behaviour = if *succeeds { Behaviour::succeed() } else { Behaviour::FunctionError { handled: false } };
            function.answer_next([behaviour]);
            deliver(&function, batch).await;
        }
        assert_one_batch_per_key(&function.invocations());
        ledger.read(&function);
        (ledger, function)
    }

    async fn deliver(function: &Function, sequences: &[u64]) {
        let records =
            sequences.iter().map(|sequence| json!({"body": Entry { key: "a".into(), sequence: *sequence }.body()}));
        let event = json!({"Records": records.collect::<Vec<_>>()});
        let client = Client::new(&aws::config(&function.endpoint()));
        client.invoke().function_name("worker").payload(Blob::new(event.to_string())).send().await.unwrap();
    }
}

mod lineage {
    use super::*;

    #[tokio::test]
    async fn a_child_after_its_parents_is_in_order() {
        let function = Function::start();
        function.answer_next([FAILURE]);
        for shard in [PARENT, PARENT, CHILD] {
            deliver(&function, shard, shard).await;
        }
        lineage().assert_parents_first(&function.invocations());
    }

    /// The shard between them has no records, and hides nothing.
    #[tokio::test]
    #[should_panic(expected = "child was invoked though parent never settled")]
    async fn a_child_of_a_parent_that_never_succeeded_is_found() {
        let function = Function::start();
        function.answer_next([FAILURE]);
        for shard in [PARENT, CHILD] {
            deliver(&function, shard, shard).await;
        }
        lineage().assert_parents_first(&function.invocations());
    }

    #[tokio::test]
    #[should_panic(expected = "child began with 2 before 3 of parent had ended")]
    async fn a_parent_that_is_invoked_after_its_child_began_is_found() {
        let function = Function::start();
        for shard in [PARENT, CHILD, PARENT] {
            deliver(&function, shard, shard).await;
        }
        lineage().assert_parents_first(&function.invocations());
    }

    #[tokio::test]
    #[should_panic(expected = "child was invoked though parent never settled")]
    async fn a_success_whose_caller_went_away_settles_no_parent() {
        let function = Function::start();
        function.answer_next([Behaviour::succeed().after(Duration::from_mins(1))]);
        let called = tokio::time::timeout(Duration::from_millis(300), deliver(&function, PARENT, PARENT)).await;
        assert!(called.is_err());
        while function.invocations()[0].ended_at.is_none() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        deliver(&function, CHILD, CHILD).await;
        lineage().assert_parents_first(&function.invocations());
    }

    #[tokio::test]
    #[should_panic(expected = "not as it was put")]
    async fn a_record_from_another_shard_than_it_was_put_to_is_found() {
        let function = Function::start();
        deliver(&function, PARENT, CHILD).await;
        lineage().assert_parents_first(&function.invocations());
    }

    /// A parent with a record, its child without any, and that one's child with a record again.
    fn lineage() -> Lineage {
        let shard = |id: &str, parents: &[&str]| Shard {
            id: id.to_owned(),
            parents: parents.iter().copied().map(String::from).collect(),
            hashes: 0..=u128::MAX,
            open: id == CHILD,
        };
        let mut lineage = Lineage::default();
        lineage.list([shard(PARENT, &[]), shard("between", &[PARENT]), shard(CHILD, &["between"])]);
        lineage.place([PARENT, CHILD].map(|shard| Placed {
            entry: entry_in(shard),
            shard: shard.to_owned(),
            sequence_number: "1".to_owned(),
        }));
        lineage
    }

    /// Invokes the function with the record that sits in `shard`, as if it came from `told`.
    async fn deliver(function: &Function, shard: &str, told: &str) {
        let data = base64_simd::STANDARD.encode_to_string(entry_in(shard).body());
        let event = json!({"Records": [{"eventID": format!("{told}:1"), "kinesis": {"data": data}}]});
        let client = Client::new(&aws::config(&function.endpoint()));
        client.invoke().function_name("worker").payload(Blob::new(event.to_string())).send().await.unwrap();
    }

    fn entry_in(shard: &str) -> Entry {
        Entry { key: shard.to_owned(), sequence: 0 }
    }

    const FAILURE: Behaviour = Behaviour::FunctionError { handled: false };
    const PARENT: &str = "parent";
    const CHILD: &str = "child";
}
