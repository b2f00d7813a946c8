//! How this DTMA's objects are known on an engine that others use too: by label, by name, and by what is on our own disk.
//! An object for which the three do not agree is somebody else's, whatever its labels say.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use domain::ids::InstanceId;
use domain::spec::InstanceSpec;
use serde::{Deserialize, Serialize};

use crate::error::RuntimeError;
use crate::layout::Layout;
use crate::process::private_directory;

/// On everything that Berth makes.
const MANAGED: &str = "berth.managed";
/// Which DTMA made it.
const DTMA: &str = "berth.dtma";
/// Which instance a container is of.
const INSTANCE: &str = "berth.instance";
/// The generation of the spec that it was made for.
const GENERATION: &str = "berth.generation";
/// The text that was noted on our disk before this container was made.
const RECORD: &str = "berth.record";

/// The name of an instance's container.
pub(super) fn name(instance: InstanceId) -> String {
    format!("berth-{instance}")
}

/// This data directory's identity on engines; made at the first use.
pub(super) fn identity(layout: &Layout) -> Result<String, RuntimeError> {
    private_directory(&layout.data)?;
    let path = layout.identity();
    match fs::read_to_string(&path) {
        Ok(text) if text.trim().len() == 32 => return Ok(text.trim().to_owned()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(RuntimeError::io("read", path)(error));
        }
        _ => {}
    }
    let identity = random()?;
    write(&path, &identity)?;
    Ok(identity)
}

/// The labels of what belongs to no single instance.
pub(super) fn shared_labels(identity: &str) -> HashMap<String, String> {
    [(MANAGED, "1"), (DTMA, identity)].map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

/// What is noted of an instance's container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ContainerRecord {
    /// The texts in the labels of those that were asked for since one was known to be gone, the last one last.
    texts: Vec<String>,
    /// Whether the engine answered the last request to make one. Otherwise that may be on its way still: whoever asked was
    /// killed, or had to give up.
    pub(super) answered: bool,
}

impl ContainerRecord {
    /// The text in the labels of the one that was asked for last.
    pub(super) fn last(&self) -> &str {
        self.texts.last().map_or("", String::as_str)
    }
}

/// In the file's last line once the engine answered.
const ANSWERED: &str = "answered";
/// So many requests without an answer are remembered.
const UNANSWERED: usize = 8;

/// The label of everything of this DTMA, as engines are asked for it.
pub(super) fn label_of(identity: &str) -> String {
    format!("{DTMA}={identity}")
}

/// Notes that a container is about to be made, and gives its labels.
pub(super) fn record(
    layout: &Layout,
    identity: &str,
    spec: &InstanceSpec,
) -> Result<HashMap<String, String>, RuntimeError> {
    let record = random()?;
    let mut texts = recorded(layout, spec.id)?.map(|before| before.texts).unwrap_or_default();
    texts.push(record.clone());
    let last = texts.len().saturating_sub(UNANSWERED);
    // Put in the place of the one before as a whole: it tells of a container that may be there.
    let path = layout.container_record(spec.id);
    let new = path.with_extension("new");
    write(&new, &texts[last..].join("\n"))?;
    fs::rename(&new, &path).map_err(RuntimeError::io("write", path))?;
    let mut labels = shared_labels(identity);
    labels.insert(INSTANCE.to_owned(), spec.id.to_string());
    labels.insert(GENERATION.to_owned(), spec.generation.to_string());
    labels.insert(RECORD.to_owned(), record);
    Ok(labels)
}

/// Notes that the engine answered the last request. Not forced to the disk: what is lost costs a short wait.
pub(super) fn answered(layout: &Layout, instance: InstanceId) -> Result<(), RuntimeError> {
    let path = layout.container_record(instance);
    fs::OpenOptions::new()
        .append(true)
        .open(&path)
        .and_then(|mut file| file.write_all(format!("\n{ANSWERED}").as_bytes()))
        .map_err(RuntimeError::io("write", path))
}

/// What is noted of an instance's container; `None` when there can be none.
pub(super) fn recorded(
    layout: &Layout,
    instance: InstanceId,
) -> Result<Option<ContainerRecord>, RuntimeError> {
    let path = layout.container_record(instance);
    match fs::read_to_string(&path) {
        Ok(text) => {
            let mut texts: Vec<String> = text.lines().map(str::to_owned).collect();
            let answered = texts.pop_if(|last| last == ANSWERED).is_some();
            Ok(Some(ContainerRecord { texts, answered }))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(RuntimeError::io("read", path)(error)),
    }
}

/// Forgets the container, which is gone.
pub(super) fn forget(layout: &Layout, instance: InstanceId) -> Result<(), RuntimeError> {
    let path = layout.container_record(instance);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(RuntimeError::io("remove", path)(error)),
        _ => Ok(()),
    }
}

