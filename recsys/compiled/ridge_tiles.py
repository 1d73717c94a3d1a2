"""Instructions on tiles of 8 x 16 numbers, which LLVM keeps in registers whatever the processor's vectors.

Numba's own loops read and write memory for each sum, and test each time whether arrays overlap; of these tiles only the
whole is read and written. Matrices are flat arrays, the place of their first element, and the distance of their rows.
Nothing checks bounds.

Numba keeps compiled kernels until their own file changes: after a change here, remove their `__pycache__`.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

TILE_ROWS, TILE_COLUMNS = 8, 16
_ROWS, _COLUMNS = (ir.VectorType(ir.FloatType(), n) for n in (TILE_ROWS, TILE_COLUMNS))


@intrinsic
def add_tile(
    typing_context: Any, out: Any, out_at: Any, stride: Any, sign: Any, left: Any, left_at: Any, left_stride: Any,
    right: Any, right_at: Any, n: Any,
) -> Any:  # fmt: skip
    """``out[8, 16] += sign * left[n, 8]' right[n, 16]``, where `out` may overlap the others.

    The rows of `right` have the distance of those of `out`.
    """
    at = types.int64
    signature = types.void(out, at, at, types.float32, left, at, at, right, at, at)
    return signature, _tile_code


def _tile_code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    def vector_at(base: Any, place: Any) -> Any:
        return builder.bitcast(builder.gep(base, [place]), _COLUMNS.as_pointer())

    numbers = [ir.Constant(ir.IntType(64), number) for number in range(TILE_ROWS)]
    out, left, right = (_data(context, builder, signature, args, number) for number in (0, 4, 7))
    stride, sign, left_stride, n = args[2], args[3], args[6], args[9]
    zero = ir.Constant(_COLUMNS, [0.0] * TILE_COLUMNS)
    sums = [cgutils.alloca_once_value(builder, zero) for _ in numbers]
    with cgutils.for_range(builder, n) as loop:
        row = builder.load(vector_at(right, builder.mul(loop.index, stride)), align=4)
        weights = builder.gep(left, [builder.mul(loop.index, left_stride)])
        for number, total in zip(numbers, sums, strict=True):
            weight = _spread(builder, builder.load(builder.gep(weights, [number])), _COLUMNS)
            builder.store(_plus(builder, builder.load(total), weight, row), total)
    signs = _spread(builder, sign, _COLUMNS)
    for number, total in zip(numbers, sums, strict=True):
        place = vector_at(out, builder.mul(number, stride))
        builder.store(_plus(builder, builder.load(place, align=4), signs, builder.load(total)), place, align=4)
    return context.get_dummy_value()


@intrinsic
def add_row(
    typing_context: Any, panel: Any, panel_at: Any, factors: Any, factors_at: Any, scale: Any, root: Any, right: Any,
    strength: Any, width: Any,
) -> Any:  # fmt: skip
    """A row of `panel`: ``factors * scale * root``, added ``strength`` times to `right`; `width` whole vectors."""
    at, number = types.int64, types.float32
    return types.void(panel, at, factors, at, scale, number, right, number, at), _row_code


def _row_code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    panel, factors = (_data(context, builder, signature, args, number) for number in (0, 2))
    scale, right = (_data(context, builder, signature, args, number, None) for number in (4, 6))
    root, strength = (_spread(builder, args[number], _COLUMNS) for number in (5, 7))
    step = ir.Constant(ir.IntType(64), TILE_COLUMNS)
    with cgutils.for_range(builder, builder.sdiv(args[8], step)) as loop:
        place = builder.mul(loop.index, step)
        row, source, sizes, sums = (
            builder.bitcast(builder.gep(base, [place]), _COLUMNS.as_pointer())
            for base in (panel, factors, scale, right)
        )
        values = builder.fmul(builder.load(source, align=4), builder.fmul(builder.load(sizes, align=4), root))
        builder.store(values, row, align=4)
        builder.store(_plus(builder, builder.load(sums, align=4), values, strength), sums, align=4)
    return context.get_dummy_value()


@intrinsic
def factor_corner(typing_context: Any, matrix: Any, at: Any, stride: Any, corner: Any) -> Any:
    """Cholesky of 8 x 8 numbers of `matrix` into `corner`: its 8 rows, then one over each number of its diagonal.

    False, and nothing of use in `corner`, where rounding has had its way: with all eigenvalues at least 1, what is left
    of the diagonal is at least 1 too, and here it is not even a half.
    """
    return types.boolean(matrix, types.int64, types.int64, corner), _corner_code


def _corner_code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    matrix, corner = (_data(context, builder, signature, args, number, place) for number, place in ((0, 1), (3, None)))
    numbers = [ir.Constant(ir.IntType(64), number) for number in range(TILE_ROWS)]
    root = builder.module.declare_intrinsic("llvm.sqrt", [ir.FloatType()])
    half, one = ir.Constant(ir.FloatType(), 0.5), ir.Constant(ir.FloatType(), 1.0)
    places = [builder.gep(matrix, [builder.mul(number, args[2])]) for number in numbers]
    rows = [builder.load(builder.bitcast(place, _ROWS.as_pointer()), align=4) for place in places]
    is_exact = ir.Constant(ir.IntType(1), 1)
    for a, number in enumerate(numbers):
        value = builder.extract_element(rows[a], number)
        is_exact = builder.and_(is_exact, builder.fcmp_ordered(">", value, half))
        inverse = builder.fdiv(one, builder.call(root, [value]))
        rows[a] = builder.fmul(rows[a], _spread(builder, inverse, _ROWS))
        for b in range(a + 1, TILE_ROWS):
            weight = builder.fneg(builder.extract_element(rows[a], numbers[b]))
            rows[b] = _plus(builder, rows[b], _spread(builder, weight, _ROWS), rows[a])
        place = builder.gep(corner, [ir.Constant(ir.IntType(64), a * TILE_ROWS)])
        builder.store(rows[a], builder.bitcast(place, _ROWS.as_pointer()), align=4)
        builder.store(inverse, builder.gep(corner, [ir.Constant(ir.IntType(64), TILE_ROWS**2 + a)]))
    return is_exact


@intrinsic
def eliminate(typing_context: Any, matrix: Any, at: Any, stride: Any, corner: Any) -> Any:
    """Solve a tile of 8 x 16 numbers of `matrix` in place by the factor in `corner`."""
    return types.void(matrix, types.int64, types.int64, corner), _elimination_code


def _elimination_code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    matrix, corner = (_data(context, builder, signature, args, number, place) for number, place in ((0, 1), (3, None)))

    def weight(number: int) -> Any:
        return builder.load(builder.gep(corner, [ir.Constant(ir.IntType(64), number)]))

    numbers = [ir.Constant(ir.IntType(64), number) for number in range(TILE_ROWS)]
    starts = [builder.gep(matrix, [builder.mul(number, args[2])]) for number in numbers]
    places = [builder.bitcast(start, _COLUMNS.as_pointer()) for start in starts]
    rows = [builder.load(place, align=4) for place in places]
    for a in range(TILE_ROWS):
        rows[a] = builder.fmul(rows[a], _spread(builder, weight(TILE_ROWS**2 + a), _COLUMNS))
        for b in range(a + 1, TILE_ROWS):
            against = builder.fneg(weight(a * TILE_ROWS + b))
            rows[b] = _plus(builder, rows[b], _spread(builder, against, _COLUMNS), rows[a])
        builder.store(rows[a], places[a], align=4)
    return context.get_dummy_value()


def _data(context: Any, builder: Any, signature: Any, args: Any, number: int, at: int | None = -1) -> Any:
    """Where argument `number`, a flat array, begins; from the place that argument `at`, by default the next, says."""
    data = context.make_array(signature.args[number])(context, builder, args[number]).data
    return data if at is None else builder.gep(data, [args[number + 1 if at < 0 else at]])


def _spread(builder: Any, value: Any, vector: Any) -> Any:
    """A vector of that number."""
    single = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), [0] * vector.count)
    return builder.shuffle_vector(single, single, zeros)


def _plus(builder: Any, value: Any, factor: Any, other: Any) -> Any:
    """``value + factor * other``, fused where the processor can."""
    product = builder.fmul(factor, other, flags=("contract",))
    return builder.fadd(value, product, flags=("contract",))
