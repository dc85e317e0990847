//! The daemon's settings: their names, defaults and ranges, and how the places that give them combine. Each setting has
//! one parser that flag, environment variable and file share, so none can take what another refuses. Knows no YAML.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::environment::Environment;
use crate::access::secrets::SecretFiles;
pub use crate::telemetry::LogFormat;

/// Every setting of the daemon, resolved: nothing behind it looks at the environment or asks for a default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where the HTTP listener binds. Off loopback callers must show who they are.
    pub listen: SocketAddr,
    /// Where a second listener for health and metrics only binds, on any address; `None`: there is none.
    pub metrics_listen: Option<SocketAddr>,
    /// The secrets that callers may know.
    pub secret_files: SecretFiles,
    /// The certificate chain and the private key of the HTTP listener; `None`: it speaks plain HTTP.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Where state is kept. May not exist yet.
    pub state_directory: PathBuf,
    /// How long running invocations get after a signal, 0 s to 1 h.
    pub drain_timeout: Duration,
    /// The least level that is logged.
    pub log_level: tracing::Level,
    /// How log lines look.
    pub log_format: LogFormat,
    /// How long one receive waits for a queue's messages, 1–20 whole seconds.
    pub queue_wait_time: Duration,
    /// How often a stream's shards are listed, 1 s to 1 h.
    pub shard_refresh_interval: Duration,
    /// How long an idle shard is left alone between two reads, 200 ms to 1 min; of `DynamoDB` 250 ms at most.
    pub shard_poll_interval: Duration,
    /// The threads that do the daemon's work, 1 to 64.
    pub worker_threads: usize,
}

/// The settings that one place gives. The command line and the environment are one place, since clap joins them; the
/// file is the other.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
#[expect(clippy::doc_markdown, reason = "the help shows the comments as they are")]
pub struct GivenSettings {
    /// Where the HTTP listener binds; off loopback callers need an access key or a token [default: 127.0.0.1:9900]
    #[arg(long, env = "ESMD_LISTEN", value_name = "ADDRESS", value_parser = address)]
    pub listen: Option<SocketAddr>,
    /// Serves health and metrics, nothing else, to anyone on any address as well [default: off]
    #[arg(long, env = "ESMD_METRICS_LISTEN", value_name = "ADDRESS", value_parser = address)]
    pub metrics_listen: Option<SocketAddr>,
    /// The access keys that sign callers' requests, in the form of AWS's shared credentials file [default: none]
    #[arg(long, env = "ESMD_ACCESS_KEYS_FILE", value_name = "FILE", value_parser = file, help_heading = ACCESS)]
    pub access_keys_file: Option<PathBuf>,
    /// The tokens that open /esmd/v1, /metrics and /version, one a line [default: none]
    #[arg(long, env = "ESMD_TOKENS_FILE", value_name = "FILE", value_parser = file, help_heading = ACCESS)]
    pub tokens_file: Option<PathBuf>,
    /// The certificate chain of the HTTP listener, PEM; needs --tls-key [default: plain HTTP]
    #[arg(long, env = "ESMD_TLS_CERTIFICATE", value_name = "FILE", value_parser = file, help_heading = ACCESS)]
    pub tls_certificate: Option<PathBuf>,
    /// The private key of that certificate, PEM [default: plain HTTP]
    #[arg(long, env = "ESMD_TLS_KEY", value_name = "FILE", value_parser = file, help_heading = ACCESS)]
    pub tls_key: Option<PathBuf>,
    /// Where checkpoints are kept [default: $STATE_DIRECTORY, $XDG_STATE_HOME/esmd or ~/.local/state/esmd]
    #[arg(long, env = "ESMD_STATE_DIR", value_name = "DIR", value_parser = directory)]
    pub state_dir: Option<PathBuf>,
    /// How long running invocations may still take after SIGTERM, 0s to 1h [default: 30s]
    #[arg(long, env = "ESMD_DRAIN_TIMEOUT", value_name = "DURATION", value_parser = drain_timeout)]
    pub drain_timeout: Option<Duration>,
    /// What is logged: error, warn, info, debug or trace [default: info]
    #[arg(long, env = "ESMD_LOG_LEVEL", value_name = "LEVEL", value_parser = log_level, help_heading = LOGGING)]
    pub log_level: Option<tracing::Level>,
    /// How it is logged: auto (human on a terminal, json otherwise), human or json [default: auto]
    #[arg(long, env = "ESMD_LOG_FORMAT", value_name = "FORMAT", value_parser = log_format, help_heading = LOGGING)]
    pub log_format: Option<LogFormat>,
    /// How long one receive waits for a queue's messages, 1s to 20s in whole seconds [default: 20s]
    #[arg(long, env = "ESMD_QUEUE_WAIT_TIME", value_name = "DURATION", value_parser = queue_wait_time, help_heading = READING)]
    pub queue_wait_time: Option<Duration>,
    /// How often the shards of a stream are listed, 1s to 1h [default: 60s]
    #[arg(long, env = "ESMD_SHARD_REFRESH_INTERVAL", value_name = "DURATION", value_parser = shard_refresh_interval, help_heading = READING)]
    pub shard_refresh_interval: Option<Duration>,
    /// How long an idle shard is left alone between two reads, 200ms to 1m; on DynamoDB 250ms at most [default: 1s]
    #[arg(long, env = "ESMD_SHARD_POLL_INTERVAL", value_name = "DURATION", value_parser = shard_poll_interval, help_heading = READING)]
    pub shard_poll_interval: Option<Duration>,
    /// The threads that do the work, 1 to 64; one handles tens of thousands of messages a second [default: 1]
    #[arg(long, env = "ESMD_WORKER_THREADS", value_name = "NUMBER", value_parser = worker_threads)]
    pub worker_threads: Option<usize>,
}

