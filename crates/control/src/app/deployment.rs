//! From a [`DeployRequest`] to what an instance will be: every check that needs no database, as one pure function.
//!
//! Both kinds of request end in the same [`Deployment`]: a catalog entry with settings by the names of its inputs, and
//! a bare package with settings that are environment variables.

use std::collections::BTreeMap;

use api::catalog::{CatalogEntry, Standing, Transport};
use api::instances::DeployRequest;
use domain::ids::CatalogEntryId;
use domain::lease::Failover;
use domain::names::{InstanceName, NameError, slug};
use domain::package::{Package, PackageError};
use domain::secret::Secrets;
use domain::shim::Mode;
use domain::spec::{Launch, Limits};
use domain::vault::SecretName;
use store::changes::What;
use store::instances::{Moving, SpecColumn};

use crate::app::Problem;

/// All settings and secrets together, in bytes.
const MAX_SETTINGS: usize = 64 << 10;
/// Arguments and constraints.
const MAX_LIST: usize = 64;
/// Thousandths of a core: more than any host has.
const MAX_CPU_MILLICORES: u64 = 1_000_000;
/// One argument or constraint, in bytes.
const MAX_ARGUMENT: usize = 8 << 10;
/// What will run, all defaults applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Deployment {
    /// The catalog entry that the instance refers to.
    pub(crate) catalog_entry: CatalogEntryId,
    /// The package, pinned when a version is known.
    pub(crate) package: Package,
    /// How it is started.
    pub(crate) launch: Launch,
    /// The environment, secrets not in it.
    pub(crate) env: BTreeMap<String, String>,
    /// The secret part of the environment.
    pub(crate) secrets: Secrets,
    /// Those of its variables whose values are secrets of the account.
    pub(crate) named: BTreeMap<String, SecretName>,
    /// The settings as they were given, to be shown.
    pub(crate) settings: BTreeMap<String, String>,
    /// The names of the secrets as they were given, to be shown.
    pub(crate) secret_names: Vec<String>,
    /// What it may use.
    pub(crate) limits: Limits,
    /// The version of the catalog's entry that it is made from; absent: there is no entry, or it has none.
    pub(crate) listed: Option<String>,
    /// When it is moved away from a host that is not heard.
    pub(crate) failover: Option<Failover>,
    /// The name that was asked for.
    pub(crate) name: Option<InstanceName>,
    /// The name to begin with when none was asked for.
    pub(crate) name_base: InstanceName,
}

impl Deployment {
    /// What the instance is that it makes, the values of its secrets left out.
    pub(crate) fn what(&self, moving: Moving) -> What {
        What {
            catalog_entry: self.catalog_entry,
            spec: SpecColumn {
                package: self.package.clone(),
                launch: self.launch.clone(),
                env: self.env.clone(),
                limits: self.limits.clone(),
                moving,
                candidate_of: None,
            },
            settings: self.settings.clone(),
            secret_names: self.secret_names.clone(),
            named: self.named.clone(),
        }
    }
}

/// Checks a request against the catalog.
///
/// # Errors
/// The first thing that is wrong, with its field and what to do.
pub(crate) fn plan(request: &DeployRequest, catalog: &[CatalogEntry]) -> Result<Deployment, Problem> {
    check_sizes(request)?;
    let name = request.name.as_deref().map(check_name).transpose()?;
    let (entry, mut package) = resolve(request, catalog)?;
    let mut launch = entry.map(|entry| entry.launch.clone()).unwrap_or_default();
    let (env, secrets, mut arguments) = match (entry, &package) {
        (Some(entry), _) => settings::fill_inputs(entry, request)?,
        (None, Package::Remote { .. }) => settings::fill_headers(request)?,
        (None, _) => settings::fill_environment(request)?,
    };
    if let Some(address) = entry.map(|entry| settings::address(entry, request)).transpose()?.flatten() {
        package = address;
    }
    launch.args.append(&mut arguments);
    launch.args.extend(request.args.iter().cloned());
    launch.constraints.extend(request.constraints.iter().cloned());
    fill_launch(&mut launch, request, &package)?;
    container::fill(&mut launch, request, &package)?;
    each_caller::fill(&mut launch, entry, request, &package)?;
    sleep::fill(&mut launch, request, &package)?;
    if matches!(package, Package::File { .. }) && !launch.constraints.is_empty() {
        return Err(Problem::invalid("constraints", "what `file:` names is copied, not installed")
            .hint("leave `constraints` out"));
    }
    check_limits(&request.limits, &package)?;

    Ok(Deployment {
        catalog_entry: entry.map_or(CatalogEntryId::GENERIC_MCP, |entry| entry.id),
        name_base: name_base(entry, &package)?,
        package,
        launch,
        env,
        secrets,
        named: settings::named(entry, request)?,
        settings: request.settings.clone(),
        secret_names: request.secrets.keys().cloned().collect(),
        listed: entry.and_then(|entry| entry.listing.version.clone()),
        limits: request.limits.clone(),
        failover: request.failover,
        name,
    })
}

