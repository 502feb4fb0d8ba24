"""The best forecast's quality in closed form, for Gaussian shocks of constant variance."""

from __future__ import annotations

import networkx as nx
import numpy as np
from scipy.linalg import solve_discrete_lyapunov


def gaussian_accuracy(truth):
    """Mean over symbols of 1/2 + arcsin(rho_i)/pi, rho_i = sd(forecast_i) / sd(outcome_i).

    The residuals' covariance solves S = G S G' + D; forecast and outcome are jointly normal, and the outcome is the
    forecast plus noise that does not depend on it, so that their correlation is the ratio of standard deviations.
    """
    symbols = list(truth.communities.index)
    graph = nx.to_numpy_array(truth.graph, nodelist=symbols, weight="slope").T
    loadings = truth.loadings.to_numpy()
    variance = truth.volatility.to_numpy()[0] ** 2
    n_factors = loadings.shape[1]
    residual = solve_discrete_lyapunov(graph, np.diag(variance[n_factors:]))
    centre = np.eye(len(symbols)) - 1 / len(symbols)
    forecast = centre @ graph @ residual @ graph.T @ centre
    outcome = centre @ (loadings @ np.diag(variance[:n_factors]) @ loadings.T + residual) @ centre
    rho = np.sqrt(np.diag(forecast) / np.diag(outcome))
    return float(np.mean(0.5 + np.arcsin(rho) / np.pi))
