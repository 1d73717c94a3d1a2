"""Compiled ridge regressions, one per user or movie: what ALS spends its time on.

Every row of ALS solves ``(diag(d) + sum c y y') x = sum w y`` over the factors y of what it has rated. Divided by the
square roots of c and d, with P the scaled factors as rows, that is ``x = (I + P'P)^-1 P'v = P' (I + PP')^-1 v``: as
many unknowns as there are factors, or as ratings, where those are far fewer. All eigenvalues are at least 1, so float32
is enough, and Cholesky fails only where P'P is beyond its reach.

Products and factorisation run on tiles (`recsys.compiled.ridge_tiles`). At rank 32 a row takes 2 us, and each of its
ratings 20 to 25 ns more (AMD Zen 4).
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from recsys.compiled.ridge_tiles import TILE_COLUMNS, TILE_ROWS, add_row, add_tile, eliminate, factor_corner

Floats = NDArray[np.float32]

_PANEL_ROWS = 128  # ratings gathered at once: 40 KB at rank 64
_FAST = {"contract", "reassoc"}  # fused multiply-add and vector sums; NaN and infinity keep their meaning


@njit(nogil=True, cache=True)
def _padded(width: int) -> int:
    return (width + TILE_COLUMNS - 1) // TILE_COLUMNS * TILE_COLUMNS


@njit(nogil=True, cache=True)
def _add_gram(out: Floats, panel: Floats, n: int, width: int, stride: int) -> None:
    """Add the products of all columns of `panel`, (n, width), to the upper half of `out`."""
    for i in range(0, width, TILE_ROWS):
        for j in range(i - i % TILE_COLUMNS, width, TILE_COLUMNS):
            add_tile(out, i * stride + j, stride, np.float32(1), panel, i, stride, panel, j, n)


@njit(nogil=True, cache=True, fastmath=_FAST, error_model="numpy")
def _solve(matrix: Floats, solution: Floats, corner: Floats, width: int, stride: int) -> bool:
    """Cholesky of a matrix with eigenvalues of 1 and more by its upper half, in place; False if float32 is not enough.

    The right side stands in the column after the last: factorising takes it along, so only the way back is left.
    """
    for k in range(0, width, TILE_ROWS):
        for j in range(k - k % TILE_COLUMNS, stride, TILE_COLUMNS):
            add_tile(matrix, k * stride + j, stride, np.float32(-1), matrix, k, stride, matrix, j, k)
        if not factor_corner(matrix, k * stride + k, stride, corner):
            return False
        for j in range(k - k % TILE_COLUMNS, stride, TILE_COLUMNS):
            eliminate(matrix, k * stride + j, stride, corner)
    for i in range(width - 1, -1, -1):
        row = matrix[i * stride + i : i * stride + width]
        known = solution[i:width]
        rest = matrix[i * stride + width]
        for j in range(1, width - i):
            rest -= row[j] * known[j]
        known[0] = rest / row[0]
    return True


@njit(nogil=True, cache=True)
def _reset(matrix: Floats, width: int, stride: int) -> None:
    """The identity, and a right side of zeros."""
    matrix[: width * stride] = 0
    for i in range(width):
        matrix[i * stride + i] = 1


@njit(nogil=True, cache=True)
def _strength(label: np.float32, alpha: np.float32) -> tuple[np.float32, np.float32]:
    """The root of a label's weight c, and its target w over that root, in float32; `alpha` below 0: explicit."""
    one = np.float32(1)
    if alpha < 0:
        return one, label
    weight = alpha * abs(label)
    root = np.sqrt(weight)
    return root, (one + weight) / root if label > 0 else np.float32(0)


@njit(nogil=True, cache=True, fastmath=_FAST, error_model="numpy")
def _solve_primal(
    others: NDArray[np.int32], labels: Floats, factors: Floats, scale: Floats, alpha: np.float32,
    panel: Floats, matrix: Floats, right: Floats, corner: Floats, solution: Floats,
) -> bool:  # fmt: skip
    """One unknown per factor."""
    width = len(scale)
    stride = width + TILE_COLUMNS
    _reset(matrix, width, stride)
    for start in range(0, len(others), _PANEL_ROWS):
        n = min(_PANEL_ROWS, len(others) - start)
        right[:] = 0
        for a in range(n):
            root, strength = _strength(labels[start + a], alpha)
            add_row(panel, a * stride, factors, others[start + a] * width, scale, root, right, strength, width)
        _add_gram(matrix, panel, n, width, stride)
        for p in range(width):
            matrix[p * stride + width] += right[p]
    return _solve(matrix, solution, corner, width, stride)


