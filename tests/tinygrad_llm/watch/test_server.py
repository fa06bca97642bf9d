"""The server: it listens here, answers this machine, serves three files and live events."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.train.config import make_config, to_toml
from tinygrad_llm.watch.server import _listen, announced, application, is_own, who_is_at


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.toml").write_text(to_toml(make_config({})))
    (folder / "metrics.jsonl").write_text('{"step": 1, "loss": 2.5}\n')
    return folder


@pytest.fixture
def port(run: Path) -> Iterator[int]:
    """A server at work, on its own thread."""
    listening = _listen("127.0.0.1", 0)
    app = application([run], stopping=lambda: server.should_exit)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off",
                                           server_header=False, timeout_graceful_shutdown=2))
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    yield listening.getsockname()[1]
    server.should_exit = True
    thread.join()
    listening.close()


def answer(port: int, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    read = response.status, dict(response.getheaders()), response.read()
    connection.close()
    return read


def test_the_page_is_served_and_nothing_else(port: int) -> None:
    for path, begin in (("/", b"<!doctype html>"), ("/page.js", b""), ("/page.css", b"")):
        status, headers, content = answer(port, path)
        assert status == 200 and content.lower().startswith(begin) and content
        assert "default-src 'none'" in headers["content-security-policy"]
    for path in ("/server.py", "/../runs.py", "/page.html/../server.py", "/config.toml"):
        assert answer(port, path)[0] == 404


def test_a_page_from_elsewhere_is_refused(port: int) -> None:
    for path in ("/", "/events"):
        assert answer(port, path, Host=f"evil.example:{port}")[0] == 403
    assert answer(port, "/", Host=f"localhost:{port}")[0] == 200
    assert is_own("[::1]:8400", "127.0.0.1") and is_own("my.box:1", "my.box")
    assert not is_own("", "127.0.0.1") and not is_own("localhost.evil.example", "127.0.0.1")


def event(response: http.client.HTTPResponse) -> Any:
    """Return the next message of a stream of events."""
    while not (line := response.readline()).startswith(b"data: "):
        assert line, "the stream has ended"
    return json.loads(line.removeprefix(b"data: "))


def test_records_come_live(port: int, run: Path) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/events")
    response = connection.getresponse()
    assert response.getheader("content-type", "").startswith("text/event-stream")
    assert event(response)["runs"][0]["name"] == str(run)
    assert event(response)["records"] == [{"step": 1, "loss": 2.5}]
    with open(run / "metrics.jsonl", "a") as file:
        file.write('{"step": 2, "loss": 2.25}\n')
    assert event(response)["records"] == [{"step": 2, "loss": 2.25}]
    connection.close()


def test_a_port_in_use_is_named_with_what_is_there(port: int, run: Path) -> None:
    with pytest.raises(UserError, match=rf"port {port} is in use by another 'tinygrad-llm watch', "
                                        rf"of {run}: open http://127.0.0.1:{port}/"):
        _listen("127.0.0.1", port)
    with socket.create_server(("127.0.0.1", 0)) as other:
        number = other.getsockname()[1]
        with pytest.raises(UserError, match=f"port {number} is in use by another program"):
            _listen("127.0.0.1", number)
    with pytest.raises(UserError, match="cannot listen on 203.0.113.7"):
        _listen("203.0.113.7", 0)


def test_without_a_port_the_next_free_one_is_taken_and_said(
        port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinygrad_llm.watch.server.PORT", port)
    with _listen("127.0.0.1", None) as listening:
        found = listening.getsockname()[1]
        assert port < found < port + 20
    line = announced(f"http://127.0.0.1:{found}/", None)
    assert f"port {port} is in use by another 'tinygrad-llm watch'" in line
    assert who_is_at("127.0.0.1", port).startswith("another 'tinygrad-llm watch'")
