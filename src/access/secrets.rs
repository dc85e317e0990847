//! The secrets that callers may know: access keys in the form of AWS's shared credentials file, and tokens, one a line.
//! They come from files, which are followed, and from the environment. A mistake in them is told by its line, never by
//! its text.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::Utf8Error;
use std::sync::Arc;

use subtle::ConstantTimeEq as _;

use crate::followed::{FilesError, Followed, Follower};
use crate::source::BoxError;

/// Access keys by their ids.
#[derive(Default)]
pub struct AccessKeys(BTreeMap<String, AccessKey>);

/// What belongs to an access key's id.
#[derive(Clone)]
pub(super) struct AccessKey {
    pub(super) secret: String,
    /// Temporary credentials have one. It is shown with each request, and signs none.
    pub(super) session_token: Option<String>,
}

/// Tokens, any of which will do.
#[derive(Default)]
pub struct Tokens(Vec<String>);

/// All that callers may know. Cloning shares it.
#[derive(Clone)]
pub struct Secrets {
    fixed: Arc<(AccessKeys, Tokens)>,
    access_keys: Option<Followed<AccessKeys>>,
    tokens: Option<Followed<Tokens>>,
}

/// Where secrets are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretFiles {
    /// Access keys.
    pub access_keys: Option<PathBuf>,
    /// Tokens.
    pub tokens: Option<PathBuf>,
}

/// What keeps the secrets up to date, for those that stand in files.
#[derive(Default)]
pub struct SecretFollowers {
    /// Follows the access keys.
    pub access_keys: Option<Follower<AccessKeys>>,
    /// Follows the tokens.
    pub tokens: Option<Follower<Tokens>>,
}

/// Why there are no secrets.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// A file.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// One variable without the other.
    #[error("{ACCESS_KEY_ID} and {SECRET_ACCESS_KEY} belong together: set both or neither")]
    HalfAnAccessKey,
    /// A session token of nothing.
    #[error("{SESSION_TOKEN} belongs to {ACCESS_KEY_ID} and {SECRET_ACCESS_KEY}: set them as well")]
    LoneSessionToken,
    /// The token of the environment.
    #[error("{TOKEN}")]
    Token(#[source] SecretMistake),
}

/// A mistake in a file of secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct SecretMistake {
    /// From 1.
    pub line: usize,
    /// What is wrong there. Repeats nothing of the file.
    pub what: &'static str,
}

impl Secrets {
    /// Reads the environment through a function, and the files. `None`: nobody gave any.
    pub fn load(
        variable: impl Fn(&str) -> Option<String>,
        files: &SecretFiles,
    ) -> Result<Option<(Self, SecretFollowers)>, SecretsError> {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let mut fixed = (AccessKeys::default(), Tokens::default());
        let session_token = variable(SESSION_TOKEN);
        match (variable(ACCESS_KEY_ID), variable(SECRET_ACCESS_KEY)) {
            (Some(id), Some(secret)) => _ = fixed.0.0.insert(id, AccessKey { secret, session_token }),
            (None, None) if session_token.is_some() => return Err(SecretsError::LoneSessionToken),
            (None, None) => {}
            _ => return Err(SecretsError::HalfAnAccessKey),
        }
        if let Some(token) = variable(TOKEN) {
            fixed.1 = Tokens::parse(&token).map_err(SecretsError::Token)?;
        }
        let open_access_keys = |file: &PathBuf| Followed::open(vec![file.clone()], understand_access_keys);
        let open_tokens = |file: &PathBuf| Followed::open(vec![file.clone()], understand_tokens);
        let (access_keys, access_keys_follower) = files.access_keys.as_ref().map(open_access_keys).transpose()?.unzip();
        let (tokens, tokens_follower) = files.tokens.as_ref().map(open_tokens).transpose()?.unzip();
        if fixed.0.0.is_empty() && fixed.1.0.is_empty() && access_keys.is_none() && tokens.is_none() {
            return Ok(None);
        }
        let secrets = Self { fixed: Arc::new(fixed), access_keys, tokens };
        Ok(Some((secrets, SecretFollowers { access_keys: access_keys_follower, tokens: tokens_follower })))
    }

