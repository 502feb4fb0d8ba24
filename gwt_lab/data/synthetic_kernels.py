"""Compiled recursions of the synthetic market; their plain twins lie in `tests/oracles/synthetic_kernels.py`."""

from __future__ import annotations

import numpy as np

from gwt_lab.kernels import kernel

__all__ = ["autoregress", "gjr_variance", "intrabar_paths", "markov_path", "spill_over"]


@kernel
def gjr_variance(shocks: np.ndarray, alpha: float, leverage: float, beta: float) -> np.ndarray:
    """Return the GJR-GARCH(1,1) variance of each column, with unconditional mean 1.

    `h[t+1] = (1 - alpha - leverage/2 - beta) + (alpha + leverage [z[t] < 0]) h[t] z[t]^2 + beta h[t]`, `h[0] = 1`,
    for unit-variance shocks `z` of shape (n_times, n_columns). Row t depends on the shocks before t alone.
    """
    n_times, n_columns = shocks.shape
    variance = np.empty((n_times, n_columns))
    constant = 1.0 - alpha - 0.5 * leverage - beta
    for column in range(n_columns):
        level = 1.0
        for t in range(n_times):
            variance[t, column] = level
            shock = shocks[t, column]
            news = alpha + leverage if shock < 0.0 else alpha
            level = constant + news * level * shock * shock + beta * level
    return variance


@kernel
def autoregress(noise: np.ndarray, memory: np.ndarray) -> np.ndarray:
    """Return the unit-variance AR(1) `x[t] = memory x[t-1] + sqrt(1 - memory^2) noise[t]` of each column.

    `noise` has shape (n_times, n_columns), `memory` one number a column; `x[0] = noise[0]`, so that the start is
    stationary.
    """
    n_times, n_columns = noise.shape
    state = np.empty((n_times, n_columns))
    for column in range(n_columns):
        weight = np.sqrt(1.0 - memory[column] * memory[column])
        level = 0.0
        for t in range(n_times):
            level = noise[t, column] if t == 0 else memory[column] * level + weight * noise[t, column]
            state[t, column] = level
    return state


@kernel
def markov_path(uniforms: np.ndarray, first: np.ndarray, transition: np.ndarray) -> np.ndarray:
    """Return the states of a Markov chain driven by uniforms of shape (n_times,).

    `first` holds the cumulative probabilities of the first state, `transition` those of the next, one row a state.
    """
    n_states = len(first)
    path = np.empty(len(uniforms), dtype=np.int64)
    for t in range(len(uniforms)):
        state = 0
        while state < n_states - 1:
            edge = first[state] if t == 0 else transition[path[t - 1], state]
            if uniforms[t] < edge:
                break
            state += 1
        path[t] = state
    return path


