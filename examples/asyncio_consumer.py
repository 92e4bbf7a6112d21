"""Follows two things at once in one event loop: the batches of a service, and a clock that says how far they are."""

import asyncio
import sys

from syncsvc import AsyncSubscriber, Gap


async def follow(batches: AsyncSubscriber, count: int) -> None:
    """Print ``count`` batches, and what was missed before them."""
    async for item in batches:
        if isinstance(item, Gap):
            print(f"missed {item.first_seq} to {item.last_seq} of {item.group}: {item.reason}")
            continue
        widest_ms = max((together.spread_ns for together in item.sets), default=0) / 1e6
        print(f"{item.group} {item.seq}: {len(item.sets)} sets, at most {widest_ms:.1f} ms apart", dict(item.missing))
        if (count := count - 1) == 0:
            return


async def report(batches: AsyncSubscriber) -> None:
    """Say every second what came, for as long as anybody listens."""
    while True:
        await asyncio.sleep(1)
        print(f"so far: {batches.stats.received} batches, {batches.stats.missed} missed", file=sys.stderr)


async def main(endpoint: str = "tcp://127.0.0.1:5555", count: str = "10") -> None:
    async with AsyncSubscriber(endpoint, gaps="yield") as batches:
        reporter = asyncio.create_task(report(batches))
        await follow(batches, int(count))
        reporter.cancel()


asyncio.run(main(*sys.argv[1:]))
