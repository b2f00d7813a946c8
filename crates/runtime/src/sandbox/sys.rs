//! The system calls that have no safe wrapper: all the `unsafe` of the workspace but that of `activation`.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::net::{AddressFamily, SocketType};
use rustix::process::Pid;
use rustix::thread::UnshareFlags;

/// Which side of a fork this is.
pub(super) enum Fork {
    /// The new process.
    Child,
    /// The old one, with the new one's id.
    Parent(Pid),
}

/// Splits this process in two. The helper has one thread, so both sides may go on as usual.
#[expect(unsafe_code, reason = "fork has no safe wrapper")]
pub(super) fn fork() -> io::Result<Fork> {
    // SAFETY: the helper never starts a thread, so no lock can be held by a thread that is missing in the child.
    let pid = unsafe { libc::fork() };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Fork::Child),
        pid => Pid::from_raw(pid)
            .map(Fork::Parent)
            .ok_or_else(|| io::Error::other("fork returned a negative process id")),
    }
}

/// Leaves the named namespaces for new ones.
#[expect(unsafe_code, reason = "unshare can separate file descriptor tables")]
pub(super) fn unshare(flags: UnshareFlags) -> io::Result<()> {
    // SAFETY: no caller passes `UnshareFlags::FILES`, and the helper has one thread.
    unsafe { rustix::thread::unshare_unsafe(flags & !UnshareFlags::FILES) }.map_err(io::Error::from)
}

/// `IFF_UP` (linux/if.h), as the kernel's field has it.
const UP: libc::c_short = 1;

/// Takes the loopback interface of this process's network up.
#[expect(unsafe_code, reason = "the flags of an interface have no safe wrapper")]
pub(super) fn raise_loopback() -> io::Result<()> {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    // SAFETY: an all-zero `ifreq` is valid, its name stays NUL-terminated, and both calls read and write only the flags of
    // a request that outlives them; the first has written the flags that are read.
    unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        for (to, from) in request.ifr_name.iter_mut().zip(*b"lo") {
            *to = libc::c_char::from_ne_bytes([from]);
        }
        if libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS as _, &raw mut request) != 0 {
            return Err(io::Error::last_os_error());
        }
        request.ifr_ifru.ifru_flags |= UP;
        if libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw const request) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Sets attributes (`MOUNT_ATTR_…`) of a mount, and of all mounts below it when `recursive`.
#[expect(unsafe_code, reason = "mount_setattr has no wrapper in libc or rustix")]
pub(super) fn set_mount_attributes(path: &Path, attributes: u64, recursive: bool) -> io::Result<()> {
    /// `struct mount_attr`, version 0 (linux/mount.h).
    #[repr(C)]
    struct MountAttr {
        set: u64,
        clear: u64,
        propagation: u64,
        userns_fd: u64,
    }
    let path = CString::new(path.as_os_str().as_bytes())?;
    let attr = MountAttr { set: attributes, clear: 0, propagation: 0, userns_fd: 0 };
    let flags = if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is NUL-terminated, `attr` has the layout and the size that the kernel is told, and both
    // outlive the call, which keeps neither.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            path.as_ptr(),
            flags,
            &raw const attr,
            size_of::<MountAttr>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Closes every file descriptor but the three standard ones.
#[expect(unsafe_code, reason = "close_range has no safe wrapper, since it closes what others may own")]
pub(super) fn close_inherited() -> io::Result<()> {
    // SAFETY: called first thing in `main`, when nothing in this process owns a descriptor above 2.
    let result = unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Blocks the signals and returns a descriptor that becomes readable when one arrives.
#[expect(unsafe_code, reason = "signalfd has no safe wrapper")]
pub(super) fn signal_descriptor(signals: &[libc::c_int]) -> io::Result<OwnedFd> {
    // SAFETY: an all-zero `sigset_t` is valid memory for `sigemptyset` to fill; the set outlives every call; the
    // descriptor is fresh and owned by nobody else.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for &signal in signals {
            libc::sigaddset(&raw mut set, signal);
        }
        if libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
        let fd = libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
        if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(OwnedFd::from_raw_fd(fd)) }
    }
}

/// Installs a filter for system calls on this thread, for good. `no_new_privs` must be set.
#[expect(unsafe_code, reason = "seccomp has no safe wrapper")]
pub(super) fn install_filter(program: &[libc::sock_filter]) -> io::Result<()> {
    let length =
        u16::try_from(program.len()).map_err(|_| io::Error::other("the system call filter is too long"))?;
    let program = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut() };
    // SAFETY: the program outlives the call, its length is the slice's, and the kernel only reads and checks it.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            0 as libc::c_ulong,
            &raw const program,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
