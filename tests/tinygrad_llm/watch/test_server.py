"""The server: it listens here, answers this machine, serves three files and live events."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from browser import CHROMIUM, Browser

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.train.config import make_config, to_toml
from tinygrad_llm.watch import server as module
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


def test_a_page_from_elsewhere_is_refused(port: int, run: Path) -> None:
    for path in ("/", "/events"):
        status, headers, content = answer(port, path, Host=f"evil.example:{port}")
        assert status == 403 and "server" not in headers and run.name not in str(content)
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
    with pytest.raises(UserError, match=r"cannot listen on a\.\.b, port 8400: .* another --host"):
        _listen("a..b", None)


def test_a_folder_whose_name_is_no_text_is_served() -> None:
    assert application([Path(os.fsdecode(b"run-\xff"))])


def test_without_a_port_the_next_free_one_is_taken_and_said(
        port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinygrad_llm.watch.server.PORT", port)
    with _listen("127.0.0.1", None) as listening:
        found = listening.getsockname()[1]
        assert port < found < port + 20
    line = announced(f"http://127.0.0.1:{found}/", None)
    assert f"port {port} is in use by another 'tinygrad-llm watch'" in line
    assert who_is_at("127.0.0.1", port).startswith("another 'tinygrad-llm watch'")


@pytest.mark.skipif(CHROMIUM is None, reason="a browser is needed")
def test_a_browser_draws_the_page_live(port: int, run: Path, tmp_path: Path) -> None:
    browser = Browser(tmp_path / "profile")
    try:
        browser.open(f"http://127.0.0.1:{port}/", 390, 844, phone=True)
        browser.until("document.title === '2.5 – run'")
        with open(run / "metrics.jsonl", "a") as file:
            file.write('{"step": 2, "loss": 2.25, "grad_norm": null}\n'
                       '{"step": 3, "sample": "to be"}\n')
        browser.until("document.querySelector('.sample pre')?.textContent === 'to be'")
        assert browser.value("document.title") == "2.25 – run"
        assert browser.value("document.documentElement.scrollWidth") == 390
        browser.value("document.querySelector('#charts canvas').focus()")
        browser.key("ArrowLeft")
        assert "step 2" in browser.value("$('tip').textContent")
        for _ in range(8):
            browser.key("ArrowLeft", shift=True)
        assert "step 1" in browser.value("$('tip').textContent")
        browser.key("Escape")
        assert browser.value("$('tip').hidden") and browser.errors == []
    finally:
        browser.close()


@pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is needed")
def test_the_page_computes_without_a_browser() -> None:
    script = Path(module.__file__).with_name("page.js").as_posix()
    done = subprocess.run(["node", "-e", f"""
        const p = require({script!r}), line = {{}};
        p.emptied(line);
        for (const step of [1, 2]) p.take(line, {{step, val_loss: 3 / step, batches: 20}});
        for (const batches of [5, 100, 40])
          p.take(line, {{step: 2, val_loss: 100 / batches, batches}});
        console.log(JSON.stringify([p.labelled([]), p.labelled(["runs/a"]),
          p.labelled(["runs/a", "runs/b/c"]), p.ticks(0, 10, false, 5), p.ticks(5, 5, false, 5),
          p.smoothed([2, 2, 2], 0.9).map(y => +y.toFixed(9)), p.nearest([1, 4, 9], 5),
          p.thinned([[0, 5], [0.1, 1], [0.2, 9], [0.3, 4], [0.4, 5], [1, 2]]).length,
          p.extremes([1, 9, 2, 3, 8, 0, 5, 5, 5, 4], 4), p.duration(3661),
          line.series.val_loss.y]))"""],
        check=True, capture_output=True, encoding="utf-8", timeout=20)
    assert json.loads(done.stdout) == [
        {}, {"runs/a": "a"}, {"runs/a": "a", "runs/b/c": "b/c"}, [0, 2, 4, 6, 8, 10], [5],
        [2, 2, 2], 1, 5, [0, 1, 5, 8, 9], "1:01 h", [3, 1]]


@pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is needed")
def test_scales_are_found_whatever_the_numbers() -> None:
    """A single value and its average differ by rounding alone, far from 0 more than a step does."""
    script = Path(module.__file__).with_name("page.js").as_posix()
    done = subprocess.run(["node", "-e", f"""
        const p = require({script!r}), counts = [];
        const values = Array.from({{length: 20000}}, () => 10 ** (12 * Math.random() - 6));
        for (const v of [1.6615700221288618, 3, 1e300, 1e-300, ...values])
          for (const log of [false, true]) {{
            const [low, high] = p.bounds([[v], p.smoothed([v, v, v], 0.6)], log);
            counts.push(p.ticks(low, high, log, 8.44).length);
          }}
        for (const x of [1, 1048576, 1e15]) counts.push(p.ticks(x, x + 1e-9, false, 9.4).length);
        counts.push(p.ticks(0, 10, true, 5).length);
        const many = Array.from({{length: 4000}}, (_, i) => 1.9 + i % 7 / 100);
        console.log(JSON.stringify([Math.min(...counts) > 0, Math.max(...counts),
          p.bounds([[...many, 50], [4.2, 4.1]], false), p.bounds([[], [NaN]], false)]))"""],
        check=True, capture_output=True, encoding="utf-8", timeout=20)
    some, most, (low, high), nothing = json.loads(done.stdout)
    assert some and most < 30 and nothing == [0, 1]
    assert 1.7 < low < 1.9 and 4.2 < high < 4.5, "one far off is cut, a short curve is not"