/// Reads a name; the problem proposes the nearest valid one.
///
/// # Errors
/// A problem of the field `name`.
pub(crate) fn check_name(text: &str) -> Result<InstanceName, Problem> {
    text.parse::<InstanceName>().map_err(|error| {
        let hint = match &error {
            NameError::Empty => "leave `name` out to have one made".to_owned(),
            NameError::TooLong(_) | NameError::Shape { .. } => format!("use `{}`", slug(text)),
        };
        Problem::invalid("name", error).hint(hint)
    })
}

/// The nearest of `words` to `text`, when it is near enough to have been meant.
pub(crate) fn nearest<'a>(text: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let text = text.to_ascii_lowercase();
    words
        .into_iter()
        .map(|word| (strsim::jaro_winkler(&text, &word.to_ascii_lowercase()), word))
        .filter(|(likeness, word)| 0.82 <= *likeness || (3 <= text.len() && word.contains(text.as_str())))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, word)| word)
}

fn check_sizes(request: &DeployRequest) -> Result<(), Problem> {
    let settings: usize = request.settings.iter().map(|(k, v)| k.len() + v.len()).sum();
    let secrets: usize = request.secrets.values.iter().map(|(k, v)| k.len() + v.expose().len()).sum();
    if MAX_SETTINGS < settings + secrets {
        return Err(Problem::invalid("settings", "settings and secrets together have at most 64 KiB")
            .hint("put large data into a file that the server reads"));
    }
    for (field, list) in [("args", &request.args), ("constraints", &request.constraints)] {
        if MAX_LIST < list.len() {
            return Err(Problem::invalid(field, format!("at most {MAX_LIST} are accepted")));
        }
        for (i, text) in list.iter().enumerate() {
            let field = format!("{field}[{i}]");
            if MAX_ARGUMENT < text.len() {
                return Err(Problem::invalid(field, "at most 8 KiB are accepted"));
            }
            if text.contains('\0') {
                return Err(Problem::invalid(field, "a NUL character cannot be passed to a program"));
            }
        }
    }
    if let Some(i) = request.constraints.iter().position(|text| text.trim().is_empty() || text.contains('\n'))
    {
        return Err(Problem::invalid(
            format!("constraints[{i}]"),
            "a constraint is one line such as `mcp<2`",
        ));
    }
    Ok(())
}

fn check_limits(limits: &Limits, package: &Package) -> Result<(), Problem> {
    // The shim in a container is some of them.
    let fewest = if matches!(package, Package::Oci { .. }) { 8 } else { 1 };
    for (field, value, least) in [
        ("limits.memory_mib", limits.memory_mib, 16),
        ("limits.cpu_millicores", limits.cpu_millicores, 10),
        ("limits.processes", limits.processes, fewest),
        ("limits.open_files", limits.open_files, 16),
        ("limits.startup_seconds", limits.startup_seconds, 1),
    ] {
        if value.is_some_and(|value| value < least) {
            return Err(Problem::invalid(field, format!("at least {least} are needed")));
        }
    }
    if limits.cpu_millicores.is_some_and(|millicores| MAX_CPU_MILLICORES < millicores) {
        return Err(Problem::invalid(
            "limits.cpu_millicores",
            format!("at most {MAX_CPU_MILLICORES} are accepted, thousandths of a core"),
        ));
    }
    if limits.startup_seconds.is_some_and(|seconds| 3600 < seconds) {
        return Err(Problem::invalid("limits.startup_seconds", "at most 3600 seconds are accepted"));
    }
    Ok(())
}

