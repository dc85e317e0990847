//! What a pattern is matched against (`docs/semantics.md` 7.3): the record as it stands in the event, with its data in the
//! form that the pattern asks for. The only file that knows how sources differ.

use std::borrow::Cow;

use super::SourceKind;
use super::json::{self, Json, Names};
use super::matcher::{self, Site};
use super::pattern::Node;

/// A record's data, as far as a pattern can look at it.
pub(super) enum Data<'record> {
    /// An object or a list: of the JSON form.
    Json(Json<'record>),
    /// Of the text form.
    Text(Json<'record>),
    /// Bytes that are no text, or nothing: of neither.
    Opaque,
}

/// A record, ready to be matched.
pub(super) struct Subject<'record> {
    pub(super) source: SourceKind,
    /// The objects whose members stand at the top.
    pub(super) tops: Vec<Site<'record>>,
    pub(super) data: &'record Data<'record>,
}

/// What a pattern's alternative asks of the record's data.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Its members.
    Json,
    /// The text itself.
    Text,
    /// Nothing: the data is not looked at.
    Metadata,
}

impl SourceKind {
    /// The key under which the data is matched. What `DynamoDB` tells of an item is no data in this sense: it is never
    /// parsed.
    pub(super) const fn data_key(self) -> Option<&'static str> {
        match self {
            Self::Sqs => Some("body"),
            Self::Kinesis => Some("data"),
            Self::Dynamodb => None,
        }
    }

    /// The source of a record, by what it says itself, or by its members.
    pub(super) fn of(record: &Json) -> Option<Self> {
        let members = record.as_object()?;
        match members.get("eventSource").and_then(Json::as_text) {
            Some("aws:sqs") => Some(Self::Sqs),
            Some("aws:kinesis") => Some(Self::Kinesis),
            Some("aws:dynamodb") => Some(Self::Dynamodb),
            None if members.contains_key("dynamodb") => Some(Self::Dynamodb),
            None if members.contains_key("kinesis") => Some(Self::Kinesis),
            None if members.contains_key("body") => Some(Self::Sqs),
            _ => None,
        }
    }
}

impl Node {
    /// The form of the data that an alternative asks for.
    pub(super) fn form(&self, source: SourceKind) -> Form {
        match source.data_key().and_then(|key| self.children.get(key)) {
            None => Form::Metadata,
            Some(data) if data.children.is_empty() => Form::Text,
            Some(_) => Form::Json,
        }
    }
}

/// The text of a record's data, for [`Data::of`]; `None` if it is no text.
pub(super) fn data_text<'record>(source: SourceKind, record: &'record Json) -> Option<Cow<'record, str>> {
    let members = record.as_object()?;
    match source {
        SourceKind::Sqs => members.get("body")?.as_text().map(Cow::Borrowed),
        SourceKind::Kinesis => {
            let data = members.get("kinesis")?.as_object()?.get("data")?.as_text()?;
            let bytes = base64_simd::STANDARD.decode_to_vec(data).ok()?;
            String::from_utf8(bytes).ok().map(Cow::Owned)
        }
        SourceKind::Dynamodb => None,
    }
}

impl<'record> Data<'record> {
    /// Reads the data, only the members that are named. A lone JSON value such as `42` is a text.
    pub(super) fn of(text: Option<&'record str>, names: Option<&Names>) -> Self {
        let Some(text) = text else { return Self::Opaque };
        match json::parse_only(text, names) {
            Ok(json) if json.is_container() => Self::Json(json),
            _ => Self::Text(Json::Text(text.into())),
        }
    }
}

impl<'record> Subject<'record> {
    pub(super) fn new(source: SourceKind, record: &'record Json<'record>, data: &'record Data<'record>) -> Self {
        let lifted = record.as_object().and_then(|members| members.get("kinesis"));
        let lifted = lifted.filter(|_| source == SourceKind::Kinesis);
        let tops = std::iter::once(record).chain(lifted).map(Site::from).collect();
        Self { source, tops, data }
    }

    /// What stands under a key at the top.
    pub(super) fn below(&self, key: &str) -> Vec<Site<'record>> {
        if self.source.data_key() != Some(key) {
            return matcher::below(&self.tops, key);
        }
        match self.data {
            Data::Json(data) | Data::Text(data) => vec![Site::from(data)],
            Data::Opaque => Vec::new(),
        }
    }

    /// Whether the data has the form that an alternative asks for.
    pub(super) fn fits(&self, form: Form) -> bool {
        match form {
            Form::Metadata => true,
            Form::Json => matches!(self.data, Data::Json(_)),
            Form::Text => matches!(self.data, Data::Text(_)),
        }
    }

    /// Whether an alternative of a pattern matches.
    pub(super) fn matches(&self, alternative: &Node) -> bool {
        self.fits(alternative.form(self.source))
            && alternative.children.iter().all(|(key, child)| matcher::holds(child, &self.below(key)))
    }
}
