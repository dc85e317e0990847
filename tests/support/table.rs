//! A table with a stream, made for one test, by plain requests: the SDK's client for tables would cost every build more
//! than all that is used of it, and test servers check no signatures.

#![allow(dead_code, clippy::unwrap_used)] // every target uses a part of it; a failure here is a failed test

use std::net::SocketAddr;

use serde_json::{Value, json};
use uuid::Uuid;

use super::http;

/// A table whose items have the text key `pk`, with a stream of new and old images.
#[derive(Clone, Debug)]
pub struct Table {
    address: SocketAddr,
    /// The name.
    pub name: String,
    /// The stream's ARN.
    pub stream_arn: String,
}

impl Table {
    /// A table on the server at `url`, ready.
    pub async fn create(url: &str) -> Self {
        let address = url.trim_start_matches("http://").parse().expect("a loopback address and a port");
        let name = format!("table-{}", Uuid::new_v4().simple());
        let created = call(
            address,
            "CreateTable",
            &json!({
                "TableName": name,
                "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
                "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
                "BillingMode": "PAY_PER_REQUEST",
                "StreamSpecification": {"StreamEnabled": true, "StreamViewType": "NEW_AND_OLD_IMAGES"},
            }),
        )
        .await;
        let stream_arn =
            created["TableDescription"]["LatestStreamArn"].as_str().expect("the stream has an ARN").to_owned();
        Self { address, name, stream_arn }
    }

    /// Writes the item `key`, whose attribute `sequence` makes each write a change.
    pub async fn put(&self, key: &str, sequence: u64) {
        let item = json!({"pk": {"S": key}, "sequence": {"N": sequence.to_string()}});
        self.put_item(&item).await;
    }

    /// Writes an item in typed attributes.
    pub async fn put_item(&self, item: &Value) {
        call(self.address, "PutItem", &json!({"TableName": self.name, "Item": item})).await;
    }

    /// Deletes the item `key`.
    pub async fn delete(&self, key: &str) {
        call(self.address, "DeleteItem", &json!({"TableName": self.name, "Key": {"pk": {"S": key}}})).await;
    }

    /// Ends the stream, whose records can still be read.
    pub async fn disable_stream(&self) {
        let specification = json!({"StreamEnabled": false});
        call(self.address, "UpdateTable", &json!({"TableName": self.name, "StreamSpecification": specification})).await;
    }
}

async fn call(address: SocketAddr, action: &str, members: &Value) -> Value {
    let target = format!("DynamoDB_20120810.{action}");
    let headers =
        [("X-Amz-Target", &*target), ("Content-Type", "application/x-amz-json-1.0"), ("Authorization", AUTHORIZATION)];
    let answer = http::post(address, &headers, &members.to_string()).await.expect("the server answers");
    assert_eq!(answer.status, 200, "{action}: {}", answer.body);
    serde_json::from_str(&answer.body).expect("the answer is JSON")
}

/// In the form of a signature, for servers that read the region out of it.
const AUTHORIZATION: &str = "AWS4-HMAC-SHA256 Credential=test/20260131/us-east-1/dynamodb/aws4_request, \
                             SignedHeaders=host, Signature=0";
