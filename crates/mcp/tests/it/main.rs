//! What must hold of any bytes that come in, and that no byte changes on the way which does not have to: generated
//! messages, the official schemas, and the corpora that the fuzz targets begin with.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test's helpers fail as its assertions do")]

mod corpora;
mod fidelity;
mod framing;
mod generate;
mod invariants;
mod schemas;
