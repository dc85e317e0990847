//! What esmd serves over HTTP: Lambda's routes for mappings and their tags, the same under `/esmd/v1` with what AWS does
//! not have, and health and metrics. Judges requests and words answers; what becomes of a mapping is for `control` to
//! decide, and who may call for `access`.

mod body;
mod browser;
mod error;
mod filters;
mod gate;
mod mappings;
mod tags;
mod vitals;

use axum::Router;
use axum::http::{HeaderName, HeaderValue, Method, Uri};
use axum::middleware::{from_fn, from_fn_with_state, map_response};
use axum::response::Response;
use axum::routing::get;

use uuid::Uuid;

pub use vitals::{Vitals, vitals_router};

use crate::access::Access;
use crate::control::Control;
use error::ApiError;
use mappings::{Dialect, Mappings};

/// Everything that the listener serves. `region` is the configured one, which completes ARNs. With `access` all but
/// health is for callers who show who they are; without it the listener must be on loopback.
pub fn router(vitals: Vitals, control: &Control, region: &str, access: Option<Access>) -> Router {
    let mappings = |dialect| Mappings { control: control.clone(), region: region.to_owned(), dialect };
    let control_routes = Router::new()
        .merge(mappings::router("/2015-03-31/event-source-mappings", mappings(Dialect::Lambda)))
        .merge(mappings::router("/esmd/v1/mappings", mappings(Dialect::Esmd)))
        .merge(tags::router("/2017-03-31/tags", mappings(Dialect::Lambda)))
        .merge(filters::router())
        .layer(from_fn(body::read_first));
    let rest = vitals::metrics_router(vitals.clone()).route("/version", get(version)).fallback(not_served);
    let guarded = match access {
        Some(access) => {
            let all = rest.merge(control_routes).method_not_allowed_fallback(not_served);
            all.layer(from_fn_with_state(access, gate::admit)) // last, so that it stands before all of it
        }
        // A page in a browser needs no secret then.
        None => rest.merge(control_routes.layer(from_fn(browser::refuse))).method_not_allowed_fallback(not_served),
    };
    let health = vitals::health_router(vitals).method_not_allowed_fallback(not_served);
    health.merge(guarded).layer(map_response(name_request))
}

/// What a user quotes when something went wrong, as every answer of AWS has it.
async fn name_request(mut response: Response) -> Response {
    let id = HeaderValue::try_from(Uuid::new_v4().to_string()).expect("a UUID is printable");
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

async fn not_served(method: Method, uri: Uri) -> ApiError {
    let path = uri.path();
    if is_lambda(path) {
        return ApiError::not_implemented(format!(
            "esmd does not serve {method} {path}. Of Lambda's API it serves CreateEventSourceMapping, \
             GetEventSourceMapping, ListEventSourceMappings, UpdateEventSourceMapping, DeleteEventSourceMapping, \
             TagResource, UntagResource and ListTags; for the rest set the endpoint of a server that runs functions."
        ));
    }
    ApiError::not_found(format!(
        "esmd does not serve {method} {path}. It serves /2015-03-31/event-source-mappings, /esmd/v1/mappings, \
         /esmd/v1/filters/test, /2017-03-31/tags, /healthz, /readyz, /metrics and /version."
    ))
}

/// Lambda has many routes, all of which begin with the date of their version.
fn is_lambda(path: &str) -> bool {
    let version = path.split('/').nth(1).unwrap_or_default();
    version.len() == 10 && version.chars().all(|c| c.is_ascii_digit() || c == '-')
}

async fn version() -> String {
    format!("esmd {}\n", env!("CARGO_PKG_VERSION"))
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