fn resolve<'a>(
    request: &DeployRequest,
    catalog: &'a [CatalogEntry],
) -> Result<(Option<&'a CatalogEntry>, Package), Problem> {
    let server = request.server.trim();
    let by_name = catalog.iter().find(|entry| entry.name == server);
    let (entry, package) = if let Some(entry) = by_name {
        (Some(entry), deployable(entry)?.clone())
    } else {
        let package = server.parse::<Package>().map_err(|error| unknown_server(server, &error, catalog))?;
        if let Package::Builtin { name } = &package {
            let entry =
                catalog.iter().find(|entry| entry.package.as_ref() == Some(&package)).ok_or_else(|| {
                    Problem::invalid("server", format!("there is no built-in server `{name}`"))
                        .hint("use `welcome`")
                })?;
            (Some(entry), package)
        } else {
            (None, package)
        }
    };
    let Some(version) = request.version.as_deref() else { return Ok((entry, package)) };
    // Which version of it was looked for where the catalog is.
    if entry.is_some_and(|entry| entry.listing.version.as_deref() == Some(version)) {
        return Ok((entry, package));
    }
    if let Package::File { .. } | Package::Remote { .. } = package {
        return Err(Problem::invalid("version", PackageError::NoVersions).hint("leave `version` out"));
    }
    if let Package::Builtin { .. } = package {
        return Err(Problem::invalid("version", "a built-in server has the version of Berth")
            .hint("leave `version` out"));
    }
    // A catalog entry's own version gives way; two versions that were both asked for must agree.
    if entry.is_none() && package.contradicts(version) {
        return Err(Problem::invalid("version", format!("`{package}` names another version already"))
            .hint("give the version once"));
    }
    let package = package.with_version(version).map_err(|error| Problem::invalid("version", error))?;
    Ok((entry, package))
}

/// What an entry installs, of one that can be deployed.
fn deployable(entry: &CatalogEntry) -> Result<&Package, Problem> {
    if entry.listing.status == Standing::Deleted {
        let why =
            entry.listing.status_message.as_deref().unwrap_or("its publisher or its registry took it back");
        return Err(Problem::invalid("server", format!("`{}` was withdrawn: {why}", entry.name))
            .hint("`berth catalog search` lists what there is"));
    }
    entry.deployable().map_err(|why| {
        Problem::invalid("server", format!("`{}` cannot be deployed: {why}", entry.name)).hint(
            "deploy what it is made of by its own name: `npm:PKG[@VERSION]`, `pypi:PKG[@VERSION]` or `oci:IMAGE`",
        )
    })
}

fn unknown_server(server: &str, error: &PackageError, catalog: &[CatalogEntry]) -> Problem {
    let package_forms =
        "or deploy any package with `npm:PKG[@VERSION]`, `pypi:PKG[@VERSION]`, `oci:IMAGE` or `file:PATH`";
    match error {
        PackageError::Kind(_) if server.contains(':') => {
            Problem::invalid("server", format!("`{server}` is of a kind that is not known"))
                .hint("write a name of the catalog, `npm:PKG[@VERSION]`, `pypi:PKG[@VERSION]`, `oci:IMAGE` or `file:PATH`")
        }
        PackageError::Kind(_) => {
            let problem = Problem::invalid("server", format!("the catalog has no server `{server}`"));
            match nearest(server, catalog.iter().map(|entry| entry.name.as_str())) {
                Some(name) => problem.hint(format!("did you mean `{name}`? {package_forms}")),
                None => problem.hint(format!("`berth catalog search` lists it, {package_forms}")),
            }
        }
        PackageError::NpmName(_)
        | PackageError::PypiName(_)
        | PackageError::Version(_)
        | PackageError::FilePath(_)
        | PackageError::Url(_)
        | PackageError::ImageName(_)
        | PackageError::ImageVersion(_)
        | PackageError::NoVersions => Problem::invalid("server", error),
    }
}

