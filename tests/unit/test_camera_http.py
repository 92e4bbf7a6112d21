"""What cameras ask of who logs in over HTTP."""

import ssl

import pytest

from syncsvc.camera_http import digest_answer, tls_context

CHALLENGE = (
    'realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc069c403ebaf9f0171e9517f40e41"'
)
URL = "http://www.nowhere.org/dir/index.html"


def test_a_digest_is_that_of_the_standards_example() -> None:
    answer = digest_answer(CHALLENGE, "GET", URL, "Mufasa", "Circle Of Life")
    assert answer is not None
    assert answer.startswith("Digest ")
    assert 'response="670fd8c2df070c60b045671b8b24ff02"' in answer, "of RFC 2617, 3.5, without qop"
    assert "Circle" not in answer


def test_another_method_has_another_digest_and_an_unknown_algorithm_is_refused() -> None:
    posted = digest_answer(CHALLENGE, "POST", URL, "Mufasa", "Circle Of Life")
    assert posted is not None
    assert "670fd8c2df070c60b045671b8b24ff02" not in posted
    with pytest.raises(ValueError, match="SHA-512"):
        digest_answer(f"{CHALLENGE}, algorithm=SHA-512-256", "GET", URL, "Mufasa", "Circle Of Life")


def test_cameras_sign_their_own_certificates() -> None:
    assert (tls_context().verify_mode, tls_context().check_hostname) == (ssl.CERT_NONE, False)
