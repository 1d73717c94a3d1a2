"""Compiled ridge regressions, one per user or movie: what ALS spends its time on.

Every row of ALS solves ``(diag(d) + sum c y y') x = sum w y`` over the factors y of what it has rated. Divided by the
square roots of c and d, with P the scaled factors as rows, that is ``x = (I + P'P)^-1 P'v = P' (I + PP')^-1 v``: as
many unknowns as there are factors, or as ratings, whichever are fewer. All eigenvalues are at least 1, so float32 is
enough, and Cholesky fails only where P'P is beyond its reach.

Products and factorisation run on one tile of 8 x 16 sums that LLVM keeps in registers, whatever the processor's
vectors: 87 useful GFLOP/s at rank 64 where a product by BLAS, which computes both halves, gave 36 (AMD Zen 4).
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

Floats = NDArray[np.float32]

TILE_ROWS, TILE_COLUMNS = 8, 16
_PANEL_ROWS = 128  # ratings gathered at once: 32 KB at rank 64
_FAST = {"contract", "reassoc"}  # fused multiply-add and vector sums; NaN and infinity keep their meaning


@intrinsic
def _add_tile(
    typing_context: Any, out: Any, out_at: Any, stride: Any, sign: Any, left: Any, left_at: Any, left_stride: Any,
    right: Any, right_at: Any, n: Any,
) -> Any:  # fmt: skip
    """``out[8, 16] += sign * left[n, 8]' right[n, 16]``, where `out` may overlap the others.

    Matrices are flat arrays, the place of their first element, and the distance of their rows; `right` has the
    distance of `out`. Nothing checks bounds.
    """
    at = types.int64
    signature = types.void(out, at, at, types.float32, left, at, at, right, at, at)
    return signature, _tile_code


def _tile_code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    def data(number: int) -> Any:
        array = context.make_array(signature.args[number])(context, builder, args[number])
        return builder.gep(array.data, [args[number + 1]])

    def plus(value: Any, factor: Any, other: Any) -> Any:
        product = builder.fmul(factor, other, flags=("contract",))
        return builder.fadd(value, product, flags=("contract",))

    def spread(value: Any) -> Any:
        single = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
        return builder.shuffle_vector(
            single, single, ir.Constant(ir.VectorType(ir.IntType(32), TILE_COLUMNS), [0] * TILE_COLUMNS)
        )

    def vector_at(base: Any, place: Any) -> Any:
        return builder.bitcast(builder.gep(base, [place]), vector.as_pointer())

    vector = ir.VectorType(ir.FloatType(), TILE_COLUMNS)
    numbers = [ir.Constant(ir.IntType(64), number) for number in range(TILE_ROWS)]
    out, left, right = data(0), data(4), data(7)
    stride, sign, left_stride, n = args[2], args[3], args[6], args[9]
    zero = ir.Constant(vector, [0.0] * TILE_COLUMNS)
    sums = [cgutils.alloca_once_value(builder, zero) for _ in numbers]
    with cgutils.for_range(builder, n) as loop:
        row = builder.load(vector_at(right, builder.mul(loop.index, stride)), align=4)
        weights = builder.gep(left, [builder.mul(loop.index, left_stride)])
        for number, total in zip(numbers, sums, strict=True):
            weight = builder.load(builder.gep(weights, [number]))
            builder.store(plus(builder.load(total), spread(weight), row), total)
    signs = spread(sign)
    for number, total in zip(numbers, sums, strict=True):
        place = vector_at(out, builder.mul(number, stride))
        builder.store(plus(builder.load(place, align=4), signs, builder.load(total)), place, align=4)
    return context.get_dummy_value()


@njit(nogil=True, cache=True)
def _padded(width: int) -> int:
    return (width + TILE_COLUMNS - 1) // TILE_COLUMNS * TILE_COLUMNS


@njit(nogil=True, cache=True)
def _add_gram(out: Floats, panel: Floats, n: int, width: int, stride: int) -> None:
    """Add the products of all columns of `panel`, (n, width), to the upper half of `out`."""
    for i in range(0, width, TILE_ROWS):
        for j in range(i - i % TILE_COLUMNS, width, TILE_COLUMNS):
            _add_tile(out, i * stride + j, stride, np.float32(1), panel, i, stride, panel, j, n)


@njit(nogil=True, cache=True, fastmath=_FAST, error_model="numpy")
def _solve(matrix: Floats, solution: Floats, inverse: Floats, width: int, stride: int) -> bool:
    """Cholesky of a positive definite matrix by its upper half, in place; False where it is not positive definite.

    The right side stands in the column after the last: factorising takes it along, so only the way back is left.
    """
    for k in range(0, width, TILE_ROWS):
        for j in range(k - k % TILE_COLUMNS, stride, TILE_COLUMNS):
            _add_tile(matrix, k * stride + j, stride, np.float32(-1), matrix, k, stride, matrix, j, k)
        if not _invert_corner(matrix, k * stride + k, stride, inverse):
            return False
        for j in range(k - k % TILE_COLUMNS, stride, TILE_COLUMNS):
            at = k * stride + j
            _add_tile(matrix, at, stride, np.float32(1), inverse, 0, TILE_ROWS, matrix, at, TILE_ROWS)
    for i in range(width - 1, -1, -1):
        row = matrix[i * stride + i : i * stride + width]
        known = solution[i:width]
        rest = matrix[i * stride + width]
        for j in range(1, width - i):
            rest -= row[j] * known[j]
        known[0] = rest / row[0]
    return True


@njit(nogil=True, cache=True, error_model="numpy")
def _invert_corner(matrix: Floats, at: int, stride: int, inverse: Floats) -> bool:
    """The inverse of the Cholesky factor of 8 x 8 numbers, less the identity: what the tile adds to its own rows."""
    factor = np.empty((TILE_ROWS, TILE_ROWS), np.float32)
    for a in range(TILE_ROWS):
        for b in range(a, TILE_ROWS):
            value = matrix[at + a * stride + b]
            for p in range(a):
                value -= factor[p, a] * factor[p, b]
            if a == b:
                if not value > 0:
                    return False
                factor[a, a] = np.sqrt(value)
            else:
                factor[a, b] = value / factor[a, a]
    for b in range(TILE_ROWS):
        inverse[b * TILE_ROWS + b] = 1 / factor[b, b]
        for a in range(b - 1, -1, -1):
            value = np.float32(0)
            for p in range(a + 1, b + 1):
                value -= factor[a, p] * inverse[p * TILE_ROWS + b]
            inverse[a * TILE_ROWS + b] = value / factor[a, a]
    for a in range(TILE_ROWS):
        inverse[a * TILE_ROWS + a] -= 1
    return True


@njit(nogil=True, cache=True)
def _reset(matrix: Floats, width: int, stride: int) -> None:
    """The identity, and a right side of zeros."""
    matrix[: width * stride] = 0
    for i in range(width):
        matrix[i * stride + i] = 1


@njit(nogil=True, cache=True)
def _strength(label: float, alpha: float) -> tuple[float, float]:
    """A label's weight c, and its target w / sqrt(c); `alpha` below 0: explicit."""
    if alpha < 0:
        return 1.0, label
    weight = alpha * abs(label)
    return weight, (1 + weight) / np.sqrt(weight) if label > 0 else 0.0


