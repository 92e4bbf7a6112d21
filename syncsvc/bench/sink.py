"""A subscriber in a process of its own, for the pipeline benchmark: takes every batch with its pixels, and lets it go.

``python -m syncsvc.bench.sink ENDPOINT``: until the service ends, or this process is killed.
"""

import sys

from syncsvc.client.subscriber import Subscriber

if __name__ == "__main__":
    with Subscriber(sys.argv[1]) as batches:
        for _ in batches:
            pass
