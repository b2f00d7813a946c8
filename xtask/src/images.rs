//! The root of the images that the tests of container tools are made of: Debian's own nginx, PostgreSQL and Redis with what
//! they need and no more, in one archive in `target/images`. Downloaded by this machine's apt from where it gets its own
//! packages, unpacked, and installed nowhere.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::run;

/// What is in it: the tools, and what a shell script that starts one needs.
const PACKAGES: [&str; 12] = [
    "base-files",
    "bash",
    "coreutils",
    "dash",
    "findutils",
    "grep",
    "nginx-light",
    "passwd",
    "postgresql",
    "redis-server",
    "sed",
    "util-linux",
];
/// What these depend on and what no test comes near: just-in-time compiling, and what only installing needs.
const LEFT_OUT: [&str; 11] = [
    "adduser_",
    "debconf_",
    "dpkg_",
    "iproute2_",
    "libc-l10n_",
    "libllvm",
    "libperl",
    "libz3-",
    "locales_",
    "openssl_",
    "perl",
];
/// Unpacks each package into `$1`. The directories that are links on a merged `/usr` stay links.
const UNPACK: &str = r#"
set -e
root=$1; shift
mkdir -p "$root/usr/bin" "$root/usr/sbin" "$root/usr/lib" "$root/usr/lib64" "$root/etc"
for directory in bin sbin lib lib64; do ln -s "usr/$directory" "$root/$directory"; done
for package; do
    dpkg-deb --fsys-tarfile "$package" | tar -x -C "$root" --keep-directory-symlink \
        --exclude=./usr/share/doc --exclude=./usr/share/man --exclude=./usr/share/locale --exclude=./usr/share/info
done
rm -rf "$root"/usr/lib/postgresql/*/lib/llvmjit* "$root"/usr/lib/postgresql/*/lib/bitcode
tar -C "$root" -cf "$root.tar" .
"#;

/// Makes the archive when there is none of these packages.
pub(crate) fn install() -> anyhow::Result<()> {
    let dir = run::root().join("target/images");
    let wanted = format!("{PACKAGES:?} {LEFT_OUT:?} {UNPACK}");
    let stamp = dir.join("installed");
    if fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        return Ok(());
    }
    if !run::exists("apt-get") || !run::exists("dpkg-deb") {
        bail!("the images of container tools are made of packages of Debian or Ubuntu: run the tests there");
    }
    eprintln!("making the root of the tools' images in {}", dir.display());
    if dir.exists() {
        fs::remove_dir_all(&dir).context("target/images cannot be emptied")?;
    }
    let packages = dir.join("packages");
    fs::create_dir_all(packages.join("partial"))?;
    // Of a machine that has nothing installed yet, so that everything that is needed is downloaded.
    fs::write(dir.join("status"), "")?;
    if download(&dir).is_err() {
        // Its lists of packages are away or too old.
        run::run(run::command("apt-get", &["update", "-q"]))?;
        download(&dir)?;
    }
    let mut unpack = run::command("/bin/sh", &["-c", UNPACK, "sh"]);
    unpack.arg(dir.join("root")).args(packages_in(&packages)?);
    run::run(unpack)?;
    fs::remove_dir_all(dir.join("root"))?;
    fs::remove_dir_all(packages)?;
    fs::write(stamp, wanted)?;
    Ok(())
}

fn download(dir: &Path) -> anyhow::Result<()> {
    let mut apt =
        run::command("apt-get", &["install", "-y", "-qq", "--no-install-recommends", "--download-only"]);
    apt.arg("-o").arg(format!("Dir::State::status={}", dir.join("status").display()));
    apt.arg("-o").arg(format!("Dir::Cache::archives={}", dir.join("packages").display()));
    // Nothing of the machine's own is changed, and apt's own user cannot come here.
    apt.args(["-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User=root"]).args(PACKAGES);
    run::run(apt)
}

/// In the order of their names, but `base-files` first: it says which directories are links.
fn packages_in(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = vec![];
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.extension().is_some_and(|extension| extension == "deb")
            && !LEFT_OUT.iter().any(|start| name.starts_with(start))
        {
            found.push((!name.starts_with("base-files_"), path));
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}
