//! Images: found or pulled, and looked at before anything is made of them.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bollard::auth::DockerCredentials;
use bollard::models::{CreateImageInfo, ImageInspect};
use bollard::query_parameters::{CreateImageOptions, TagImageOptions};
use bytes::Bytes;
use domain::image::{ImageName, is_digest, parts};
use domain::package::PackageError;
use domain::registry::{RegistryLogin, registry_of};
use domain::spec::InstanceSpec;
use domain::status::Progress;
use futures_util::StreamExt as _;

use super::engine::{LOOK, WORK, is_full, is_restarting};
use super::passes::{Passes, Trouble};
use super::pulled::Pulled;
use super::{DockerRuntime, credentials};
use crate::error::RuntimeError;
use crate::{Image, OnProgress, Prepared};

/// A pull that says nothing new for so long is given up.
const NO_PROGRESS: Duration = Duration::from_mins(2);
/// What a pull is called in errors.
const PULL: &str = "pull the image";
/// Where an image that says nothing has its programs: what the engine itself takes.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The image that holds nothing.
const EMPTY: (&str, &str) = ("berth-empty", "1");
/// What it is made of: the two blocks that end an archive.
const EMPTY_ARCHIVE: Bytes = Bytes::from_static(&[0; 1024]);

impl DockerRuntime {
    /// The image, pulled when the engine has none of this name.
    pub(super) async fn prepare_image(
        &self,
        image: &str,
        spec: &InstanceSpec,
        progress: OnProgress<'_>,
    ) -> Result<Prepared, RuntimeError> {
        let mut found = self.find_image(image).await?;
        if found.is_none() {
            let login = spec.registry.as_ref().filter(|login| login.host.has(image));
            match &self.passes {
                None => self.pull_from_registry(image, login, progress).await?,
                Some(passes) => self.pull_through(passes, image, login.is_some(), progress).await?,
            }
            found = self.find_image(image).await?;
        }
        let found = found.ok_or_else(|| gone(image))?;
        self.check_platform(image, &found).await?;
        let noted = self.note(image)?.filter(|note| Some(&note.id) == found.id.as_ref());
        prepared(image, spec, found, noted.and_then(|note| note.digest))
    }

    /// The image under its own name, or the one that stands for it here.
    async fn find_image(&self, image: &str) -> Result<Option<ImageInspect>, RuntimeError> {
        if let Some(found) = self.inspect(image).await? {
            return Ok(Some(found));
        }
        if let Some(Pulled { id, kept: Some(kept), .. }) = self.note(image)? {
            return Ok(self.inspect(&kept).await?.filter(|found| found.id.as_ref() == Some(&id)));
        }
        // What never was in a registry is known by the digest that the engine itself has for it.
        match parts(image).digest {
            Some(digest) => self.inspect(digest).await,
            None => Ok(None),
        }
    }

    /// The image that holds nothing, for what brings its own files.
    pub(super) async fn empty_image(&self) -> Result<Image, RuntimeError> {
        let (name, tag) = EMPTY;
        let full = format!("{name}:{tag}");
        if self.inspect(&full).await?.is_none() {
            let options = CreateImageOptions {
                from_src: Some("-".to_owned()),
                repo: Some(name.to_owned()),
                tag: Some(tag.to_owned()),
                changes: vec!["LABEL berth.managed=1".to_owned()],
                ..CreateImageOptions::default()
            };
            self.engine
                .ask("make an empty image", WORK, |docker| async move {
                    let archive = bollard::body_full(EMPTY_ARCHIVE);
                    let mut steps = docker.create_image(Some(options), Some(archive), None);
                    while let Some(step) = steps.next().await {
                        step?;
                    }
                    Ok(())
                })
                .await?;
        }
        let id = self.inspect(&full).await?.and_then(|image| image.id);
        let id = id.ok_or_else(|| RuntimeError::UnknownImage {
            image: full,
            detail: "it was made and is gone again".to_owned(),
        })?;
        Ok(Image { id, workdir: PathBuf::from(super::body::WORK), stop_signal: None })
    }

    pub(super) async fn inspect(&self, image: &str) -> Result<Option<ImageInspect>, RuntimeError> {
        self.engine
            .find("look at the image", LOOK, |docker| async move { docker.inspect_image(image).await })
            .await
    }

