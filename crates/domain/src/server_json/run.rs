//! The ways in which a server.json's server can be run, and the one that Berth takes.

use serde_json::Value;

use super::inputs::Inputs;
use super::{arguments, list, shown, text};
use crate::catalog::{Input, InputTarget, Template, Transport};
use crate::image::parts;
use crate::package::{Package, PackageError};
use crate::spec::Launch;

/// How a server is run, or why it cannot be.
#[derive(Debug, Default)]
pub(super) struct Run {
    pub(super) package: Option<Package>,
    pub(super) launch: Launch,
    pub(super) inputs: Vec<Input>,
    pub(super) templates: Vec<Template>,
    pub(super) unavailable: Option<String>,
    pub(super) also: Vec<Package>,
}

/// The best way: a package before an image, an image before a server that runs elsewhere, each in the order of the document.
pub(super) fn of(server: &Value, is_old: bool) -> Run {
    let packages = list(server, &["packages"]).map(|package| of_package(package, is_old));
    let mut runs: Vec<Run> = packages.chain(list(server, &["remotes"]).map(of_remote)).collect();
    let rank = |run: &Run| match (&run.unavailable, &run.package) {
        (Some(_), _) | (None, None) => 9,
        (None, Some(Package::Remote { .. })) => 3,
        (None, Some(Package::Oci { .. })) => 2,
        (None, Some(_)) => u8::from(!run.launch.transport.is_stdio()),
    };
    runs.sort_by_key(rank);
    let mut runs = runs.into_iter();
    let Some(mut best) = runs.next() else {
        return Run {
            unavailable: Some("it names neither a package nor an address".to_owned()),
            ..Run::default()
        };
    };
    best.also = runs.filter(|run| run.unavailable.is_none()).filter_map(|run| run.package).collect();
    best
}

fn refused(package: Option<Package>, why: impl Into<String>) -> Run {
    Run { package, unavailable: Some(why.into()), ..Run::default() }
}

fn of_package(value: &Value, is_old: bool) -> Run {
    let package = match package(value) {
        Ok(package) => package,
        Err(why) => return refused(None, why),
    };
    match launched(value, &package, is_old) {
        Ok((launch, inputs)) => Run {
            package: Some(package),
            launch,
            inputs: inputs.asked,
            templates: inputs.templates,
            ..Run::default()
        },
        Err(why) => refused(Some(package), why),
    }
}

/// What is installed.
fn package(value: &Value) -> Result<Package, String> {
    let registry = text(value, &["registryType", "registry_type", "registry_name"])
        .unwrap_or_default()
        .to_ascii_lowercase();
    let identifier = text(value, &["identifier", "name"]).unwrap_or_default();
    let version = text(value, &["version"]).filter(|version| version != "latest");
    let base = text(value, &["registryBaseUrl", "registry_base_url"]);
    match registry.as_str() {
        "npm" => {
            base_is(base.as_deref(), &["registry.npmjs.org", "registry.npmjs.com", "www.npmjs.com"])?;
            exact(&format!("npm:{identifier}"), version.as_deref())
        }
        "pypi" => {
            base_is(base.as_deref(), &["pypi.org", "pypi.python.org", "files.pythonhosted.org"])?;
            exact(&format!("pypi:{identifier}"), version.as_deref())
        }
        "oci" | "docker" => image(&identifier, version.as_deref(), base.as_deref()),
        "mcpb" | "dxt" => Err("it is an MCPB bundle, which Berth does not deploy yet".to_owned()),
        "nuget" => Err("it is a .NET package, which Berth does not deploy yet".to_owned()),
        "" | "unknown" => Err("nothing says in which registry its package is".to_owned()),
        other => {
            Err(format!("its package is in the registry `{}`, which Berth does not know", shown(other, 40)))
        }
    }
}

fn exact(text: &str, version: Option<&str>) -> Result<Package, String> {
    let package: Package = text.parse().map_err(|error: PackageError| error.to_string())?;
    match version {
        Some(version) => package.with_version(version).map_err(|error| error.to_string()),
        None => Ok(package),
    }
}

/// Packages come from the registry of their kind and from nowhere else.
fn base_is(base: Option<&str>, known: &[&str]) -> Result<(), String> {
    let Some(base) = base else { return Ok(()) };
    let host = host(base).unwrap_or_default();
    if known.contains(&host) {
        return Ok(());
    }
    Err(format!(
        "its package is in the registry at `{}`, and Berth installs from the public ones",
        shown(host, 100)
    ))
}

