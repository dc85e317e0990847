//! `esmd run`: checks what would fail later, starts everything, waits for a signal, and drains in order
//! (`docs/architecture.md` 10).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use jiff::Timestamp;
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

use crate::access::Access;
use crate::access::secrets::{SecretFollowers, Secrets};
use crate::api::{self, Vitals};
use crate::aws::{Aws, Service};
use crate::clock::Clock;
use crate::config::environment::Environment;
use crate::config::settings::Settings;
use crate::config::{Config, LoadedFile};
use crate::connect::AwsConnector;
use crate::control::file_watch::watch_file;
use crate::control::{Control, Controller, Surroundings};
use crate::engine::{Board, CutOff, Desired, Engine, Shared};
use crate::followed::{Followed, Follower};
use crate::listener::{self, tls};
use crate::store::StateStore;
use crate::store::embedded::EmbeddedStore;
use crate::store::observed::ObservedStore;
use crate::telemetry;

/// Runs the mappings until a signal, then drains. An error is one that stopped the start, or a drain that did not end
/// in time.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let mut signals = StopSignals::listen()?;
    let hangups = listen(SignalKind::hangup())?;
    telemetry::install_logs(config.settings.log_format, config.settings.log_level);
    let drain_timeout = config.settings.drain_timeout;
    let started = tokio::select! {
        started = start(config) => started?,
        signal = signals.next() => bail!("{signal} during the start"),
    };
    let Started { engine, desired, control, shutdown, mut services } = started;
    services.spawn(reload_at(hangups, control));
    let engine = engine.run(desired, shutdown.clone(), drain_timeout);
    let result = until_signalled(engine, &mut signals, &shutdown).await;
    services.shutdown().await;
    result
}

/// A daemon that is ready to run.
struct Started {
    engine: Engine,
    desired: watch::Receiver<Desired>,
    control: Control,
    shutdown: CancellationToken,
    services: JoinSet<()>,
}

/// Does everything that can fail.
async fn start(config: Config) -> anyhow::Result<Started> {
    let Config { settings, file } = config;
    let guard = Guard::open(&settings)?;
    let aws = Aws::load().await?;
    for listener in [Some(settings.listen), settings.metrics_listen].into_iter().flatten() {
        refuse_own_listener(aws.endpoint(Service::Lambda), listener)?;
    }
    let environment = environment(&aws);
    let watched = file.as_ref().map(|file| (file.path.clone(), file.text.clone()));
    // It was judged without what a profile says, such as the region; now that is known.
    let judge = |file: LoadedFile| LoadedFile::judge(&file.path, file.text, &environment, Timestamp::now());
    let file = file.map(judge).transpose()?;
    let store = ObservedStore::new(Arc::new(EmbeddedStore::open(&settings.state_directory)?));
    let shutdown = CancellationToken::new();
    let region = aws.region().to_owned();
    let connector = connector(&settings, aws);
    let shared = shared(&settings, Arc::clone(&connector), store.clone());
    let (metrics, board) = (telemetry::install_metrics(), shared.board.clone());
    let vitals = Vitals { metrics, store, board, shutdown: shutdown.clone() };
    let (controller, control) = Controller::open(controlled(&shared, connector, environment), file).await?;
    let desired = controller.desired();
    let mut services = serve(&settings, guard, &vitals, &control, &region).await?;
    info!(
        version = env!("CARGO_PKG_VERSION"),
        listen = %settings.listen,
        state = %settings.state_directory.display(),
        mappings = control.list().len(),
        "esmd runs"
    );
    services.spawn(keep_metrics(vitals, desired.clone(), control.clone()));
    if let Some((path, text)) = watched {
        services.spawn(watch_file(path, text, control.clone()));
    }
    services.spawn(controller.run(shutdown.clone()));
    Ok(Started { engine: Engine::new(shared), desired, control, shutdown, services })
}

