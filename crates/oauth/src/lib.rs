//! OIDC client-credentials tokens: fetched, cached and refreshed in the background