/// An image: with its tag inside (2025-12-11), or in parts.
fn image(identifier: &str, version: Option<&str>, base: Option<&str>) -> Result<Package, String> {
    let named = identifier
        .split_once('/')
        .is_some_and(|(first, _)| first.contains(['.', ':']) || first == "localhost");
    let registry = base
        .and_then(host)
        .filter(|host| !named && !matches!(*host, "docker.io" | "index.docker.io" | "hub.docker.com"));
    let text = registry.map_or_else(|| identifier.to_owned(), |registry| format!("{registry}/{identifier}"));
    let own = parts(&text);
    exact(&format!("oci:{text}"), version.filter(|_| own.tag.is_none() && own.digest.is_none()))
}

fn launched(value: &Value, package: &Package, is_old: bool) -> Result<(Launch, Inputs), String> {
    let (mut launch, mut inputs) = (Launch::default(), Inputs::default());
    if is_old
        && matches!(package, Package::Oci { .. })
        && list(value, &["package_arguments"]).next().is_some()
    {
        return Err("nothing says which of its arguments are its image's own".to_owned());
    }
    arguments::of_runtime(&mut inputs, value)?;
    for variable in list(value, &["environmentVariables", "environment_variables"]) {
        inputs.variable(variable, is_old)?;
    }
    arguments::of_server(&mut inputs, value, is_old, package.name())?;
    let transport = value.get("transport").unwrap_or(&Value::Null);
    launch.transport = match text(transport, &["type"]).as_deref() {
        None | Some("stdio") => Transport::Stdio,
        Some("streamable-http" | "http") => Transport::Http,
        Some("sse") => Transport::Sse,
        Some(other) => {
            return Err(format!("it is reached by `{}`, which is no transport of MCP", shown(other, 40)));
        }
    };
    if !launch.transport.is_stdio() {
        let url = text(transport, &["url"]).unwrap_or_default();
        listens(&mut launch, &mut inputs, package, &url)?;
    }
    launch.args = std::mem::take(&mut inputs.args);
    launch.env = std::mem::take(&mut inputs.env);
    Ok((launch, inputs))
}

/// Where a server that serves HTTP does so: on the port that it is told, or an image's on its own.
fn listens(launch: &mut Launch, inputs: &mut Inputs, package: &Package, url: &str) -> Result<(), String> {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://")).unwrap_or_default();
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let path = format!("/{path}");
    if path != "/" && path.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'#' | b'"' | b'\\' | b'{')) {
        launch.path = Some(path);
    }
    let port = authority.rsplit_once(':').map(|(_, port)| port);
    match (port, package) {
        (Some(port), _) if inputs.take_port(port) => Ok(()),
        (Some(port), Package::Oci { .. }) if port.parse::<u16>().is_ok_and(|port| port != 0) => {
            launch.port = port.parse().ok();
            Ok(())
        }
        (Some(port), _) => Err(format!(
            "it serves on the port {} whatever it is told, and several of it could not run on one host",
            shown(port, 20)
        )),
        (None, _) => Err("nothing says on which port it serves".to_owned()),
    }
}

fn of_remote(value: &Value) -> Run {
    let url = text(value, &["url"]).unwrap_or_default();
    let transport = match text(value, &["type", "transport_type"]).as_deref() {
        Some("streamable-http" | "http") => Transport::Http,
        Some("sse") => Transport::Sse,
        _ => return refused(None, "nothing says how its address is reached"),
    };
    let Ok(package) = url.parse::<Package>() else {
        return refused(None, format!("`{}` is no address of a server", shown(&url, 100)));
    };
    if host(&url).is_some_and(is_own_machine) {
        return refused(None, "its address is on the machine of whoever runs it");
    }
    if !url.starts_with("https://") {
        return refused(Some(package), "its address has no TLS");
    }
    let mut inputs = Inputs::default();
    inputs.address(&url, value);
    let has_address = inputs.templates.iter().any(|template| template.target == InputTarget::Address);
    if url.contains('{') && !has_address {
        return refused(None, format!("`{}` is no address of a server", shown(&url, 100)));
    }
    for header in list(value, &["headers"]) {
        if let Err(why) = inputs.header(header) {
            return refused(Some(package), why);
        }
    }
    Run {
        package: Some(package),
        launch: Launch { transport, ..Launch::default() },
        inputs: inputs.asked,
        templates: inputs.templates,
        ..Run::default()
    }
}

/// The host of an address, without its port.
fn host(url: &str) -> Option<&str> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    match host.strip_prefix('[') {
        Some(inside) => inside.split(']').next(),
        None => host.split(':').next(),
    }
}

fn is_own_machine(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    matches!(host.as_str(), "localhost" | "0.0.0.0" | "::1" | "::")
        || host.starts_with("127.")
        || host.ends_with(".localhost")
}