/// How the server is reached and which clients share a process of it.
fn fill_launch(launch: &mut Launch, request: &DeployRequest, package: &Package) -> Result<(), Problem> {
    let is_remote = matches!(package, Package::Remote { .. });
    match request.transport {
        Some(Transport::Stdio) if is_remote => {
            return Err(Problem::invalid("transport", "a server that runs elsewhere is reached over HTTP")
                .hint("use `http`, or `sse` for one of 2024-11-05"));
        }
        Some(transport) => launch.transport = transport,
        None if is_remote && launch.transport.is_stdio() => launch.transport = Transport::Http,
        None => {}
    }
    if let Some(path) = &request.path {
        if launch.transport.is_stdio() || is_remote {
            return Err(Problem::invalid(
                "path",
                "only a server that serves HTTP on its host has a path here",
            )
            .hint("give `transport` too, or write the path into the address"));
        }
        let is_path = path.starts_with('/')
            && path.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'#' | b'"' | b'\\'));
        if !is_path {
            return Err(Problem::invalid("path", format!("`{path}` is not a path, such as `/mcp`")));
        }
        launch.path = Some(path.clone());
    }
    if let Some(port) = request.port {
        let is_image = matches!(package, Package::Oci { .. });
        if launch.transport.is_stdio() || !is_image {
            return Err(Problem::invalid(
                "port",
                "only an image's server that serves HTTP has a port of its own; all others take the one that they are told",
            )
            .hint("give `transport` too, or leave `port` out"));
        }
        if port == 0 {
            return Err(Problem::invalid("port", "a port is a number from 1 to 65535"));
        }
        launch.port = Some(port);
    }
    if let Some(mode) = &request.mode {
        launch.mode = Some(mode.parse::<Mode>().map_err(|error| Problem::invalid("mode", error))?);
    }
    if let Some(strict) = request.strict_sessions {
        launch.strict_sessions = strict;
    }
    if is_remote && !(launch.args.is_empty() && launch.constraints.is_empty()) {
        return Err(Problem::invalid(
            "args",
            "a server that runs elsewhere takes no arguments and no constraints",
        )
        .hint("leave them out"));
    }
    Ok(())
}

/// The name of an instance of it, when nobody says another.
fn name_base(entry: Option<&CatalogEntry>, package: &Package) -> Result<InstanceName, Problem> {
    let text = match entry {
        Some(entry) => short(&entry.name),
        None => match package {
            Package::Oci { image } => short(
                image.rsplit('/').next().unwrap_or_default().split([':', '@']).next().unwrap_or_default(),
            ),
            _ => short(package.name()),
        },
    };
    slug(text).parse().map_err(|error| Problem::invalid("name", error))
}

/// `everything` from `@modelcontextprotocol/server-everything`: the last part, without the words that all share. Where nothing else is
/// left, what comes before: `acme` from `io.github.acme/mcp`.
pub(crate) fn short(name: &str) -> &str {
    let (before, last) = name.rsplit_once('/').unwrap_or(("", name));
    let shared =
        ["mcp-server-", "server-", "mcp-"].iter().find_map(|words| last.strip_prefix(words)).unwrap_or(last);
    let shared =
        ["-mcp-server", "-mcp"].iter().find_map(|words| shared.strip_suffix(words)).unwrap_or(shared);
    match shared {
        "" | "mcp" | "server" | "mcp-server" => {
            before.rsplit(['.', '/']).next().filter(|text| !text.is_empty()).unwrap_or(last)
        }
        shared => shared,
    }
}

mod container;
mod each_caller;
mod settings;
mod sleep;

#[cfg(test)]
mod tests;
