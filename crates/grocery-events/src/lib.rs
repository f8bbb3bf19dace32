//! The events of the grocery pipeline and their binding to schemas/*.avsc
