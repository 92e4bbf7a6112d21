"""Feeds a torch DataLoader: one item per set, every camera's picture as a tensor over the service's own memory."""

import sys
from collections.abc import Iterator

import torch
from torch.utils.data import DataLoader, IterableDataset

from syncsvc import Subscriber


class Sets(IterableDataset):
    """Sets of a group in which every camera is there: the time of one, and tensors as ``Frame.shape`` says."""

    def __init__(self, endpoint: str, group: str | None = None) -> None:
        self.endpoint, self.group = endpoint, group

    def __iter__(self) -> Iterator[tuple[int, dict[str, torch.Tensor]]]:
        with Subscriber(self.endpoint, group=self.group, mode="auto") as batches:
            for batch in batches:
                for together in batch.sets:
                    if not together.missing:
                        # No copy: clone() before you write, or keep a picture for longer than its batch.
                        frames = {name: torch.from_dlpack(frame) for name, frame in together.frames.items()}
                        yield next(iter(together.frames.values())).time_ns, frames


if __name__ == "__main__":
    endpoint = sys.argv[1] if sys.argv[1:] else "tcp://127.0.0.1:5555"
    loader = DataLoader(Sets(endpoint), batch_size=None)
    for number, (time_ns, frames) in enumerate(loader):
        print(time_ns, {name: (tuple(tensor.shape), float(tensor.float().mean())) for name, tensor in frames.items()})
        if number == 9:
            break
