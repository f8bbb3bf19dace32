//! What a service says of itself: a few figures out of its `/metrics`, and `/readyz`.

use std::net::SocketAddr;

use crate::http_get::get;

/// The figures that the page and the line a second show.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    /// Records that reached their end: acknowledged, or shown.
    pub(crate) records_out: u64,
    /// Records that could not be decoded or used.
    pub(crate) set_aside: u64,
    /// Records not yet read; none for a service that reads nothing.
    pub(crate) lag: Option<u64>,
    /// Life left of the token that Kafka is shown.
    pub(crate) token_seconds: Option<u64>,
    /// Whether `/readyz` says so.
    pub(crate) ready: bool,
}

/// Asks a service. None when it does not answer.
pub(crate) async fn figures(address: SocketAddr) -> Option<Figures> {
    let (metrics, readiness) = tokio::join!(get(address, "/metrics"), get(address, "/readyz"));
    let (200, text) = metrics? else { return None };
    Some(Figures { ready: readiness.is_some_and(|(status, _)| status == 200), ..read(&text) })
}

fn read(text: &str) -> Figures {
    let mut figures = Figures::default();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some((series, value)) = line.rsplit_once(' ') else { continue };
        let Ok(value) = value.parse::<f64>() else { continue };
        // Saturates, which is what a figure for people should do.
        let value = value as u64;
        let name = series.split('{').next().unwrap_or(series);
        match name {
            "records_out_total" => figures.records_out = value,
            "records_set_aside_total" => figures.set_aside = value,
            "consumer_lag" => figures.lag = Some(figures.lag.unwrap_or(0) + value),
            "token_seconds" if series.contains("kafka") => figures.token_seconds = Some(value),
            _ => {}
        }
    }
    figures
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_found_in_what_the_services_serve() {
        let metrics = service_kit::Metrics::new();
        metrics.records_out(5);
        metrics.set_aside();
        metrics.lag("t", 0, 3);
        metrics.lag("t", 1, 4);
        metrics.watch_token("kafka", || Some(std::time::SystemTime::now() + std::time::Duration::from_secs(61)));
        let figures = read(&metrics.encode());
        assert_eq!(
            figures,
            Figures { records_out: 5, set_aside: 1, lag: Some(7), token_seconds: Some(60), ready: false }
        );
        assert_eq!(read(&service_kit::Metrics::new().encode()).lag, None);
    }
}
