"""What numba compiles of the kernel, all in one file: its cache of compiled code looks at this file's date only.

The tile is written in LLVM's vector types, from which numba makes the instructions of the processor it runs on. With
AVX-512 the loop over the words of a vector is 24 multiply-adds on registers and nothing else, which compilers do not
find by themselves. Where the processor multiplies bytes and adds products up by itself a word is four bytes, elsewhere
one number in float32; what rounding to bytes may lose is part of the limit a sum is compared with.
"""

from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import config, njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from recsys.topk.compiling import compiled, read_only

if config.DISABLE_JIT:
    raise ImportError("NUMBA_DISABLE_JIT is set, and this path exists as compiled code only")

Floats = NDArray[np.float32]
Indices = NDArray[np.int32]
Offsets = NDArray[np.int64]
Doubles = NDArray[np.float64]

_FEATURES = binding.get_host_cpu_features()
_IS_WIDE = _FEATURES.get("avx512f", False)
# Four products of bytes in the time of one in float32, where the processor adds four up by itself (VNNI). With AVX2 and
# AVX-512 BW it adds up two as 16 bits, and then two of those: three instructions, still faster than float32.
_HAS_VNNI = _FEATURES.get("avx512vnni" if _IS_WIDE else "avxvnni", False)
IN_BYTES = _HAS_VNNI or _FEATURES.get("avx512bw" if _IS_WIDE else "avx2", False)
USER_LEVELS = 127 if _HAS_VNNI else 63  # with 127 the sum of two products would not fit 16 bits
WORD: Any = np.int32 if IN_BYTES else np.float32  # four bytes, or one number

# A tile's sums fill the vector registers: 24 of AVX-512's 32, elsewhere 12 of AVX2's 16.
_LANES, _VECTORS, _USERS = (16, 3, 8) if _IS_WIDE else (8, 2, 6)
WIDTH = _LANES * _VECTORS  # movies in a panel, at most 64: a mask has a bit for each
_GROUPS = 32  # of users that share what is kept at hand: 2 MB of marks for 59,000 movies
_CHUNK_BYTES = 1 << 18  # of panels that a block of users meets before the next: they stay in the second cache

_INT = ir.IntType(64)
_WORD = ir.IntType(32) if IN_BYTES else ir.FloatType()
_VECTOR = ir.VectorType(_WORD, _LANES)
_FUSE = ("contract",)


@intrinsic  # type: ignore[untyped-decorator]
def _tile(
    _context: Any, users: Any, user_at: Any, panels: Any, panel_at: Any, depth: Any, starts: Any, start_at: Any,
    limits: Any, tile: Any, masks: Any
) -> Any:  # fmt: skip
    """Multiply a group of users with a panel of movies, both from offsets in flat arrays, beginning with `starts`.

    Returns:
        Not 0 where any sum is above its user's limit. Only then `tile`, shape (users, movies) flat, and `masks`, one
        bit per movie for each user, are written.
    """
    whole = types.int64
    signature = whole(users, whole, panels, whole, whole, starts, whole, limits, tile, masks)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def data(number: int, offset: Any = None) -> Any:
            base = context.make_array(signature.args[number])(context, builder, value=arguments[number]).data
            return base if offset is None else builder.gep(base, [arguments[offset]])

        sums = _multiply(builder, data(0, 1), data(2, 3), arguments[4], data(5, 6))
        found, any_found = _compare(builder, sums, data(7))
        with builder.if_then(builder.icmp_unsigned("!=", any_found, _INT(0)), likely=False):
            for number, (row, bits) in enumerate(zip(sums, found, strict=True)):
                builder.store(bits, builder.gep(data(9), [_INT(number)]))
                for part, value in enumerate(row):
                    builder.store(value, _vector_at(builder, data(8), _INT(number * WIDTH + part * _LANES)), align=4)
        return any_found

    return signature, generate


