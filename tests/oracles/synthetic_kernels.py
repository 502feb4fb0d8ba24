"""Plain twins of the synthetic market's kernels: one scalar at a time, in the order of the equations."""

from __future__ import annotations

import math

import numpy as np


def gjr_variance(shocks, alpha, leverage, beta):
    n_times, n_columns = shocks.shape
    variance = np.ones((n_times, n_columns))
    for t in range(1, n_times):
        for column in range(n_columns):
            before, shock = variance[t - 1, column], shocks[t - 1, column]
            news = alpha + (leverage if shock < 0 else 0.0)
            constant = 1 - alpha - leverage / 2 - beta
            variance[t, column] = constant + news * before * shock * shock + beta * before
    return variance


def autoregress(noise, memory):
    state = np.array(noise, dtype=float)
    for t in range(1, len(noise)):
        for column in range(noise.shape[1]):
            own = memory[column]
            state[t, column] = own * state[t - 1, column] + math.sqrt(1 - own * own) * noise[t, column]
    return state


def markov_path(uniforms, first, transition):
    path = []
    for uniform in uniforms:
        edges = transition[path[-1]] if path else first
        above = [state for state in range(len(edges) - 1) if uniform < edges[state]]
        path.append(above[0] if above else len(edges) - 1)
    return np.array(path, dtype=np.int64)


def spill_over(own, leaders, slopes, listed):
    n_times, n_assets = own.shape
    graph = np.zeros((n_assets, n_assets))
    for follower in range(n_assets):
        for leader, slope in zip(leaders[follower], slopes[follower], strict=True):
            graph[follower, leader] += slope
    residual, announced = np.zeros(own.shape), np.zeros(own.shape)
    for t in range(n_times):
        for asset in range(n_assets):
            if listed[t, asset]:
                residual[t, asset] = own[t, asset] + (announced[t - 1, asset] if t else 0.0)
        for follower in range(n_assets):
            announced[t, follower] = sum(
                graph[follower, leader] * residual[t, leader] for leader in sorted(set(leaders[follower]))
            )
    return residual, announced


def intrabar_paths(given):
    smooth, gap, scale, loadings, sector, jump, jump_step, normals, extremes = given.values()
    n_times, n_assets = smooth.shape
    n_steps, n_components = normals.shape[1:]
    n_sectors = n_components - 1 - n_assets
    result = np.empty((4, n_times, n_assets))
    for t in range(n_times):
        for i in range(n_assets):
            parts = [
                (loadings[i, 0] * scale[t, 0], normals[t, :, 0]),
                (loadings[i, 1] * scale[t, 1 + sector[i]], normals[t, :, 1 + sector[i]]),
                (scale[t, 1 + n_sectors + i], normals[t, :, 1 + n_sectors + i]),
            ]
            variance = sum(size**2 for size, _ in parts) / n_steps
            level, highs, lows, shares, prices = gap[t, i], [gap[t, i]], [gap[t, i]], [], []
            for k in range(n_steps):
                hop = (jump[t, i, 0] if jump_step[t, 0] == k else 0.0) + (
                    jump[t, i, 1] if jump_step[t, 1 + i] == k else 0.0
                )
                step = (smooth[t, i] - gap[t, i]) / n_steps + sum(
                    size / math.sqrt(n_steps) * (draw[k] - np.mean(draw)) for size, draw in parts
                )
                middle = level + hop + step / 2
                highs.append(middle + np.sqrt(step**2 + 2 * variance * extremes[t, k, i, 0]) / 2)
                lows.append(middle - np.sqrt(step**2 + 2 * variance * extremes[t, k, i, 1]) / 2)
                shares.append(0.5 + (abs(step) + abs(hop)) / np.sqrt(variance) if variance > 0 else 1.0)
                prices.append(np.exp(middle))
                level += hop + step
            # a comparison with NaN is false: a NaN never becomes the highest or lowest point
            high, low = highs[0], lows[0]
            for top, bottom in zip(highs, lows, strict=True):
                high, low = (top if top > high else high), (bottom if bottom < low else low)
            average = np.log(np.dot(shares, prices) / np.sum(shares))
            result[:, t, i] = gap[t, i], high, low, average
    return tuple(result)


def filter_residuals(returns, loadings, deviation, slopes):
    """The same estimate bar by bar with full covariance matrices."""
    n_factors = loadings.shape[1]
    expected, rows = np.zeros(returns.shape[1]), []
    for t in range(len(returns)):
        there = np.isfinite(returns[t])
        residual = expected.copy()
        own = np.diag(deviation[t, n_factors:] ** 2)
        whole = loadings @ np.diag(deviation[t, :n_factors] ** 2) @ loadings.T + own
        if there.any():
            seen = np.ix_(there, there)
            gain = own[seen] @ np.linalg.inv(whole[seen])
            residual[there] += gain @ (returns[t, there] - expected[there])
        expected = slopes @ residual
        rows.append(expected)
    return np.array(rows)