@kernel
def spill_over(
    own: np.ndarray, leaders: np.ndarray, slopes: np.ndarray, listed: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the residuals `u[t] = e[t] + G u[t-1]` and what they announce, `G u[t]`.

    Parameters
    ----------
    own : ndarray of shape (n_times, n_assets)
        Each asset's own shocks e.
    leaders : ndarray of shape (n_assets, n_leaders), int
        Columns of each asset's leaders.
    slopes : ndarray of shape (n_assets, n_leaders)
        Effect of a leader's residual on the follower's next one, return units.
    listed : ndarray of shape (n_times, n_assets), bool
        An asset that is not listed has residual zero and announces nothing.
    """
    n_times, n_assets = own.shape
    residual = np.zeros((n_times, n_assets))
    announced = np.zeros((n_times, n_assets))
    for t in range(n_times):
        for i in range(n_assets):
            if listed[t, i]:
                residual[t, i] = own[t, i]
                if t > 0:
                    residual[t, i] += announced[t - 1, i]
        for i in range(n_assets):
            total = 0.0
            for k in range(leaders.shape[1]):
                total += slopes[i, k] * residual[t, leaders[i, k]]
            announced[t, i] = total
    return residual, announced


@kernel
def _walk(
    level: float, steps: np.ndarray, jumps: np.ndarray, variance: float, extremes: np.ndarray
) -> tuple[float, float, float]:
    """Return the highest, lowest and volume-weighted point of one bar's path of sub-steps, as logs."""
    high, low, traded, value = level, level, 0.0, 0.0
    deviation = np.sqrt(variance)
    for k in range(len(steps)):
        level += jumps[k]
        middle = level + 0.5 * steps[k]
        top = middle + 0.5 * np.sqrt(steps[k] * steps[k] + 2.0 * variance * extremes[k, 0])
        bottom = middle - 0.5 * np.sqrt(steps[k] * steps[k] + 2.0 * variance * extremes[k, 1])
        if top > high:
            high = top
        if bottom < low:
            low = bottom
        # more is traded where the price moves more
        share = 0.5 + (abs(steps[k]) + abs(jumps[k])) / deviation if deviation > 0.0 else 1.0
        traded += share
        value += share * np.exp(middle)
        level += steps[k]
    return high, low, np.log(value / traded)


@kernel
def intrabar_paths(
    smooth: np.ndarray,
    gap: np.ndarray,
    scale: np.ndarray,
    loadings: np.ndarray,
    sector: np.ndarray,
    jump: np.ndarray,
    jump_step: np.ndarray,
    normals: np.ndarray,
    extremes: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return open, high, low and volume-weighted price of each bar, as logs relative to the close before.

    Every component of a bar's return is a Brownian motion of known variance, conditioned on where it ends; between two
    sub-steps the highest and lowest points are drawn from the law of a Brownian bridge's maximum.

    Parameters
    ----------
    smooth : ndarray of shape (n_times, n_assets)
        Log return of the bar without its jumps, the gap included.
    gap : ndarray of shape (n_times, n_assets)
        Log return from the close before to the open.
    scale : ndarray of shape (n_times, 1 + n_sectors + n_assets)
        Standard deviation of each component in the bar: market, sectors, own.
    loadings : ndarray of shape (n_assets, 2)
        On the market and on the asset's sector.
    sector : ndarray of shape (n_assets,), int
        The asset's sector.
    jump : ndarray of shape (n_times, n_assets, 2)
        Jumps of the market (times its loading) and of the asset, log.
    jump_step : ndarray of shape (n_times, 1 + n_assets), int
        The sub-step at whose beginning the market's and each asset's jump falls.
    normals : ndarray of shape (n_times, n_steps, 1 + n_sectors + n_assets)
        Standard normal.
    extremes : ndarray of shape (n_times, n_steps, n_assets, 2)
        Standard exponential, for the highest and the lowest point of each sub-step.
    """
    n_times, n_assets = smooth.shape
    n_steps = normals.shape[1]
    n_sectors = normals.shape[2] - 1 - n_assets
    shape = (n_times, n_assets)
    opened, highest, lowest, average = np.empty(shape), np.empty(shape), np.empty(shape), np.empty(shape)
    centred, steps, jumps = np.empty((normals.shape[2], n_steps)), np.empty(n_steps), np.empty(n_steps)
    root = np.sqrt(1.0 / n_steps)
    for t in range(n_times):
        for c in range(len(centred)):
            total = 0.0
            for k in range(n_steps):
                total += normals[t, k, c]
            for k in range(n_steps):
                centred[c, k] = (normals[t, k, c] - total / n_steps) * scale[t, c] * root
        for i in range(n_assets):
            group, alone = 1 + sector[i], 1 + n_sectors + i
            load, share = loadings[i, 0], loadings[i, 1]
            drift = (smooth[t, i] - gap[t, i]) / n_steps
            for k in range(n_steps):
                steps[k] = drift + load * centred[0, k] + share * centred[group, k] + centred[alone, k]
                jumps[k] = 0.0
            jumps[jump_step[t, 0]] += jump[t, i, 0]
            jumps[jump_step[t, 1 + i]] += jump[t, i, 1]
            variance = ((load * scale[t, 0]) ** 2 + (share * scale[t, group]) ** 2 + scale[t, alone] ** 2) / n_steps
            opened[t, i] = gap[t, i]
            highest[t, i], lowest[t, i], average[t, i] = _walk(gap[t, i], steps, jumps, variance, extremes[t, :, i])
    return opened, highest, lowest, average
