"""A local HTTP endpoint that speaks as much of Ollama's interface as pgai's worker asks for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import orjson

from tests.bench.drain import Bare

Embed = Callable[[Sequence[str]], list[list[float]]]


@dataclass
class Endpoint:
    """Where it listens, and what it was asked to embed."""

    url: str
    texts: list[str] = field(default_factory=list[str])


@contextmanager
def serve(embed: Embed) -> Generator[Endpoint]:
    """Answer /api/embed by `embed` until the block ends; a ValueError of it is answered with status 400."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    endpoint = Endpoint(f"http://127.0.0.1:{server.server_address[1]}")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = orjson.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, answer = 200, {"model_info": {}}
            if self.path == "/api/embed":
                given = asked["input"]
                texts = [given] if isinstance(given, str) else given
                endpoint.texts.extend(texts)
                try:
                    answer = {"model": asked["model"], "embeddings": embed(texts), "prompt_eval_count": 0}
                except ValueError as error:
                    status, answer = 400, {"error": str(error)}
            body = orjson.dumps(answer)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server.RequestHandlerClass = Handler
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield endpoint
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def model(directory: str, batch: int) -> Embed:
    """Embed by the bare loop: the texts of a request sorted by length, in batches of a fixed count."""
    bare = Bare(directory)
    alone = threading.Lock()

    def embed(texts: Sequence[str]) -> list[list[float]]:
        with alone:
            return [vector.tolist() for vector in bare.embed(texts, batch)]

    return embed


def constant(dimensions: int) -> Embed:
    """Give every text one vector at once."""
    vector: list[float] = np.full(dimensions, dimensions**-0.5).tolist()
    return lambda texts: [vector] * len(texts)
