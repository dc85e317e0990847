//! Parsed ARNs of sources and functions.

/// The ARN of a queue or stream, parsed; `as_str` is the text as given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceArn {
    text: String,
}

/// A function as a mapping names it: bare name, partial ARN or full ARN, with or without qualifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionName {
    text: String,
}