    /// The access key of this id.
    pub(super) fn access_key(&self, access_key_id: &str) -> Option<AccessKey> {
        let followed = self.access_keys.as_ref().map(Followed::now);
        let lists = [Some(&self.fixed.0), followed.as_deref()];
        lists.into_iter().flatten().find_map(|keys| keys.0.get(access_key_id)).cloned()
    }

    /// Whether the token is one of ours. Every one is compared, whichever fits.
    pub(super) fn knows_token(&self, token: &str) -> bool {
        let followed = self.tokens.as_ref().map(Followed::now);
        let lists = [Some(&self.fixed.1), followed.as_deref()];
        let known = lists.into_iter().flatten().flat_map(|tokens| &tokens.0);
        known.fold(false, |fits, known| fits | bool::from(known.as_bytes().ct_eq(token.as_bytes())))
    }

    /// Whether any token is known.
    #[must_use]
    pub fn has_tokens(&self) -> bool {
        self.tokens.is_some() || !self.fixed.1.0.is_empty()
    }
}

impl AccessKeys {
    /// Reads the form of AWS's shared credentials file: a section for each key, whose name says who has it.
    pub fn parse(text: &str) -> Result<Self, SecretMistake> {
        let mut keys = BTreeMap::new();
        let mut section = Section::default();
        for (line, content) in lines(text) {
            if content.starts_with('[') && content.ends_with(']') {
                std::mem::take(&mut section).close(line, &mut keys)?;
                continue;
            }
            let Some((name, value)) = content.split_once('=') else {
                return Err(SecretMistake {
                    line,
                    what: "expected [name], aws_access_key_id = …, aws_secret_access_key = … or aws_session_token = …",
                });
            };
            let member = match name.trim() {
                "aws_access_key_id" => &mut section.id,
                "aws_secret_access_key" => &mut section.secret,
                "aws_session_token" => &mut section.session_token,
                _ => {
                    let what = "only aws_access_key_id, aws_secret_access_key and aws_session_token may stand here";
                    return Err(SecretMistake { line, what });
                }
            };
            if value.trim().is_empty() || member.replace(value.trim().to_owned()).is_some() {
                return Err(SecretMistake { line, what: "this key has no value, or stands twice in its section" });
            }
        }
        section.close(text.lines().count(), &mut keys)?;
        if keys.is_empty() {
            return Err(SecretMistake { line: 1, what: "there is no access key" });
        }
        Ok(Self(keys))
    }
}

/// A section of a file of access keys.
#[derive(Default)]
struct Section {
    id: Option<String>,
    secret: Option<String>,
    session_token: Option<String>,
}

impl Section {
    /// `line` is the one after it.
    fn close(self, line: usize, keys: &mut BTreeMap<String, AccessKey>) -> Result<(), SecretMistake> {
        let session_token = self.session_token;
        match (self.id, self.secret) {
            (None, None) if session_token.is_none() => Ok(()),
            (Some(id), Some(secret)) => match keys.insert(id, AccessKey { secret, session_token }) {
                None => Ok(()),
                Some(_) => Err(SecretMistake { line, what: "the access key that ends before stands here twice" }),
            },
            _ => Err(SecretMistake { line, what: "the section that ends before lacks an id or a secret" }),
        }
    }
}

impl Tokens {
    /// Reads one token a line.
    pub fn parse(text: &str) -> Result<Self, SecretMistake> {
        let mut tokens = Vec::new();
        for (line, token) in lines(text) {
            if token.len() < TOKEN_LENGTH_MIN || !token.chars().all(|c| c.is_ascii_graphic()) {
                return Err(SecretMistake {
                    line,
                    what: "a token has at least 16 visible ASCII characters and no space",
                });
            }
            tokens.push(token.to_owned());
        }
        if tokens.is_empty() {
            return Err(SecretMistake { line: 1, what: "there is no token" });
        }
        Ok(Self(tokens))
    }
}

fn understand_access_keys(contents: &[Vec<u8>]) -> Result<AccessKeys, BoxError> {
    Ok(AccessKeys::parse(text(contents)?)?)
}

fn understand_tokens(contents: &[Vec<u8>]) -> Result<Tokens, BoxError> {
    Ok(Tokens::parse(text(contents)?)?)
}

fn text(contents: &[Vec<u8>]) -> Result<&str, Utf8Error> {
    std::str::from_utf8(contents.first().map_or(&[], Vec::as_slice))
}

