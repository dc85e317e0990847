//! `esmd run`: checks what would fail later, starts everything, waits for a signal, and drains in order
//! (`docs/architecture.md` 10).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use axum::Router;
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};
use uuid::Uuid;

use crate::api::{self, Vitals};
use crate::aws::{Aws, Service};
use crate::clock::Clock;
use crate::config::Config;
use crate::config::settings::Settings;
use crate::connect::AwsConnector;
use crate::engine::declare::declare;
use crate::engine::{Board, CutOff, Desired, Engine, Shared};
use crate::mapping::EventSourceMapping;
use crate::mapping::document::MappingDocument;
use crate::mapping::validate::Scope;
use crate::store::StateStore;
use crate::store::embedded::EmbeddedStore;
use crate::store::observed::ObservedStore;
use crate::telemetry;

/// Runs the mappings until a signal, then drains. An error is one that stopped the start, or a drain that did not end
/// in time.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let mut signals = Signals::listen()?;
    telemetry::install_logs(config.settings.log_format, config.settings.log_level);
    let drain_timeout = config.settings.drain_timeout;
    let started = tokio::select! {
        started = start(config) => started?,
        signal = signals.next() => bail!("{signal} during the start"),
    };
    let Started { engine, desired, shutdown, mut services } = started;
    let engine = engine.run(desired.subscribe(), shutdown.clone(), drain_timeout);
    let result = until_signalled(engine, &mut signals, &shutdown).await;
    services.shutdown().await;
    result
}

/// A daemon that is ready to run.
struct Started {
    engine: Engine,
    desired: watch::Sender<Desired>,
    shutdown: CancellationToken,
    services: JoinSet<()>,
}

/// Does everything that can fail.
async fn start(config: Config) -> anyhow::Result<Started> {
    let Config { settings, mappings } = config;
    let aws = Aws::load().await?;
    for listener in [Some(settings.listen), settings.metrics_listen].into_iter().flatten() {
        refuse_own_listener(aws.endpoint(Service::Lambda), listener)?;
    }
    let documents = mappings.into_iter().map(|mapping| (mapping.line, mapping.document));
    let declared = documents.map(|(line, document)| validate(line, document, &aws)).collect::<Result<Vec<_>, _>>()?;
    let store = ObservedStore::new(Arc::new(EmbeddedStore::open(&settings.state_directory)?));
    let shutdown = CancellationToken::new();
    let vitals = Vitals { metrics: telemetry::install_metrics(), store: store.clone(), shutdown: shutdown.clone() };
    let desired = declare(&store, declared, aws.region()).await?;
    let mut services = serve(&settings, &vitals).await?;
    info!(
        version = env!("CARGO_PKG_VERSION"),
        listen = %settings.listen,
        state = %settings.state_directory.display(),
        mappings = desired.len(),
        "esmd runs"
    );
    let (desired, watched) = watch::channel(desired);
    services.spawn(keep_metrics(vitals, watched));
    let engine = Engine::new(shared(&settings, aws, store));
    Ok(Started { engine, desired, shutdown, services })
}

/// Waits for the engine, which ends after the first signal. A second one leaves at once.
async fn until_signalled(
    engine: impl Future<Output = Result<(), CutOff>>,
    signals: &mut Signals,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    tokio::pin!(engine);
    loop {
        tokio::select! {
            result = &mut engine => {
                result?;
                info!("drained");
                return Ok(());
            }
            signal = signals.next() => {
                if shutdown.is_cancelled() {
                    bail!("{signal}, the second signal: left without draining");
                }
                info!(signal, "draining; a second signal leaves at once");
                shutdown.cancel();
            }
        }
    }
}

fn shared(settings: &Settings, aws: Aws, store: ObservedStore) -> Shared {
    let clock = Clock::system();
    Shared {
        connector: Arc::new(AwsConnector {
            aws,
            clock: clock.clone(),
            // A drain awaits the running receives.
            queue_wait_time: settings.queue_wait_time.min(settings.drain_timeout / 2),
            shard_poll_interval: settings.shard_poll_interval,
        }),
        clock,
        store: Arc::new(store) as Arc<dyn StateStore>,
        worker: format!("pid-{}", std::process::id()),
        shard_refresh: settings.shard_refresh_interval,
        seed: Uuid::new_v4().as_u64_pair().0,
        board: Board::default(),
    }
}

/// The file was judged without knowing the region of a profile; now it is known.
fn validate(
    line: usize,
    document: MappingDocument,
    aws: &Aws,
) -> anyhow::Result<(MappingDocument, EventSourceMapping)> {
    let service = document.event_source_arn.as_deref().and_then(|arn| arn.split(':').nth(2));
    let service = match service {
        Some("kinesis") => Service::Kinesis,
        Some("dynamodb") => Service::DynamodbStreams,
        _ => Service::Sqs,
    };
    let scope = Scope {
        region: Some(aws.region().to_owned()),
        custom_endpoint: aws.endpoint(service).is_some(),
        now: Timestamp::now(),
    };
    let mapping = EventSourceMapping::from_document(&document, &scope)
        .with_context(|| format!("mapping on line {line} of the configuration file"))?;
    Ok((document, mapping))
}

/// esmd's own listener runs no functions: invoking it would fail in a confusing way.
fn refuse_own_listener(lambda_endpoint: Option<&str>, listen: SocketAddr) -> anyhow::Result<()> {
    let Some(endpoint) = lambda_endpoint else { return Ok(()) };
    let authority = endpoint.split("://").nth(1).unwrap_or(endpoint).split('/').next().unwrap_or_default();
    let is_own = match authority.parse::<SocketAddr>() {
        Ok(address) => {
            address.port() == listen.port()
                && (address.ip() == listen.ip() || (listen.ip().is_unspecified() && address.ip().is_loopback()))
        }
        Err(_) => authority == format!("localhost:{}", listen.port()),
    };
    if is_own {
        bail!(
            "the Lambda endpoint {endpoint} is esmd's own listener: set AWS_ENDPOINT_URL_LAMBDA to a server that runs \
             functions, or choose another --listen"
        );
    }
    Ok(())
}

/// Binds the listeners and serves them.
async fn serve(settings: &Settings, vitals: &Vitals) -> anyhow::Result<JoinSet<()>> {
    let mut services = JoinSet::new();
    services.spawn(answer(bind("--listen", settings.listen).await?, api::router(vitals.clone())));
    if let Some(address) = settings.metrics_listen {
        services.spawn(answer(bind("--metrics-listen", address).await?, api::vitals_router(vitals.clone())));
    }
    Ok(services)
}

async fn bind(flag: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).await;
    listener.with_context(|| format!("cannot listen on {address}: choose another with {flag}"))
}

async fn answer(listener: TcpListener, router: Router) {
    if let Err(failed) = axum::serve(listener, router).await {
        error!(error = %failed, "HTTP listener failed");
    }
}

/// Keeps histograms small, and the gauges that nobody else reports on the page.
async fn keep_metrics(vitals: Vitals, desired: watch::Receiver<Desired>) {
    loop {
        telemetry::build_info();
        desired.borrow().iter().for_each(|(uuid, mapping)| telemetry::describe_mapping(*uuid, mapping));
        telemetry::store_available(vitals.store.is_available());
        vitals.metrics.run_upkeep();
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
