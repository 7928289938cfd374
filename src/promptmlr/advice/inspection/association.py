"""Whether two things go together: tests, and how strongly, as pure functions of counts.

With many images every test rejects, and with many classes some test does by chance: so each p-value has an effect size
beside it, and callers correct p-values for their number (`promptmlr.uncertainty.holm`).
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy
from scipy.stats import chi2, gamma

__all__ = ["Counts", "between_groups", "cochran_q", "enough", "likelihood_ratio", "v_of_shares"]

_LEAST = 5  # in each margin of a table, below which its test says little and its approximation is coarse

Counts = NDArray[np.int64] | NDArray[np.float64]


def v_of_shares(yes: Counts, of: Counts) -> NDArray[np.float64]:
    """Cramér's V, from 0 to 1, of a share and the groups that it may differ between, less what chance adds to it.

    The correction is Bergsma's ("A bias-correction for Cramér's V and Tschuprow's T", Journal of the Korean Statistical
    Society 42, 2013).

    Args:
        yes: (…, G) the part of each of G groups.
        of: (…, G) their sizes; empty groups count for nothing.

    Returns:
        (…,); 0 where the share is 0 or 1, or there is one group.
    """
    n, groups = of.sum(axis=-1), (of > 0).sum(axis=-1)
    share = (yes.sum(axis=-1) / np.maximum(n, 1))[..., None]
    with np.errstate(divide="ignore", invalid="ignore"):
        phi = np.nansum((yes - of * share) ** 2 / (of * share * (1 - share)), axis=-1) / n
        chance = 1 / (n - 1)
        least = np.minimum(1 - chance, (groups - 1) - (groups - 1) ** 2 * chance)
        v = np.sqrt(np.maximum(phi - (groups - 1) * chance, 0) / least)
    return np.where((groups > 1) & (n > 1) & (least > 0), np.minimum(np.nan_to_num(v), 1.0), 0.0)


def cochran_q(by_column: Counts, by_row: Counts) -> float:
    """The p-value of equal columns in a binary matrix, whatever its rows are: Cochran, Biometrika 37, 1950.

    If the places of the ones in each row are as good as any, Q has the mean C − 1 and the variance 2 (C − 1)
    (1 − Σv² / (Σv)²), v = r (C − r) for a row with r ones. A gamma distribution with these stands for chi-square, so
    that sparse matrices with few rows are tested alike.

    Args:
        by_column: (C,) ones of each column.
        by_row: (N,) ones of each row.
    """
    columns, ones = len(by_column), float(by_column.sum())
    free = by_row.astype(np.float64) * (columns - by_row)
    total = float(free.sum())
    fixed = float((free**2).sum()) / total**2 if total else 1.0
    if columns < 2 or fixed > 1 - 1e-9:  # no row could be otherwise, or a single one
        return 1.0
    q = (columns - 1) * (columns * float((by_column.astype(np.float64) ** 2).sum()) - ones**2) / total
    return float(gamma.sf(q, a=(columns - 1) / (2 * (1 - fixed)), scale=2 * (1 - fixed)))


def enough(tables: Counts) -> NDArray[np.bool_]:
    """(…,) whether (…, 2, G) tables have enough in every row and column."""
    found: NDArray[np.bool_] = (tables.sum(axis=-1) >= _LEAST).all(axis=-1) & (tables.sum(axis=-2) >= _LEAST).all(-1)
    return found


def likelihood_ratio(tables: Counts) -> NDArray[np.float64]:
    """(…,) p-values of independence in (…, 2, G) tables without empty margins, by the likelihood ratio (G test).

    Among thousands of tables only far tails are rejected, and there it is near the exact test where Pearson's statistic
    is not: 17 or more, of a Poisson count with mean 5, have the probability 2e-5; this says 1e-5, Pearson 4e-8. For
    small tables it is corrected as Williams does ("Improved likelihood ratio tests for complete contingency tables",
    Biometrika 63, 1976).
    """
    rows, columns = tables.sum(axis=-1), tables.sum(axis=-2)
    n, freedom = rows.sum(axis=-1), tables.shape[-1] - 1
    expected = rows[..., :, None] * columns[..., None, :] / n[..., None, None]
    ratio = 2 * xlogy(tables, tables / expected).sum(axis=(-2, -1))
    small = (n * (1 / rows).sum(axis=-1) - 1) * (n * (1 / columns).sum(axis=-1) - 1) / (6 * n * freedom)
    p: NDArray[np.float64] = chi2.sf(np.maximum(ratio, 0) / (1 + small), freedom)
    return p


def between_groups(scores: NDArray[np.float64], groups: NDArray[np.intp]) -> float:
    """The p-value of equal means of G groups, as permutations of the groups have it for many scores.

    (N − 1) times the share of the variance that is between groups: Kruskal and Wallis's statistic (1952), of the scores
    themselves instead of their ranks. An image is one score, however much its labels have to do with each other.

    Args:
        scores: (N,) one per image.
        groups: (N,) from 0; every group has a score.
    """
    centred = scores - scores.mean()
    total = float((centred**2).sum())
    sizes = np.bincount(groups)
    if total <= 1e-12 * max(len(scores), 1) or len(sizes) < 2:
        return 1.0
    between = float((np.bincount(groups, weights=centred) ** 2 / sizes).sum())
    return float(chi2.sf((len(scores) - 1) * between / total, len(sizes) - 1))
