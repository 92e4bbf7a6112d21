"""The exception tree: what catches what, and that errors cross process boundaries intact."""

import inspect
import pickle
from pathlib import Path

import pytest

from syncsvc import errors

EXAMPLES = [
    errors.ConfigError("cams.yaml", "found 0, allowed: at least 1", line=7, key="groups.all.window_ms"),
    errors.ConfigError("cams.yaml", "is empty"),
    errors.UsageError("no such mode"),
    errors.UnknownGroup("tcp://127.0.0.1:5555", "yard2", ["yard", "lobby"]),
    errors.SourceError("north", "broke"),
    errors.SourceUnavailable("north", "timed out"),
    errors.AccessRefused("north", "cannot be opened: HTTP 401 Unauthorized"),
    errors.RecordingBroken("/videos/a.mkv", "breaks off"),
    errors.SourceEnded("bench", "ended"),
    errors.TransportError("a frame could not be moved"),
    errors.MemoryShortage("9 MiB wanted"),
    errors.DescriptorsLost("a message"),
    errors.SlotReclaimedError("slot 3 was rewritten"),
    errors.LinkClosed("gone"),
    errors.WireError("v: found 2"),
    errors.FrameReclaimedError("the frame was held for too long"),
    errors.FrameUndecodable("north", 7, "it is damaged"),
    errors.FrameWithoutPixels("north", 7),
    errors.NotExported("data.tar", "cannot be written: the disk is full"),
    errors.NotRecorded("tape/times.csv", "Permission denied"),
    errors.DiskFull("tape/times.csv", "No space left on device"),
    errors.StillsNotSaved("stills", [Path("a.jpg")], {0: "a.jpg: Is a directory"}),
    errors.SubscriptionEnded("over"),
    errors.SubscriberClosed("closed"),
    errors.BindError("tcp://127.0.0.1:5555", "is already in use"),
    errors.NoAnswer("tcp://127.0.0.1:5555", "nothing listens there"),
    errors.PoolError("the pool is closed"),
    errors.WorkerDied("two workers ended"),
    errors.CallCancelled("the call was cancelled"),
    errors.OnvifError("an answer is no XML"),
    errors.LoginRefused("wants a user and a password"),
    errors.LogError("seen.jsonl", "is no observation log", line=3),
]


def test_every_error_of_the_package_is_in_one_tree_and_has_an_example() -> None:
    kinds = {kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, Exception)}
    assert all(issubclass(kind, errors.SyncsvcError) for kind in kinds)
    assert kinds - {errors.SyncsvcError} == {type(example) for example in EXAMPLES}


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_crosses_a_process_boundary_with_its_attributes(error: errors.SyncsvcError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert (str(copy), copy.args, vars(copy)) == (str(error), error.args, vars(error))


def test_what_a_handler_can_act_on() -> None:
    assert issubclass(errors.SourceUnavailable, errors.SourceError)
    assert issubclass(errors.SourceEnded, errors.SourceError)
    assert issubclass(errors.UnknownGroup, errors.UsageError)
    assert not issubclass(errors.SourceEnded, errors.SourceUnavailable)
    for kind in (errors.MemoryShortage, errors.SlotReclaimedError, errors.LinkClosed):
        assert issubclass(kind, errors.TransportError)


def test_a_refused_configuration_names_file_line_and_key() -> None:
    assert str(EXAMPLES[0]) == "cams.yaml:7: groups.all.window_ms: found 0, allowed: at least 1"
    assert str(EXAMPLES[1]) == "cams.yaml: is empty"
    assert str(EXAMPLES[4]) == "source 'north': broke"