@njit(nogil=True, cache=True, fastmath=_FAST, error_model="numpy")
def _solve_primal(
    others: NDArray[np.int32], labels: Floats, factors: Floats, scale: Floats, alpha: float,
    panel: Floats, matrix: Floats, inverse: Floats, solution: Floats,
) -> bool:  # fmt: skip
    """One unknown per factor."""
    rank = factors.shape[1]
    width = _padded(rank)
    stride = width + TILE_COLUMNS
    right = np.empty(rank, np.float32)
    _reset(matrix, width, stride)
    for start in range(0, len(others), _PANEL_ROWS):
        n = min(_PANEL_ROWS, len(others) - start)
        right[:] = 0
        for a in range(n):
            weight, target = _strength(labels[start + a], alpha)
            root, strength = np.float32(np.sqrt(weight)), np.float32(target)
            source = factors[others[start + a]]
            row = panel[a * stride : a * stride + width]
            row[rank:] = 0
            for p in range(rank):
                row[p] = source[p] * scale[p] * root
                right[p] += row[p] * strength
        _add_gram(matrix, panel, n, width, stride)
        for p in range(rank):
            matrix[p * stride + width] += right[p]
    return _solve(matrix, solution, inverse, width, stride)


@njit(nogil=True, cache=True, fastmath=_FAST, error_model="numpy")
def _solve_dual(
    others: NDArray[np.int32], labels: Floats, factors: Floats, scale: Floats, alpha: float,
    panel: Floats, matrix: Floats, inverse: Floats, solution: Floats,
) -> bool:  # fmt: skip
    """One unknown per rating; `panel` holds the scaled factors as columns."""
    n, rank = len(others), factors.shape[1]
    width = _padded(n)
    stride = width + TILE_COLUMNS
    panel[: rank * stride] = 0
    _reset(matrix, width, stride)
    for a in range(n):
        weight, target = _strength(labels[a], alpha)
        root = np.float32(np.sqrt(weight))
        source = factors[others[a]]
        for p in range(rank):
            panel[p * stride + a] = source[p] * scale[p] * root
        matrix[a * stride + width] = target
    _add_gram(matrix, panel, rank, width, stride)
    if not _solve(matrix, solution, inverse, width, stride):
        return False
    multipliers = solution[:width].copy()
    for p in range(rank):
        total = np.float32(0)
        row = panel[p * stride : p * stride + width]
        for a in range(width):
            total += row[a] * multipliers[a]
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
    widest = _padded(rank)
    size = max(_PANEL_ROWS, widest) * (widest + TILE_COLUMNS)
    panel, matrix, inverse = np.empty(size, np.float32), np.empty(size, np.float32), np.zeros(TILE_ROWS**2, np.float32)
    solution, scale = np.empty(widest, np.float32), np.empty(rank, np.float32)
    for i in range(len(indptr) - 1):
        rated, given = others[indptr[i] : indptr[i + 1]], labels[indptr[i] : indptr[i + 1]]
        n_counted = len(given) if alpha < 0 else (given > 0).sum()
        if n_counted == 0:
            out[i] = 0
            continue
        scale[:] = 1 / np.sqrt(base + reg_param * n_counted)
        if len(rated) < rank:
            solved = _solve_dual(rated, given, factors, scale, alpha, panel, matrix, inverse, solution)
        else:
            solved = _solve_primal(rated, given, factors, scale, alpha, panel, matrix, inverse, solution)
        out[i] = solution[:rank] * scale
        if not solved or not np.isfinite(out[i]).all():
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
