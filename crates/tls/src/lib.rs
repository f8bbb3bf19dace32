//! TLS without C: which crypto provider this CPU gets, trust roots, client certificates