/// Waits for the engine, which ends after the first signal. A second one leaves at once.
async fn until_signalled(
    engine: impl Future<Output = Result<(), CutOff>>,
    signals: &mut StopSignals,
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

fn connector(settings: &Settings, aws: Aws) -> Arc<AwsConnector> {
    Arc::new(AwsConnector {
        aws,
        clock: Clock::system(),
        // A drain awaits the running receives.
        queue_wait_time: settings.queue_wait_time.min(settings.drain_timeout / 2),
        shard_poll_interval: settings.shard_poll_interval,
    })
}

fn shared(settings: &Settings, connector: Arc<AwsConnector>, store: ObservedStore) -> Shared {
    Shared {
        clock: connector.clock.clone(),
        connector,
        store: Arc::new(store) as Arc<dyn StateStore>,
        worker: format!("pid-{}", std::process::id()),
        shard_refresh: settings.shard_refresh_interval,
        seed: Uuid::new_v4().as_u64_pair().0,
        board: Board::default(),
    }
}

fn controlled(shared: &Shared, premises: Arc<AwsConnector>, environment: Environment) -> Surroundings {
    Surroundings {
        store: Arc::clone(&shared.store),
        clock: shared.clock.clone(),
        board: shared.board.clone(),
        environment,
        premises,
        new_uuid: Box::new(Uuid::new_v4),
    }
}

/// What AWS's own configuration says, profiles included.
fn environment(aws: &Aws) -> Environment {
    let has_endpoint = |service| aws.endpoint(service).is_some();
    Environment {
        region: Some(aws.region().to_owned()),
        sqs_endpoint: has_endpoint(Service::Sqs),
        kinesis_endpoint: has_endpoint(Service::Kinesis),
        dynamodb_streams_endpoint: has_endpoint(Service::DynamodbStreams),
        state_directory: None,
    }
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

/// What stands between the listener and its callers.
struct Guard {
    secrets: Option<(Secrets, SecretFollowers)>,
    tls: Option<(Followed<ServerConfig>, Follower<ServerConfig>)>,
}

impl Guard {
    /// Off loopback there must be secrets.
    fn open(settings: &Settings) -> anyhow::Result<Self> {
        let listen = settings.listen;
        let secrets = Secrets::load(|name| std::env::var(name).ok(), &settings.secret_files)?;
        if secrets.is_none() && !listen.ip().is_loopback() {
            bail!(
                "{listen} can be reached from other machines, so callers must show who they are: give access keys with \
                 --access-keys-file (or one in ESMD_ACCESS_KEY_ID and ESMD_SECRET_ACCESS_KEY), or tokens for /esmd/v1 \
                 with --tokens-file (or ESMD_TOKEN); or choose a loopback address for --listen, such as 127.0.0.1:9900"
            );
        }
        let tls = settings.tls.clone().map(|(certificate, key)| tls::open(certificate, key)).transpose()?;
        let has_tokens = secrets.as_ref().is_some_and(|(secrets, _)| secrets.has_tokens());
        if has_tokens && tls.is_none() && !listen.ip().is_loopback() {
            warn!(%listen, "tokens come over plain HTTP: set --tls-certificate and --tls-key, or put TLS in front");
        }
        Ok(Self { secrets, tls })
    }
}

/// Binds the listeners and serves them.
async fn serve(
    settings: &Settings,
    guard: Guard,
    vitals: &Vitals,
    control: &Control,
    region: &str,
) -> anyhow::Result<JoinSet<()>> {
    let mut services = JoinSet::new();
    let Guard { secrets, tls } = guard;
    let access = secrets.map(|(secrets, followers)| {
        followers.access_keys.map(|follower| services.spawn(follower.run()));
        followers.tokens.map(|follower| services.spawn(follower.run()));
        Access { secrets, region: region.to_owned(), clock: Clock::system() }
    });
    let tls = tls.map(|(tls, follower)| {
        services.spawn(follower.run());
        tls
    });
    let router = api::router(vitals.clone(), control, region, access);
    let listener = bind("--listen", settings.listen).await?;
    services.spawn(async { match listener::serve(listener, tls, router).await {} });
    if let Some(address) = settings.metrics_listen {
        let (listener, router) = (bind("--metrics-listen", address).await?, api::vitals_router(vitals.clone()));
        services.spawn(async { match listener::serve(listener, None, router).await {} });
    }
    Ok(services)
}

async fn bind(flag: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).await;
    listener.with_context(|| format!("cannot listen on {address}: choose another with {flag}"))
}

/// Keeps histograms small, and the gauges that nobody else reports on the page.
async fn keep_metrics(vitals: Vitals, desired: watch::Receiver<Desired>, control: Control) {
    loop {
        telemetry::build_info();
        desired.borrow().iter().for_each(|(uuid, mapping)| {
            telemetry::describe_mapping(*uuid, mapping);
            telemetry::stalled(*uuid, !vitals.board.stalled_shards(*uuid).is_empty());
            telemetry::held_back(*uuid, vitals.board.count_held_back(*uuid));
        });
        telemetry::store_available(vitals.store.is_available());
        if let Some(succeeded) = control.last_reload_succeeded() {
            telemetry::config_last_reload(succeeded);
        }
        vitals.metrics.run_upkeep();
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
}

/// Reads the configuration file again at each hangup, also at one that came during the start.
async fn reload_at(mut hangups: Signal, control: Control) {
    while hangups.recv().await.is_some() {
        control.reload().await;
    }
}

/// The signals that ask the process to stop.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    fn listen() -> anyhow::Result<Self> {
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

fn listen(kind: SignalKind) -> anyhow::Result<Signal> {
    signal(kind).context("cannot listen for signals")
}
