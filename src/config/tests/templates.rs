//! Files that were written for something else: templates of `CloudFormation` and SAM, and answers of the API.

use serde_json::json;

use super::*;

#[test]
fn the_mappings_of_a_cloudformation_template_are_mappings() {
    let text = "\
AWSTemplateFormatVersion: 2010-09-09
Parameters: {Stage: {Type: String}}
Resources:
  Orders:
    Type: AWS::SQS::Queue
    Properties: {QueueName: !Sub 'orders-${Stage}'}
  Mapping:
    Type: AWS::Lambda::EventSourceMapping
    DependsOn: Orders
    Properties:
      EventSourceArn: arn:aws:sqs:us-east-1:123456789012:orders
      FunctionName: worker
      BatchSize: 5
      Tags: [{Key: team, Value: blue}, {Key: stage, Value: test}]
Outputs:
  Name: {Value: !Ref Mapping}
";
    let documents = documents(text);

    let expected = json!({
        "EventSourceArn": "arn:aws:sqs:us-east-1:123456789012:orders", "FunctionName": "worker", "BatchSize": 5,
        "Tags": {"team": "blue", "stage": "test"},
    });
    assert_eq!(documents, [expected]);
}

#[test]
fn the_events_of_a_sam_function_are_mappings_of_it() {
    let text = json!({
        "Transform": "AWS::Serverless-2016-10-31",
        "Resources": {"Worker": {"Type": "AWS::Serverless::Function", "Properties": {
            "FunctionName": "worker", "AutoPublishAlias": "live", "Handler": {"Fn::Sub": "x"},
            "Events": {
                "Page": {"Type": "Api", "Properties": {"Path": "/", "Method": {"Ref": "Method"}}},
                "Orders": {"Type": "SQS", "Properties": {"Queue": QUEUE, "BatchSize": 3}},
                "Clicks": {"Type": "Kinesis", "Properties": {
                    "Stream": STREAM, "StartingPosition": "LATEST",
                    "DestinationConfig": {"OnFailure": {"Type": "SQS", "Destination": QUEUE}},
                }},
                "Table": {"Type": "DynamoDB", "Properties": {"Stream": TABLE, "StartingPosition": "LATEST"}},
            },
        }}},
    });
    let mut documents = documents(&text.to_string());
    documents.sort_by_key(|document| document["EventSourceArn"].to_string());

    let name = "worker:live";
    let expected = [
        json!({"EventSourceArn": TABLE, "StartingPosition": "LATEST", "FunctionName": name}),
        json!({
            "EventSourceArn": STREAM, "StartingPosition": "LATEST", "FunctionName": name,
            "DestinationConfig": {"OnFailure": {"Destination": QUEUE}},
        }),
        json!({"EventSourceArn": QUEUE, "BatchSize": 3, "FunctionName": name}),
    ];
    assert_eq!(documents, expected);
}

#[test]
fn an_intrinsic_function_is_named_at_its_place() {
    assert_shown(
        "\
Resources:
  Mapping:
    Type: AWS::Lambda::EventSourceMapping
    Condition: InProduction
    Properties:
      EventSourceArn: !GetAtt Orders.Arn
      FunctionName: {Ref: Worker}
      BatchSize:
        Fn::If: [InProduction, 10, 1]
",
        "\
esmd.yaml:4:5: error: a `Condition` cannot be judged here
  |
4 |     Condition: InProduction
  |     ^^^^^^^^^ leave it out, or the resource

esmd.yaml:6:31: error: the intrinsic function `!GetAtt` is not evaluated here
  |
6 |       EventSourceArn: !GetAtt Orders.Arn
  |                               ^^^^^^^^^^ write the value itself

esmd.yaml:7:22: error: the intrinsic function `Ref` is not evaluated here
  |
7 |       FunctionName: {Ref: Worker}
  |                      ^^^ write the value itself

esmd.yaml:9:9: error: the intrinsic function `Fn::If` is not evaluated here
  |
9 |         Fn::If: [InProduction, 10, 1]
  |         ^^^^^^ write the value itself

esmd.yaml: 4 problems",
    );
}

