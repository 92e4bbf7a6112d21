"""A certificate of ours: which names it is for, and what is refused as none."""

import shutil
import ssl
from pathlib import Path

import pytest

from syncsvc.errors import ConfigError
from syncsvc.tls import names_of, server_context

PEM = Path(__file__).parent.parent / "e2e" / "camera.pem"


def test_the_names_of_a_certificate_are_those_that_its_clients_read() -> None:
    context = server_context(PEM, PEM)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert all(name == name.lower() for name in names_of(PEM, context))


@pytest.mark.parametrize(("text", "said"), [("nonsense", "one of them is none"), (None, "No such file")])
def test_what_is_no_certificate_is_refused(tmp_path: Path, text: str | None, said: str) -> None:
    cert = tmp_path / "cert.pem"
    if text is not None:
        cert.write_text(text)
    with pytest.raises(ConfigError, match=said):
        server_context(cert, PEM)
    shutil.copy(PEM, cert)
    server_context(cert, PEM)
