//! The page: status, logs, start and stop of the services, the flow of events, the latest of them.
//!
//! Assets are embedded and nothing is fetched from elsewhere. The page gets one stream of server-sent events and sends
//! three kinds of POST. Who else may is decided in `guard`.

mod events;
mod guard;
pub mod snapshot;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::supervisor::Supervised;
use snapshot::Snapshot;

/// One snapshot for all readers.
pub type SharedSnapshot = Arc<Snapshot>;

/// What the page is served from. Cheap to clone.
#[derive(Clone)]
pub struct Dashboard {
    /// The services it shows and controls.
    pub services: Vec<Supervised>,
    /// The newest snapshot.
    pub snapshots: watch::Receiver<SharedSnapshot>,
    /// Cancelled when the demo is over: streams end then, and so can the server.
    pub ends: CancellationToken,
}

/// Serves the page on `listener` until [`Dashboard::ends`] is cancelled.
///
/// # Errors
/// The listener failed.
pub async fn serve(listener: TcpListener, dashboard: Dashboard) -> std::io::Result<()> {
    let ends = dashboard.ends.clone();
    let bound = listener.local_addr()?;
    axum::serve(listener, router(dashboard, bound)).with_graceful_shutdown(ends.cancelled_owned()).await
}

fn router(dashboard: Dashboard, bound: SocketAddr) -> Router {
    Router::new()
        .route("/", get(|| asset("text/html; charset=utf-8", include_str!("../../assets/index.html"))))
        .route("/style.css", get(|| asset("text/css; charset=utf-8", include_str!("../../assets/style.css"))))
        .route("/app.js", get(|| asset("text/javascript; charset=utf-8", include_str!("../../assets/app.js"))))
        .route("/favicon.svg", get(|| asset("image/svg+xml", include_str!("../../assets/favicon.svg"))))
        .route("/api/events", get(events::stream))
        .route("/api/snapshot", get(newest))
        .route("/api/services/{name}/start", post(start))
        .route("/api/services/{name}/stop", post(stop))
        .route("/api/services/{name}/logs/clear", post(clear))
        .layer(axum::middleware::from_fn_with_state(bound, guard::check))
        .with_state(dashboard)
}

async fn asset(media_type: &'static str, text: &'static str) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, media_type)], text)
}

async fn newest(State(dashboard): State<Dashboard>) -> impl IntoResponse {
    let snapshot = dashboard.snapshots.borrow().clone();
    axum::Json((*snapshot).clone())
}

type Answer = Result<StatusCode, (StatusCode, String)>;

async fn start(State(dashboard): State<Dashboard>, Path(name): Path<String>) -> Answer {
    answer(dashboard.service(&name)?.start().await)
}

async fn stop(State(dashboard): State<Dashboard>, Path(name): Path<String>) -> Answer {
    answer(dashboard.service(&name)?.stop().await)
}

async fn clear(State(dashboard): State<Dashboard>, Path(name): Path<String>) -> Answer {
    dashboard.service(&name)?.logs().clear();
    Ok(StatusCode::NO_CONTENT)
}

fn answer(outcome: Result<(), String>) -> Answer {
    outcome.map(|()| StatusCode::NO_CONTENT).map_err(|reason| (StatusCode::CONFLICT, reason))
}

impl Dashboard {
    fn service(&self, name: &str) -> Result<&Supervised, (StatusCode, String)> {
        let unknown = || (StatusCode::NOT_FOUND, format!("there is no service `{name}`"));
        self.services.iter().find(|service| service.name() == name).ok_or_else(unknown)
    }
}

#[cfg(test)]
mod tests;
