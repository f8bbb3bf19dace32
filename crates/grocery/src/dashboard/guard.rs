//! Who may talk to the dashboard: pages that it served itself, to browsers that reached it by a name it goes by.
//!
//! It listens on loopback, but every web page in the same browser can send requests there. A page from elsewhere shows
//! itself by `Sec-Fetch-Site` or by `Origin`; one that made its own name point here (DNS rebinding) by `Host`.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// Everything the page needs comes from here, nothing runs inline, nobody may frame it.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Refuses foreign requests, and puts the security headers on every answer.
pub(super) async fn check(State(bound): State<SocketAddr>, request: Request, next: Next) -> Response {
    let mut response = match refusal(request.method(), request.headers(), bound) {
        Some(reason) => (StatusCode::FORBIDDEN, reason).into_response(),
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_SECURITY_POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

fn refusal(method: &Method, headers: &HeaderMap, bound: SocketAddr) -> Option<&'static str> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text("host").unwrap_or_default();
    // Whoever bound it to another address than loopback chose to be reached by other names.
    if bound.ip().is_loopback() && !is_loopback(host) {
        return Some("this page is served to localhost only; --dashboard ADDRESS serves it elsewhere\n");
    }
    if method == Method::GET || method == Method::HEAD {
        return None;
    }
    let foreign_site = text("sec-fetch-site").is_some_and(|site| site != "same-origin");
    let foreign_origin = text("origin").is_some_and(|origin| origin.split_once("://").map(|(_, h)| h) != Some(host));
    (foreign_site || foreign_origin).then_some("only the dashboard's own page may do this\n")
}

fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((v6, _)) => v6,
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: Method, headers: &[(&'static str, &'static str)]) -> bool {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, HeaderValue::from_static(value));
        }
        refusal(&method, &map, "127.0.0.1:8501".parse().unwrap()).is_none()
    }

    #[test]
    fn only_its_own_page_may_change_anything() {
        let host = ("host", "localhost:8501");
        assert!(asked(Method::POST, &[host, ("origin", "http://localhost:8501"), ("sec-fetch-site", "same-origin")]));
        assert!(asked(Method::POST, &[host]), "a command line tool sends neither");
        assert!(!asked(Method::POST, &[host, ("origin", "https://elsewhere.example")]));
        assert!(!asked(Method::POST, &[host, ("origin", "null")]));
        assert!(!asked(Method::POST, &[host, ("sec-fetch-site", "cross-site")]));
        assert!(!asked(Method::POST, &[host, ("origin", "http://localhost:9999")]), "another port is another origin");
    }

    #[test]
    fn a_name_that_was_made_to_point_here_is_refused() {
        assert!(asked(Method::GET, &[("host", "127.0.0.1:8501")]));
        assert!(asked(Method::GET, &[("host", "[::1]:8501")]));
        assert!(!asked(Method::GET, &[("host", "rebound.example:8501")]));
        assert!(!asked(Method::GET, &[]));
    }
}
