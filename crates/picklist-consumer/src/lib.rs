//! Shows pick lists as picking instructions on a store device
