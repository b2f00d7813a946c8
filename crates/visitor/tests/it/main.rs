//! Berth as a client of remote servers that want tokens, against the official conformance suite's servers.

mod conformance;
