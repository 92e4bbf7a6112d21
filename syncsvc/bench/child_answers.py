"""How a process of a benchmark says what it measured: a struct as a JSON line on its standard output."""

import subprocess
import sys
from typing import TypeVar

import msgspec

from syncsvc.errors import LinkClosed
from syncsvc.programs import leashed

T = TypeVar("T")


def answer(found: msgspec.Struct) -> None:
    """Say it, in the process that measured."""
    sys.stdout.buffer.write(msgspec.json.encode(found) + b"\n")
    sys.stdout.buffer.flush()


def answer_of(what: str, module: str, words: tuple[object, ...], kind: type[T], timeout_s: float) -> T:
    """Run a module of the benchmarks in a process of its own until it ends; what it said last.

    Raises:
        LinkClosed: it ended with an error; the message has its last words.
    """
    arguments = ["-m", f"syncsvc.bench.{module}", *map(str, words)]
    with leashed(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        output, errors = process.communicate(timeout=timeout_s)
    if process.returncode != 0:
        last = errors.decode(errors="replace").rstrip().rpartition("\n")[2]
        raise LinkClosed(f"{what} ended with {process.returncode}: {last}")
    return msgspec.json.decode(output.rstrip().rpartition(b"\n")[2], type=kind)  # some libraries print too
