//! Tables: made, written to and removed by the client for their streams, whose requests differ from those for tables in
//! the name of the operation, the body and the host. A client for tables would cost every build more than all that is
//! used of it. Signing, endpoints, timeouts and the reading of errors are the SDK's.

use aws_sdk_dynamodbstreams::Client;
use aws_sdk_dynamodbstreams::config::Builder;
use aws_sdk_dynamodbstreams::error::SdkError;
use aws_sdk_dynamodbstreams::operation::list_streams::ListStreamsError;
use serde_json::{Value, json};

use super::load::ATTRIBUTE;

/// Calls for one table.
#[derive(Clone, Debug)]
pub struct Table {
    client: Client,
    /// Where tables are: not always where their streams are.
    endpoint: String,
    /// The name.
    pub name: String,
    /// The attributes of its key, all of them texts.
    pub key: Vec<String>,
}

/// Why a call did not do what it should.
pub type TableError = SdkError<ListStreamsError>;

impl Table {
    /// The table `name` at `endpoint`, whose key has these attributes. Does no I/O.
    pub fn new(client: Client, endpoint: String, name: String, key: Vec<String>) -> Self {
        Self { client, endpoint, name, key }
    }

    /// Makes the table, with a stream of new images.
    pub async fn create(&self) -> Result<(), TableError> {
        let attributes = self.key.iter().map(|name| json!({"AttributeName": name, "AttributeType": "S"}));
        let schema = self.key.iter().zip(["HASH", "RANGE"]);
        let schema = schema.map(|(name, kind)| json!({"AttributeName": name, "KeyType": kind}));
        let members = json!({
            "TableName": self.name,
            "AttributeDefinitions": attributes.collect::<Vec<_>>(),
            "KeySchema": schema.collect::<Vec<_>>(),
            "BillingMode": "PAY_PER_REQUEST",
            "StreamSpecification": {"StreamEnabled": true, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        });
        self.call("CreateTable", members).await
    }

    /// Writes an item. Each text is another, so each write is a change.
    pub async fn put(&self, key: &str, text: &str) -> Result<(), TableError> {
        let mut item = self.item(key);
        item[ATTRIBUTE] = json!({ "S": text });
        self.call("PutItem", json!({"TableName": self.name, "Item": item})).await
    }

    /// Deletes an item.
    pub async fn delete_item(&self, key: &str) -> Result<(), TableError> {
        self.call("DeleteItem", json!({"TableName": self.name, "Key": self.item(key)})).await
    }

    /// Deletes the table.
    pub async fn delete(&self) -> Result<(), TableError> {
        self.call("DeleteTable", json!({"TableName": self.name})).await
    }

    fn item(&self, key: &str) -> Value {
        self.key.iter().map(|name| (name.clone(), json!({ "S": key }))).collect()
    }

    async fn call(&self, operation: &str, members: Value) -> Result<(), TableError> {
        let (target, body) = (format!("DynamoDB_20120810.{operation}"), members.to_string());
        let call = self.client.list_streams().customize().mutate_request(move |request| {
            let length = body.len().to_string();
            request.headers_mut().insert("x-amz-target", target.clone());
            request.headers_mut().insert("content-length", length);
            *request.body_mut() = body.clone().into();
        });
        call.config_override(Builder::new().endpoint_url(&self.endpoint)).send().await?;
        Ok(())
    }
}
