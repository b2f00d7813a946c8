//! The committed description is the generated one.

#[test]
fn openapi_is_committed() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../openapi/dtma.json");
    let mut generated = dtma::openapi().to_pretty_json().unwrap();
    generated.push('\n');
    if std::env::var_os("BERTH_WRITE_OPENAPI").is_some() {
        std::fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/../../openapi")).unwrap();
        std::fs::write(path, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(committed == generated, "openapi/dtma.json is not what the code says: run `cargo xtask openapi`");
}
