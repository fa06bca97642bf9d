"""`tinygrad-llm watch`: it says where the page is, and ends with Ctrl-C."""

from __future__ import annotations

import http.client
import re
import signal
import sys
from pathlib import Path

import pytest
from command_line import command, error_of

from tinygrad_llm.cli import main
from tinygrad_llm.train.config import make_config, to_toml


def write_run(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text(to_toml(make_config({})))
    return folder


@pytest.mark.skipif(sys.platform == "win32", reason="a process there gets no SIGINT")
def test_it_serves_until_ctrl_c(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()  # the first run is to come
    process = command("watch", cwd=tmp_path)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("there is no run yet; the page shows the first")
    line = process.stdout.readline()
    found = re.match(r"watching at http://127\.0\.0\.1:(\d+)/.*; Ctrl-C ends it\n", line)
    assert found, line + process.communicate()[1]
    connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=10)
    connection.request("GET", "/")
    assert connection.getresponse().status == 200
    connection.close()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130 and "Traceback" not in errors, errors


def test_bad_input_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                            monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "runs/tiny")
    assert f"did you mean {Path('runs/tiny')}?" in error_of(capsys, "watch", "runs/tinny")
    with pytest.raises(SystemExit):
        main(["watch", "--port", "99999"])
    assert "expected a port, 1 to 65535, got '99999'" in capsys.readouterr().err
    for name in ("tinygrad_llm.watch", "tinygrad_llm.watch.server"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "starlette.applications", None)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert 'pip install "tinygrad_llm[serve]"' in error_of(capsys, "watch", "runs/tiny")