    /// As the host's own `docker pull` would.
    async fn pull_from_registry(
        &self,
        image: &str,
        given: Option<&RegistryLogin>,
        progress: OnProgress<'_>,
    ) -> Result<(), RuntimeError> {
        let login = given.map(credentials::of_login).or_else(|| credentials::of(registry_of(image)));
        let has_login = login.is_some();
        let refused = |words: &str| refusal(image, has_login, words);
        let own = parts(image);
        self.pull(image, (own.name, own.reference()), login, &refused, progress).await?;
        match self.inspect(image).await? {
            Some(found) => self.note_pulled(&Pulled::of(image, &found)),
            None => Ok(()),
        }
    }

    /// By another way than from its registry, under a name that only this pull has. Then it gets its own.
    async fn pull_through(
        &self,
        passes: &Arc<Passes>,
        image: &str,
        has_login: bool,
        progress: OnProgress<'_>,
    ) -> Result<(), RuntimeError> {
        let wrong = |error: PackageError| RuntimeError::UnknownImage {
            image: image.to_owned(),
            detail: error.to_string(),
        };
        let name: ImageName = image.parse().map_err(wrong)?;
        let pass = passes.open(name.clone())?;
        let (repository, reference) = (pass.repository(), name.reference());
        let refused = |words: &str| match pass.trouble() {
            Some(trouble) => told(image, has_login, trouble),
            // The engine's own, which should speak of the name that everybody else knows.
            None => refusal(image, has_login, &words.replace(&repository, parts(image).name)),
        };
        self.pull(image, (&repository, reference), None, &refused, progress).await?;
        let temporary = pass.name(reference);
        let found = self.inspect(&temporary).await?.ok_or_else(|| gone(image))?;
        // Whatever comes between, a cleanup knows both names.
        self.note_pulled(&Pulled::of(&temporary, &found))?;
        // An image cannot be given a digest for a name.
        let tag = reference.replace("sha256:", "sha256-");
        let own = parts(image).name;
        let kept = is_digest(reference).then(|| format!("{own}:{tag}"));
        let mut pulled = Pulled { kept, ..Pulled::of(image, &found) };
        // An engine gives a registry's digest to nothing but the name that was pulled.
        pulled.digest = digest_of(&found);
        self.note_pulled(&pulled)?;
        let options = TagImageOptions { repo: Some(own.to_owned()), tag: Some(tag) };
        let from = temporary.as_str();
        self.engine
            .ask("name the image", LOOK, |docker| async move { docker.tag_image(from, Some(options)).await })
            .await?;
        self.remove_image(&temporary).await
    }

    async fn pull(
        &self,
        image: &str,
        (name, tag): (&str, &str),
        login: Option<DockerCredentials>,
        refused: &(dyn Fn(&str) -> RuntimeError + Sync),
        progress: OnProgress<'_>,
    ) -> Result<(), RuntimeError> {
        progress(Progress { step: format!("pulling {image}"), percent: None });
        let options = CreateImageOptions {
            from_image: Some(name.to_owned()),
            tag: Some(tag.to_owned()),
            ..CreateImageOptions::default()
        };
        let mut steps =
            self.engine
                .ask(PULL, LOOK, |docker| async move {
                    Ok(docker.create_image(Some(options), None, login).boxed())
                })
                .await?;
        let mut layers = Layers::default();
        loop {
            let step = match tokio::time::timeout(NO_PROGRESS, steps.next()).await {
                Ok(step) => step,
                Err(_elapsed) => return Err(self.engine.hangs(PULL, NO_PROGRESS)),
            };
            match step {
                None => return Ok(()),
                Some(Ok(step)) => {
                    if let Some(percent) = layers.take(&step) {
                        progress(Progress { step: format!("pulling {image}"), percent: Some(percent) });
                    }
                }
                Some(Err(error)) => {
                    let error = match error {
                        bollard::errors::Error::DockerStreamError { error } if is_full(&error) => {
                            self.engine.full()
                        }
                        bollard::errors::Error::DockerStreamError { error } => refused(&error),
                        error => match self.engine.error(PULL, NO_PROGRESS, error) {
                            RuntimeError::Engine { detail, .. } => refused(&detail),
                            error => error,
                        },
                    };
                    return Err(error);
                }
            }
        }
    }

