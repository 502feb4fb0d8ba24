"""KunQuant's Alpha158, compiled here: values of small bars to a file, then seconds on large ones at every line read.

One thread, its blocked layout in and out (its fastest); neither the compilation nor the way into that layout and out of
it is in the time.
"""

import sys
import time

import numpy as np
from KunQuant.Driver import KunCompilerConfig
from KunQuant.jit import cfake
from KunQuant.Op import Builder, Input, Output
from KunQuant.predefined.Alpha158 import AllData
from KunQuant.runner import KunRunner
from KunQuant.Stage import Function

kind, small, large, out = sys.argv[1:]
LANES = {"float": 8, "double": 4}[kind]
DTYPE = {"float": np.float32, "double": np.float64}[kind]


def compiled():
    """Return the compiled features and their names."""
    builder = Builder()
    with builder:
        data = AllData(**{name: Input(name) for name in ("open", "high", "low", "close", "volume", "amount")})
        prices = [(name.upper(), getattr(data, name)) for name in ("open", "high", "low", "vwap")]
        rolling = {"windows": [5, 10, 20, 30, 60]}
        features, names = data.build({"kbar": {}, "price": {"windows": [0], "feature": prices}, "rolling": rolling})
        for feature, name in zip(features, names, strict=True):
            Output(feature, name)
    options = {"opt_reduce": True, "fast_log": True, "no_fast_stat": "no_warn"}
    config = KunCompilerConfig(
        partition_factor=4, dtype=kind, blocking_len=LANES, input_layout="STs", output_layout="STs", options=options
    )
    library = cfake.compileit([("alpha158", Function(builder.ops), config)], "alpha158", cfake.CppCompilerConfig())
    return library, names


def blocked(panel):
    """Return (n_times, n_symbols) as (n_symbols / 8, n_times, 8)."""
    n_times, n_symbols = panel.shape
    return np.ascontiguousarray(panel.reshape(n_times, n_symbols // LANES, LANES).transpose(1, 0, 2), dtype=DTYPE)


begun = time.perf_counter()
library, names = compiled()
module, executor = library.getModule("alpha158"), KunRunner.createSingleThreadExecutor()
print(f"{time.perf_counter() - begun:.2f}", flush=True)


def calculate(inputs, outputs):
    """Fill the outputs."""
    return KunRunner.runGraph(executor, module, inputs, 0, inputs["open"].shape[1], outputs)


def prepared(path):
    """Return the inputs of a file and room for the outputs."""
    inputs = {name: blocked(panel) for name, panel in np.load(path).items()}
    room = np.zeros((len(names), *inputs["open"].shape), dtype=DTYPE)
    return inputs, dict(zip(names, room, strict=True))


values = calculate(*prepared(small))
np.savez(out, **{name: part.transpose(1, 0, 2).reshape(part.shape[1], -1) for name, part in values.items()})
inputs, outputs = prepared(large)
for _ in sys.stdin:
    begun = time.process_time()
    calculate(inputs, outputs)
    print(f"{time.process_time() - begun:.6f}", flush=True)
