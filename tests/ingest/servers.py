"""Real HTTP servers on this machine, for tests of downloads: whole, broken off, refused, with sums beside them."""

import hashlib
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from recsys.ingest.download.mirrors import Policy

CONTENT = bytes(range(256)) * 1_000  # 256,000 bytes
MD5 = hashlib.md5(CONTENT).hexdigest()
FAST = Policy(n_attempts=3, first_wait_s=0.01, timeout_s=5, progress_s=0.0)


class QuietServer(ThreadingHTTPServer):
    """Clients that hang up, or refuse the certificate, are what these tests are about: no traces of them."""

    def handle_error(self, request, client_address):
        pass


@contextmanager
def serving(answer, tls=None, sidecar=None, sidecar_encoding="identity"):
    """A server that lets `answer(handler, number)` reply to the number-th request; yields address and requests.

    What it has beside the archive (`<address>.md5`) is `sidecar(number)`, or nothing.
    """
    requests = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path.endswith(".md5"):
                text = sidecar(len(requests)) if sidecar else None
                body = text if isinstance(text, bytes) else (text or "").encode()
                headers = {"Content_Type": "text/plain", "Content_Encoding": sidecar_encoding}
                reply(self, body, 404 if text is None else 200, **headers)
                return
            requests.append(dict(self.headers.items()))
            answer(self, len(requests))

        def log_message(self, *args):
            pass

    server = QuietServer(("127.0.0.1", 0), Handler)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/ml.zip", requests
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def reply(handler, body=CONTENT, status=200, declared=None, **headers):
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(declared or len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def with_ranges(handler, content=CONTENT, etag='"v1"', break_at=None):
    """Answer as a server that knows Range and If-Range; hang up after `break_at` bytes."""
    asked = handler.headers.get("Range")
    may_continue = handler.headers.get("If-Range") in (None, etag)
    start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and may_continue else 0
    body = content[start:]
    headers = {"ETag": etag, "Content_Type": "application/zip"}
    if start:
        headers["Content_Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
    reply(handler, body[:break_at], 206 if start else 200, declared=len(body), **headers)
    if break_at is not None:
        handler.close_connection = True