/// The lines that say something, with their numbers.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let numbered = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    numbered.filter(|(_, line)| !line.is_empty() && !line.starts_with(['#', ';']))
}

const ACCESS_KEY_ID: &str = "ESMD_ACCESS_KEY_ID";
const SECRET_ACCESS_KEY: &str = "ESMD_SECRET_ACCESS_KEY";
const SESSION_TOKEN: &str = "ESMD_SESSION_TOKEN";
const TOKEN: &str = "ESMD_TOKEN";
const TOKEN_LENGTH_MIN: usize = 16;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn access_keys_stand_as_in_awss_shared_credentials_file() {
        let text = "# who may call\n[alice]\naws_access_key_id = AKALICE\naws_secret_access_key=a=b/c+d\n\n\
                    [ci]\r\naws_secret_access_key = two\r\naws_access_key_id = AKCI\r\naws_session_token = t==/\r\n";

        let AccessKeys(keys) = AccessKeys::parse(text).unwrap();

        let read = keys.iter().map(|(id, key)| (id.as_str(), key.secret.as_str(), key.session_token.as_deref()));
        assert_eq!(read.collect::<Vec<_>>(), [("AKALICE", "a=b/c+d", None), ("AKCI", "two", Some("t==/"))]);
    }

    #[test]
    fn a_mistake_in_access_keys_is_told_by_its_line_and_not_by_its_text() {
        let id = "aws_access_key_id=A\n";
        let secret = "aws_secret_access_key=hidden\n";
        for (text, line) in [
            (String::new(), 1),
            ("[a]\n".to_owned(), 1),
            (format!("[a]\n{id}"), 2),
            (format!("[a]\n{secret}[b]\n{id}"), 3),
            (format!("[a]\n{id}{id}"), 3),
            (format!("[a]\n{id}{secret}[b]\n{id}{secret}"), 6),
            (format!("{id}{secret}credential_process=hidden\n"), 3),
            ("[a]\naws_session_token=hidden\n".to_owned(), 2),
            ("hidden\n".to_owned(), 1),
            ("aws_access_key_id=\n".to_owned(), 1),
        ] {
            let mistake = AccessKeys::parse(&text).err().unwrap();
            assert_eq!(mistake.line, line, "{text:?}: {mistake}");
            assert!(!mistake.to_string().contains("hidden"), "{mistake}");
        }
    }

    #[test]
    fn tokens_stand_one_a_line() {
        let Tokens(tokens) = Tokens::parse("# old\n0123456789abcdef\n\nfedcba9876543210\n").unwrap();
        assert_eq!(tokens, ["0123456789abcdef", "fedcba9876543210"]);
        for (text, line) in [("", 1), ("0123456789abcdef\nshort\n", 2), ("0123456789 abcdef\n", 1)] {
            assert_eq!(Tokens::parse(text).err().unwrap().line, line, "{text:?}");
        }
    }

    #[test]
    fn the_environment_gives_one_access_key_and_tokens() {
        let variables = |given: &'static [(&'static str, &'static str)]| {
            move |name: &str| given.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        let nothing = SecretFiles::default();
        assert!(Secrets::load(variables(&[("ESMD_TOKEN", "")]), &nothing).unwrap().is_none());

        let given = variables(&[(ACCESS_KEY_ID, "AK"), (SECRET_ACCESS_KEY, "s"), (TOKEN, "0123456789abcdef")]);
        let (secrets, _) = Secrets::load(given, &nothing).unwrap().unwrap();
        let key = secrets.access_key("AK").unwrap();
        assert_eq!((key.secret.as_str(), key.session_token), ("s", None));
        assert!(secrets.access_key("AL").is_none() && secrets.access_key("").is_none());
        assert!(secrets.knows_token("0123456789abcdef") && secrets.has_tokens());
        assert!(!secrets.knows_token("0123456789abcdeg") && !secrets.knows_token(""));

        let half = Secrets::load(variables(&[(ACCESS_KEY_ID, "AK")]), &nothing).err().unwrap();
        assert!(half.to_string().contains(SECRET_ACCESS_KEY), "{half}");
        let lone = Secrets::load(variables(&[(SESSION_TOKEN, "t")]), &nothing).err().unwrap();
        assert!(lone.to_string().contains("ESMD_SESSION_TOKEN belongs to"), "{lone}");
    }
}
