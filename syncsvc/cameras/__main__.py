"""The child of ``VirtualCameras``: a farm that is told what to do in JSON lines on its standard input.

The first line says which cameras, each later one is an ``Order``; each is answered with one line. The end of the input
is the end of the farm.
"""

import asyncio
import sys

import msgspec

from syncsvc.cameras.farm import Order
from syncsvc.cameras.server import Farm
from syncsvc.cameras.settings import parse_specs
from syncsvc.errors import BindError, UsageError

_SWITCH_INTERVAL_S = 0.0005  # how long a capture thread waits for the interpreter; the default is ten times that


def _answer(answer: object) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
    sys.stdout.buffer.flush()


async def _handle(farm: Farm, order: Order) -> object:
    mount = farm.mount(order.camera)
    match order.do:
        case "set":
            mount.change(order.keys)
        case "stop":
            mount.switch_off()
        case "start":
            await mount.load()
            mount.switch_on()
        case "stats":
            return mount.stats()
    return {}


async def _run() -> int:
    lines = asyncio.StreamReader(limit=16 * 1024 * 1024)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin.buffer)
    first = await lines.readline()
    if not first:  # the parent changed its mind
        return 0
    orders = msgspec.json.decode(first)
    specs = parse_specs(orders.pop("cameras"))
    try:
        async with Farm(specs, **orders) as farm:
            _answer({"port": farm.port, "urls": farm.urls})
            while line := await lines.readline():
                try:
                    _answer(await _handle(farm, msgspec.json.decode(line, type=Order)))
                except UsageError as error:
                    _answer({"usage": str(error)})
    except BindError as error:
        _answer({"bind": [error.endpoint, error.problem]})
        return 1
    return 0


def main() -> int:
    """Run until the parent closes our input."""
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    return asyncio.run(_run())


if __name__ == "__main__":
    sys.exit(main())
