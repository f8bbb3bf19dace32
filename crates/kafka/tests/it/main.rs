//! What the client does against a whole broker: the sandbox, or any other that `GROCERY_TEST_BOOTSTRAP` names.

mod admin;
mod cluster;
mod consumer;
mod login;
mod producer;
mod target;
mod transactions;