/// One setting as people name it, for the reader of the file. The flag and the environment variable stand on the field
/// of [`GivenSettings`] of the same name; a test compares the two and the documentation.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Its key in the file; a dot leads into a table.
    pub key: &'static str,
    /// Reads its value and sets it; else what was expected.
    pub read: fn(&mut GivenSettings, &str) -> Result<(), String>,
}

/// Every setting that a file may give.
pub const SETTINGS: &[Setting] = &[
    Setting { key: "http.listen", read: |given, text| keep(&mut given.listen, address(text)) },
    Setting { key: "http.metricsListen", read: |given, text| keep(&mut given.metrics_listen, address(text)) },
    Setting { key: "http.accessKeysFile", read: |given, text| keep(&mut given.access_keys_file, file(text)) },
    Setting { key: "http.tokensFile", read: |given, text| keep(&mut given.tokens_file, file(text)) },
    Setting { key: "http.tlsCertificate", read: |given, text| keep(&mut given.tls_certificate, file(text)) },
    Setting { key: "http.tlsKey", read: |given, text| keep(&mut given.tls_key, file(text)) },
    Setting { key: "stateDir", read: |given, text| keep(&mut given.state_dir, directory(text)) },
    Setting { key: "drainTimeout", read: |given, text| keep(&mut given.drain_timeout, drain_timeout(text)) },
    Setting { key: "log.level", read: |given, text| keep(&mut given.log_level, log_level(text)) },
    Setting { key: "log.format", read: |given, text| keep(&mut given.log_format, log_format(text)) },
    Setting { key: "queueWaitTime", read: |given, text| keep(&mut given.queue_wait_time, queue_wait_time(text)) },
    Setting {
        key: "shardRefreshInterval",
        read: |given, text| keep(&mut given.shard_refresh_interval, shard_refresh_interval(text)),
    },
    Setting {
        key: "shardPollInterval",
        read: |given, text| keep(&mut given.shard_poll_interval, shard_poll_interval(text)),
    },
    Setting { key: "workerThreads", read: |given, text| keep(&mut given.worker_threads, worker_threads(text)) },
];

/// What is given is not enough to run by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// No directory for the state was given and the environment names none.
    #[error("no directory for the state: give one with --state-dir, ESMD_STATE_DIR or `stateDir:`, or set HOME")]
    NoStateDirectory,
    /// A certificate without its key, or a key without its certificate.
    #[error(
        "TLS needs both --tls-certificate and --tls-key (or ESMD_TLS_CERTIFICATE and ESMD_TLS_KEY, or \
         `http.tlsCertificate:` and `http.tlsKey:`): only one is given"
    )]
    HalfOfTls,
}

