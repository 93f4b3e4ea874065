"""An HTTP server on loopback for a WSGI application. Like AWS, it keeps connections open for further calls.

werkzeug's own handler closes the connection after each answer and then waits for more data, which doubles the time of a
call: a new connection and a new thread on this side, a new connection in the SDK.
"""

import io
import socket
import threading
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from http import HTTPStatus
from typing import Any

import structlog
from moto.moto_server.werkzeug_app import MotoRequestHandler
from werkzeug.datastructures import Headers
from werkzeug.serving import ThreadedWSGIServer
from werkzeug.test import run_wsgi_app

HOST = "127.0.0.1"
STOP_POLL = 0.02  # seconds; how soon the server notices a stop
BUFFER = 65_536  # bytes of an answer that are sent in one write

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
log = structlog.get_logger(__name__)


class HttpServer:
    """Serves until `stop`, in threads of its own. Port 0 is any free port; `endpoint` is the address."""

    def __init__(self, application: Application, *, port: int = 0, name: str = "sandbox-aws") -> None:
        self._server = _Server(HOST, port, application, handler=_Handler)
        self.endpoint = f"http://{HOST}:{self._server.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(STOP_POLL,), name=name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Accept no more connections, and close all open ones."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        for connection in list(self._server.connections):
            _close(connection)


class _Server(ThreadedWSGIServer):
    """The listening socket. `connections` are the open ones."""

    connections: set[socket.socket]

    def server_activate(self) -> None:
        self.connections = set()
        super().server_activate()

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.connections.discard(request)
        super().shutdown_request(request)


class _Handler(MotoRequestHandler):
    """Answers the requests of one connection. moto's class restores the names of headers that werkzeug drops."""

    protocol_version = "HTTP/1.1"
    wbufsize = BUFFER

    def finish(self) -> None:
        with suppress(ConnectionError), closing(self.rfile):  # if the client is gone, so is the rest of the answer
            super().finish()

    def handle_expect_100(self) -> bool:
        """Let the client send the body of its request."""
        proceeds = super().handle_expect_100()
        self.wfile.flush()
        return proceeds

    def run_wsgi(self) -> None:
        """Answer one request. The application raises ConnectionError to close the connection without an answer."""
        if "Transfer-Encoding" in self.headers:
            self.send_error(HTTPStatus.LENGTH_REQUIRED)
            return
        environ = self.make_environ()
        environ["wsgi.input"] = io.BytesIO(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        try:
            parts, status, headers = run_wsgi_app(self.server.app, environ, buffered=True)
        except ConnectionError:
            raise
        except Exception:  # a crash of the application: its caller gets an answer, and the log the reason
            log.exception("sandbox_operation_failed", operation=self.path)
            self.send_error(HTTPStatus.INTERNAL_SERVER_ERROR)
            return
        self._send(status, headers, b"".join(parts))

    def _send(self, status: str, headers: Headers, body: bytes) -> None:
        code, _, reason = status.partition(" ")
        self.send_response_only(int(code), reason)
        headers.setdefault("Content-Length", str(len(body)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log(self, *_: object) -> None:
        """Print nothing: the call log has more details than a line per request on stderr."""


def _close(connection: socket.socket) -> None:
    with suppress(OSError):  # the other side was faster
        connection.shutdown(socket.SHUT_RDWR)
