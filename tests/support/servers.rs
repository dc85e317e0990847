//! Where the servers are that stand in for AWS. `make test` starts them and sets the variables read here.

/// A server's address, and how its failures name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// The server's name.
    pub name: &'static str,
    /// `http://127.0.0.1:PORT`, without a slash at the end.
    pub url: String,
}

/// SQS, Kinesis and more: right in every SQS check; its streams cannot be split.
pub fn ministack() -> Server {
    from_environment("ministack", "ESMD_TEST_MINISTACK")
}

/// SQS: one message per group and receive.
pub fn fauxqs() -> Server {
    from_environment("fauxqs", "ESMD_TEST_FAUXQS")
}

/// Kinesis with splits and merges; slow: at most about 3,000 puts a second.
pub fn kinesis_local() -> Server {
    from_environment("kinesis-local", "ESMD_TEST_KINESIS_LOCAL")
}

/// Tables and their streams, as Amazon gives them for tests; its times are whole minutes, its region is `ddblocal`.
pub fn dynamodb_local() -> Server {
    from_environment("dynamodb-local", "ESMD_TEST_DYNAMODB_LOCAL")
}

fn from_environment(name: &'static str, variable: &str) -> Server {
    let url = std::env::var(variable).unwrap_or_else(|_| panic!("{variable} is not set: run `make test`"));
    Server { name, url: url.trim_end_matches('/').to_owned() }
}
