//! Keeps web pages out. The listener asks no caller who it is, so a page in a browser on the same machine could
//! otherwise make mappings: by a request that its script sends here, or by a name that it lets resolve to this address.

use std::net::IpAddr;

use axum::extract::Request;
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::error::ApiError;

/// Refuses what a browser sent for a page, and what was sent to a name that is not this machine's own.
pub(super) async fn refuse(request: Request, next: Next) -> Response {
    let headers = request.headers();
    if headers.contains_key(header::ORIGIN) {
        return ApiError::access_denied("requests of web pages are not served: they carry an Origin header")
            .into_response();
    }
    match host(headers) {
        Some(host) if !is_own(host) => {
            let message = format!("the name {host} is not served: use localhost or a loopback address");
            ApiError::access_denied(message).into_response()
        }
        _ => next.run(request).await,
    }
}

fn host(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::HOST).map(|host| host.to_str().unwrap_or(""))
}

/// A loopback address or `localhost`, with or without port.
fn is_own(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.chars().all(|c| c.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    name.eq_ignore_ascii_case("localhost")
        || name.to_ascii_lowercase().ends_with(".localhost")
        || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_its_own() {
        for own in
            ["localhost", "LOCALHOST:9900", "esmd.localhost:80", "127.0.0.1:9900", "127.1.2.3", "[::1]:9900", "[::1]"]
        {
            assert!(is_own(own), "{own}");
        }
        for foreign in ["", "example.com", "example.com:9900", "localhost.example.com", "10.0.0.1:9900", "0.0.0.0:9900"]
        {
            assert!(!is_own(foreign), "{foreign}");
        }
    }
}
