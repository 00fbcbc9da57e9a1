"""Downloads against a local HTTP server that misbehaves in every way that servers do."""

import hashlib
import http.server
import threading
import time
import urllib.request

import pytest

from hrv_pack.host.store import downloads
from hrv_pack.host.store.downloads import DownloadFailed, fetch

DATA = bytes(range(256)) * 400  # 102 400 bytes
SHA256 = hashlib.sha256(DATA).hexdigest()


class Server(http.server.BaseHTTPRequestHandler):
    """Each path is one manner of serving DATA."""

    def do_GET(self):
        getattr(self, self.path.strip("/"))()

    def send(self, data=DATA, length=None, status=200, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if length is not False:
            self.send_header("Content-Length", str(len(data) if length is None else length))
        self.end_headers()
        self.wfile.write(data)

    def good(self):
        self.send()

    def without_length(self):
        self.send(length=False)

    def slow(self):
        self.send(b"", len(DATA))
        for start in range(0, len(DATA), 10240):
            time.sleep(0.05)
            self.wfile.write(DATA[start : start + 10240])

    def stalled(self):
        self.send(DATA[:1000], len(DATA))
        time.sleep(1.5)

    def silent(self):
        time.sleep(1.5)

    def cut_off(self):
        self.send(DATA[:5000], len(DATA))

    def cut_off_without_length(self):
        self.send(DATA[:5000], length=False)

    def wrong_hash(self):
        self.send(DATA[::-1])

    def wrong_size(self):
        self.send(DATA + b"more")

    def endless(self):
        self.send(DATA * 50, length=False)

    def redirect(self):
        self.send(b"", status=302, Location="/good")

    def redirect_to_http(self):
        self.send(b"", status=302, Location="http://example.com/good")

    def redirect_to_file(self):
        self.send(b"", status=302, Location="file:///etc/passwd")

    def redirect_in_circles(self):
        self.send(b"", status=302, Location="/redirect_in_circles")

    def missing(self):
        self.send(b"not here", status=404)

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def server():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    server.handle_error = lambda *args: None  # a client that gives up is what is tested
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def plain(monkeypatch):
    """Lets the local server answer without a certificate."""
    monkeypatch.setattr(downloads, "WITHOUT_TLS", {"127.0.0.1", "localhost"})


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("manner", ["good", "without_length", "slow", "redirect"])
def test_it_arrives(server, manner):
    seen = []
    assert (
        fetch(f"{server}/{manner}", len(DATA), SHA256, lambda done, total: seen.append((done, total))) == DATA
    )
    assert seen[0] == (0, len(DATA)) and seen[-1] == (len(DATA), len(DATA)) and seen == sorted(seen)


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize(
    ("manner", "reason"),
    [
        ("stalled", "127.0.0.1 sent nothing for 0.5 seconds"),
        ("silent", "127.0.0.1 sent nothing for 0.5 seconds"),
        ("cut_off", "cut after 5000 of 102400 bytes|connection to 127.0.0.1 broke"),
        ("cut_off_without_length", "cut after 5000 of 102400 bytes"),
        ("wrong_hash", f"not the expected one .*{SHA256}"),
        ("wrong_size", "has 102404 bytes, expected 102400"),
        ("endless", "more than the expected 102400 bytes"),
        ("redirect_to_http", "http://example.com/good is not a secure address"),
        ("redirect_to_file", "not a secure address|not allowed"),
        ("redirect_in_circles", "answered 302"),
        ("missing", "127.0.0.1 answered 404 Not Found"),
    ],
)
def test_it_fails_with_a_reason_in_one_line(server, manner, reason):
    with pytest.raises(DownloadFailed, match=reason) as error:
        fetch(f"{server}/{manner}", len(DATA), SHA256, patience=0.5)
    print(error.value)
    assert "\n" not in str(error.value)


def test_nothing_is_fetched_over_http_and_no_redirect_leads_there(server):
    """Neither from another computer nor from this one: what listens on localhost may be anybody's."""
    for address in (
        f"{server}/good",
        "http://localhost/x",
        "http://[::1]/x",
        "ftp://example.com/x",
        "file:///etc/passwd",
    ):
        with pytest.raises(DownloadFailed, match="is not a secure address"):
            fetch(address, len(DATA), SHA256)
        with pytest.raises(DownloadFailed, match="is not a secure address"):
            request = urllib.request.Request("https://example.com/file")
            downloads._SecureRedirects().redirect_request(request, None, 302, "Found", {}, address)


@pytest.mark.usefixtures("plain")
def test_offline_and_insecure():
    with pytest.raises(DownloadFailed, match="localhost cannot be reached .*refused"):
        fetch("http://localhost:9/file", 1, SHA256)
    with pytest.raises(DownloadFailed, match="not a secure address"):
        fetch("http://example.com/file", 1, SHA256)


@pytest.mark.usefixtures("plain")
def test_cancel_ends_it_at_once(server):
    class Cancelled(Exception):
        pass

    seen = []

    def cancel(done, total):
        seen.append(done)
        if done:
            raise Cancelled

    with pytest.raises(Cancelled):
        fetch(f"{server}/slow", len(DATA), SHA256, cancel)
    assert len(seen) == 2 and seen[1] < len(DATA) / 2
