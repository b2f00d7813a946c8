//! Load and room of this host.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use domain::status::{DiskMetrics, MemoryMetrics, SystemMetrics};
use sysinfo::{MemoryRefreshKind, System};

/// Measures. Load is the mean since the measurement before.
#[derive(Debug)]
pub(crate) struct Meter {
    system: Option<System>,
    data: PathBuf,
}

impl Meter {
    /// Measures the host and the disk that holds `data`.
    pub(crate) fn new(data: PathBuf) -> Self {
        let mut system = System::new()
            .inspect_err(
                |error| tracing::warn!(%error, "this host's load cannot be measured and is reported as none"),
            )
            .ok();
        if let Some(system) = &mut system {
            system.refresh_cpu_usage();
        }
        Self { system, data }
    }

    /// Measures now.
    pub(crate) fn measure(&mut self) -> SystemMetrics {
        let (mut cpu_load_percent, mut cores, mut total, mut free, mut available) = (0.0, 0, 0, 0, 0);
        if let Some(system) = &mut self.system {
            system.refresh_cpu_usage();
            system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
            cpu_load_percent = f64::from(system.global_cpu_usage()).clamp(0.0, 100.0);
            cores = system.cpus().len();
            (total, free, available) =
                (system.total_memory(), system.free_memory(), system.available_memory());
        }
        SystemMetrics {
            cpu_load_percent,
            cores: u32::try_from(cores).unwrap_or(u32::MAX),
            memory: MemoryMetrics {
                total_bytes: total,
                active_bytes: total.saturating_sub(available),
                free_bytes: free,
                used_bytes: total.saturating_sub(free),
            },
            disk: disk_of(&self.data),
            uptime_seconds: System::uptime().unwrap_or_default(),
        }
    }
}

/// `None` when the kernel does not say.
pub(crate) fn disk_of(path: &Path) -> Option<DiskMetrics> {
    let stat = rustix::fs::statvfs(path).ok()?;
    let total_bytes = stat.f_blocks.saturating_mul(stat.f_frsize);
    Some(DiskMetrics {
        mount: mount_of(path)?.display().to_string(),
        total_bytes,
        used_bytes: total_bytes.saturating_sub(stat.f_bfree.saturating_mul(stat.f_frsize)),
        free_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
    })
}

/// The highest directory above `path` on the same device.
fn mount_of(path: &Path) -> Option<PathBuf> {
    let path = path.canonicalize().ok()?;
    let device = path.metadata().ok()?.dev();
    path.ancestors()
        .take_while(|above| above.metadata().is_ok_and(|metadata| metadata.dev() == device))
        .last()
        .map(Path::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_a_real_host() {
        let dir = tempfile::tempdir().unwrap();
        let metrics = Meter::new(dir.path().to_owned()).measure();
        assert!(0 < metrics.cores);
        assert!((0.0..=100.0).contains(&metrics.cpu_load_percent));
        assert!(metrics.memory.free_bytes <= metrics.memory.total_bytes && 0 < metrics.memory.total_bytes);
        let disk = metrics.disk.unwrap();
        assert!(dir.path().canonicalize().unwrap().starts_with(&disk.mount), "{}", disk.mount);
        assert!(disk.free_bytes <= disk.total_bytes && disk.used_bytes <= disk.total_bytes);
    }
}