#[test]
fn a_sam_function_without_a_name_and_a_source_that_is_not_read_are_refused() {
    assert_shown(
        "\
Resources:
  Worker:
    Type: AWS::Serverless::Function
    Properties:
      Events:
        Orders:
          Type: SQS
          Properties:
            Queue: arn:aws:sqs:us-east-1:123456789012:orders
        Topic:
          Type: MSK
",
        "\
esmd.yaml:9:13: error: `FunctionName` is missing
  |
9 |             Queue: arn:aws:sqs:us-east-1:123456789012:orders
  |             ^^^^^ Member must not be null

esmd.yaml:11:17: error: esmd does not read sources of type MSK
   |
11 |           Type: MSK
   |                 ^^^

esmd.yaml: 2 problems",
    );
}

/// `docs/semantics.md` 1.5: what `aws lambda get-event-source-mapping` prints.
#[test]
fn an_answer_of_the_api_is_a_mapping_as_it_is() {
    let answer = json!({
        "UUID": "6f1c2d34-5e6f-4a7b-8c9d-0e1f2a3b4c5d", "StartingPosition": "TRIM_HORIZON", "BatchSize": 100,
        "MaximumBatchingWindowInSeconds": 0, "ParallelizationFactor": 1, "EventSourceArn": STREAM,
        "FunctionArn": "arn:aws:lambda:us-east-1:123456789012:function:worker:live",
        "LastModified": "2026-01-31T10:30:00.314000+01:00", "LastProcessingResult": "No records processed",
        "State": "Disabled", "StateTransitionReason": "User action", "DestinationConfig": {"OnFailure": {}},
        "MaximumRecordAgeInSeconds": -1, "BisectBatchOnFunctionError": false, "MaximumRetryAttempts": -1,
        "TumblingWindowInSeconds": 0, "FunctionResponseTypes": [],
        "EventSourceMappingArn":
            "arn:aws:lambda:us-east-1:123456789012:event-source-mapping:6f1c2d34-5e6f-4a7b-8c9d-0e1f2a3b4c5d",
    });

    let read = documents(&json!({"mappings": [answer]}).to_string()).remove(0);

    assert_eq!(read["FunctionName"], answer["FunctionArn"]);
    assert_eq!((&read["Enabled"], &read["BatchSize"]), (&json!(false), &json!(100)));
    assert!(["UUID", "State", "LastModified"].iter().all(|member| read.get(member).is_none()), "{read}");
}

#[test]
fn what_an_answer_says_gives_way_to_what_a_request_says() {
    let text = mapping(
        "    FunctionArn: arn:aws:lambda:us-east-1:123456789012:function:g\n    State: Disabled\n    Enabled: true\n",
    );
    let read = documents(&text).remove(0);
    assert_eq!((&read["FunctionName"], &read["Enabled"]), (&json!("f"), &json!(true)));
}

#[test]
fn an_answers_arn_of_no_function_is_shown_where_it_stands() {
    let rule = r"Member must satisfy regular expression pattern: (arn:(aws[a-zA-Z-]*)?:lambda:)?([a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_\.]+)(:(\$LATEST(\.PUBLISHED)?|[a-zA-Z0-9-_]+))?";
    assert_shown(
        &format!("mappings:\n  - EventSourceArn: {QUEUE}\n    FunctionArn: {QUEUE}\n"),
        &format!(
            "\
esmd.yaml:3:18: error: `FunctionArn`: {rule}
  |
3 |     FunctionArn: {QUEUE}
  |                  {}

esmd.yaml: 1 problem",
            "^".repeat(QUEUE.len())
        ),
    );
}

#[test]
fn a_mapping_that_was_being_deleted_is_refused() {
    assert_shown(
        &mapping("    State: Deleting\n"),
        "\
esmd.yaml:4:12: error: `State`: expected the state of a mapping that is not being deleted, found the text \"Deleting\"
  |
4 |     State: Deleting
  |            ^^^^^^^^

esmd.yaml: 1 problem",
    );
}

fn documents(text: &str) -> Vec<serde_json::Value> {
    let file = ConfigFile::parse(text, &Environment::default(), now());
    let shown = |problems| Problems { file: "esmd.yaml".to_owned(), text: text.to_owned(), problems }.to_string();
    let file = file.unwrap_or_else(|problems| panic!("{}", shown(problems)));
    let json = |mapping: ConfiguredMapping| serde_json::to_value(mapping.document).expect("it is JSON");
    file.mappings.into_iter().map(json).collect()
}

const QUEUE: &str = "arn:aws:sqs:us-east-1:123456789012:orders";
const STREAM: &str = "arn:aws:kinesis:us-east-1:123456789012:stream/clicks";
const TABLE: &str = "arn:aws:dynamodb:us-east-1:123456789012:table/users/stream/2026-01-31T09:30:00.000";
