"""What numba compiles of the kernel, all in one file: its cache of compiled code looks at this file's date only.

The tile is written in LLVM's vector types, from which numba makes the instructions of the processor it runs on. With
AVX-512 the loop over the rank is 24 multiply-adds on registers and nothing else; compilers do not find that by
themselves.
"""

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import config, njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

log = logging.getLogger(__name__)

if config.DISABLE_JIT:
    raise ImportError("NUMBA_DISABLE_JIT is set, and this path exists as compiled code only")

Floats = NDArray[np.float32]
Indices = NDArray[np.int32]
Offsets = NDArray[np.int64]
Doubles = NDArray[np.float64]

# A tile's sums fill the vector registers: 24 of AVX-512's 32, elsewhere 12 of AVX2's 16.
_LANES, _VECTORS, _USERS = (16, 3, 8) if binding.get_host_cpu_features().get("avx512f") else (8, 2, 6)
WIDTH = _LANES * _VECTORS  # movies in a panel, at most 64: a mask has a bit for each
_GROUPS = 32  # of users that share what is kept at hand: 2 MB of marks for 59,000 movies
_CHUNK_BYTES = 1 << 18  # of panels that a block of users meets before the next: they stay in the second cache

_FLOAT, _INT = ir.FloatType(), ir.IntType(64)
_VECTOR = ir.VectorType(_FLOAT, _LANES)
_FUSE = ("contract",)


def _read(kind: Any, n_dimensions: int) -> Any:
    """An array that is only read: what NumPy marks as read-only is taken as well as what it does not."""
    return types.Array(kind, n_dimensions, "C", readonly=True)


