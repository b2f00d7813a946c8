//! A hostile server.
