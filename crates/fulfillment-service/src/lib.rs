//! Turns each order into one pick list
