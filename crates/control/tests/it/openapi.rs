//! The committed description is what the code says, so that every change of the API shows in a diff.

#[test]
fn openapi_is_committed() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../openapi/control.json");
    let mut generated = control::openapi().to_pretty_json().unwrap();
    generated.push('\n');
    if std::env::var_os("BERTH_WRITE_OPENAPI").is_some() {
        std::fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/../../openapi")).unwrap();
        std::fs::write(path, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == generated,
        "openapi/control.json is not what the code says: run `cargo xtask openapi`"
    );
}
