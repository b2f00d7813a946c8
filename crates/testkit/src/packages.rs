//! Where this machine's npm and pip get their packages: tests that need the addresses ask for them, and know none.

use std::process::Command;

/// Prints the index that pip knows, and where a file of it is.
const PYPI: &str = "
import re, urllib.request
from pip._internal.models.index import PyPI
page = urllib.request.urlopen(PyPI.simple_url + '/six/').read().decode()
print(PyPI.simple_url, re.search(r'href=\"(https?://[^/]+)', page)[1])
";

/// The registry of npm.
///
/// # Panics
/// When there is no npm.
pub fn npm() -> String {
    said("npm", &["config", "get", "registry"]).trim_end_matches('/').to_owned()
}

/// The index of PyPI, and where its files are.
///
/// # Panics
/// When there is no pip, or the index cannot be reached.
pub fn pypi() -> (String, String) {
    let said = said("/usr/bin/python3", &["-c", PYPI]);
    let (index, files) = said.split_once(' ').expect("two addresses");
    (index.to_owned(), files.to_owned())
}

/// The host of an address.
///
/// # Panics
/// When there is none.
pub fn host(url: &str) -> &str {
    url.split("://").nth(1).and_then(|rest| rest.split('/').next()).expect("a host")
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap_or_else(|e| panic!("{program}: {e}"));
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