/// What is noted of an instance's volumes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct VolumesRecord {
    /// The text that is in their labels.
    record: String,
    /// Every volume that was ever made for it, by the names in its specs.
    pub(super) names: BTreeSet<String>,
    /// Those that the engine is being asked to make, where it has none of that name. An engine that is killed meanwhile may have it
    /// afterwards without its labels.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) making: BTreeSet<String>,
}

/// The engine's name of an instance's volume.
pub(super) fn volume_name(instance: InstanceId, volume: &str) -> String {
    format!("{}-{volume}", name(instance))
}

/// The labels of an instance's volumes.
pub(super) fn volume_labels(
    identity: &str,
    instance: InstanceId,
    record: &VolumesRecord,
) -> HashMap<String, String> {
    let mut labels = shared_labels(identity);
    labels.insert(INSTANCE.to_owned(), instance.to_string());
    labels.insert(RECORD.to_owned(), record.record.clone());
    labels
}

/// Notes that volumes are about to be made, beside those that were before.
pub(super) fn record_volumes(
    layout: &Layout,
    instance: InstanceId,
    names: BTreeSet<String>,
) -> Result<VolumesRecord, RuntimeError> {
    let before = recorded_volumes(layout, instance)?;
    let mut record = match before.clone() {
        Some(record) => record,
        None => VolumesRecord { record: random()?, names: BTreeSet::new(), making: BTreeSet::new() },
    };
    record.names.extend(names);
    if before.as_ref() != Some(&record) {
        note_volumes(layout, instance, &record)?;
    }
    Ok(record)
}

/// Notes it as a whole, in the place of what was noted before: what is lost here is never removed.
pub(super) fn note_volumes(
    layout: &Layout,
    instance: InstanceId,
    record: &VolumesRecord,
) -> Result<(), RuntimeError> {
    let path = layout.volumes_record(instance);
    let text = serde_json::to_string(record).map_err(|e| RuntimeError::io("write", &path)(e.into()))?;
    let new = path.with_extension("new");
    write(&new, &text)?;
    fs::rename(&new, &path).map_err(RuntimeError::io("write", &path))
}

/// What is noted of an instance's volumes; `None` when there can be none.
pub(super) fn recorded_volumes(
    layout: &Layout,
    instance: InstanceId,
) -> Result<Option<VolumesRecord>, RuntimeError> {
    let path = layout.volumes_record(instance);
    match fs::read_to_string(&path) {
        Ok(text) => {
            serde_json::from_str(&text).map(Some).map_err(|e| RuntimeError::io("read", path)(e.into()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(RuntimeError::io("read", path)(error)),
    }
}

/// Whether the container of this name with these labels is one that was noted.
pub(super) fn is_ours(
    instance: InstanceId,
    identity: &str,
    record: &ContainerRecord,
    found_name: &str,
    labels: &HashMap<String, String>,
) -> bool {
    let has = |label: &str, value: &str| labels.get(label).is_some_and(|found| found == value);
    found_name.strip_prefix('/').unwrap_or(found_name) == name(instance)
        && has(MANAGED, "1")
        && has(DTMA, identity)
        && has(INSTANCE, &instance.to_string())
        && record.texts.iter().any(|text| has(RECORD, text))
}

/// On disk before the engine is asked: what is made must be found again by a DTMA that knows nothing else.
pub(super) fn write(path: &Path, text: &str) -> Result<(), RuntimeError> {
    let written = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
    written.map_err(RuntimeError::io("write", path))
}

/// 128 bits of chance in hexadecimal.
fn random() -> Result<String, RuntimeError> {
    let mut bytes = [0_u8; 16];
    let source = Path::new("/dev/urandom");
    fs::File::open(source)
        .and_then(|mut file| io::Read::read_exact(&mut file, &mut bytes))
        .map_err(RuntimeError::io("read", source))?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_ours_when_name_labels_and_disk_agree() {
        let id = InstanceId::generate();
        let labels: HashMap<String, String> = [
            (MANAGED, "1".to_owned()),
            (DTMA, "me".to_owned()),
            (INSTANCE, id.to_string()),
            (RECORD, "noted".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        let name = format!("/{}", name(id));
        let record = |texts: &[&str]| ContainerRecord {
            texts: texts.iter().map(|text| (*text).to_owned()).collect(),
            answered: true,
        };
        let noted = record(&["noted"]);
        assert!(is_ours(id, "me", &noted, &name, &labels));
        assert!(is_ours(id, "me", &record(&["noted", "later"]), &name, &labels), "asked for before");
        assert!(!is_ours(id, "another", &noted, &name, &labels), "of another DTMA");
        assert!(!is_ours(id, "me", &record(&["later"]), &name, &labels), "made by hand, or before");
        assert!(!is_ours(id, "me", &noted, "/postgres", &labels), "labels copied to another");
        assert!(!is_ours(InstanceId::generate(), "me", &noted, &name, &labels), "of another instance");
        for missing in [MANAGED, DTMA, INSTANCE, RECORD] {
            let mut labels = labels.clone();
            labels.remove(missing);
            assert!(!is_ours(id, "me", &noted, &name, &labels), "without {missing}");
        }
    }
}