    /// An image of another kind of machine would start and fail with `exec format error`, or by emulation crawl.
    async fn check_platform(&self, image: &str, found: &ImageInspect) -> Result<(), RuntimeError> {
        let asked = async || {
            let version =
                self.engine.ask("say what it is", LOOK, |docker| async move { docker.version().await });
            version.await.map(|version| Platform { os: version.os, architecture: version.arch })
        };
        let engine = self.platform.get_or_try_init(asked).await?;
        let is = |mine: &Option<String>, other: &Option<String>| match (mine, other) {
            (Some(mine), Some(other)) => mine == other || mine.is_empty() || other.is_empty(),
            _ => true,
        };
        if is(&found.os, &engine.os) && is(&found.architecture, &engine.architecture) {
            return Ok(());
        }
        let text = |os: &Option<String>, architecture: &Option<String>| {
            format!("{}/{}", os.as_deref().unwrap_or_default(), architecture.as_deref().unwrap_or_default())
        };
        Err(RuntimeError::WrongPlatform {
            image: image.to_owned(),
            platform: format!("is for {}", text(&found.os, &found.architecture)),
            host: text(&engine.os, &engine.architecture),
        })
    }
}

/// What programs an engine's host runs, in the engine's words.
#[derive(Debug)]
pub(super) struct Platform {
    os: Option<String>,
    architecture: Option<String>,
}

/// How an image is started: as `docker run` would. Arguments of ours take the place of its command, unless it has no entry
/// point that would take them.
fn prepared(
    image: &str,
    spec: &InstanceSpec,
    found: ImageInspect,
    noted: Option<String>,
) -> Result<Prepared, RuntimeError> {
    // An image that came from a registry is known by what the registry calls it, a local one by what the engine does.
    let digest = digest_of(&found).or(noted);
    let config = found.config.unwrap_or_default();
    let mut command = config.entrypoint.unwrap_or_default();
    if command.is_empty() || spec.launch.args.is_empty() {
        command.extend(config.cmd.unwrap_or_default());
    }
    if command.is_empty() && spec.launch.args.is_empty() {
        return Err(RuntimeError::NoCommand { image: image.to_owned() });
    }
    let id = found.id.unwrap_or_default();
    let mut env: BTreeMap<String, String> = [("PATH".to_owned(), PATH.to_owned())].into();
    env.extend(config.env.unwrap_or_default().iter().map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (name.to_owned(), value.to_owned())
    }));
    let workdir = config.working_dir.filter(|path| !path.is_empty()).unwrap_or_else(|| "/".to_owned());
    Ok(Prepared {
        version: None,
        digest: Some(digest.unwrap_or_else(|| id.clone())),
        command,
        read: Vec::new(),
        env,
        image: Some(Image { id, workdir: workdir.into(), stop_signal: config.stop_signal }),
    })
}

/// What the registry that it came from calls it.
fn digest_of(found: &ImageInspect) -> Option<String> {
    let name = found.repo_digests.as_ref()?.first()?;
    Some(name.split_once('@')?.1.to_owned())
}

fn gone(image: &str) -> RuntimeError {
    RuntimeError::UnknownImage {
        image: image.to_owned(),
        detail: "it was pulled and is gone again".to_owned(),
    }
}

/// What is known of the layers of a pull, in bytes.
#[derive(Debug, Default)]
struct Layers {
    known: HashMap<String, (i64, i64)>,
    last: u8,
}

impl Layers {
    /// The percentage, when it has grown. Layers become known as they are begun, so it would fall otherwise.
    fn take(&mut self, step: &CreateImageInfo) -> Option<u8> {
        let id = step.id.clone()?;
        match (step.status.as_deref(), &step.progress_detail) {
            (Some("Downloading"), Some(detail)) => {
                let (current, total) = (detail.current?, detail.total?);
                self.known.insert(id, (current.min(total), total));
            }
            (Some("Download complete" | "Pull complete"), _) => {
                let (current, total) = self.known.get_mut(&id)?;
                *current = *total;
            }
            _ => return None,
        }
        let sum = |part: fn(&(i64, i64)) -> i64| self.known.values().map(part).sum::<i64>();
        let (current, total) = (sum(|layer| layer.0), sum(|layer| layer.1));
        let percent = u8::try_from(current.saturating_mul(100) / total.max(1)).unwrap_or(100).min(100);
        (self.last < percent).then(|| {
            self.last = percent;
            percent
        })
    }
}

