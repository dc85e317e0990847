//! The configuration: file, environment and command line to one [`Config`], in which every mapping is valid and every
//! setting has a value. A file with mistakes is refused as a whole, and all of them are shown at once, each with its
//! line. Nothing that asks for something is ever ignored: of a mapping as the API answers it, or of a template, the rest is
//! not esmd's.

mod answer;
pub mod environment;
pub mod problem;
pub mod settings;
mod template;
mod tree;
mod yaml;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::string::FromUtf8Error;

use jiff::Timestamp;

use crate::mapping::EventSourceMapping;
use crate::mapping::document::MappingDocument;
use crate::mapping::validate::ValidationError;
use environment::Environment;
use problem::{Problem, Problems};
use settings::{GivenSettings, Settings, SettingsError};
use tree::{Contents, ShapedMapping};
use yaml::{Node, Place};

/// What the daemon runs by.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Every setting of the daemon.
    pub settings: Settings,
    /// The file, if one was given.
    pub file: Option<LoadedFile>,
}

/// A configuration file as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadedFile {
    /// Where, as the user named it.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
    /// What it says.
    pub contents: ConfigFile,
}

/// A configuration file without mistakes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConfigFile {
    /// The settings that it gives.
    pub settings: GivenSettings,
    /// Its mappings, in its order. No two have both source and function in common.
    pub mappings: Vec<ConfiguredMapping>,
}

