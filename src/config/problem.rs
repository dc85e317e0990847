//! Mistakes in a configuration file, each with its place, and how they are shown: as a compiler would. Knows neither
//! YAML nor settings.

use std::fmt;

use super::yaml::Place;

/// One mistake. Mistakes are ordered by their places.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// How many characters are marked.
    pub length: usize,
    /// What is wrong, on one line.
    pub message: String,
    /// What to do about it, shown beside the mark.
    pub remedy: Option<String>,
}

/// The mistakes of one file, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    /// The file as the user named it.
    pub file: String,
    /// Its text, of which the lines concerned are shown.
    pub text: String,
    /// At least one.
    pub problems: Vec<Problem>,
}

impl Problem {
    /// A mistake without a remedy.
    #[must_use]
    pub fn new(place: Place, message: impl Into<String>) -> Self {
        let Place { line, column, length } = place;
        Self { line, column, length, message: message.into(), remedy: None }
    }

    /// The same with a remedy, if there is one.
    #[must_use]
    pub fn remedy(self, remedy: Option<String>) -> Self {
        Self { remedy, ..self }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        for problem in &self.problems {
            self.show(problem, formatter)?;
            writeln!(formatter)?;
        }
        match self.problems.len() {
            1 => write!(formatter, "{}: 1 problem", self.file),
            count => write!(formatter, "{}: {count} problems", self.file),
        }
    }
}

impl Problems {
    fn show(&self, problem: &Problem, formatter: &mut fmt::Formatter) -> fmt::Result {
        let Problem { line, column, length, message, remedy } = problem;
        writeln!(formatter, "{}:{line}:{column}: error: {message}", self.file)?;
        let source = self.text.lines().nth(line - 1).unwrap_or_default().trim_end();
        let margin = " ".repeat(line.to_string().len());
        writeln!(formatter, "{margin} |")?;
        writeln!(formatter, "{line} | {source}")?;
        // A tab stays a tab, so that the mark stands below what it marks.
        let indent: String = source
            .chars()
            .chain(std::iter::repeat(' '))
            .take(column - 1)
            .map(|c| if c == '\t' { c } else { ' ' })
            .collect();
        let to_end_of_line = source.chars().count().saturating_sub(column - 1);
        let mark = "^".repeat((*length).min(to_end_of_line).max(1));
        match remedy {
            Some(remedy) => writeln!(formatter, "{margin} | {indent}{mark} {remedy}"),
            None => writeln!(formatter, "{margin} | {indent}{mark}"),
        }
    }
}
