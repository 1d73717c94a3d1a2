"""A proxy before an S3 server that does to chosen requests what networks and servers do."""

import http.client
import socket
import struct
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


def answer_lost(handler, forward):
    """The request takes effect; the connection breaks before its answer."""
    forward()
    reset(handler, forward)


def reset(handler, _forward):
    """The connection breaks before the request takes effect."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    handler.close_connection = True


def cut(handler, forward):
    """The connection ends in the middle of the body, orderly."""
    status, headers, body = forward()
    handler.reply(status, headers, body[: len(body) // 2], announced=len(body))
    handler.close_connection = True


def says(status, code):
    """An S3 error; HEAD has no body, so there the status is all."""

    def fault(handler, _forward):
        body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>so be it</Message></Error>".encode()
        handler.reply(status, {"Content-Type": "application/xml"}, b"" if handler.command == "HEAD" else body)

    return fault


class Proxy(ThreadingHTTPServer):
    """Forwards to an endpoint. `faults` take, in order, one request each; `repeated` takes the first of each kind."""

    daemon_threads = True

    def __init__(self, endpoint):
        self.backend = urlsplit(endpoint)
        self.faults, self.repeated, self.requests = [], None, []
        self._seen, self._lock = set(), threading.Lock()
        super().__init__(("127.0.0.1", 0), _Handler)

    def plan(self, *faults):
        """What befalls the next requests, given as (method, fault); a request of another method passes."""
        self.faults = list(faults)

    def next_fault(self, method, path):
        with self._lock:
            self.requests.append((method, path))
            if self.repeated and (method, path) not in self._seen:
                self._seen.add((method, path))
                return self.repeated
            if self.faults and self.faults[0][0] == method:
                return self.faults.pop(0)[1]
        return None

    def handle_error(self, request, client_address):
        pass  # connections break here on purpose


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))

        def forward():
            backend = http.client.HTTPConnection(self.server.backend.netloc, timeout=10)
            try:
                headers = {name: value for name, value in self.headers.items() if name.lower() != "expect"}
                backend.request(self.command, self.path, body, headers)
                answer = backend.getresponse()
                return answer.status, dict(answer.getheaders()), answer.read()
            finally:
                backend.close()

        fault = self.server.next_fault(self.command, urlsplit(self.path).path)
        if fault:
            fault(self, forward)
        else:
            self.reply(*forward())

    do_PUT = do_HEAD = do_DELETE = do_GET  # noqa: N815  names that http.server looks for

    def reply(self, status, headers, body, announced=None, spelling=str.lower):
        self.send_response_only(status)
        lower = {name.lower(): value for name, value in headers.items()}
        length = lower.get("content-length", "0") if self.command == "HEAD" else str(announced or len(body))
        for name, value in {**lower, "content-length": length}.items():
            if name not in {"transfer-encoding", "connection"}:
                self.send_header(spelling(name), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@contextmanager
def proxy(endpoint):
    """A proxy before an endpoint, on this machine."""
    with Proxy(endpoint) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
