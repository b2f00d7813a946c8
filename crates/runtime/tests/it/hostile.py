"""A hostile server: tries what it must not be able to do, one attempt a row, and prints what came of each.

Usage: hostile.py <json>, with the places and processes to attack. Prints {"attempt": …, "worked": …, "how": …} lines.
Each attempt is harmless where it works, since it is also run without a sandbox to prove that it is a real one.
"""

import ctypes
import json
import os
import signal
import socket
import sys

target = json.loads(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)


def call(result):
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def read(path):
    with open(path, "rb") as file:
        return file.read(16)


def inside(function):
    """Runs in a process of its own, so that what works has no effect here."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        try:
            os.write(writer, b"+" + str(function()).encode())
        except BaseException as error:
            os.write(writer, b"-" + repr(error).encode())
        os._exit(0)
    os.close(writer)
    answer = os.read(reader, 4096).decode()
    os.close(reader)
    os.wait()
    if not answer.startswith("+"):
        raise RuntimeError(answer[1:])
    return answer[1:]


def trace():
    call(libc.ptrace(0x4206, target["pid"], 0, 0))  # PTRACE_SEIZE; ends with this process
    return "attached"


def mount():
    call(libc.unshare(0x10000000 | 0x00020000))  # CLONE_NEWUSER | CLONE_NEWNS
    call(libc.mount(b"none", b"/", None, 0x4000 | 0x40000, None))  # MS_REC | MS_PRIVATE
    return call(libc.mount(b"tmpfs", b"/tmp", b"tmpfs", 0, None))


def connect(address):
    with socket.socket(socket.AF_UNIX) as stream:
        stream.settimeout(5)
        stream.connect(address)
    return "connected"


def create(directory):
    os.close(os.open(directory, os.O_TMPFILE | os.O_WRONLY, 0o600))
    return "wrote"


pid = target["pid"]
attempts = {
    "read the database": lambda: read(target["data"] + "/control/berth.db"),
    "read the master key": lambda: read(target["data"] + "/control/master.key"),
    "read client.toml": lambda: read(target["data"] + "/client.toml"),
    "read the DTMA's token": lambda: read(target["data"] + "/dtma/token"),
    "read the DTMA's key": lambda: read(target["data"] + "/dtma/key"),
    "read another instance's files": lambda: read(target["data"] + "/dtma/instances/other/work/notes"),
    "write another instance's files": lambda: create(target["data"] + "/dtma/instances/other/work"),
    "list the control plane's directory": lambda: os.listdir(target["data"] + "/control"),
    "read /proc/PID/environ": lambda: read(f"/proc/{pid}/environ"),
    "read /proc/PID/mem": lambda: open(f"/proc/{pid}/mem", "rb").close(),
    "read /proc/PID/maps": lambda: open(f"/proc/{pid}/maps", "rb").read(1),
    "enter /proc/PID/root": lambda: os.listdir(f"/proc/{pid}/root"),
    "enter /proc/PID/cwd": lambda: os.listdir(f"/proc/{pid}/cwd"),
    "list /proc/PID/fd": lambda: os.listdir(f"/proc/{pid}/fd"),
    "signal another process": lambda: os.kill(pid, signal.SIGCONT),
    "signal by a descriptor": lambda: signal.pidfd_send_signal(os.pidfd_open(pid), signal.SIGCONT),
    "trace another process": lambda: inside(trace),
    "connect to a socket by path": lambda: connect(target["socket"]),
    "connect to an abstract socket": lambda: connect("\0" + target["abstract"]),
    "write the package": lambda: create(target["package"]),
    "change the package": lambda: open(target["package"] + "/code.js", "r+b").close(),
    "write /usr": lambda: create("/usr"),
    "write /etc": lambda: create("/etc"),
    "make a user namespace and mount": lambda: inside(mount),
    "make a user namespace": lambda: inside(lambda: call(libc.unshare(0x10000000))),
    "read the kernel's log": lambda: call(libc.klogctl(3, ctypes.create_string_buffer(64), 64)),
    "become root": lambda: inside(lambda: os.setuid(0)),
    "read /etc/shadow": lambda: read("/etc/shadow"),
}

for name, attempt in attempts.items():
    try:
        worked, how = True, repr(attempt())
    except Exception as error:
        worked, how = False, repr(error)
    print(json.dumps({"attempt": name, "worked": worked, "how": how}), flush=True)
print(json.dumps({"attempt": "use what is its own", "worked": bool(read(sys.argv[0])), "how": str(os.getuid())}))
