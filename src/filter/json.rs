//! Reads JSON for patterns and for what they are matched against. Knows neither. Two things set it apart from `serde_json`: a
//! number keeps its text, since a double would make neighbours equal, and of equal keys the last counts without a word.
//!
//! Invariant: text is taken if and only if it is JSON of at most [`DEPTH_MAX`] levels.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// A JSON value that borrows from its text where it can.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Json<'text> {
    Null,
    Bool(bool),
    /// As it is written.
    Number(&'text str),
    Text(Cow<'text, str>),
    List(Vec<Json<'text>>),
    Object(Members<'text>),
}

/// An object's members by key.
pub(super) type Members<'text> = BTreeMap<Cow<'text, str>, Json<'text>>;

/// The text is not JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not JSON at byte {at}")]
pub struct NotJson {
    /// The place, from 0.
    pub at: usize,
}

/// Names of members. One whose key has dots counts by what stands before the first.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Names(BTreeSet<Box<str>>);

impl Names {
    pub(super) fn add(&mut self, name: &str) {
        self.0.insert(name.into());
    }

    fn have(&self, key: &str) -> bool {
        self.0.contains(key.split_once('.').map_or(key, |(first, _)| first))
    }
}

/// Reads a text that holds one value and nothing else but white space.
pub(super) fn parse(text: &str) -> Result<Json<'_>, NotJson> {
    parse_only(text, None)
}

/// The same, but objects get only the members that are named. All of the text is judged.
pub(super) fn parse_only<'text>(text: &'text str, names: Option<&Names>) -> Result<Json<'text>, NotJson> {
    let mut reader = Reader { text, at: 0, names, skips: false };
    let value = reader.value(DEPTH_MAX)?;
    reader.skip_white_space();
    if reader.at == text.len() { Ok(value) } else { Err(reader.error()) }
}

impl<'text> Json<'text> {
    pub(super) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn as_object(&self) -> Option<&Members<'text>> {
        match self {
            Self::Object(members) => Some(members),
            _ => None,
        }
    }

    /// Whether it may hold other values.
    pub(super) fn is_container(&self) -> bool {
        matches!(self, Self::List(_) | Self::Object(_))
    }
}

struct Reader<'text, 'names> {
    text: &'text str,
    at: usize,
    names: Option<&'names Names>,
    /// What is being read will not be looked at.
    skips: bool,
}

impl<'text> Reader<'text, '_> {
    fn value(&mut self, levels: usize) -> Result<Json<'text>, NotJson> {
        self.skip_white_space();
        match self.peek() {
            Some(b'{') if levels > 0 => self.object(levels - 1),
            Some(b'[') if levels > 0 => self.list(levels - 1),
            Some(b'"') => self.string().map(Json::Text),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Json::Bool(true)),
            Some(b'f') => self.word("false", Json::Bool(false)),
            Some(b'n') => self.word("null", Json::Null),
            _ => Err(self.error()),
        }
    }

    fn object(&mut self, levels: usize) -> Result<Json<'text>, NotJson> {
        let mut members = Members::new();
        self.at += 1;
        self.skip_white_space();
        if self.take(b'}') {
            return Ok(Json::Object(members));
        }
        loop {
            self.skip_white_space();
            let key = self.string()?;
            self.skip_white_space();
            self.expect(b':')?;
            let is_wanted = !self.skips && self.names.is_none_or(|names| names.have(&key));
            let skipped = std::mem::replace(&mut self.skips, !is_wanted);
            let value = self.value(levels)?;
            self.skips = skipped;
            if is_wanted {
                members.insert(key, value);
            }
            self.skip_white_space();
            if !self.take(b',') {
                self.expect(b'}')?;
                return Ok(Json::Object(members));
            }
        }
    }

    fn list(&mut self, levels: usize) -> Result<Json<'text>, NotJson> {
        let mut values = Vec::new();
        self.at += 1;
        self.skip_white_space();
        if self.take(b']') {
            return Ok(Json::List(values));
        }
        loop {
            let value = self.value(levels)?;
            if !self.skips {
                values.push(value);
            }
            self.skip_white_space();
            if !self.take(b',') {
                self.expect(b']')?;
                return Ok(Json::List(values));
            }
        }
    }

    fn string(&mut self) -> Result<Cow<'text, str>, NotJson> {
        self.expect(b'"')?;
        let start = self.at;
        let plain = self.plain_run();
        if self.take(b'"') {
            return Ok(Cow::Borrowed(plain));
        }
        self.at = start;
        let mut text = String::new();
        loop {
            text.push_str(self.plain_run());
            if self.take(b'"') {
                return Ok(Cow::Owned(text));
            }
            self.expect(b'\\')?;
            text.push(self.escape()?);
        }
    }

    /// What follows up to a quote, an escape, or a character that must not stand in a text.
    fn plain_run(&mut self) -> &'text str {
        let rest = &self.text[self.at..];
        let end = rest.bytes().position(|byte| byte == b'"' || byte == b'\\' || byte < 0x20).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn escape(&mut self) -> Result<char, NotJson> {
        let escape = self.peek().ok_or_else(|| self.error())?;
        let character = match escape {
            b'"' | b'\\' | b'/' => char::from(escape),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                self.at += 1;
                return self.unicode();
            }
            _ => return Err(self.error()),
        };
        self.at += 1;
        Ok(character)
    }

    /// Half of a surrogate pair is JSON and no character: it becomes the replacement character.
    fn unicode(&mut self) -> Result<char, NotJson> {
        let first = self.hex()?;
        if (0xd800..0xdc00).contains(&first) && self.text[self.at..].starts_with("\\u") {
            let after_first = self.at;
            self.at += 2;
            let second = self.hex()?;
            if (0xdc00..0xe000).contains(&second) {
                let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            self.at = after_first;
        }
        Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn hex(&mut self) -> Result<u32, NotJson> {
        let digits = self.text.get(self.at..self.at + 4).filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()));
        let number = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()).ok_or_else(|| self.error())?;
        self.at += 4;
        Ok(number)
    }

    fn number(&mut self) -> Result<Json<'text>, NotJson> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            _ = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        Ok(Json::Number(&self.text[start..self.at]))
    }

    fn digits(&mut self) -> Result<(), NotJson> {
        let count = self.text[self.at..].bytes().take_while(u8::is_ascii_digit).count();
        if count == 0 {
            return Err(self.error());
        }
        self.at += count;
        Ok(())
    }

    fn word(&mut self, word: &str, value: Json<'text>) -> Result<Json<'text>, NotJson> {
        if !self.text[self.at..].starts_with(word) {
            return Err(self.error());
        }
        self.at += word.len();
        Ok(value)
    }

    fn skip_white_space(&mut self) {
        let is_white = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        self.at += self.text[self.at..].bytes().take_while(is_white).count();
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8) -> Result<(), NotJson> {
        if self.take(byte) { Ok(()) } else { Err(self.error()) }
    }

    fn error(&self) -> NotJson {
        NotJson { at: self.at }
    }
}

/// Deeper texts are not read, or one could use up the stack.
const DEPTH_MAX: usize = 512;

#[cfg(test)]
mod tests;
