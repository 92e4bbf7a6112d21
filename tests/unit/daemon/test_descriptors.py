"""How many open files a service needs, reckoned before it starts."""

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from syncsvc.config.loader import load
from syncsvc.config.models import Config
from syncsvc.daemon.descriptors import LEAST_GUESTS, MOST_GUESTS, guests, raise_limit, refuse_too_many, streams_share
from syncsvc.errors import ConfigError

PATH = Path("syncsvc.yaml")


@pytest.fixture
def limits() -> Iterator[tuple[int, int]]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield before
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def with_streams(folder: Path, number: int) -> Config:
    path = folder / f"{number}.yaml"
    path.write_text("streams:\n" + "".join(f"  c{one}: {{url: 'synthetic:'}}\n" for one in range(number)))
    return load(path)


def test_the_limit_is_raised_to_what_the_host_allows(limits: tuple[int, int]) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (limits[1] - 1, limits[1]))
    assert raise_limit() == limits[1]
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (limits[1], limits[1])


def test_streams_that_cannot_be_served_are_refused_with_the_arithmetic_and_the_remedy(tmp_path: Path) -> None:
    few, many = with_streams(tmp_path, 2), with_streams(tmp_path, 30)
    refuse_too_many(PATH, few, 128)
    with pytest.raises(ConfigError, match=r"syncsvc.yaml: streams: found 30 streams.* 264 open files.* 128 .*ulimit"):
        refuse_too_many(PATH, many, 128)


def test_what_subscribers_may_take_is_what_captures_leave(tmp_path: Path) -> None:
    config = with_streams(tmp_path, 30)
    assert guests(config, 1 << 20) == MOST_GUESTS
    assert guests(config, streams_share(config)) == LEAST_GUESTS
    assert 3 * guests(config, 1024) + streams_share(config) <= 1024