def _compiled(signature: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Compile for one signature, at import, and keep the code for later processes where a folder allows it."""

    def compile_now(function: Callable[..., None]) -> Callable[..., None]:
        dispatcher = njit(nogil=True)(function)
        try:
            dispatcher.enable_caching()
        except RuntimeError as error:
            log.warning("every process compiles the top-k kernel for itself (seconds); set NUMBA_CACHE_DIR: %s", error)
        dispatcher.compile(signature)
        dispatcher.disable_compile()
        compiled: Callable[..., None] = dispatcher
        return compiled

    return compile_now


@intrinsic  # type: ignore[untyped-decorator]
def _tile(
    _context: Any, users: Any, user_at: Any, panels: Any, panel_at: Any, rank: Any, floors: Any, floor_at: Any,
    scores: Any, masks: Any
) -> Any:  # fmt: skip
    """Multiply a group of users with a panel of movies, both from offsets in flat arrays.

    Returns:
        Not 0 where any score is above its user's floor. Only then `scores`, shape (users, movies) flat, and `masks`,
        one bit per movie for each user, are written.
    """
    whole = types.int64
    signature = whole(users, whole, panels, whole, whole, floors, whole, scores, masks)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def data(number: int) -> Any:
            return context.make_array(signature.args[number])(context, builder, value=arguments[number]).data

        user = builder.gep(data(0), [arguments[1]])
        panel = builder.gep(data(2), [arguments[3]])
        floor = builder.gep(data(5), [arguments[6]])
        sums = _multiply(builder, user, panel, arguments[4])
        found, any_found = _compare(builder, sums, floor)
        with builder.if_then(builder.icmp_unsigned("!=", any_found, _INT(0)), likely=False):
            for number, (row, bits) in enumerate(zip(sums, found, strict=True)):
                builder.store(bits, builder.gep(data(8), [_INT(number)]))
                for part, value in enumerate(row):
                    builder.store(value, _vector_at(builder, data(7), _INT(number * WIDTH + part * _LANES)), align=4)
        return any_found

    return signature, generate


def _multiply(builder: Any, user: Any, panel: Any, rank: Any) -> list[list[Any]]:
    """The products of every user with every vector of movies, summed over the rank in registers."""
    zero = ir.Constant(_VECTOR, [0.0] * _LANES)
    sums = [[cgutils.alloca_once(builder, _VECTOR) for _ in range(_VECTORS)] for _ in range(_USERS)]
    for row in sums:
        for slot in row:
            builder.store(zero, slot)
    with cgutils.for_range(builder, rank, intp=_INT) as loop:
        movie_at, user_at = builder.mul(loop.index, _INT(WIDTH)), builder.mul(loop.index, _INT(_USERS))
        movies = [
            builder.load(_vector_at(builder, panel, builder.add(movie_at, _INT(part * _LANES))), align=4)
            for part in range(_VECTORS)
        ]
        for number, row in enumerate(sums):
            value = _spread(builder, user, builder.add(user_at, _INT(number)))
            for movie, slot in zip(movies, row, strict=True):
                product = builder.fmul(value, movie, flags=_FUSE)
                builder.store(builder.fadd(builder.load(slot), product, flags=_FUSE), slot)
    return [[builder.load(slot) for slot in row] for row in sums]


def _compare(builder: Any, sums: list[list[Any]], floor: Any) -> tuple[list[Any], Any]:
    """A bit for each movie above the floor, for each user; and all bits of all users together."""
    found, any_found = [], _INT(0)
    for number, row in enumerate(sums):
        limit, bits = _spread(builder, floor, _INT(number)), _INT(0)
        for part, value in enumerate(row):
            above = builder.bitcast(builder.fcmp_ordered(">", value, limit), ir.IntType(_LANES))
            bits = builder.or_(bits, builder.shl(builder.zext(above, _INT), _INT(part * _LANES)))
        found.append(bits)
        any_found = builder.or_(any_found, bits)
    return found, any_found


def _vector_at(builder: Any, base: Any, offset: Any) -> Any:
    return builder.bitcast(builder.gep(base, [offset]), _VECTOR.as_pointer())


def _spread(builder: Any, base: Any, offset: Any) -> Any:
    """One number in every lane of a vector."""
    empty, zeros = ir.Constant(_VECTOR, ir.Undefined), ir.Constant(ir.VectorType(ir.IntType(32), _LANES), None)
    first = builder.insert_element(empty, builder.load(builder.gep(base, [offset])), ir.IntType(32)(0))
    return builder.shuffle_vector(first, empty, zeros)


@intrinsic  # type: ignore[untyped-decorator]
def _lowest_bit(_context: Any, bits: Any) -> Any:
    """The place of the lowest bit that is set; of 0 there is none."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.IntType(1)(1))

    return types.int64(types.int64), generate


@njit(nogil=True)  # type: ignore[untyped-decorator]
def _exact(user: Floats, movie: Floats) -> np.float32:
    """The score in double precision, summed in the order that `recsys.scoring.blocks` sums in too.

    Products of two float32 numbers are exact in float64, so fused multiply-adds change nothing.
    """
    a, b, c, d = 0.0, 0.0, 0.0, 0.0
    whole = len(user) - len(user) % 4
    for at in range(0, whole, 4):
        a += np.float64(user[at]) * np.float64(movie[at])
        b += np.float64(user[at + 1]) * np.float64(movie[at + 1])
        c += np.float64(user[at + 2]) * np.float64(movie[at + 2])
        d += np.float64(user[at + 3]) * np.float64(movie[at + 3])
    for at in range(whole, len(user)):
        a += np.float64(user[at]) * np.float64(movie[at])
    return np.float32((a + b) + (c + d))


@njit(nogil=True)  # type: ignore[untyped-decorator]
def _insert(best: Indices, scores: Floats, movie: int, score: float) -> None:
    """Let a movie compete for one list, in place; ties go to the lower position."""
    at = len(best)
    while at > 0 and (score > scores[at - 1] or best[at - 1] < 0 or (score == scores[at - 1] and movie < best[at - 1])):
        if at < len(best):
            best[at], scores[at] = best[at - 1], scores[at - 1]
        at -= 1
    if at < len(best):
        best[at], scores[at] = movie, score


@njit(nogil=True)  # type: ignore[untyped-decorator]
def _seat(
    rows: Offsets, users: Floats, norms: Doubles, slack: Doubles, scores: Floats, packed: Floats, floors: Floats,
    lengths: Doubles
) -> None:  # fmt: skip
    """Seat users in groups, side by side as the tile reads them; nothing passes the floors of empty seats."""
    rank = users.shape[1]
    packed[:] = 0
    floors[:] = np.inf
    for seat, row in enumerate(rows):
        at = seat // _USERS * _USERS * rank + seat % _USERS
        for dimension in range(rank):
            packed[at + dimension * _USERS] = users[row, dimension]
        lengths[seat] = norms[row]
        # Rounding to float32 is covered: the slack is several times the largest error.
        floors[seat] = scores[row, -1] - slack[row]


@njit(nogil=True)  # type: ignore[untyped-decorator]
def _mark(marks: NDArray[np.uint8], rows: Offsets, places: Indices, indptr: Offsets, seen: Offsets) -> None:
    """Set a bit for every movie that the users have seen, by its place in the order of norms."""
    marks[:] = 0
    for row in rows:
        of_user = marks[row % len(marks)]
        for at in range(indptr[row], indptr[row + 1]):
            place = places[seen[at]]
            of_user[place >> 3] |= np.uint8(1 << (place & 7))


@njit(nogil=True)  # type: ignore[untyped-decorator]
def _sorted_rows(rows: Offsets, norms: Doubles, slack: Doubles, scores: Floats) -> Offsets:
    """Bring users together who are done at about the same panel: a tenth of the time on real factors."""
    reach = np.full(len(rows), -np.inf)
    for seat, row in enumerate(rows):
        if norms[row] > 0:
            reach[seat] = (scores[row, -1] - slack[row]) / norms[row]
    return rows[np.argsort(reach)]


@njit(nogil=True)  # type: ignore[untyped-decorator]
def _is_reachable(lengths: Doubles, floors: Floats, seat: int, largest: float) -> bool:
    """Whether a movie of the norm `largest` could still enter a list of the group that begins at a seat."""
    is_reachable = False
    for at in range(seat, seat + _USERS):
        is_reachable |= lengths[at] * largest >= floors[at]
    return is_reachable


@njit(nogil=True)  # type: ignore[untyped-decorator]
def _take(
    tile: Floats, masks: Offsets, first: int, seat: int, rows: Offsets, users: Floats, slack: Doubles, factors: Floats,
    order: Indices, marks: NDArray[np.uint8], floors: Floats, best: Indices, scores: Floats
) -> None:  # fmt: skip
    """Score what a tile has found again, exactly, and let it compete; the tile's movies begin at the place `first`."""
    for lane in range(_USERS):
        bits = masks[lane]
        while bits:
            column = _lowest_bit(bits)
            bits &= bits - 1
            place = first + column
            # Beyond the movies a panel holds zeros; and the floor may have risen since the tile was compared.
            if place >= len(order) or tile[lane * WIDTH + column] <= floors[seat + lane]:
                continue
            row = rows[seat + lane]
            if marks[row % len(marks), place >> 3] >> (place & 7) & 1:
                continue
            movie = order[place]
            _insert(best[row], scores[row], movie, _exact(users[row], factors[movie]))
            floors[seat + lane] = scores[row, -1] - slack[row]


@_compiled(
    types.void(
        _read(types.float32, 2), _read(types.float64, 1), _read(types.float64, 1), _read(types.float32, 2),
        _read(types.int32, 1), _read(types.int32, 1), _read(types.float32, 3), _read(types.float64, 1),
        _read(types.int64, 1), _read(types.int64, 1), types.int32[:, ::1], types.float32[:, ::1]
    )
)  # fmt: skip
def fill(
    users: Floats, norms: Doubles, slack: Doubles, factors: Floats, order: Indices, places: Indices, panels: Floats,
    largest: Doubles, indptr: Offsets, seen: Offsets, best: Indices, scores: Floats
) -> None:  # fmt: skip
    """Fill empty lists; `norms` and `slack` are the users', what lies between is `recsys.scoring.fused.Layout`."""
    n_panels, rank, n_seats = len(panels), panels.shape[1], _GROUPS * _USERS
    flat, size = panels.reshape(-1), rank * WIDTH
    packed, floors, lengths = np.empty(n_seats * rank, np.float32), np.empty(n_seats, np.float32), np.zeros(n_seats)
    marks = np.empty((n_seats, (len(order) + 7) // 8), np.uint8)
    tile, masks = np.empty(_USERS * WIDTH, np.float32), np.empty(_USERS, np.int64)
    step = max(1, _CHUNK_BYTES // (size * 4))
    for start in range(0, len(users), n_seats):
        rows = np.arange(start, min(start + n_seats, len(users)))
        _mark(marks, rows, places, indptr, seen)
        for number, first in enumerate(range(0, n_panels, step)):
            if number & (number - 1) == 0:  # the chunks 0, 1, 2, 4, 8 …: thresholds settle more and more slowly
                rows = _sorted_rows(rows, norms, slack, scores)
                _seat(rows, users, norms, slack, scores, packed, floors, lengths)
            for seat in range(0, len(rows), _USERS):
                for panel in range(first, min(first + step, n_panels)):
                    if not _is_reachable(lengths, floors, seat, largest[panel]):
                        break
                    if _tile(packed, seat * rank, flat, panel * size, rank, floors, seat, tile, masks):
                        _take(
                            tile, masks, panel * WIDTH, seat, rows, users, slack, factors, order, marks, floors, best,
                            scores
                        )  # fmt: skip
