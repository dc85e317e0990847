//! What the process's environment says that matters to the configuration, besides the `ESMD_…` variables, which the
//! command line reads. The variables are looked up through a function, so tests need not change the process.

use std::path::PathBuf;

use jiff::Timestamp;

use crate::mapping::validate::Scope;

/// The environment, as far as the configuration depends on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// AWS's region; `None` if it is not known here, as when only a profile names it.
    pub region: Option<String>,
    /// Whether SQS has an endpoint of its own.
    pub sqs_endpoint: bool,
    /// Whether Kinesis has an endpoint of its own.
    pub kinesis_endpoint: bool,
    /// Whether `DynamoDB` Streams has an endpoint of its own.
    pub dynamodb_streams_endpoint: bool,
    /// Where state is kept if no setting says it; `None` if the environment names no place.
    pub state_directory: Option<PathBuf>,
}

impl Environment {
    /// Looks everything up. An empty variable counts as unset.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Self {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let endpoint = |name: &str| variable("AWS_ENDPOINT_URL").or_else(|| variable(name)).is_some();
        Self {
            region: variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION")),
            sqs_endpoint: endpoint("AWS_ENDPOINT_URL_SQS"),
            kinesis_endpoint: endpoint("AWS_ENDPOINT_URL_KINESIS"),
            dynamodb_streams_endpoint: endpoint("AWS_ENDPOINT_URL_DYNAMODB_STREAMS"),
            state_directory: state_directory(variable),
        }
    }

    /// The same without what AWS's own configuration may say otherwise: a profile can set region and endpoints too, so
    /// `run` judges regions when the profile has been read.
    #[must_use]
    pub fn without_aws(self) -> Self {
        Self { region: None, sqs_endpoint: true, kinesis_endpoint: true, dynamodb_streams_endpoint: true, ..self }
    }

    /// The scope in which a mapping of this source is judged.
    #[must_use]
    pub fn scope(&self, event_source_arn: Option<&str>, now: Timestamp) -> Scope {
        let custom_endpoint = match event_source_arn.and_then(|arn| arn.split(':').nth(2)) {
            Some("sqs") => self.sqs_endpoint,
            Some("kinesis") => self.kinesis_endpoint,
            Some("dynamodb") => self.dynamodb_streams_endpoint,
            _ => false,
        };
        Scope { region: self.region.clone(), custom_endpoint, now }
    }
}

/// What systemd made for the service, else the user's own state by the XDG rules, which ignore relative paths.
fn state_directory(variable: impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let absolute = |path: &str| Some(PathBuf::from(path)).filter(|path| path.is_absolute());
    // A service with several state directories gets them joined by colons.
    let service = variable("STATE_DIRECTORY").and_then(|joined| joined.split(':').next().and_then(absolute));
    let user = || variable("XDG_STATE_HOME").and_then(|state| absolute(&state)).map(|state| state.join("esmd"));
    let home = || variable("HOME").and_then(|home| absolute(&home)).map(|home| home.join(".local/state/esmd"));
    service.or_else(user).or_else(home)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systemds_state_directory_comes_before_the_users_own() {
        let all = [("STATE_DIRECTORY", "/var/lib/esmd:/var/lib/b"), ("XDG_STATE_HOME", "/x"), ("HOME", "/home/me")];

        assert_eq!(state_directory_of(&all), Some("/var/lib/esmd".into()));
        assert_eq!(state_directory_of(&all[1..]), Some("/x/esmd".into()));
        assert_eq!(state_directory_of(&all[2..]), Some("/home/me/.local/state/esmd".into()));
        assert_eq!(state_directory_of(&[]), None);
    }

    #[test]
    fn a_relative_or_empty_state_home_is_ignored() {
        for ignored in ["", "state"] {
            let found = state_directory_of(&[("XDG_STATE_HOME", ignored), ("HOME", "/home/me")]);

            assert_eq!(found, Some("/home/me/.local/state/esmd".into()));
        }
    }

    #[test]
    fn an_endpoint_of_one_service_is_no_endpoint_of_another() {
        let environment = environment(&[
            ("AWS_ENDPOINT_URL_SQS", "http://127.0.0.1:4566"),
            ("AWS_ENDPOINT_URL_DYNAMODB_STREAMS", "http://127.0.0.1:4567"),
            ("AWS_REGION", "eu-west-1"),
        ]);

        let queue = environment.scope(Some("arn:aws:sqs:elsewhere:123456789012:q"), Timestamp::UNIX_EPOCH);
        let stream = environment.scope(Some("arn:aws:kinesis:elsewhere:123456789012:stream/s"), Timestamp::UNIX_EPOCH);

        let table = "arn:aws:dynamodb:ddblocal:000000000000:table/t/stream/2026-01-31T09:30:00.000";
        let table = environment.scope(Some(table), Timestamp::UNIX_EPOCH);

        assert_eq!((queue.custom_endpoint, stream.custom_endpoint, table.custom_endpoint), (true, false, true));
        assert_eq!(queue.region.as_deref(), Some("eu-west-1"));
    }

    fn state_directory_of(variables: &[(&str, &str)]) -> Option<PathBuf> {
        environment(variables).state_directory
    }

    fn environment(variables: &[(&str, &str)]) -> Environment {
        let variable =
            |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Environment::read(variable)
    }
}
