"""`gwt backtest`: a registered strategy on stored bars, as a stored run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gwt_lab.cli.output import JsonFlag, emit, print_table

if TYPE_CHECKING:
    from gwt_lab.backtest.portfolio import Portfolio

__all__ = ["register"]


def backtest(
    data: Annotated[str, typer.Option("--data", help="A catalog name or a file of bars.")],
    strategy: Annotated[
        str, typer.Option("--strategy", help="A registered name or a family, such as ma_cross or rsi.")
    ] = "ma_cross",
    symbol: Annotated[list[str] | None, typer.Option("--symbol", help="Symbols; all if not given. Repeatable.")] = None,
    param: Annotated[list[str] | None, typer.Option("--param", help="name=value; repeatable.")] = None,
    fees: Annotated[float, typer.Option(help="Fraction of the traded value.")] = 0.001,
    slippage: Annotated[float, typer.Option(help="Fraction of the price.")] = 0.0005,
    init_cash: Annotated[float, typer.Option(help="Quote currency.")] = 10_000.0,
    price: Annotated[str, typer.Option(help="next_open, or close (optimistic).")] = "next_open",
    start: Annotated[str | None, typer.Option(help="First open time.")] = None,
    end: Annotated[str | None, typer.Option(help="Last open time.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Backtest a registered strategy and store the run."""
    from gwt_lab import load_bars
    from gwt_lab.backtest.portfolio import Portfolio
    from gwt_lab.backtest.run import backtest_strategy, count_trial
    from gwt_lab.market.costs import CostModel
    from gwt_lab.strategies.registry import create_strategy, strategy_names
    from gwt_lab.strategies.stored import strategy_arrays, strategy_spec

    named, costs = parameters(param), CostModel(fees, slippage)
    settings: dict[str, Any] = {"costs": costs, "init_cash": init_cash, "price": price}
    bars = load_bars(data, symbols=symbol or None, start=start, end=end)
    if strategy in strategy_names():
        chosen = create_strategy(strategy, named)
        result = Portfolio.from_weights(bars, chosen.weights(bars), **settings)
        spec, arrays = strategy_spec(chosen), strategy_arrays(chosen)
    else:
        result = backtest_strategy(bars, strategy, named, **settings)
        spec, arrays = {"family": strategy, "parameters": named}, {}
    count_trial(result, strategy, named, settings)
    run = _store(spec, arrays, result, {"name": absolute(data), "start": start, "end": end})
    stats = result.stats().to_dict()
    emit({"run": run.id, "assumptions": str(result.assumptions), "stats": stats}, as_json)
    if not as_json:
        print_table(f"{strategy} on {', '.join(bars.symbols)}", ["", ""], [[k, _words(v)] for k, v in stats.items()])
        then = f"next: gwt validate {run.id}" if arrays else "a family is studied, not promoted: write it as a Strategy"
        emit({}, False, f"assumes: {result.assumptions}\nrun: {run.id}\n{then}")


def _store(described: dict[str, Any], arrays: dict[str, Any], result: Portfolio, data: dict[str, Any]) -> Any:
    from gwt_lab.runs import store_run

    assumed, bars = result.assumptions, result.bars
    spec = described | {
        "data": data,
        "symbols": bars.symbols,
        "timeframe": bars.timeframe,
        "costs": assumed.costs.to_dict(),
        "price": assumed.price,
        "init_cash": assumed.init_cash,
    }
    numbers = {
        "total_return": result.total_return(),
        "sharpe_ratio": result.sharpe_ratio(),
        "max_drawdown": result.max_drawdown(),
        "orders": len(result.fills),
    }
    metrics = {name: value if value == value else None for name, value in numbers.items()}
    tables = arrays | {"equity": result.value().to_frame(), "orders": result.orders.frame}
    return store_run("backtest", spec, metrics, arrays=tables, data_hashes={"bars": bars.content_hash})


def absolute(data: str) -> str:
    """Return a path that holds from any folder, or the catalog name as it is."""
    return str(Path(data).resolve()) if Path(data).exists() else data


def parameters(pairs: list[str] | None) -> dict[str, Any]:
    """Return `name=value` pairs as a mapping; values are read as JSON, else as text.

    Raises
    ------
    ConfigError
        If a pair has no equals sign.
    """
    from gwt_lab.errors import ConfigError

    found: dict[str, Any] = {}
    for pair in pairs or []:
        name, sign, value = pair.partition("=")
        if not sign:
            raise ConfigError(f"--param wants name=value such as fast=10, got {pair!r}")
        try:
            found[name.strip()] = json.loads(value)
        except ValueError:
            found[name.strip()] = value
    return found


def _words(value: Any) -> str:
    return f"{value:,.4f}" if isinstance(value, float) else str(value)


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("backtest")(backtest)
