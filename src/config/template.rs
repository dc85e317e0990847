//! A template of `CloudFormation` or SAM as a configuration file: its event source mappings in the form of a file of our
//! own, each value at the place where the template has it. Other resources are somebody else's. Evaluates nothing: an
//! intrinsic function stays where it is, for `tree` to refuse.

use super::problem::Problem;
use super::yaml::{Key, Node, Value};

/// Whether the file is a template.
pub(super) fn is_template(root: &Node) -> bool {
    root.get("Resources").is_some_and(|resources| matches!(resources.value, Value::Table(_)))
}

/// The mappings of a template, and what is wrong with the template around them.
pub(super) fn mappings(root: &Node) -> (Node, Vec<Problem>) {
    let mut found = Found::default();
    for (name, resource) in root.get("Resources").map_or(&[][..], entries) {
        match text(resource.get("Type")) {
            Some("AWS::Lambda::EventSourceMapping") => found.mapping(name, resource),
            Some("AWS::Serverless::Function") => found.function(resource),
            _ => {}
        }
    }
    let list = Node { place: root.place, tag: None, value: Value::List(found.mappings) };
    let key = Key { name: "mappings".to_owned(), place: root.place };
    (Node { place: root.place, tag: None, value: Value::Table(vec![(key, list)]) }, found.problems)
}

#[derive(Default)]
struct Found {
    mappings: Vec<Node>,
    problems: Vec<Problem>,
}

impl Found {
    /// `AWS::Lambda::EventSourceMapping`, whose properties are the members of a request.
    fn mapping(&mut self, name: &Key, resource: &Node) {
        self.refuse_condition(resource);
        match resource.get("Properties") {
            Some(properties) => self.mappings.push(translated(properties)),
            None => self.problems.push(Problem::new(name.place, format!("`{}` has no `Properties`", name.name))),
        }
    }

    /// `AWS::Serverless::Function`, whose events are mappings, among others.
    fn function(&mut self, resource: &Node) {
        let Some(properties) = resource.get("Properties") else { return };
        let before = self.mappings.len();
        for (name, event) in properties.get("Events").map_or(&[][..], entries) {
            let Some(kind) = event.get("Type") else { continue };
            match text(Some(kind)).unwrap_or_default() {
                "SQS" | "Kinesis" | "DynamoDB" => {
                    let event = event.get("Properties").map_or_else(|| empty(name), translated);
                    self.mappings.push(with_function(event, properties));
                }
                other @ ("MSK" | "SelfManagedKafka" | "MQ" | "DocumentDB") => {
                    self.problems.push(Problem::new(kind.place, format!("esmd does not read sources of type {other}")));
                }
                _ => {} // no event source mapping
            }
        }
        if self.mappings.len() > before {
            self.refuse_condition(resource);
        }
    }

    /// Whether such a resource is there is not known here.
    fn refuse_condition(&mut self, resource: &Node) {
        let Value::Table(members) = &resource.value else { return };
        for (key, _) in members.iter().filter(|(key, _)| key.name == "Condition") {
            let remedy = Some("leave it out, or the resource".to_owned());
            self.problems.push(Problem::new(key.place, "a `Condition` cannot be judged here").remedy(remedy));
        }
    }
}

/// Properties in the words of a request.
fn translated(properties: &Node) -> Node {
    let Value::Table(members) = &properties.value else { return properties.clone() };
    let members = members.iter().map(|(key, node)| match key.name.as_str() {
        "Queue" | "Stream" => (renamed(key, "EventSourceArn"), node.clone()),
        "KmsKeyArn" => (renamed(key, "KMSKeyArn"), node.clone()),
        "DestinationConfig" => (key.clone(), without_types(node)),
        "Tags" => (key.clone(), tags(node)),
        _ => (key.clone(), node.clone()),
    });
    Node { value: Value::Table(members.collect()), ..properties.clone() }
}

/// SAM's destinations say their type beside their ARN, which says it as well.
fn without_types(config: &Node) -> Node {
    let Value::Table(members) = &config.value else { return config.clone() };
    let members = members.iter().map(|(key, node)| match &node.value {
        Value::Table(destination) => {
            let rest = destination.iter().filter(|(key, _)| key.name != "Type").cloned();
            (key.clone(), Node { value: Value::Table(rest.collect()), ..node.clone() })
        }
        _ => (key.clone(), node.clone()),
    });
    Node { value: Value::Table(members.collect()), ..config.clone() }
}

/// `CloudFormation`'s list of `Key` and `Value` as a table. What is another list stays, to be refused as it is.
fn tags(node: &Node) -> Node {
    let Value::List(tags) = &node.value else { return node.clone() };
    let pair = |tag: &Node| {
        let key = tag.get("Key")?;
        Some((Key { name: text(Some(key))?.to_owned(), place: key.place }, tag.get("Value")?.clone()))
    };
    match tags.iter().map(pair).collect() {
        Some(pairs) => Node { value: Value::Table(pairs), ..node.clone() },
        None => node.clone(),
    }
}

/// An event as a mapping of its function: of the alias, if deployments move one.
fn with_function(event: Node, function: &Node) -> Node {
    let (Value::Table(mut members), Some(name)) = (event.value.clone(), function.get("FunctionName")) else {
        return event; // validation says that it lacks the name
    };
    let value = match (text(Some(name)), function.get("AutoPublishAlias")) {
        (Some(text_of_name), Some(alias)) => match text(Some(alias)) {
            Some(alias) => Node { value: Value::Text(format!("{text_of_name}:{alias}")), ..name.clone() },
            None => alias.clone(),
        },
        _ => name.clone(),
    };
    members.push((Key { name: "FunctionName".to_owned(), place: name.place }, value));
    Node { value: Value::Table(members), ..event }
}

fn empty(name: &Key) -> Node {
    Node { place: name.place, tag: None, value: Value::Table(Vec::new()) }
}

fn renamed(key: &Key, name: &str) -> Key {
    Key { name: name.to_owned(), place: key.place }
}

fn entries(node: &Node) -> &[(Key, Node)] {
    match &node.value {
        Value::Table(entries) => entries,
        _ => &[],
    }
}

/// A text that is no intrinsic function.
fn text(node: Option<&Node>) -> Option<&str> {
    match node {
        Some(Node { tag: None, value: Value::Text(text), .. }) => Some(text),
        _ => None,
    }
}