/// What whoever was asked in the registry's place said, as an error of the image.
fn told(image: &str, has_login: bool, trouble: Trouble) -> RuntimeError {
    let (image, registry) = (image.to_owned(), registry_of(image).to_owned());
    match trouble {
        Trouble::Credentials => RuntimeError::CredentialsRefused { given: given(has_login), registry, image },
        Trouble::Unknown(detail) => RuntimeError::UnknownImage { image, detail },
        Trouble::Away(detail) => RuntimeError::RegistryAway { registry, detail },
        Trouble::Other(detail) => RuntimeError::Install { package: image, detail },
    }
}

fn given(has_login: bool) -> &'static str {
    if has_login { "refused the credentials" } else { "wants credentials" }
}

/// What the engine's words about a pull mean to the one who asked for it. They are no protocol, so what is not known passes
/// as it is.
fn refusal(image: &str, has_login: bool, words: &str) -> RuntimeError {
    let says = |any: &[&str]| any.iter().any(|text| words.contains(text));
    let (image, detail) = (image.to_owned(), words.trim().to_owned());
    let registry = registry_of(&image).to_owned();
    if is_restarting(words) {
        return RuntimeError::EngineRestarts { action: PULL, detail };
    }
    if says(&["no matching manifest for"]) {
        return RuntimeError::WrongPlatform {
            image,
            platform: "is not made for this host".to_owned(),
            host: std::env::consts::ARCH.to_owned(),
        };
    }
    if says(&[
        "unauthorized",
        "no basic auth credentials",
        "incorrect username or password",
        "authentication required",
    ]) {
        return RuntimeError::CredentialsRefused { given: given(has_login), registry, image };
    }
    if says(&[
        "manifest unknown",
        "not found",
        "pull access denied",
        "repository does not exist",
        "name unknown",
    ]) {
        return RuntimeError::UnknownImage { image, detail };
    }
    let network = [
        "no such host",
        "connection refused",
        "i/o timeout",
        "network is unreachable",
        "no route to host",
        "TLS handshake",
        "x509:",
        "server gave HTTP response to HTTPS client",
        "Client.Timeout",
        "deadline exceeded",
        "connection reset",
        "EOF",
    ];
    if says(&network) {
        return RuntimeError::RegistryAway { registry, detail };
    }
    RuntimeError::Install { package: image, detail }
}

#[cfg(test)]
mod tests {
    use bollard::models::ProgressDetail;

    use super::*;

    #[test]
    fn a_pull_only_grows() {
        let step = |id: &str, status: &str, current, total| CreateImageInfo {
            id: Some(id.to_owned()),
            status: Some(status.to_owned()),
            progress_detail: Some(ProgressDetail { current, total }),
            ..CreateImageInfo::default()
        };
        let mut layers = Layers::default();
        let mut shown = vec![];
        for step in [
            step("a", "Pulling fs layer", None, None),
            step("a", "Downloading", Some(50), Some(100)),
            step("b", "Downloading", Some(0), Some(100)),
            step("a", "Download complete", None, None),
            step("b", "Downloading", Some(60), Some(100)),
            step("b", "Extracting", Some(1), Some(100)),
            step("b", "Pull complete", None, None),
        ] {
            shown.extend(layers.take(&step));
        }
        assert_eq!(shown, [50, 80, 100]);
    }

    #[test]
    fn refusals_say_what_to_do() {
        let check = |words: &str, expected: &str| {
            let text = refusal("r.example/a:1", true, words).to_string();
            assert!(text.contains(expected), "{words}: {text}");
        };
        check("manifest for r.example/a:1 not found: manifest unknown: manifest unknown", "check its name");
        check("Head \"https://r.example/v2/\": no basic auth credentials", "docker login r.example");
        check(
            "Head \"https://r.example/v2/\": unauthorized: authentication required",
            "refused the credentials",
        );
        check("Get \"https://r.example/v2/\": dial tcp: lookup r.example: no such host", "cannot be reached");
        check(
            "no matching manifest for linux/arm64/v8 in the manifest list entries",
            "not made for this host",
        );
        check(
            "error creating temporary lease: connection error: desc = \"transport: Error while dialing dial unix \
             /run/containerd/containerd.sock: connect: connection refused\": unavailable",
            "its containerd is being started again",
        );
        check(
            "error creating temporary lease: connection closed: unavailable",
            "its containerd is being started again",
        );
        check("something new", "something new");
    }
}
