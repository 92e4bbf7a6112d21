"""Is confined as a capture is, tries to break out, and says what came of it: ``FOLDER PORT KIND [HOW]``."""

import ctypes
import json
import os
import resource
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import syncsvc.capture.sandbox.confine as confinement
from syncsvc.capture.sandbox import landlock, seccomp
from syncsvc.capture.sandbox.system_calls import NUMBERS
from syncsvc.capture.spec import AnySpec, FileSpec, HttpSpec, RingPlan, RtspSpec, SyntheticSpec, V4l2Spec

RING = RingPlan(1_000_000_000)
MAX_PIXELS = 640 * 360
_libc = ctypes.CDLL(None, use_errno=True)


def spec_of(kind: str, folder: Path) -> AnySpec:
    common = {"name": "a", "pixels": "i420", "ring": RING, "max_pixels": MAX_PIXELS}
    specs: dict[str, Callable[[], AnySpec]] = {
        "rtsp": lambda: RtspSpec(url="rtsp://127.0.0.1/x", **common),  # type: ignore[arg-type]
        "http": lambda: HttpSpec(url="http://127.0.0.1:9/x", **common),  # type: ignore[arg-type]
        "file": lambda: FileSpec(path=str(Path(__file__)), **common),  # type: ignore[arg-type]
        "v4l2": lambda: V4l2Spec(device="/dev/video0", **common),  # type: ignore[arg-type]
        "synthetic": lambda: SyntheticSpec(**common),  # type: ignore[arg-type]
    }
    return specs[kind]()


def call(name: str, *arguments: object) -> None:
    ctypes.set_errno(0)
    if _libc.syscall(getattr(NUMBERS[name], os.uname().machine), *arguments) < 0:
        raise OSError(ctypes.get_errno(), name)


def connect(family: int, kind: int, address: object) -> None:
    with socket.socket(family, kind) as one:
        one.connect(address)  # type: ignore[arg-type]


def in_a_child(act: Callable[[], object]) -> None:
    """Do it where it does no harm: in a process that ends with it."""
    child = os.fork()
    if child == 0:
        try:
            act()
        except OSError:
            os._exit(1)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        raise OSError(0, "the child could not")


def read_memory(pid: int) -> None:
    with Path(f"/proc/{pid}/mem").open("rb"):
        pass


def attempts(folder: Path, port: int) -> dict[str, Callable[[], object]]:
    secret, parent = folder / "secrets.yaml", os.getppid()
    return {
        "write": lambda: secret.open("r+").close(),
        "create": lambda: (folder / "new").touch() or (folder / "new").unlink(),  # type: ignore[func-returns-value]
        "read": secret.read_text,
        "read the system's": Path("/etc/passwd").read_text,
        "list": lambda: os.listdir(folder),
        "make a folder": lambda: (folder / "sub").mkdir() or (folder / "sub").rmdir(),  # type: ignore[func-returns-value]
        "change rights": lambda: secret.chmod(0o600),
        "exec": lambda: in_a_child(lambda: os.execv("/bin/true", ["true"])),
        "fork": lambda: in_a_child(lambda: None),
        "ptrace": lambda: call("ptrace", 0x4206, parent, 0, 0),
        "signal": lambda: os.kill(parent, 0),
        "read the parent's memory": lambda: read_memory(parent),
        "read it otherwise": lambda: call("process_vm_readv", parent, 0, 0, 0, 0, 0),
        "namespaces": lambda: call("unshare", 0),
        "raise limits": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (100_000, 100_000)),
        "speak netlink": lambda: socket.socket(16, socket.SOCK_RAW, 0).close(),
        "speak to this host": lambda: socket.socket(socket.AF_UNIX).close(),
        "connect elsewhere": lambda: connect(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", port)),
        "send elsewhere": lambda: connect(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", port)),
        "listen": lambda: socket.create_server(("127.0.0.1", 0)).close(),
    }


def outcome(act: Callable[[], object]) -> str:
    try:
        act()
    except OSError as error:
        return type(error).__name__
    except ValueError:  # as Python calls it where limits may not be raised
        return "PermissionError"
    return "done"


def weaken(how: str) -> None:
    """Take a layer out from under the sandbox."""
    if how == "no-landlock":
        landlock.version = lambda: 0
    if how == "readable":
        confinement.everybody_reads = lambda path: True
        confinement._are_programs_readable = lambda: True  # type: ignore[assignment]
    if how == "leaky":  # the kernel says yes, and does nothing
        landlock.restrict = lambda paths, ports: 7
        seccomp.refuse = lambda refusals: None


def mebibytes() -> int:
    taken = []
    try:
        while len(taken) < 4096:
            taken.append(bytearray(1 << 20))
    except MemoryError:
        count = len(taken)
        taken.clear()
        return count
    return len(taken)


def main(folder: Path, port: int, kind: str, how: str = "") -> dict[str, str]:
    weaken(how)
    told = {"missing": ""}
    if how != "free":
        prison = confinement.Confinement(spec_of(kind, folder), os.getppid())
        prison.before_opening()
        prison.once_open()
        told["missing"] = ", ".join(prison.missing)
    if how == "leaky":
        return told
    if how == "memory":
        return told | {"MiB until it ends": str(mebibytes())}
    if how == "readable":
        signal = ctypes.c_int()
        _libc.prctl(2, ctypes.byref(signal))
        return told | {"uid": str(os.getuid()), "parent's end": str(signal.value)}
    found = {what: outcome(act) for what, act in attempts(folder, port).items()}
    return found if how == "free" else told | found


if __name__ == "__main__":
    said = main(Path(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
    sys.stdout.write(json.dumps(said))
