"""How many independent trials a number of similar ones amounts to: clusters of correlated returns.

A trial's *return signature* is its returns summed over at most 64 equal stretches of time. Trials whose signatures
correlate by more than 0.9 on average count as one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gwt_lab.errors import DataError, ShapeError

__all__ = ["BUCKETS", "FEWEST_BUCKETS", "EffectiveTrials", "cluster_returns", "return_signature", "signature_edges"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

BUCKETS = 64
# with fewer, unrelated trials correlate by more than the border by chance
FEWEST_BUCKETS = 32
# at 0.8, a dense grid of moving averages over random walks passed a deflated Sharpe ratio of 0.95 four times too often
_BORDER = 0.9
# a sample smaller than this says nothing about the trials that are not in it
_FEWEST_SAMPLED = 100


def signature_edges(n_observations: int) -> IntArray:
    """Return the first row of each stretch of time that a return signature sums over: at most 64, equal to a row."""
    n_buckets = min(BUCKETS, n_observations)
    edges: IntArray = np.arange(n_buckets, dtype=np.int64) * n_observations // max(n_buckets, 1)
    return edges


def return_signature(returns: Any) -> npt.NDArray[np.float32]:
    """Return what the ledger keeps of returns, to see later which trials are alike.

    Parameters
    ----------
    returns : array_like of shape (n_times, n_trials)
        One column a trial, every bar, none missing.

    Returns
    -------
    ndarray of float32, shape (n_trials, n_buckets)
        Sums over at most 64 stretches of time.

    Raises
    ------
    ShapeError
        If `returns` has not two dimensions, or no rows.
    DataError
        If a return is missing, infinite or no number.
    """
    try:
        values = np.asarray(returns, dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise DataError(f"returns must be numbers, one column a trial: {error}") from error
    if values.ndim != 2 or not len(values):
        raise ShapeError(f"returns must have shape (n_times, n_trials), got {values.shape}")
    if not np.isfinite(values).all():
        raise DataError("returns must be finite to tell which trials are alike: put 0 where nothing was held")
    sums: FloatArray = np.add.reduceat(values, signature_edges(len(values)), axis=0)
    return np.ascontiguousarray(sums.T, dtype=np.float32)


def cluster_returns(signatures: Any) -> IntArray:
    """Return the cluster of each trial, numbered from 0.

    Average linkage on the distance sqrt((1 - correlation) / 2), cut where the correlation is 0.9. Trials whose
    signature never changes are one cluster.

    Parameters
    ----------
    signatures : array_like of shape (n_trials, n_buckets)

    Raises
    ------
    DataError
        If a signature is not finite.

    References
    ----------
    .. [1] López de Prado, Lewis, "Detection of false investment strategies using unsupervised learning methods",
       Quantitative Finance 19(9), 2019: clusters of trials and their distance. They choose the number of clusters by
       silhouettes, which splits independent trials into far too few; the fixed border does not.
    """
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    values = np.asarray(signatures, dtype=np.float64)
    if not np.isfinite(values).all():
        raise DataError("a return signature must be finite: sum returns of bars that are all there")
    around = values - values.mean(axis=1, keepdims=True)
    length = np.linalg.norm(around, axis=1)
    # what is left of a constant after subtracting its mean is rounding
    moving = length > 1e-6 * np.abs(values).max(axis=1, initial=0.0)
    found = np.zeros(len(values), dtype=np.int64)
    if (n_moving := int(moving.sum())) > 1:
        unit = around[moving] / length[moving, None]
        apart = np.sqrt(np.clip(0.5 * (1 - unit @ unit.T), 0.0, 1.0))
        np.fill_diagonal(apart, 0.0)
        tree = linkage(squareform(apart, checks=False), "average")
        found[moving] = fcluster(tree, math.sqrt(0.5 * (1 - _BORDER)), "distance")
    elif n_moving:
        found[moving] = 1
    clusters: IntArray = np.unique(found, return_inverse=True)[1].astype(np.int64)
    return clusters


@dataclass(frozen=True)
class EffectiveTrials:
    """How many independent trials the trials of a study amount to.

    Parameters
    ----------
    number : float
        At least 1, at most `n_trials`; 0 without trials.
    variance : float
        Of the clusters' mean Sharpe ratios (ddof 1), per period; NaN with fewer than two.
    n_trials : int
    n_sampled : int
        Trials whose return signatures were clustered.
    n_clusters : int
        Clusters seen among them.
    n_unsigned : int
        Trials recorded without signatures; each counts in full.
    """

    number: float
    variance: float
    n_trials: int
    n_sampled: int
    n_clusters: int
    n_unsigned: int

    @property
    def note(self) -> str:
        """How the number came about, in words."""
        clusters = f"{self.n_clusters:,} cluster{'s' if self.n_clusters != 1 else ''}"
        said = [f"{clusters} among {self.n_sampled:,} trials with return signatures"]
        if self.n_sampled + self.n_unsigned < self.n_trials:
            said.append(f"scaled to {self.n_trials - self.n_unsigned:,} trials by the clusters seen once and twice")
        if self.n_unsigned:
            said.append(f"{self.n_unsigned:,} trials without signatures counted in full")
        return "; ".join(said)


@dataclass(frozen=True)
class SignedGroup:
    """Trials whose signatures can be compared: same data and observations.

    Parameters
    ----------
    n_trials : int
        All of them, with those that are not in the sample.
    signatures : ndarray of shape (n_sampled, n_buckets)
    sharpes : ndarray of shape (n_sampled,)
        NaN where a trial has none.
    """

    n_trials: int
    signatures: npt.NDArray[np.float32]
    sharpes: FloatArray


def _number(sizes: IntArray, n_trials: int) -> float:
    """Return the clusters of all trials from those of a sample: the smaller of two estimates.

    With f1 and f2 the clusters seen once and twice: f1 / sampled is the chance that another trial opens a cluster
    (Good, "The population frequencies of species", Biometrika 40, 1953), and f1 (f1 - 1) / (2 (f2 + 1)) are not seen
    (Chao, "Nonparametric estimation of the number of classes in a population", Scandinavian Journal of Statistics 11,
    1984, bias corrected).
    """
    seen, sampled = len(sizes), int(sizes.sum())
    rest = n_trials - sampled
    if not rest or sampled < _FEWEST_SAMPLED:
        return float(seen + rest)
    once, twice = int((sizes == 1).sum()), int((sizes == 2).sum())
    return seen + min(rest * once / sampled, once * (once - 1) / (2 * (twice + 1)))


def count_effective(groups: list[SignedGroup], unsigned_sharpes: FloatArray) -> EffectiveTrials:
    """Return the effective number over groups; trials of different groups are never alike."""
    number, n_clusters, n_sampled = float(len(unsigned_sharpes)), 0, 0
    means = [unsigned_sharpes[np.isfinite(unsigned_sharpes)]]
    for group in groups:
        if not len(group.signatures):
            number += group.n_trials
            continue
        clusters = cluster_returns(group.signatures)
        sizes = np.bincount(clusters)
        number += _number(sizes, group.n_trials)
        n_clusters += len(sizes)
        n_sampled += len(clusters)
        measured = np.isfinite(group.sharpes)
        weight = np.bincount(clusters[measured], minlength=len(sizes))
        total = np.bincount(clusters[measured], group.sharpes[measured], minlength=len(sizes))
        means.append(total[weight > 0] / weight[weight > 0])
    found = np.concatenate(means)
    return EffectiveTrials(
        number=number,
        variance=float(found.var(ddof=1)) if len(found) > 1 else math.nan,
        n_trials=sum(group.n_trials for group in groups) + len(unsigned_sharpes),
        n_sampled=n_sampled,
        n_clusters=n_clusters,
        n_unsigned=len(unsigned_sharpes),
    )
