"""Files that hold secrets: what is read of them, and what is refused because others can read it too."""

from pathlib import Path
from typing import Any

import pytest
import zmq
import zmq.auth
from click.testing import CliRunner

from syncsvc import Subscriber
from syncsvc.cli import main
from syncsvc.config.loader import load
from syncsvc.daemon.reload import refuse_unreloadable, with_present_clients
from syncsvc.errors import ConfigError

CANARY = "canary-3f9c1b7a"
STREAMS = "streams: {a: {url: 'synthetic:'}}\n"
KEYS = "security: {keys: k, clients: k/clients}\n"


def syncsvc(*words: str | Path) -> Any:
    result = CliRunner().invoke(main, [str(word) for word in words])
    return result


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    assert syncsvc("keys", "new", tmp_path / "k").exit_code == 0
    assert syncsvc("keys", "client", tmp_path / "k", "alice").exit_code == 0
    return tmp_path / "k"


def written(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "syncsvc.yaml"
    path.write_text(STREAMS + text)
    path.chmod(mode)
    return path


def test_keys_are_files_of_pyzmq_and_secrets_are_for_their_owner_alone(keys: Path) -> None:
    public, secret = zmq.auth.load_certificate(keys / "server.key_secret")
    assert secret is not None
    assert zmq.curve_public(secret) == public == zmq.auth.load_certificate(keys / "server.key")[0]
    client, own = zmq.auth.load_certificate(keys / "alice" / "client.key_secret")
    assert own is not None
    assert zmq.auth.load_certificates(keys / "clients") == {client: True}
    assert sorted(path.name for path in (keys / "alice").iterdir()) == ["client.key_secret", "server.key"]
    secrets = [keys / "server.key_secret", keys / "alice" / "client.key_secret"]
    assert {path.stat().st_mode & 0o777 for path in secrets} == {0o600}
    assert {path.stat().st_mode & 0o777 for path in (keys, keys / "clients", keys / "alice")} == {0o700}


def test_what_enrols_a_client_is_one_paste_elsewhere(keys: Path, tmp_path: Path) -> None:
    import subprocess

    paste = syncsvc("keys", "client", keys, "bob").stdout
    said = subprocess.run(["sh"], input=paste, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert said == f"export SYNCSVC_KEYS={tmp_path / 'syncsvc-bob'}\n"
    for name in ("client.key_secret", "server.key"):
        assert (tmp_path / "syncsvc-bob" / name).read_text() == (keys / "bob" / name).read_text()
    assert (tmp_path / "syncsvc-bob" / "client.key_secret").stat().st_mode & 0o777 == 0o600


def test_the_list_is_what_the_folder_holds_and_a_revoked_client_is_off_it_whatever_else_is_wrong(
    keys: Path, tmp_path: Path
) -> None:
    path = written(tmp_path, KEYS)
    before = load(path)
    assert before.guard is not None
    assert list(before.guard.clients.values()) == ["alice"]
    assert syncsvc("keys", "revoke", keys, "alice").exit_code == 0
    assert not (keys / "alice").exists()
    now = with_present_clients(before)
    assert now.guard is not None
    assert now.guard.clients == {}
    assert now.streams == before.streams


def test_other_keys_of_the_service_need_a_restart(keys: Path, tmp_path: Path) -> None:
    path = written(tmp_path, KEYS)
    before = load(path)
    for file in ("server.key", "server.key_secret"):
        (keys / file).unlink()
    assert syncsvc("keys", "new", keys).exit_code == 0
    with pytest.raises(ConfigError, match="own keys cannot change"):
        refuse_unreloadable(path, before, load(path))
    with pytest.raises(ConfigError, match=r"security: cannot change"):
        refuse_unreloadable(path, before, load(written(tmp_path, "")))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644, 0o777])
