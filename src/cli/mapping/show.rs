//! Prints mappings as a table, as JSON or as YAML. JSON and YAML are the API's answers, all of their members included.

use std::io::Write as _;

use anyhow::Context as _;
use clap::ValueEnum;
use jiff::Timestamp;
use serde_json::{Value, json};

/// How answers are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// For programs.
    Json,
    /// For files.
    Yaml,
}

/// Prints a list.
pub(super) fn list(mappings: &[Value], format: Format) -> anyhow::Result<()> {
    match format {
        Format::Table => {
            let rows = mappings.iter().map(row);
            print(&aligned(std::iter::once(HEADINGS.map(str::to_owned)).chain(rows).collect()))
        }
        _ => print(&written(&json!({ "EventSourceMappings": mappings }), format)?),
    }
}

/// Prints one mapping with all that is known of it.
pub(super) fn one(mapping: &Value, format: Format) -> anyhow::Result<()> {
    match (format, mapping) {
        (Format::Table, Value::Object(members)) => {
            let rows = members.iter().map(|(name, value)| [name.clone(), cell(name, value)]);
            print(&aligned(rows.collect()))
        }
        _ => print(&written(mapping, format)?),
    }
}

fn written(value: &Value, format: Format) -> anyhow::Result<String> {
    match format {
        Format::Yaml => serde_saphyr::to_string(value).context("the answer cannot be written as YAML"),
        Format::Table | Format::Json => Ok(format!("{value:#}\n")),
    }
}

fn row(mapping: &Value) -> [String; 5] {
    let text = |name: &str| mapping[name].as_str().unwrap_or_default();
    let function = text("FunctionArn");
    let function = function.split_once(":function:").map_or(function, |(_, name)| name);
    let note = match (&mapping["Stalled"], &mapping["Waits"]) {
        (Value::Array(_), _) => "stalled",
        (_, Value::Array(_)) => "waits",
        _ => text("LastProcessingResult"),
    };
    [text("UUID"), text("State"), text("EventSourceArn"), function, note].map(str::to_owned)
}

fn cell(name: &str, value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(seconds) if name == "LastModified" || name == "StartingPositionTimestamp" => {
            #[expect(clippy::cast_possible_truncation, reason = "a time in milliseconds is no larger")]
            let moment = seconds.as_f64().and_then(|s| Timestamp::from_millisecond((s * 1_000.0).round() as i64).ok());
            moment.map_or_else(|| seconds.to_string(), |moment| moment.to_string())
        }
        other => other.to_string(),
    }
}

/// Columns as wide as their widest cell, two spaces apart.
fn aligned<const COLUMNS: usize>(rows: Vec<[String; COLUMNS]>) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: [usize; COLUMNS] = std::array::from_fn(width);
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn print(text: &str) -> anyhow::Result<()> {
    let mut output = std::io::stdout().lock();
    output.write_all(text.as_bytes())?;
    Ok(())
}

const HEADINGS: [&str; 5] = ["UUID", "STATE", "SOURCE", "FUNCTION", "NOTE"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_what_is_wrong_before_all_else() {
        let mut mapping = json!({
            "UUID": "u", "State": "Enabled", "EventSourceArn": "arn", "LastProcessingResult": "OK",
            "FunctionArn": "arn:aws:lambda:eu-west-1:111111111111:function:worker:live",
        });
        assert_eq!(row(&mapping), ["u", "Enabled", "arn", "worker:live", "OK"]);
        mapping["Waits"] = json!([{"Shard": "s", "Reason": "retry"}]);
        assert_eq!(row(&mapping)[4], "waits");
        mapping["Stalled"] = json!(["s"]);
        assert_eq!(row(&mapping)[4], "stalled");
    }

    #[test]
    fn a_time_is_shown_as_people_write_it() {
        assert_eq!(cell("LastModified", &json!(1_760_700_041.314)), "2025-10-17T11:20:41.314Z");
        assert_eq!(cell("BatchSize", &json!(10)), "10");
        assert_eq!(cell("DestinationConfig", &json!({"OnFailure": {}})), r#"{"OnFailure":{}}"#);
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["a", "größe", ""], ["bb", "c", "d"]].map(|row| row.map(str::to_owned));
        assert_eq!(aligned(rows.to_vec()), "a   größe\nbb  c      d\n");
    }
}