def _multiply(builder: Any, user: Any, panel: Any, depth: Any, start: Any) -> list[list[Any]]:
    """The products of every user with every vector of movies, summed over the words in registers."""

    def vectors(base: Any, offset: Any) -> list[Any]:
        places = [builder.add(offset, _INT(part * _LANES)) for part in range(_VECTORS)]
        return [builder.load(_vector_at(builder, base, place), align=4) for place in places]

    first = vectors(start, _INT(0))
    sums = [[cgutils.alloca_once(builder, _VECTOR) for _ in range(_VECTORS)] for _ in range(_USERS)]
    for row in sums:
        for value, slot in zip(first, row, strict=True):
            builder.store(value, slot)
    with cgutils.for_range(builder, depth, intp=_INT) as loop:
        movies = vectors(panel, builder.mul(loop.index, _INT(WIDTH)))
        user_at = builder.mul(loop.index, _INT(_USERS))
        for number, row in enumerate(sums):
            value = _spread(builder, user, builder.add(user_at, _INT(number)))
            for movie, slot in zip(movies, row, strict=True):
                builder.store(_multiply_add(builder, builder.load(slot), value, movie), slot)
    return [[builder.load(slot) for slot in row] for row in sums]


def _multiply_add(builder: Any, total: Any, user: Any, movie: Any) -> Any:
    if not IN_BYTES:
        return builder.fadd(builder.fmul(user, movie, flags=_FUSE), total, flags=_FUSE)
    # Unsigned bytes of the user times signed bytes of the movies, four neighbours added up.
    if _HAS_VNNI:
        return _instruction(builder, f"avx512.vpdpbusd.{32 * _LANES}", _VECTOR, [total, user, movie])
    octets, halves = (ir.VectorType(ir.IntType(8 * size), 4 * _LANES // size) for size in (1, 2))
    names = ("avx512.pmaddubs.w.512", "avx512.pmaddw.d.512") if _IS_WIDE else ("avx2.pmadd.ub.sw", "avx2.pmadd.wd")
    pairs = _instruction(builder, names[0], halves, [builder.bitcast(each, octets) for each in (user, movie)])
    return builder.add(
        total, _instruction(builder, names[1], _VECTOR, [pairs, ir.Constant(halves, [1] * halves.count)])
    )


def _instruction(builder: Any, name: str, result: Any, arguments: list[Any]) -> Any:
    kind = ir.FunctionType(result, [argument.type for argument in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.x86.{name}"), arguments)


def _compare(builder: Any, sums: list[list[Any]], limits: Any) -> tuple[list[Any], Any]:
    """A bit for each movie above the limit, for each user; and all bits of all users together."""
    is_above = builder.icmp_signed if IN_BYTES else builder.fcmp_ordered
    found, any_found = [], _INT(0)
    for number, row in enumerate(sums):
        limit, bits = _spread(builder, limits, _INT(number)), _INT(0)
        for part, value in enumerate(row):
            above = builder.bitcast(is_above(">", value, limit), ir.IntType(_LANES))
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
    """The score in double precision, summed in the order that `recsys.topk.blocks` sums in too.

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
    rows: Offsets, words: Any, about: Doubles, slack: Doubles, scores: Floats, packed: Any, seats: Doubles
) -> None:  # fmt: skip
    """Seat users in groups, side by side as the tile reads them; nothing passes the floors of empty seats."""
    depth = words.shape[1]
    packed[:] = 0
    seats[0], seats[1:3], seats[3] = np.inf, 0, 1
    for seat, row in enumerate(rows):
        at = seat // _USERS * _USERS * depth + seat % _USERS
        for word in range(depth):
            packed[at + word * _USERS] = words[row, word]
        seats[0, seat] = np.float64(scores[row, -1]) - slack[row]
        seats[1:, seat] = about[:, row]


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
def _sorted_rows(rows: Offsets, about: Doubles, slack: Doubles, scores: Floats) -> Offsets:
    """Bring users together who are done at about the same panel: up to a tenth of the time."""
    reach = np.full(len(rows), -np.inf)
    for seat, row in enumerate(rows):
        if about[0, row] > 0:
            reach[seat] = (scores[row, -1] - slack[row]) / about[0, row]
    return rows[np.argsort(reach)]


@njit(nogil=True)  # type: ignore[untyped-decorator]
def _is_reachable(seats: Doubles, seat: int, largest: float) -> bool:
    """Whether a movie of the norm `largest` could still enter a list of the group that begins at a seat."""
    is_reachable = False
    for at in range(seat, seat + _USERS):
        is_reachable |= seats[1, at] * largest >= seats[0, at]
    return is_reachable


@njit(nogil=True)  # type: ignore[untyped-decorator]
def _limit(seats: Doubles, at: int, facts: Doubles, panel: int) -> Any:
    """A sum that is not above it belongs to a score below the user's floor, whatever was lost in rounding to bytes.

    With u = a p + e for the user and v = b q + f for a movie, where a p and b q are what the bytes say, u v and
    (a p)(b q) differ by u f + e (b q), at most |u| |f| + |e| (|v| + |f|).
    """
    largest, error, grains = facts[panel, 0], facts[panel, 1], facts[panel, 2] * seats[3, at]
    limit = (seats[0, at] - seats[1, at] * error - seats[2, at] * (largest + error)) * grains
    return WORD(min(max(np.floor(limit) - 1, -2147483647.0), 2147483646.0)) if IN_BYTES else WORD(limit)


@njit(nogil=True)  # type: ignore[untyped-decorator]
def _take(
    tile: Any, masks: Offsets, limits: Any, panel: int, facts: Doubles, seat: int, seats: Doubles, rows: Offsets,
    users: Floats, slack: Doubles, factors: Floats, order: Indices, marks: NDArray[np.uint8], best: Indices,
    scores: Floats
) -> None:  # fmt: skip
    """Score what a tile has found again, exactly, and let it compete."""
    for lane in range(_USERS):
        bits = masks[lane]
        while bits:
            column = _lowest_bit(bits)
            bits &= bits - 1
            place = panel * WIDTH + column
            # Beyond the movies a panel holds zeros; and the limit may have risen since the tile was compared.
            if place >= len(order) or tile[lane * WIDTH + column] <= limits[lane]:
                continue
            row = rows[seat + lane]
            if marks[row % len(marks), place >> 3] >> (place & 7) & 1:
                continue
            movie = order[place]
            _insert(best[row], scores[row], movie, _exact(users[row], factors[movie]))
            seats[0, seat + lane] = np.float64(scores[row, -1]) - slack[row]
            limits[lane] = _limit(seats, seat + lane, facts, panel)


_WORDS = types.int32 if IN_BYTES else types.float32


@compiled(
    types.void(
        read_only(types.float32, 2), read_only(_WORDS, 2), read_only(types.float64, 2), read_only(types.float64, 1),
        read_only(types.float32, 2), read_only(types.int32, 1), read_only(types.int32, 1), read_only(_WORDS, 3),
        read_only(_WORDS, 2), read_only(types.float64, 2), read_only(types.int64, 1), read_only(types.int64, 1),
        types.int32[:, ::1], types.float32[:, ::1]
    )
)  # fmt: skip
def fill(
    users: Floats, words: Any, about: Doubles, slack: Doubles, factors: Floats, order: Indices, places: Indices,
    panels: Any, starts: Any, facts: Doubles, indptr: Offsets, seen: Offsets, best: Indices, scores: Floats
) -> None:  # fmt: skip
    """Fill empty lists; the arguments are those of `recsys.topk.fused.fill`, laid out."""
    n_panels, depth, n_seats = len(panels), panels.shape[1], _GROUPS * _USERS
    flat, flat_starts, size = panels.reshape(-1), starts.reshape(-1), depth * WIDTH
    packed, seats = np.empty(n_seats * depth, WORD), np.empty((4, n_seats))
    marks = np.empty((n_seats, (len(order) + 7) // 8), np.uint8)
    limits, tile, masks = np.empty(_USERS, WORD), np.empty(_USERS * WIDTH, WORD), np.empty(_USERS, np.int64)
    step = max(1, _CHUNK_BYTES // (size * 4))
    for start in range(0, len(users), n_seats):
        rows = np.arange(start, min(start + n_seats, len(users)))
        _mark(marks, rows, places, indptr, seen)
        for number, first in enumerate(range(0, n_panels, step)):
            if number & (number - 1) == 0:  # the chunks 0, 1, 2, 4, 8 …: thresholds settle more and more slowly
                rows = _sorted_rows(rows, about, slack, scores)
                _seat(rows, words, about, slack, scores, packed, seats)
            for seat in range(0, len(rows), _USERS):
                for panel in range(first, min(first + step, n_panels)):
                    if not _is_reachable(seats, seat, facts[panel, 0]):
                        break
                    for lane in range(_USERS):
                        limits[lane] = _limit(seats, seat + lane, facts, panel)
                    if _tile(packed, seat * depth, flat, panel * size, depth, flat_starts, panel * WIDTH, limits, tile,
                             masks):  # fmt: skip
                        _take(tile, masks, limits, panel, facts, seat, seats, rows, users, slack, factors, order,
                              marks, best, scores)  # fmt: skip
