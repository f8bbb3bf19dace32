//! `/healthz`, `/readyz` and `/metrics` on one port.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::error::ServiceError;
use crate::metrics::Metrics;
use crate::readiness::Readiness;

/// The media type of OpenMetrics text.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone)]
struct Shown {
    metrics: Metrics,
    readiness: Readiness,
}

/// Serves until `shutdown`; returns the address it listens on, which matters when port 0 was asked for.
pub(crate) async fn serve(
    address: SocketAddr,
    metrics: Metrics,
    readiness: Readiness,
    shutdown: CancellationToken,
) -> Result<SocketAddr, ServiceError> {
    let listener = TcpListener::bind(address).await.map_err(|error| {
        ServiceError::Usage(format!(
            "cannot listen on {address} for health and metrics: {error}; change it by --http or GROCERY_HTTP"
        ))
    })?;
    let bound = listener.local_addr().map_err(|error| ServiceError::Internal(format!("no local address: {error}")))?;
    let app = router(metrics, readiness);
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, app).with_graceful_shutdown(shutdown.cancelled_owned()).await {
            tracing::warn!(%error, "health and metrics are no longer served");
        }
    });
    Ok(bound)
}

fn router(metrics: Metrics, readiness: Readiness) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(scrape))
        .with_state(Shown { metrics, readiness })
}

async fn ready(State(shown): State<Shown>) -> impl IntoResponse {
    if shown.readiness.is_ready() {
        (StatusCode::OK, "ready\n".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, format!("waiting for: {}\n", shown.readiness.missing().join(", ")))
    }
}

async fn scrape(State(shown): State<Shown>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, OPEN_METRICS)], shown.metrics.encode())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn get(address: SocketAddr, path: &str) -> String {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        stream
            .write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes())
            .await
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn ready_only_once_every_condition_is_met() {
        let readiness = Readiness::default();
        let group = readiness.condition("consumer group");
        let shutdown = CancellationToken::new();
        let address = serve("127.0.0.1:0".parse().unwrap(), Metrics::new(), readiness, shutdown.clone()).await.unwrap();
        assert!(get(address, "/healthz").await.starts_with("HTTP/1.1 200"));
        let waiting = get(address, "/readyz").await;
        assert!(waiting.starts_with("HTTP/1.1 503") && waiting.contains("consumer group"), "{waiting}");
        group.met();
        assert!(get(address, "/readyz").await.starts_with("HTTP/1.1 200"));
        assert!(get(address, "/metrics").await.ends_with("# EOF\n"));
        shutdown.cancel();
    }

    #[tokio::test]
    async fn a_busy_port_names_the_flag() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = taken.local_addr().unwrap();
        let refused = serve(address, Metrics::new(), Readiness::default(), CancellationToken::new()).await.unwrap_err();
        assert!(refused.to_string().contains("--http"), "{refused}");
    }
}