impl Settings {
    /// Joins what was given: the command line (with the `ESMD_…` environment) before the file, the file before the
    /// defaults.
    pub fn resolve(
        command_line: &GivenSettings,
        file: &GivenSettings,
        environment: &Environment,
    ) -> Result<Self, SettingsError> {
        let state_directories = [&command_line.state_dir, &file.state_dir, &environment.state_directory];
        let state_directory = state_directories.into_iter().flatten().next();
        let state_directory = state_directory.ok_or(SettingsError::NoStateDirectory)?.clone();
        let first = |one: &Option<PathBuf>, other: &Option<PathBuf>| one.clone().or_else(|| other.clone());
        let tls_certificate = first(&command_line.tls_certificate, &file.tls_certificate);
        let tls = match (tls_certificate, first(&command_line.tls_key, &file.tls_key)) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => return Err(SettingsError::HalfOfTls),
        };
        let secret_files = SecretFiles {
            access_keys: first(&command_line.access_keys_file, &file.access_keys_file),
            tokens: first(&command_line.tokens_file, &file.tokens_file),
        };
        Ok(Self {
            listen: command_line.listen.or(file.listen).unwrap_or(DEFAULT_LISTEN),
            metrics_listen: command_line.metrics_listen.or(file.metrics_listen),
            secret_files,
            tls,
            state_directory,
            drain_timeout: command_line.drain_timeout.or(file.drain_timeout).unwrap_or(DEFAULT_DRAIN_TIMEOUT),
            log_level: command_line.log_level.or(file.log_level).unwrap_or(tracing::Level::INFO),
            log_format: command_line.log_format.or(file.log_format).unwrap_or(LogFormat::Auto),
            queue_wait_time: command_line.queue_wait_time.or(file.queue_wait_time).unwrap_or(DEFAULT_QUEUE_WAIT_TIME),
            shard_refresh_interval: command_line
                .shard_refresh_interval
                .or(file.shard_refresh_interval)
                .unwrap_or(DEFAULT_SHARD_REFRESH_INTERVAL),
            shard_poll_interval: command_line
                .shard_poll_interval
                .or(file.shard_poll_interval)
                .unwrap_or(DEFAULT_SHARD_POLL_INTERVAL),
            worker_threads: command_line.worker_threads.or(file.worker_threads).unwrap_or(DEFAULT_WORKER_THREADS),
        })
    }
}

fn keep<T>(setting: &mut Option<T>, read: Result<T, String>) -> Result<(), String> {
    *setting = Some(read?);
    Ok(())
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "expected an IP address and a port, such as 127.0.0.1:9900".to_owned())
}

fn directory(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() { Err("expected the path of a directory".to_owned()) } else { Ok(text.into()) }
}

fn file(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() { Err("expected the path of a file".to_owned()) } else { Ok(text.into()) }
}

fn log_level(text: &str) -> Result<tracing::Level, String> {
    match text {
        "error" => Ok(tracing::Level::ERROR),
        "warn" => Ok(tracing::Level::WARN),
        "info" => Ok(tracing::Level::INFO),
        "debug" => Ok(tracing::Level::DEBUG),
        "trace" => Ok(tracing::Level::TRACE),
        _ => Err("expected error, warn, info, debug or trace".to_owned()),
    }
}

fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "auto" => Ok(LogFormat::Auto),
        "human" => Ok(LogFormat::Human),
        "json" => Ok(LogFormat::Json),
        _ => Err("expected auto, human or json".to_owned()),
    }
}

fn drain_timeout(text: &str) -> Result<Duration, String> {
    let expected = "expected a duration from 0s to 1h, such as 30s";
    duration(text).filter(|duration| *duration <= HOUR).ok_or_else(|| expected.to_owned())
}

/// SQS counts `WaitTimeSeconds` in whole seconds, at most 20.
fn queue_wait_time(text: &str) -> Result<Duration, String> {
    let expected = "expected whole seconds from 1s to 20s, such as 20s";
    duration(text)
        .filter(|duration| (SECOND..=DEFAULT_QUEUE_WAIT_TIME).contains(duration) && duration.subsec_nanos() == 0)
        .ok_or_else(|| expected.to_owned())
}

fn shard_refresh_interval(text: &str) -> Result<Duration, String> {
    let expected = "expected a duration from 1s to 1h, such as 60s";
    duration(text).filter(|duration| (SECOND..=HOUR).contains(duration)).ok_or_else(|| expected.to_owned())
}

/// A shard takes 5 reads a second, so a shorter pause than 200 ms would only be refused.
fn shard_poll_interval(text: &str) -> Result<Duration, String> {
    let expected = "expected a duration from 200ms to 1m, such as 1s";
    let range = Duration::from_millis(200)..=Duration::from_mins(1);
    duration(text).filter(|duration| range.contains(duration)).ok_or_else(|| expected.to_owned())
}

fn worker_threads(text: &str) -> Result<usize, String> {
    let expected = "expected a number from 1 to 64";
    text.parse().ok().filter(|threads| (1..=64).contains(threads)).ok_or_else(|| expected.to_owned())
}

/// Seconds as a bare number, else a duration such as `90s`, `1m 30s` or `PT1M30S`.
fn duration(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    text.parse::<jiff::SignedDuration>().ok().and_then(|duration| Duration::try_from(duration).ok())
}

const ACCESS: &str = "Access";
const LOGGING: &str = "Logging";
const READING: &str = "Reading sources";

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_hours(1);

