//! What every service shares: configuration, logs, metrics, health, readiness, shutdown, exit codes
