"""`gwt data download` as a process against the loopback exchange: output, one-line errors, kills and interrupts."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from gwt_lab.cli import main
from gwt_lab.cli.app import app
from gwt_lab.data.catalog import Catalog
from gwt_lab.errors import ConfigError
from tests.exchange import faults
from tests.exchange.clients import SkippingClock
from tests.exchange.faults import Record
from tests.exchange.server import LoopbackExchange


@pytest.fixture
def exchange(monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackExchange]:
    with LoopbackExchange(seed=41) as server:
        monkeypatch.setenv("GWT_LOOPBACK_VENUE", server.url)
        yield server


def start(*arguments: str) -> subprocess.Popen[str]:
    # the console script is this call and nothing else
    program = "from gwt_lab.cli import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", program, "data", "download", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def run(*arguments: str) -> tuple[int, str, str]:
    process = start(*arguments)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def invoke(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["data", "download", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_it_downloads_and_says_what_came(exchange: LoopbackExchange) -> None:
    out = invoke("binance", "BTC/USDT,BTC/USDT:USDT", "1h", "--since", "2024-02-01", "--json")
    said = json.loads(out)
    assert (said["stored"], said["venue"], said["timeframe"]) == ("binance-1h", "binance", "1h")
    assert said["until"] == "2024-02-29T23:00:00+00:00"
    assert said["symbols"] == [
        {"symbol": "BTC/USDT", "bars": 696, "new": 696, "start": "2024-02-01T00:00:00+00:00",
         "end": "2024-02-29T23:00:00+00:00", "missing": 0, "new_funding": 0, "new_rules": 1},
        {"symbol": "BTC/USDT:USDT", "bars": 696, "new": 696, "start": "2024-02-01T00:00:00+00:00",
         "end": "2024-02-29T23:00:00+00:00", "missing": 0, "new_funding": 87, "new_rules": 1},
    ]  # fmt: skip
    assert said["hash"] == Catalog().read("binance-1h").content_hash
    assert said["requests"] == len(exchange.log)


def test_people_get_a_table(exchange: LoopbackExchange) -> None:
    out = invoke(
        "binance", "BTC/USDT, ETH/USDT", "4h", "--since", "2024-02-01", "--until", "2024-02-10", "--name", "mine"
    )
    assert "mine: 4h bars of binance, 4 requests" in out
    assert re.search(r"ETH/USDT .* 55 .* 55 .*2024-02-01 00:00 .*2024-02-10 00:00", out)
    assert Catalog().timeframe("mine") == "4h"
    assert re.search(r"ETH/USDT .* 55 .* 0 ", invoke("binance", "ETH/USDT", "4h", "--since", "2024-02-01",
                                                      "--until", "2024-02-10", "--name", "mine"))  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["binanse", "BTC/USDT", "1h", "--since", "2024-01-01"], "ccxt knows no exchange 'binanse'; did you mean"),
        (["binance", "BTC/USTD", "1h", "--since", "2024-01-01"], "no market 'BTC/USTD'; did you mean BTC/USDT"),
        (["binance", "BTC/USDT", "1x", "--since", "2024-01-01"], "no bars of '1x'"),
        (["binance", "BTC/USDT", "1h", "--since", "soon"], "'soon' is not a time: write it like 2021-01-01"),
        (["binance", ",", "1h", "--since", "2024-01-01"], "at least one symbol is wanted"),
        (["binance", "BTC/USDT", "1h", "--since", "2030-01-01"], "choose an earlier start or a later end"),
        (["binance", "BTC/USDT", "1h", "--since", "2024-01-01", "--name", "../x"], "a catalog name must be letters"),
    ],
)
def test_a_mistake_is_one_line_and_stores_nothing(
    arguments: list[str],
    words: str,
    exchange: LoopbackExchange,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    err = failure(arguments, monkeypatch, capsys)
    assert words in err
    assert not exchange.requests()
    assert Catalog().names() == []


def failure(arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """Run the command in this process and return the one line that it ends with."""
    monkeypatch.setattr("sys.argv", ["gwt", "data", "download", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    out, err = capsys.readouterr()
    assert (ended.value.code, out) == (1, "")
    assert err.startswith("gwt: ")
    assert len(err.splitlines()) == 1
    return str(err)


def test_an_exchange_that_is_not_there_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with LoopbackExchange() as gone:
        monkeypatch.setenv("GWT_LOOPBACK_VENUE", gone.url)
    clock = SkippingClock()
    monkeypatch.setattr("gwt_lab.data.ccxt_venue.Clock", lambda: clock.clock)
    err = failure(["binance", "BTC/USDT", "1h", "--since", "2024-01-01"], monkeypatch, capsys)
    assert re.fullmatch(
        r"gwt: binance, the list of markets: it could not be reached \(\w+\), 6 times in a row; nothing half-written "
        r"was kept; run it again to go on from there\n",
        err,
    )
    assert 5 < sum(clock.waits) < 20


@pytest.mark.parametrize("address", ["http://example.com", "https://example.com", "http://10.0.0.1:80", "nonsense", ""])
def test_the_environment_may_name_this_machine_alone(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GWT_LOOPBACK_VENUE", address)
    result = CliRunner().invoke(app, ["data", "download", "binance", "BTC/USDT", "1h", "--since", "2024-01-01"])
    assert isinstance(result.exception, ConfigError)


# ------------------------------------------------------------------------------------------------ kills
def until_request(exchange: LoopbackExchange, number: int, process: list[subprocess.Popen[str]], how: int) -> None:
    """Send a signal when the exchange sees the given page request."""

    def look(record: Record) -> None:
        if record.name == "klines" and record.of_path == number and process:
            os.kill(process.pop().pid, how)

    exchange.on_request = look


def test_killed_it_goes_on(exchange: LoopbackExchange) -> None:
    arguments = ("binance", "BTC/USDT", "1h", "--since", "2021-01-01", "--json")
    process: list[subprocess.Popen[str]] = []
    until_request(exchange, 25, process, signal.SIGKILL)
    started = start(*arguments)
    process.append(started)
    started.communicate(timeout=120)
    assert started.returncode == -signal.SIGKILL
    # twenty pages are written together
    stored = Catalog().last_time("binance-1h", "BTC/USDT")
    assert stored is not None
    exchange.clear()
    code, out, err = run(*arguments)
    assert code == 0, err
    starts = [int(record.query["startTime"]) for record in exchange.requests()]
    assert starts[0] == min(starts) == stored.value // 1_000_000
    said = json.loads(out)["symbols"][0]
    assert (said["bars"], said["missing"], said["new"]) == (27720, 0, 27720 - (19 * 999 + 1000))


def test_interrupted_it_keeps_whole_pages_and_says_so(exchange: LoopbackExchange) -> None:
    process: list[subprocess.Popen[str]] = []
    exchange.faults = [faults.delay(60.0, at={4})]
    until_request(exchange, 4, process, signal.SIGINT)
    started = start("binance", "BTC/USDT", "1h", "--since", "2023-01-01")
    process.append(started)
    out, err = started.communicate(timeout=120)
    assert (started.returncode, out) == (130, "")
    assert err == "gwt: interrupted; nothing half-written was kept\n"
    bars = Catalog().read("binance-1h")
    assert len(bars) == 1000 + 999 + 999
    assert not bars.close.isna().to_numpy().any()