def test_a_secret_key_that_others_can_read_or_change_is_refused(keys: Path, tmp_path: Path, mode: int) -> None:
    (keys / "server.key_secret").chmod(mode)
    with pytest.raises(ConfigError, match=f"security.keys: .*server.key_secret: found mode {mode:04o}: .*chmod 600"):
        load(written(tmp_path, KEYS))
    secret = keys / "alice" / "client.key_secret"
    secret.chmod(mode)
    with pytest.raises(ConfigError, match=f"client.key_secret: found mode {mode:04o}"):
        Subscriber("tcp://127.0.0.1:1", keys=keys / "alice")
    result = syncsvc("tail", "tcp://127.0.0.1:1", "--keys", keys / "alice")
    assert (result.exit_code, result.stderr.count("\n")) == (78, 1)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (f"security: {{http_token: '{CANARY}'}}\n", "security.http_token"),
        (f"  b: {{url: 'rtsp://user:{CANARY}@10.0.0.1/'}}\nsecurity: {{}}\n", "streams.b.url"),
    ],
)
def test_a_configuration_with_a_secret_written_out_that_everybody_can_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, key: str
) -> None:
    monkeypatch.setattr(f"{__name__}.STREAMS", "streams:\n  a: {url: 'synthetic:'}\n")
    with pytest.raises(ConfigError) as caught:
        load(written(tmp_path, text, 0o644))
    assert f"{key}: a secret is written here" in str(caught.value)
    assert "chmod 640" in str(caught.value)
    assert CANARY not in str(caught.value)
    load(written(tmp_path, text, 0o640))
    monkeypatch.setenv("CANARY_TOKEN", CANARY)
    load(written(tmp_path, text.replace(CANARY, "${CANARY_TOKEN}"), 0o644))


@pytest.mark.parametrize(
    ("broken", "key", "found"),
    [
        ("server.key_secret", "keys", "no `public-key`"),
        ("clients/alice.key", "clients", "no `public-key`"),
    ],
)
def test_what_is_no_certificate_is_named(keys: Path, tmp_path: Path, broken: str, key: str, found: str) -> None:
    (keys / broken).write_text(CANARY)
    with pytest.raises(ConfigError, match=f"security.{key}: .*{broken}: found {found}") as caught:
        load(written(tmp_path, KEYS))
    assert CANARY not in str(caught.value)
    (keys / broken).write_text(f'curve\n    public-key = "{CANARY}"\n    secret-key = "{CANARY}"\n')
    with pytest.raises(ConfigError, match="not 40 characters") as caught:
        load(written(tmp_path, KEYS))
    assert CANARY not in str(caught.value)


def test_folders_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"security.*: .*found no folder of clients .*syncsvc keys new DIR"):
        load(written(tmp_path, KEYS))
    result = syncsvc("tail", "tcp://127.0.0.1:1", "--keys", tmp_path / "nowhere")
    assert result.exit_code == 78
    assert "nowhere/client.key_secret: found no readable certificate" in result.stderr


def test_nothing_that_is_printed_of_a_configuration_or_of_keys_has_a_secret(keys: Path, tmp_path: Path) -> None:
    config = load(written(tmp_path, f"security: {{keys: k, clients: k/clients, http_token: {CANARY}}}\n"))
    assert config.guard is not None
    secret = config.guard.keys.secret.decode()
    for shown in (repr(config), str(config.security), repr(config.guard), repr(config.guard.keys)):
        assert CANARY not in shown
        assert secret not in shown
    assert CANARY in config.secrets


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("new", "k"), "is there already"),
        (("client", "k", "alice"), "is there already"),
        (("client", "k", "../x"), "a-z 0-9"),
        (("client", "k", "server"), "but clients, server, client"),
        (("client", "elsewhere", "x"), "elsewhere/server.key: found no readable certificate"),
        (("revoke", "k", "bob"), "no such client; there is: alice"),
    ],
)
def test_bad_words_for_keys_get_one_line(
    keys: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(keys.parent)
    result = syncsvc("keys", *words)
    assert result.exit_code in (2, 78)
    assert result.stderr.count("\n") == 1
    assert said in result.stderr
