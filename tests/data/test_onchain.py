"""On-chain numbers are known a day after their day, and addresses are counted as they were."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gwt_lab.data.onchain import AddressFeed, OnchainApi, address_features, as_onchain, read_onchain
from gwt_lab.errors import ConfigError, DataError, VenueError
from gwt_lab.features.as_of import AsOfTable
from gwt_lab.features.onchain import onchain_table
from tests.oracles.json_server import JsonServer
from tests.oracles.markets import random_bars

DAYS = pd.date_range("2023-12-20", periods=20, freq="D", tz="UTC")


def _numbers() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    columns = {name: rng.uniform(100, 200, 20) for name in ("TxCnt", "AdrActCnt", "FlowInExUSD", "FlowOutExUSD")}
    return pd.DataFrame({"time": DAYS, "asset": "c00"} | columns)


def test_a_day_is_known_when_it_is_over_and_published() -> None:
    table = as_onchain(_numbers())
    assert table["known_at"].iloc[0] == DAYS[0] + pd.Timedelta(days=2)
    assert table["symbol"].unique().tolist() == ["C00"]
    bars = random_bars(1, 80)
    found = AsOfTable(table, ["TxCnt"]).join(bars)["TxCnt"].to_numpy()
    first = bars.index[0]  # 1 January: its last known day is 30 December's when the bar of 23:00 has closed
    wanted = _numbers().set_index("time")["TxCnt"]
    for t in (0, 22, 23, 47, 79):
        closes = first + pd.Timedelta(hours=t + 1)
        newest = closes.floor("D") - pd.Timedelta(days=2)
        assert found[t] == np.float32(wanted[newest])


def test_features_compare_with_the_weeks_before() -> None:
    numbers = _numbers()
    bars = random_bars(2, 80)
    frame = onchain_table(as_onchain(numbers), window=7).join(bars)
    assert set(frame.columns) == {
        "onchain_transactions", "onchain_active_addresses", "onchain_exchange_inflow", "onchain_exchange_outflow",
        "onchain_net_flow",
    }  # fmt: skip
    place = 20 - 9  # 31 December became known when the bar of 1 January 23:00 had closed
    row = frame.loc[(bars.index[23], "C00/USDT")]
    day = numbers.iloc[place]
    mean = numbers["TxCnt"].iloc[place - 6 : place + 1].mean()
    assert numbers["time"].iloc[place] == pd.Timestamp("2023-12-31", tz="UTC")
    assert row["onchain_transactions"] == pytest.approx(np.log1p(day["TxCnt"]) - np.log1p(mean), rel=1e-4)
    flow = (day["FlowInExUSD"] - day["FlowOutExUSD"]) / (day["FlowInExUSD"] + day["FlowOutExUSD"])
    assert row["onchain_net_flow"] == pytest.approx(flow, rel=1e-5)
    assert frame.xs("C01/USDT", level=1).isna().all().all()
    later = numbers.assign(TxCnt=numbers["TxCnt"].where(numbers["time"] < DAYS[15], 1e9))
    again = onchain_table(as_onchain(later), window=7).join(bars)
    early = frame.index.get_level_values(0) < DAYS[15] + pd.Timedelta(days=2) - pd.Timedelta(hours=1)
    pd.testing.assert_frame_equal(frame[early], again[early])


def test_the_api_page_by_page() -> None:
    rows = _numbers().assign(time=_numbers()["time"].dt.strftime("%Y-%m-%dT00:00:00.000000000Z"))[
        ["asset", "time", "TxCnt"]
    ]
    rows["TxCnt"] = rows["TxCnt"].astype(str)

    def reply(path: str, query: dict[str, str]) -> object:
        assert path == "/v4/timeseries/asset-metrics"
        start, size = int(query.get("next_page_token", 0)), int(query["page_size"])
        page = {"data": rows.iloc[start : start + size].to_dict("records")}
        return page | ({"next_page_token": str(start + size)} if start + size < len(rows) else {})

    with JsonServer(reply) as server:
        table = OnchainApi(f"{server.url}/v4").fetch(["c00"], ["TxCnt"], "2023-12-20", "2024-01-08", page_size=8)
        with pytest.raises(VenueError, match="without AdrActCnt"):
            OnchainApi(f"{server.url}/v4").fetch(["c00"], ["TxCnt", "AdrActCnt"], "2023-12-20")
    np.testing.assert_allclose(table["TxCnt"], _numbers()["TxCnt"])
    assert server.asked[0][1]["start_time"] == "2023-12-20"
    assert len([1 for _, query in server.asked if query.get("end_time")]) == 3
    with JsonServer(reply) as server:
        alone = OnchainApi(f"{server.url}/v4").fetch("c00", "TxCnt", "2023-12-20")
    assert (server.asked[0][1]["assets"], server.asked[0][1]["metrics"]) == ("c00", "TxCnt")
    pd.testing.assert_frame_equal(alone, table)
    with JsonServer(lambda *_: {"data": []}) as server, pytest.raises(VenueError, match="has no TxCnt"):
        OnchainApi(server.url).fetch(["c00"], ["TxCnt"], "2023-12-20")


TRANSACTIONS = [
    {"time": "2024-01-01T01:00:00Z", "value": "5", "from": "other1", "to": "mine00"},
    {"time": "2024-01-01T02:00:00Z", "value": 2000, "from": "mine00", "to": "exchange1"},
    {"time": "2024-01-03T23:59:59Z", "value": 7, "from": "exchange1", "to": "mine00"},
]


def test_what_an_address_did() -> None:
    def reply(path: str, query: dict[str, str]) -> object:
        assert path == "/addresses/mine00/transactions"
        return {"transactions": TRANSACTIONS[2:], "next": None} if query else {
            "transactions": TRANSACTIONS[:2], "next": "b"
        }  # fmt: skip

    with JsonServer(reply) as server:
        feed = AddressFeed(server.url, exchanges=["exchange1"], whale=1000)
        found = feed.extract_onchain_features("mine00")
    first, empty, last = (found.iloc[day] for day in range(3))
    assert first["known_at"] == pd.Timestamp("2024-01-02 01:00", tz="UTC")
    assert (first["transaction_count"], first["whale_count"], first["whale_value"]) == (2, 1, 2000)
    assert (first["inflow"], first["outflow"]) == (5, 2000)
    assert (first["exchange_inflow"], first["exchange_outflow"]) == (2000, 0)
    assert first["active_addresses"] == 2
    assert empty.drop("known_at").eq(0).all()
    assert (last["exchange_outflow"], last["inflow"], last["active_addresses"]) == (7, 7, 1)
    pd.testing.assert_frame_equal(
        address_features(pd.DataFrame(TRANSACTIONS).astype({"value": float}), "mine00", exchanges="exchange1"), found
    )
    joined = onchain_table(found, window=2).join(random_bars(1, 100))
    assert joined["onchain_transactions"].notna().any()


def test_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="an address is"):
        AddressFeed("http://127.0.0.1:9").fetch("../../etc")
    assert len(address_features(pd.DataFrame(columns=["time", "value", "from", "to"]), "mine00")) == 0
    with JsonServer(lambda *_: {"transactions": [{"time": "2024-01-01"}]}) as server:
        with pytest.raises(VenueError, match="without time or value"):
            AddressFeed(server.url).fetch("mine00")
    with pytest.raises(DataError, match="need a time and rows"):
        as_onchain(pd.DataFrame({"TxCnt": [1]}))
    with pytest.raises(DataError, match="no column holds on-chain numbers"):
        as_onchain(pd.DataFrame({"time": DAYS, "asset": "btc"}))
    with pytest.raises(ConfigError, match="delay must be at least 0"):
        as_onchain(_numbers(), delay="-1D")
    with pytest.raises(DataError, match=r"read from \.parquet and \.csv"):
        read_onchain(tmp_path / "a.pkl")
    with pytest.raises(DataError, match="cannot be read"):
        read_onchain(tmp_path / "a.csv")
    with pytest.raises(DataError, match="none of"):
        onchain_table(as_onchain(_numbers()[["time", "asset", "TxCnt"]].rename(columns={"TxCnt": "n"})))
    with pytest.raises(ConfigError, match="window must be a whole number of rows, at least 2, got 1"):
        onchain_table(as_onchain(_numbers()), window=1)
    with pytest.raises(DataError, match="TxCnt has negative numbers"):
        onchain_table(as_onchain(_numbers().assign(TxCnt=-1.0)))
    with pytest.raises(DataError, match="rows with a column known_at: read them with as_onchain"):
        onchain_table(_numbers())
    with pytest.raises(DataError, match="no row is left of the assets c00; symbols= names eth"):
        as_onchain(_numbers(), symbols={"eth": "ETH/USDT"})
    with pytest.raises(DataError, match="no row is left"):
        as_onchain(_numbers().assign(asset=None))
    with pytest.raises(DataError, match="must be a DataFrame"):
        as_onchain([1, 2])
    with pytest.raises(DataError, match="from, to; to missing"):
        address_features(pd.DataFrame(TRANSACTIONS).drop(columns="to"), "mine00")


def test_answers_that_cannot_be_read_are_the_feeds_fault() -> None:
    with JsonServer(lambda *_: {"transactions": [TRANSACTIONS[0] | {"time": "soon"}]}) as server:
        with pytest.raises(VenueError, match="transactions that cannot be read: time holds something"):
            AddressFeed(server.url).extract_onchain_features("mine00")
    for number in (None, "many"):
        rows = [{"asset": "c00", "time": "2024-01-01", "TxCnt": number}]
        with JsonServer(lambda *_, rows=rows: {"data": rows}) as server:
            with pytest.raises(VenueError, match="numbers that cannot be read: no column holds"):
                OnchainApi(server.url).fetch("c00", "TxCnt", "2024-01-01")
    for whale in (0, -5, np.inf, "1000", True):
        with pytest.raises(ConfigError, match="whale must be a number above 0"):
            AddressFeed("http://127.0.0.1:9", whale=whale)  # type: ignore[arg-type]


@pytest.mark.parametrize("delay", [1, "1", 0.5, "soon", None, True, pd.NaT])
def test_a_length_of_time_has_a_unit(delay: object) -> None:
    """pandas counts a bare number in nanoseconds: a delay of a day would be none."""
    for read in (
        lambda: as_onchain(_numbers(), delay=delay),
        lambda: OnchainApi("http://127.0.0.1:9", delay=delay),
        lambda: AddressFeed("http://127.0.0.1:9", delay=delay),
    ):
        with pytest.raises(ConfigError, match="delay must be a length of time with its unit"):
            read()


def test_a_coins_numbers_hold_for_all_its_pairs_but_those_with_their_own() -> None:
    at = pd.DatetimeIndex(["2024-01-01"], tz="UTC")
    table = AsOfTable(pd.DataFrame({"known_at": at.repeat(2), "symbol": ["BTC", "BTC/EUR"], "x": [1.0, 2.0]}))
    bars = random_bars(3, 5)
    renamed = dict(zip(bars.symbols, ["BTC/EUR", "BTC/USD", "ETH/USD"], strict=True))
    long = bars.to_frame().assign(symbol=lambda frame: frame["symbol"].map(renamed))
    found = table.join(long)["x"].unstack()
    np.testing.assert_array_equal(found.iloc[-1].to_numpy(), [2.0, 1.0, np.nan])


@pytest.mark.real
def test_real_coin_metrics(real_data: Path) -> None:
    table = read_onchain(real_data / "onchain_sentiment/coinmetrics_btc_2020_2026.parquet")
    assert table["symbol"].unique().tolist() == ["BTC"]
    assert table["known_at"].iloc[0] == pd.Timestamp("2020-01-03", tz="UTC")
    joined = onchain_table(table)
    assert "onchain_net_flow" in joined.columns