@njit(nogil=True, cache=True, fastmath=_FAST, error_model="numpy")
def _solve_dual(
    others: NDArray[np.int32], labels: Floats, factors: Floats, scale: Floats, alpha: np.float32,
    panel: Floats, matrix: Floats, right: Floats, corner: Floats, solution: Floats,
) -> bool:  # fmt: skip
    """One unknown per rating; `panel` holds the scaled factors as columns."""
    n, rank = len(others), len(scale)
    width = _padded(n)
    stride = width + TILE_COLUMNS
    panel[: rank * stride] = 0
    _reset(matrix, width, stride)
    for a in range(n):
        root, strength = _strength(labels[a], alpha)
        source = factors[others[a] * rank : (others[a] + 1) * rank]
        for p in range(rank):
            panel[p * stride + a] = source[p] * scale[p] * root
        matrix[a * stride + width] = strength
    _add_gram(matrix, panel, rank, width, stride)
    if not _solve(matrix, right, corner, width, stride):
        return False
    for p in range(rank):
        total = np.float32(0)
        row = panel[p * stride : p * stride + width]
        for a in range(width):
            total += row[a] * right[a]
        solution[p] = total
    return True


@njit(nogil=True, cache=True, error_model="numpy")
def solve_rows(
    indptr: NDArray[np.int64], others: NDArray[np.int32], labels: Floats, factors: Floats, base: NDArray[np.float64],
    reg_param: float, alpha: float, out: Floats,
) -> int:  # fmt: skip
    """New factors of every user, or of every movie.

    Args:
        indptr: where each row's ratings begin; shape (n + 1,).
        others: rows of `factors` that were rated; shape (n_ratings,).
        labels: shape (n_ratings,).
        factors: of the other side; shape (m, rank).
        base: what all of them add to the diagonal, 0 or more; shape (rank,).
        reg_param: the ridge per counted rating, above 0.
        alpha: above 0; below 0 for the explicit objective.
        out: filled; shape (n, rank). A row without a counted rating becomes 0.

    Returns:
        -1, or the first row whose equations float32 cannot solve.
    """
    rank = factors.shape[1]
    width = _padded(rank)
    # Zeros beyond the rank stay zeros all the way, and every loop over factors is one of whole vectors.
    padded = np.zeros((len(factors), width), np.float32)
    padded[:, :rank] = factors
    flat = padded.reshape(-1)
    size = max(_PANEL_ROWS, width) * (width + TILE_COLUMNS)
    panel, matrix = np.empty(size, np.float32), np.empty(size, np.float32)
    corner = np.empty(TILE_ROWS**2 + TILE_ROWS, np.float32)
    single_alpha = np.float32(alpha)
    right, solution, scale = np.empty(width, np.float32), np.empty(width, np.float32), np.zeros(width, np.float32)
    for i in range(len(indptr) - 1):
        rated, given = others[indptr[i] : indptr[i + 1]], labels[indptr[i] : indptr[i + 1]]
        n_counted = len(given) if alpha < 0 else (given > 0).sum()
        if n_counted == 0:
            out[i] = 0
            continue
        for p in range(rank):
            scale[p] = 1 / np.sqrt(base[p] + reg_param * n_counted)
        if 2 * _padded(len(rated)) <= width:  # otherwise arranging ratings as columns costs what they save
            solved = _solve_dual(rated, given, flat, scale, single_alpha, panel, matrix, right, corner, solution)
        else:
            solved = _solve_primal(rated, given, flat, scale, single_alpha, panel, matrix, right, corner, solution)
        if not solved:
            return i
        for p in range(rank):
            out[i, p] = solution[p] * scale[p]
            if not np.isfinite(out[i, p]):
                return i
    return -1


@njit(nogil=True, cache=True)
def gram(factors: Floats) -> NDArray[np.float64]:
    """The sum of the outer products of all rows with themselves; (n, rank) to (rank, rank), summed in float64."""
    n, rank = factors.shape
    width = _padded(rank)
    panel, part = np.zeros(_PANEL_ROWS * width, np.float32), np.empty(width * width, np.float32)
    total = np.zeros((rank, rank))
    for start in range(0, n, _PANEL_ROWS):
        n_rows = min(_PANEL_ROWS, n - start)
        for a in range(n_rows):
            panel[a * width : a * width + rank] = factors[start + a]
        part[:] = 0
        _add_gram(part, panel, n_rows, width, width)
        for i in range(rank):
            for j in range(i, rank):
                total[i, j] += part[i * width + j]
    for i in range(rank):
        for j in range(i):
            total[i, j] = total[j, i]
    return total


@njit(nogil=True, cache=True, fastmath=_FAST)
def rotated(factors: Floats, rotation: Floats) -> Floats:
    """``factors @ rotation`` in this thread; shapes (n, rank), (rank, rank) to (n, rank)."""
    n, rank = factors.shape
    out = np.zeros((n, rank), np.float32)
    for i in range(n):
        row = out[i]
        for p in range(rank):
            weight, direction = factors[i, p], rotation[p]
            for q in range(rank):
                row[q] += weight * direction[q]
    return out