/// Where the listener binds unless something else is said.
pub const DEFAULT_LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), DEFAULT_LISTEN_PORT);
const DEFAULT_LISTEN_PORT: u16 = 9_900;
const DEFAULT_DRAIN_TIMEOUT: Duration = Duration::from_secs(30);
const DEFAULT_QUEUE_WAIT_TIME: Duration = Duration::from_secs(20);
const DEFAULT_SHARD_REFRESH_INTERVAL: Duration = Duration::from_mins(1);
const DEFAULT_SHARD_POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Threads that have too little to do wake each other all the time: with two a message costs half as much again
/// (`docs/performance.md`).
pub const DEFAULT_WORKER_THREADS: usize = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_comes_before_the_file_and_the_file_before_the_default() {
        let command_line = GivenSettings { log_format: Some(LogFormat::Json), ..GivenSettings::default() };
        let file = GivenSettings {
            log_format: Some(LogFormat::Human),
            drain_timeout: Some(Duration::from_secs(5)),
            ..GivenSettings::default()
        };

        let settings = Settings::resolve(&command_line, &file, &environment()).expect("all is given");

        assert_eq!(settings.log_format, LogFormat::Json);
        assert_eq!(settings.drain_timeout, Duration::from_secs(5));
        assert_eq!(settings.queue_wait_time, Duration::from_secs(20));
    }

    #[test]
    fn without_any_setting_each_has_its_default() {
        let nothing = GivenSettings::default();

        let settings = Settings::resolve(&nothing, &nothing, &environment()).expect("the environment names a state");

        let expected = Settings {
            listen: "127.0.0.1:9900".parse().expect("an address"),
            metrics_listen: None,
            secret_files: SecretFiles::default(),
            tls: None,
            state_directory: "/var/lib/esmd".into(),
            drain_timeout: Duration::from_secs(30),
            log_level: tracing::Level::INFO,
            log_format: LogFormat::Auto,
            queue_wait_time: Duration::from_secs(20),
            shard_refresh_interval: Duration::from_mins(1),
            shard_poll_interval: Duration::from_secs(1),
            worker_threads: 1,
        };
        assert_eq!(settings, expected);
    }

    #[test]
    fn without_a_place_for_state_the_error_names_the_remedies() {
        let nothing = GivenSettings::default();

        let error = Settings::resolve(&nothing, &nothing, &Environment::default()).expect_err("there is no place");

        let expected =
            "no directory for the state: give one with --state-dir, ESMD_STATE_DIR or `stateDir:`, or set HOME";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn a_listener_takes_an_address_and_a_port() {
        for accepted in ["127.0.0.1:9900", "[::1]:9900", "0.0.0.0:9900"] {
            assert!(address(accepted).is_ok(), "{accepted}");
        }
        for refused in ["localhost:9900", "127.0.0.1", ":9900"] {
            assert!(address(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn a_certificate_needs_its_key_wherever_each_is_given() {
        let certificate = GivenSettings { tls_certificate: Some("c".into()), ..GivenSettings::default() };
        let key = GivenSettings { tls_key: Some("k".into()), ..GivenSettings::default() };

        let alone = Settings::resolve(&certificate, &GivenSettings::default(), &environment());
        let both = Settings::resolve(&certificate, &key, &environment()).expect("both are there");

        assert_eq!(alone, Err(SettingsError::HalfOfTls));
        assert_eq!(both.tls, Some(("c".into(), "k".into())));
    }

    #[test]
    fn a_duration_is_seconds_or_says_its_unit() {
        let seconds = |text| duration(text).map(|duration| duration.as_secs_f64());

        assert_eq!(seconds("90"), Some(90.0));
        assert_eq!(seconds("90s"), Some(90.0));
        assert_eq!(seconds("1m 30s"), Some(90.0));
        assert_eq!(seconds("PT1M30S"), Some(90.0));
        assert_eq!(seconds("500ms"), Some(0.5));
        for refused in ["", "soon", "-1", "-5s", "1 fortnight", "99999999999999999999"] {
            assert_eq!(duration(refused), None, "{refused}");
        }
    }

    #[test]
    fn a_duration_out_of_range_is_refused() {
        assert!(drain_timeout("0").is_ok() && drain_timeout("1h").is_ok() && drain_timeout("3601s").is_err());
        assert!(queue_wait_time("1").is_ok() && queue_wait_time("20s").is_ok());
        assert!(queue_wait_time("0").is_err() && queue_wait_time("21s").is_err() && queue_wait_time("500ms").is_err());
        assert!(shard_refresh_interval("1s").is_ok() && shard_refresh_interval("999ms").is_err());
        assert!(shard_poll_interval("200ms").is_ok() && shard_poll_interval("199ms").is_err());
    }

    #[test]
    fn worker_threads_are_a_number_in_range() {
        assert_eq!((worker_threads("1"), worker_threads("64")), (Ok(1), Ok(64)));
        for refused in ["0", "65", "-1", "1.5", "auto", ""] {
            assert_eq!(worker_threads(refused), Err("expected a number from 1 to 64".to_owned()), "{refused}");
        }
    }

    fn environment() -> Environment {
        Environment { state_directory: Some("/var/lib/esmd".into()), ..Environment::default() }
    }
}
