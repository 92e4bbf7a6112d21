"""One process without threads that has imported what captures need, and forks them: a start costs 2 ms, not 300.

Forked captures share the memory of those imports: 14 MB of a 1080p capture are its own instead of 35. A fork is safe
only where no other thread may hold a lock, so the nursery has none, and says that it is unfit where a library starts
one at import.

Captures become children of the daemon: it adopts orphans (``lifecycle.adopt_orphans``), and the process between ends at
once. So the daemon waits for them itself, they die with it, and the end of the nursery hurts nobody.
Started as ``python -m syncsvc.capture.nursery CHANNEL_FD PARENT_PID NAME``.
"""

import gc
import logging
import os
import sys
from collections.abc import Iterable
from importlib import import_module

from syncsvc.capture import process
from syncsvc.capture.sandbox import confine
from syncsvc.capture.words import Fit, Fork, Forked, ForkFailed, Preload, ToCapture, ToNursery
from syncsvc.errors import DescriptorsLost, LinkClosed, TransportError
from syncsvc.lifecycle import die_with_parent, leave_signals_to_parent
from syncsvc.observe import logs
from syncsvc.transport.channel import Channel

EX_SOFTWARE = 70
_PID_BYTES = 4
_MODULES = {
    "file": "syncsvc.capture.file",
    "synthetic": "syncsvc.capture.synthetic",
    "v4l2": "syncsvc.capture.v4l2",
}
_NETWORK = "syncsvc.capture.network"

log = logging.getLogger(__name__)


def preload(kinds: Iterable[str]) -> None:
    """Import what captures of these kinds import, and keep it out of the garbage collector's way.

    The collector writes into every object that it looks at: frozen ones stay in pages that all captures share.
    """
    for kind in kinds:
        import_module(_MODULES.get(kind, _NETWORK))
    confine.prepare()
    gc.collect()
    gc.freeze()


def fork_capture(channel_fd: int, parent: int, nursery: Channel[ToNursery]) -> int:
    """Fork a capture that talks to the daemon over ``channel_fd``; returns its process id.

    When this returns, the capture is the daemon's child.

    Raises:
        OSError: the machine has no room for another process.
    """
    reader, writer = os.pipe2(os.O_CLOEXEC)
    between = os.fork()
    if between == 0:
        _fork_and_end(channel_fd, parent, nursery, writer)
    os.close(writer)
    try:
        told = os.read(reader, _PID_BYTES)
    finally:
        os.close(reader)
        os.waitpid(between, 0)
    if not told:
        raise OSError("the second fork failed")
    return int.from_bytes(told, "little")


def _fork_and_end(channel_fd: int, parent: int, nursery: Channel[ToNursery], writer: int) -> None:
    """Between the nursery and the capture: leaves the capture an orphan, so that the daemon adopts it."""
    try:
        pid = os.fork()
        if pid == 0:
            os.close(writer)
            nursery.close()
            _capture(channel_fd, parent)
        os.write(writer, pid.to_bytes(_PID_BYTES, "little"))
    finally:
        os._exit(0)


def _capture(channel_fd: int, parent: int) -> None:
    """Be a capture, and never return into the nursery's code."""
    code = 1
    try:
        code = process.serve(Channel.of(channel_fd, ToCapture), parent)
    except BaseException:  # the process ends here: what Python would have printed is said here
        sys.excepthook(*sys.exc_info())
    finally:
        logging.shutdown()  # what the log has yet to tell
        sys.stderr.flush()
        os._exit(code)


def serve(channel: Channel[ToNursery], parent: int) -> int:
    """Import, say that we are fit, and fork on request until the daemon lets go of us.

    Raises:
        LinkClosed: the daemon let go of us.
    """
    preload(channel.wait_for(Preload)[0].kinds)
    threads = os.listdir("/proc/self/task")  # those that Python does not know of included
    channel.send(Fit(is_fit=len(threads) == 1))
    while True:
        try:
            _, [channel_fd] = channel.wait_for(Fork)
        except DescriptorsLost as lost:
            channel.send(ForkFailed(str(lost)))
            continue
        try:
            channel.send(Forked(fork_capture(channel_fd, parent, channel)))
        except OSError as error:
            channel.send(ForkFailed(str(error)))
        finally:
            os.close(channel_fd)


def main(arguments: list[str]) -> int:
    """Take over from the daemon: ``CHANNEL_FD PARENT_PID NAME``."""
    channel_fd, parent = int(arguments[0]), int(arguments[1])
    leave_signals_to_parent()
    die_with_parent(parent)
    logs.configure_child("nursery")
    try:
        return serve(Channel.of(channel_fd, ToNursery), parent)
    except LinkClosed:
        return 0
    except TransportError as error:
        logs.configure("nursery")
        log.error("gives up: %s", error)
        return EX_SOFTWARE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
