"""Fetching a small file whose size and SHA-256 are known beforehand.

    data = fetch(address, 17536, "1be2…", progress)

The file is kept in memory, so nothing is on the disk before it has been checked. Standard library only.
"""

from __future__ import annotations

import hashlib
import http.client
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable

CHUNK = 2**14
PATIENCE = 20.0  # seconds without a single byte
WITHOUT_TLS: frozenset[str] = (
    frozenset()
)  # hosts that may answer over plain http: none; tests name their own server


class DownloadFailed(RuntimeError):
    """The file could not be fetched, or is not the one expected. The message is half a sentence: the reason."""


def fetch(
    address: str,
    size: int,
    sha256: str,
    progress: Callable[[int, int], None] = lambda done, total: None,
    patience: float = PATIENCE,
) -> bytes:
    """The bytes at an https address.

    progress(done, total) is called with each piece; what it raises (a cancel) ends the download. patience: seconds
    to wait for the next bytes. Raises DownloadFailed.
    """
    _require_secure(address)
    host = urllib.parse.urlsplit(address).hostname
    progress(0, size)
    try:
        request = urllib.request.Request(
            address, headers={"User-Agent": "ComfyUI-HRV", "Accept-Encoding": "identity"}
        )
        with _opener().open(request, timeout=patience) as answer:
            return _checked(_receive(answer, size, progress), size, sha256)
    except urllib.error.HTTPError as error:
        error.close()
        raise DownloadFailed(f"{host} answered {error.code} {str(error.reason).splitlines()[0]}") from None
    except TimeoutError:
        raise DownloadFailed(f"{host} sent nothing for {patience:g} seconds") from None
    except urllib.error.URLError as error:
        if isinstance(error.reason, TimeoutError):
            raise DownloadFailed(f"{host} sent nothing for {patience:g} seconds") from None
        raise DownloadFailed(f"{host} cannot be reached ({error.reason})") from None
    except (http.client.HTTPException, OSError) as error:
        raise DownloadFailed(f"the connection to {host} broke ({type(error).__name__}: {error})") from None


def _receive(answer, size: int, progress: Callable[[int, int], None]) -> bytearray:
    announced = answer.headers.get("Content-Length", "")
    if announced.isdigit() and int(announced) != size:
        raise DownloadFailed(f"the file there has {announced} bytes, expected {size}")
    data = bytearray()
    while piece := answer.read1(CHUNK):
        data += piece
        if len(data) > size:
            raise DownloadFailed(f"the file there has more than the expected {size} bytes")
        progress(len(data), size)
    return data


def _checked(data: bytearray, size: int, sha256: str) -> bytes:
    if len(data) < size:
        raise DownloadFailed(f"the connection was cut after {len(data)} of {size} bytes")
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise DownloadFailed(f"the file there is not the expected one (SHA-256 {found}, expected {sha256})")
    return bytes(data)


class _SecureRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req, fp, code, msg, headers, newurl):
        _require_secure(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _require_secure(address: str) -> None:
    parts = urllib.parse.urlsplit(address)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in WITHOUT_TLS):
        raise DownloadFailed(f"{address} is not a secure address (https)")


def _opener() -> urllib.request.OpenerDirector:
    context = ssl.create_default_context()
    try:
        import certifi

        context.load_verify_locations(certifi.where())  # some Pythons come without any certificates
    except ImportError:
        pass
    return urllib.request.build_opener(_SecureRedirects, urllib.request.HTTPSHandler(context=context))
