//! The system call filter: refuses what an MCP server has no business with and what attacks on the kernel begin
//! with. A list of refusals, since a list of permissions would break with every new version of Node or Python.

use std::io;

use libc::sock_filter;

use super::sys;

/// Refused with `EPERM`.
const REFUSED: &[libc::c_long] = &[
    // Other processes' memory.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    libc::SYS_process_madvise,
    // Mounts and namespaces: an ordinary user is root in a user namespace of its own, and reaches far more code there.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_fsopen,
    libc::SYS_fsmount,
    libc::SYS_fsconfig,
    libc::SYS_fspick,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_mount_setattr,
    libc::SYS_unshare,
    libc::SYS_setns,
    // The kernel's own insides.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_syslog,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_reboot,
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    // Keyrings are shared by every process of a user.
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
];

/// Answered as if the kernel did not have them, so that callers fall back: `clone3` hides its flags in memory,
/// where a filter cannot look, and `io_uring` does other system calls behind the filter's back.
const ABSENT: &[libc::c_long] =
    &[libc::SYS_clone3, libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register];

/// Flags of `clone` that make namespaces.
const NEW_NAMESPACES: libc::c_int = libc::CLONE_NEWNS
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP;

/// `AUDIT_ARCH_…` of this build; another one's system calls have other numbers and are refused as a whole.
#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: Option<u32> = Some(0xC000_003E);
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: Option<u32> = Some(0xC000_00B7);
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const ARCHITECTURE: Option<u32> = None;

/// The first number of the x32 calls, which reach the same code under other numbers.
const X32: u32 = 0x4000_0000;

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
/// The low half of the first argument (little-endian).
const FIRST_ARGUMENT: u32 = 16;

/// Whether there is a filter for this architecture.
pub(super) fn is_known() -> bool {
    ARCHITECTURE.is_some()
}

/// Puts the filter on this process and all its children, for good.
pub(super) fn install() -> io::Result<()> {
    let architecture =
        ARCHITECTURE.ok_or_else(|| io::Error::other("there is no filter for this architecture"))?;
    sys::install_filter(&program(architecture))
}

fn program(architecture: u32) -> Vec<sock_filter> {
    let mut program = vec![load(ARCH), if_equal(architecture, 0, 1), jump(1), refuse(libc::EPERM)];
    program.push(load(NUMBER));
    if cfg!(target_arch = "x86_64") {
        program.extend([if_at_least(X32, 0, 1), refuse(libc::EPERM)]);
    }
    for (list, errno) in [(REFUSED, libc::EPERM), (ABSENT, libc::ENOSYS)] {
        for &number in list {
            program.extend([if_equal(call(number), 0, 1), refuse(errno)]);
        }
    }
    program.extend([
        if_equal(call(libc::SYS_clone), 0, 3),
        load(FIRST_ARGUMENT),
        if_any_bit(NEW_NAMESPACES.cast_unsigned(), 0, 1),
        refuse(libc::EPERM),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
    ]);
    program
}

/// System call numbers are small and positive.
fn call(number: libc::c_long) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn load(offset: u32) -> sock_filter {
    statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset)
}

fn jump(over: u32) -> sock_filter {
    statement(libc::BPF_JMP | libc::BPF_JA, over)
}

/// Goes on `yes` instructions later when equal, else `no` later.
fn if_equal(value: u32, yes: u8, no: u8) -> sock_filter {
    branch(libc::BPF_JEQ, value, yes, no)
}

fn if_at_least(value: u32, yes: u8, no: u8) -> sock_filter {
    branch(libc::BPF_JGE, value, yes, no)
}

fn if_any_bit(value: u32, yes: u8, no: u8) -> sock_filter {
    branch(libc::BPF_JSET, value, yes, no)
}

fn refuse(errno: libc::c_int) -> sock_filter {
    statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ERRNO | errno.cast_unsigned())
}

fn statement(code: u32, k: u32) -> sock_filter {
    sock_filter { code: code_of(code), jt: 0, jf: 0, k }
}

fn branch(test: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code: code_of(libc::BPF_JMP | test | libc::BPF_K), jt, jf, k }
}

/// Every BPF code fits 16 bits.
fn code_of(code: u32) -> u16 {
    u16::try_from(code).unwrap_or(u16::MAX)
}