/// A mapping of a configuration file.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfiguredMapping {
    /// As it was written.
    pub document: MappingDocument,
    /// As it is run.
    pub mapping: EventSourceMapping,
    /// Where it begins in the file, from 1.
    pub line: usize,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("configuration file {} cannot be read", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The file has mistakes. The text shows them all, on several lines.
    #[error("{0}")]
    Invalid(Problems),
    /// The settings are not enough to run by.
    #[error(transparent)]
    Settings(#[from] SettingsError),
}

impl Config {
    /// Joins the command line, the file if there is one, and the defaults.
    pub fn load(
        file: Option<&Path>,
        command_line: &GivenSettings,
        environment: &Environment,
        now: Timestamp,
    ) -> Result<Self, ConfigError> {
        let file = file.map(|path| LoadedFile::load(path, environment, now)).transpose()?;
        let nothing = GivenSettings::default();
        let given = file.as_ref().map_or(&nothing, |file| &file.contents.settings);
        let settings = Settings::resolve(command_line, given, environment)?;
        Ok(Self { settings, file })
    }
}

impl LoadedFile {
    /// Reads and judges a file without asking any server. `now` is the time past which no stream can start.
    pub fn load(path: &Path, environment: &Environment, now: Timestamp) -> Result<Self, ConfigError> {
        let bytes = std::fs::read(path).map_err(|source| ConfigError::Unreadable { file: path.to_owned(), source })?;
        match String::from_utf8(bytes) {
            Ok(text) => Self::judge(path, text, environment, now),
            Err(error) => {
                Err(invalid(path, String::from_utf8_lossy(error.as_bytes()).into_owned(), vec![not_utf8(&error)]))
            }
        }
    }

    /// The same with a text that was read before.
    pub fn judge(path: &Path, text: String, environment: &Environment, now: Timestamp) -> Result<Self, ConfigError> {
        match ConfigFile::parse(&text, environment, now) {
            Ok(contents) => Ok(Self { path: path.to_owned(), text, contents }),
            Err(problems) => Err(invalid(path, text, problems)),
        }
    }
}

fn invalid(path: &Path, text: String, problems: Vec<Problem>) -> ConfigError {
    ConfigError::Invalid(Problems { file: path.display().to_string(), text, problems })
}

fn not_utf8(error: &FromUtf8Error) -> Problem {
    let sound = String::from_utf8_lossy(&error.as_bytes()[..error.utf8_error().valid_up_to()]);
    let begun = sound.rsplit('\n').next().unwrap_or_default();
    let place = Place { line: sound.matches('\n').count() + 1, column: begun.chars().count() + 1, length: 1 };
    Problem::new(place, "this is not UTF-8")
}

impl ConfigFile {
    /// Judges the text of a file. The problems are in its order, at least one.
    pub fn parse(text: &str, environment: &Environment, now: Timestamp) -> Result<Self, Vec<Problem>> {
        let root = match yaml::parse(text) {
            Ok(Some(root)) => root,
            Ok(None) => return Ok(Self::default()),
            Err(error) => return Err(vec![Problem::new(error.place, error.message)]),
        };
        let (root, around) = if template::is_template(&root) { template::mappings(&root) } else { (root, Vec::new()) };
        let Contents { settings, mappings: shaped, mut problems } = Contents::read(&root);
        problems.extend(around);
        let mut mappings = Vec::with_capacity(shaped.len());
        for mapping in shaped {
            match validated(mapping, environment, now) {
                Ok(mapping) => mappings.push(mapping),
                Err(found) => problems.extend(found),
            }
        }
        problems.extend(repeated(&mappings, environment));
        if problems.is_empty() {
            return Ok(Self { settings, mappings: mappings.into_iter().map(|(_, mapping)| mapping).collect() });
        }
        problems.sort();
        // What stands behind an anchor is met once for each alias.
        problems.dedup();
        Err(problems)
    }
}

impl ConfigFile {
    /// Reads the members of one mapping. Names and shapes are judged alone: the rest is for whoever takes it.
    pub fn parse_mapping(text: &str) -> Result<MappingDocument, Vec<Problem>> {
        match yaml::parse(text) {
            Ok(Some(root)) => Contents::read_one(&root),
            Ok(None) => Ok(MappingDocument::default()),
            Err(error) => Err(vec![Problem::new(error.place, error.message)]),
        }
    }
}

/// Judges a mapping's ranges and combinations. The place is where it begins.
fn validated(
    shaped: ShapedMapping,
    environment: &Environment,
    now: Timestamp,
) -> Result<(Place, ConfiguredMapping), Vec<Problem>> {
    let ShapedMapping { node, document, blamed } = shaped;
    let place = node.beginning();
    let scope = environment.scope(document.event_source_arn.as_deref(), now);
    match EventSourceMapping::from_document(&document, &scope) {
        Ok(mapping) => Ok((place, ConfiguredMapping { document, mapping, line: place.line })),
        Err(errors) => {
            let news = errors.as_slice().iter().filter(|error| !blamed.contains(top(&error.field)));
            Err(news.map(|error| problem(error, node)).collect())
        }
    }
}

/// An error of validation at the line of the member concerned, else at the mapping that lacks it.
fn problem(error: &ValidationError, mapping: &Node) -> Problem {
    let ValidationError { field, rule, detail, .. } = error;
    let Some(member) = mapping.get(top(field)) else {
        let told = answer::told_by(field).and_then(|name| Some((name, mapping.get(name)?)));
        return match told {
            Some((name, value)) => Problem::new(value.beginning(), format!("`{name}`: {rule}")).remedy(detail.clone()),
            None => Problem::new(mapping.beginning(), format!("`{field}` is missing")).remedy(Some(rule.clone())),
        };
    };
    let value = field.split('.').skip(1).fold(member, |node, key| node.get(key).unwrap_or(node));
    Problem::new(value.beginning(), format!("`{field}`: {rule}")).remedy(detail.clone())
}

/// A mapping is known by its source and function, so a file can name each pair once.
fn repeated(mappings: &[(Place, ConfiguredMapping)], environment: &Environment) -> Vec<Problem> {
    let mut first_lines = BTreeMap::new();
    let mut problems = Vec::new();
    for (place, ConfiguredMapping { mapping, line, .. }) in mappings {
        let source = mapping.source_arn();
        let region = environment.region.as_deref().unwrap_or(source.region());
        let function = mapping.function.arn(source.partition(), region, source.account());
        match first_lines.get(&(source.as_str(), function.clone())) {
            Some(first) => {
                let message = format!("a second mapping of {source} to {function}");
                problems.push(Problem::new(*place, message).remedy(Some(format!("the first is on line {first}"))));
            }
            None => {
                first_lines.insert((source.as_str(), function), line);
            }
        }
    }
    problems
}

/// The member of the document that a field is or belongs to.
fn top(field: &str) -> &str {
    field.split('.').next().unwrap_or(field)
}

#[cfg(test)]
mod tests;
