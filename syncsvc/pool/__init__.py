"""A pool of worker processes for pictures: pixels in and out through shared memory, and no name that could be left."""

from syncsvc.pool.blocks import empty as empty
