"""Who hands out the tests: what starts processes to most workers, what only reckons to the one in the background."""

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import pytest

from tests.turns import ByNeed, background_of

LONG = [f"tests/e2e/test_{name}.py::test_{number}" for name in "ab" for number in range(9)]
SHORT = [f"tests/unit/test_{name}.py::test_{number}" for name in "abc" for number in range(4)]


class Worker:
    """A worker that only remembers what it is sent."""

    def __init__(self, number: int) -> None:
        self.gateway = self
        self.id = f"gw{number}"
        self.waiting: list[int] = []
        self.shutting_down = False

    def send_runtest_some(self, indices: Iterable[int]) -> None:
        self.waiting += indices

    def shutdown(self) -> None:
        self.shutting_down = True


def handed_out(collection: list[str], count: int) -> list[list[str]]:
    """Who runs what, where each worker in turn ends one test."""
    options = SimpleNamespace(loadscopereorder=False)
    config: Any = SimpleNamespace(getvalue=lambda _: [f"{count}*popen"], option=options)
    scheduling = ByNeed(config, any_of(SimpleNamespace(loadscopesched=lambda *_: None)))
    workers, ran = [Worker(number) for number in range(count)], [list[str]() for _ in range(count)]
    for worker in workers:
        scheduling.add_node(any_of(worker))
    for worker in workers:
        scheduling.add_node_collection(any_of(worker), collection)
    scheduling.schedule()
    while any(worker.waiting for worker in workers):
        for worker, its in zip(workers, ran, strict=True):
            if worker.waiting:
                its.append(collection[index := worker.waiting.pop(0)])
                scheduling.mark_test_complete(any_of(worker), index)
    assert all(worker.shutting_down for worker in workers)
    return ran


def any_of(fake: object) -> Any:
    return fake


def test_the_last_worker_only_reckons_and_the_others_help_when_everything_else_is_begun() -> None:
    ran = handed_out(LONG + SHORT, 3)
    assert sorted(test for its in ran for test in its) == sorted(LONG + SHORT)
    assert set(ran[2]) <= set(SHORT)
    assert ran[2][:4] == SHORT[:4]
    assert [test for test in ran[0] + ran[1] if test in LONG] == LONG[::2] + LONG[1::2]
    for its in ran[:2]:
        assert its == sorted(its, key=SHORT.__contains__), "what reckons comes last"


def test_the_background_ends_where_nothing_is_left_that_reckons() -> None:
    ran = handed_out(LONG + SHORT[:4], 3)
    assert ran[2] == SHORT[:4]
    assert sorted(ran[0] + ran[1]) == LONG


@pytest.mark.parametrize("collection", [LONG, SHORT])
def test_there_is_no_background_where_all_tests_are_alike(collection: list[str]) -> None:
    assert background_of(collection, 3) is None
    ran = handed_out(collection, 3)
    assert sorted(test for its in ran for test in its) == collection
    assert all(ran)


def test_one_worker_is_not_the_background() -> None:
    assert background_of(LONG + SHORT, 1) is None
    assert background_of(LONG + SHORT, 2) == "gw1"
