"""Bugs put into kernels on purpose: each one that is real must be found by what checks the kernels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from qprobe.kernels.sources import find_sources


@dataclass(frozen=True)
class Mutant:
    """A change of the text of a source of one kernel."""

    kernel: str
    bug: str
    old: str
    new: str
    source: str = ""
    """The file that is changed; "" for the kernel's own."""
    words: str = ""
    """What the emulator says; "" where the result is wrong, or anything is said."""
    sanitized: bool = False
    """Whether it takes the address sanitizer: it reads what it must not, and does not use it."""

    def write(self, folder: Path) -> Path:
        """The changed kernel, with all headers beside it."""
        folder.mkdir(parents=True, exist_ok=True)
        kernel = find_sources() / f"{self.kernel}.cu"
        for path in (kernel, *kernel.parent.glob("*.cuh")):
            (folder / path.name).write_bytes(path.read_bytes())
        changed = folder / (self.source or kernel.name)
        text = changed.read_text()
        if self.old not in text:
            raise AssertionError(f"{self.bug}: {changed.name} has no {self.old!r}")
        changed.write_text(text.replace(self.old, self.new))
        return folder / kernel.name


def _mma(bug: str, old: str, new: str, words: str = "", sanitized: bool = False) -> Mutant:
    return Mutant("gemm_s8_mma", bug, old, new, "gemm_s8_mma.cuh", words, sanitized)


def _shared(bug: str, old: str, new: str, words: str = "", sanitized: bool = False) -> Mutant:
    return Mutant("gemm_s8_mma", bug, old, new, "gemm_s8.cuh", words, sanitized)


def _parts(bug: str, old: str, new: str, words: str = "", kernel: str = "gemm_s8_mma") -> Mutant:
    return Mutant(kernel, bug, old, new, "parts.cuh", words)


def _dp4a(bug: str, old: str, new: str, words: str = "", sanitized: bool = False) -> Mutant:
    return Mutant("gemm_s8_dp4a", bug, old, new, "", words, sanitized)


def _wgmma(bug: str, old: str, new: str, words: str = "") -> Mutant:
    return Mutant("gemm_s8_wgmma", bug, old, new, "", words)


def _tma(
    bug: str,
    old: str,
    new: str,
    words: str = "",
    source: str = "gemm_s8_wgmma_tma.cuh",
    sanitized: bool = False,
) -> Mutant:
    return Mutant("gemm_s8_wgmma_tma", bug, old, new, source, words, sanitized)


def _pair(
    bug: str, old: str, new: str, words: str = "", source: str = "gemm_s8_wgmma_tma.cuh"
) -> Mutant:
    return Mutant("gemm_s8_wgmma_pair", bug, old, new, source, words)


def _ring(bug: str, old: str, new: str, words: str = "") -> Mutant:
    return _tma(bug, old, new, words, "ring.cuh")


def _rate(bug: str, old: str, new: str, words: str = "", kernel: str = "peak_wgmma_16") -> Mutant:
    return Mutant(kernel, bug, old, new, "peak_wgmma.cuh", words)


def _quantizer(bug: str, old: str, new: str, words: str = "") -> Mutant:
    return Mutant("quantize_tokens", bug, old, new, "", words)


MUTANTS = (
    _mma(
        "no barrier between copies and reads",
        "        arrive(held, from, shared + after * kStageBytes);\n        qp_sync();",
        "        arrive(held, from, shared + after * kStageBytes);",
    ),
    _mma("no barrier before the first read", "  arrive(held, from, shared);\n  qp_sync();", "  arrive(held, from, shared);"),
    _mma("a barrier that half the warps skip", "        qp_sync();\n      }", "        if (warp < 2) qp_sync();\n      }", "nobody can go on"),
    _mma("waits for one group too few", "qp_copy_wait<QP_STAGES - 2>()", "qp_copy_wait<QP_STAGES - 1>()"),
    _mma("does not wait for copies", "{ qp_copy_wait<QP_STAGES - 2>(); }", "{}", "did not wait for"),
    _mma("does not commit copies", "    advance(from);\n    qp_copy_commit();\n#pragma", "    advance(from);\n#pragma", "did not commit"),
    _mma("copies to the buffer that is read", "shared + next * kStageBytes", "shared + now * kStageBytes"),
    _mma("reads x with another swizzle", "place<false>(row, step * 2 + (lane >> 4))", "place<false>(row, (step * 2 + (lane >> 4)) ^ 1)"),
    _mma("writes weights with the key of the first row", "(i * kRowsAtOnce >> 3 & 3) *", "0 *"),
    _mma("reads rows that are not aligned", "stage + place<false>(row, step", "stage + 8 + place<false>(row, step", "not aligned"),
    _mma("gives the wrong rows to ldmatrix", "i * 16 + (lane & 15)", "i * 16 + (lane & 7)"),
    _mma("takes the halves of k for one another", "to.b[pair * 2][0] = r[0], to.b[pair * 2][1] = r[1];", "to.b[pair * 2][0] = r[1], to.b[pair * 2][1] = r[0];"),
    _mma("multiplies in half a warp", "      multiply(sums,", "      if (lane < 16) multiply(sums,", "its warp is divided"),
    _mma("takes rows of the result for columns", "[half % 2 * 2 + i % 2]", "[i % 2 * 2 + half % 2]"),
    _mma("no barrier before scales are read", "  qp_put_end(ends, own);\n  qp_sync();\n", "  qp_put_end(ends, own);\n"),
    _mma("goes on from row to row by half", "at + 8 * n", "at + 4 * n"),
    _mma("scales by another row", "x_scale[row]", "x_scale[row % 8]"),
    _mma("writes rows beyond M", "    if (tile.m + row >= m) return;\n", "", "behind y"),
    _mma("writes 16 bytes where rows are not aligned", "if (n % kColumns == 0)", "if (true)", "not aligned"),
    _mma("multiplies what lies beyond K", " && from.k_left > 0 ? kChunk", " ? kChunk"),
    _mma("reads rows of x beyond M", "i * kRowsAtOnce < from.x_rows && from.k_left > 0 ? kChunk", "from.k_left > 0 ? kChunk", sanitized=True),
    _shared("writes columns beyond N", "if (i < columns.count) to[i] =", "to[i] =", "behind y"),
    _shared("scales by another column", "? scales[column]", "? scales[i]"),
    _shared("scales by another row", "? x_scale[row]", "? x_scale[i]"),
    _shared("forgets the bias", "is_column && bias ?", "is_column && !bias ?"),
    _shared("reads scales beyond N", "i < QP_TILE_N && column < n", "i < QP_TILE_N", sanitized=True),
    _shared("reads scales beyond M", "i < QP_TILE_M && row < m", "i < QP_TILE_M", sanitized=True),
    _shared("every part of K from the start", "{share.first * QP_TILE_K,", "{0,"),
    _parts("adds its own part twice", "at(v)[0] = at(v)[1] = at(v)[2] = at(v)[3] = 0;", "(void)v;"),
    _parts("counts one block too few", "(counters + tile, split)", "(counters + tile, split - 1)"),
    _dp4a("no barrier in the loop", "    }\n    qp_sync();\n  }", "    }\n  }"),
    _dp4a("no barrier before the loop", "tile, m, n));\n  qp_sync();\n  for", "tile, m, n));\n  for"),
    _dp4a("writes to the buffer that is read", "put<kCopiesX, QP_TILE_M>(x_words[(t + 1) & 1]", "put<kCopiesX, QP_TILE_M>(x_words[t & 1]"),
    _dp4a("confuses neighbours", "to[0] = v.x, to[1] = v.y, to[2]", "to[0] = v.y, to[1] = v.x, to[2]"),
    _dp4a("reads rows beyond the end", "row < kRows && first_row + row < rows && at < k", "row < kRows && at < k", sanitized=True),
    _dp4a("writes beyond shared memory", "    if (row >= kRows) continue;\n", "", sanitized=True),
    _wgmma("does not wait for the last products", "  qp_wgmma_finish(sums);\n", "", "before a wgmma"),
    _wgmma("never waits in the loop", "    qp_wgmma_wait<1>();\n", ""),
    _wgmma("waits for one product too few", "qp_wgmma_wait<1>", "qp_wgmma_wait<2>"),
    _wgmma("no fence of the registers", "    qp_wgmma_fence();\n", "", "without qp_wgmma_fence"),
    _wgmma("no fence of the copies", "    qp_fence_async_proxy();\n", "", "without qp_fence_async_proxy"),
    _wgmma("no barrier", "    qp_sync();\n", ""),
    _wgmma("waits for one group of copies too few", "qp_copy_wait<kAhead - 1>", "qp_copy_wait<kAhead>"),
    _wgmma("fills a buffer too early", "kAhead = QP_STAGES - 2", "kAhead = QP_STAGES - 1"),
    _wgmma("swizzles by the wrong row", "(chunk ^ (w_row & 7))", "(chunk ^ (row & 7))"),
    _wgmma("moves on by half of k", "at < QP_TILE_K; at += 32", "at < QP_TILE_K; at += 64"),
    _wgmma("another warpgroup's rows", "stage + group * 64 * QP_TILE_K + at", "stage + at"),
    _tma("does not wait for what is copied", "    qp_wait_until_filled(ring, turn);\n", ""),
    _tma("does not wait until a buffer is free", "    qp_wait_until_emptied(ring, turn);\n", ""),
    _ring("waits until a new buffer is free", "turn.parity ^ 1);", "turn.parity);", "in qp_wait"),
    _ring("the parity stays", "  turn.parity ^= 1;\n", ""),
    _tma("lets go of the buffer that is read", "    qp_wgmma_wait<1>();\n    if (step > share.first) qp_let_go(before);\n    before = ring.emptied + turn.stage;", "    before = ring.emptied + turn.stage;\n    qp_wgmma_wait<1>();\n    if (step + 1 < share.last) qp_let_go(before);"),
    _tma("waits for one product too few", "qp_wgmma_wait<1>", "qp_wgmma_wait<2>"),
    _tma("keeps the last buffer", "  qp_let_go(before);\n", "", "in qp_wait"),
    _ring("lets go with every lane", "if (lane == 0) qp_arrive(emptied);", "qp_arrive(emptied);"),
    _tma("announces too few bytes", "qp_arrive_and_expect(filled, kStageBytes)", "qp_arrive_and_expect(filled, kStageBytes - 128)", "in qp_wait"),
    _tma("announces nothing", "qp_arrive_and_expect(filled, kStageBytes)", "qp_arrive(filled)"),
    _ring("no fence of new barriers", "    qp_fence_barriers();\n", "", "without qp_fence_barriers"),
    _ring("no barrier behind new barriers", "  else qp_sync();\n", "", "that nobody has made"),
    _ring("a buffer is free when one warp has read it", "qp_make_barrier(emptied + stage, readers * QP_CLUSTER)", "qp_make_barrier(emptied + stage, 1)"),
    _tma("every lane copies", "if (!qp_elect()) return;", ""),
    _tma("copies weights over x", "weights = stage + QP_TILE_M * QP_TILE_K", "weights = stage"),
    _tma("copies the rows of another tile", "step * QP_TILE_K, tile.m, filled", "step * QP_TILE_K, tile.n, filled"),
    _tma("copies the same part of K", "x_map, step * QP_TILE_K", "x_map, step % 2 * QP_TILE_K"),
    _tma("no fence of the registers", "    qp_wgmma_fence();\n", "", "without qp_wgmma_fence"),
    _tma("does not wait for the last products", "  qp_wgmma_finish(sums);\n", "", "before a wgmma"),
    _tma("keeps the sums of the tile before", "  for (int i = 0; i < kSums; i++) sums[i] = 0;", "  for (int i = 0; i < kSums && blockIdx.x == 9; i++) sums[i] = 0;"),
    _tma("another warpgroup's rows", "stage + group * 64 * QP_TILE_K", "stage"),
    _tma("leaves tiles out", "id += gridDim.x", "id += gridDim.x + 1"),
    _tma("exchanges with another lane", "qp_shuffle_xor(is_odd ? low : high, 1)", "qp_shuffle_xor(is_odd ? low : high, 2)"),
    _tma("sends what the other has", "is_odd ? low : high, 1", "is_odd ? high : low, 1"),
    _tma("takes neighbours for one another", "neighbours[i] = is_odd ? other : low;", "neighbours[i] = is_odd ? low : other;"),
    _tma("writes rows beyond M", "rows.is_inside[half] && columns.count > 0", "columns.count > 0", "behind y"),
    _parts("parts begin with one stage", "min(stages, part * each)", "0 * part", kernel="gemm_s8_wgmma_tma"),
    _parts("adds its own part alone", "index < split && is_inside", "index < 1 && is_inside", kernel="gemm_s8_wgmma_tma"),
    _parts("counts one block too few", "(counters + tile, split)", "(counters + tile, split - 1)", kernel="gemm_s8_wgmma_tma"),
    _parts("another tile's sums", "static_cast<int64_t>(tile)", "static_cast<int64_t>(0)", kernel="gemm_s8_wgmma_tma"),
    _parts("another part's sums", "static_cast<int64_t>(part)", "static_cast<int64_t>(0)", kernel="gemm_s8_wgmma_tma"),
    _tma("the same tile for another part", "qp_find_own_tile(id / split,", "qp_find_own_tile(id,"),
    _tma("no barrier before scales are read", "    qp_sync_first<kWarps * 32>();\n", ""),
    _tma("one place for the scales of two tiles", "id / gridDim.x & 1", "0"),
    _tma("the ends of the first tile", "scales, bias, tile, m, n)", "scales, bias, {0, 0}, m, n)"),
    _tma("the ends of two tiles in one place", "ends[id / gridDim.x & 1]", "ends[0]"),
    _tma("the second row where the first is", "qp_find_row(tile, row + 8, within, n)", "qp_find_row(tile, row, within, n)", "", "gemm_s8.cuh"),
    _tma("the scale of the first row for both", "ends.x_scale[row + 8]", "ends.x_scale[row]", "", "gemm_s8.cuh"),
    _tma("scales of the columns beside", "(ends, from_column + part * 16,", "(ends, part * 16,"),
    _tma("rows that are not aligned as if they were", "if (n % kColumns == 0)", "if (true)"),
    _pair("lets go of its own stage alone", "if (lane < QP_CLUSTER) qp_arrive_at(emptied, lane);", "if (lane == 0) qp_arrive_at(emptied, blockIdx.x % 2);", "in qp_wait", "ring.cuh"),
    _pair("waits for half of the readers", "readers * QP_CLUSTER", "readers", source="ring.cuh"),
    _pair("does not wait for barriers of the other", "  if constexpr (kIsCluster) qp_sync_cluster();\n  else ", "  ", "does not have yet", "ring.cuh"),
    _pair("does not see what the other did", "qp_wait<kIsCluster>", "qp_wait<false>", "does not see", "ring.cuh"),
    _pair("ends while the other goes on", "    qp_wait_until_read(ring, turn);\n", "", "that has ended"),
    _pair("keeps its half of the weights", "qp_copy_box_to_both(", "qp_copy_box(", "in qp_wait"),
    _pair("copies the same half of the weights", "tile.n + half, filled", "tile.n, filled"),
    _pair("copies half of the weights over the other", "weights + half * QP_TILE_K", "weights"),
    _pair("both compute one tile", "static_cast<int>(blockIdx.x % QP_CLUSTER) * QP_TILE_M", "0"),
    _pair("leaves a tile out where rows are odd", "(m + kTogether - 1) / kTogether", "m / kTogether"),
    _rate("does not wait for the last products", "  qp_wgmma_finish(sums);\n", "", "before a wgmma"),
    _rate("no fence of the registers", "    qp_wgmma_fence();\n", "", "without qp_wgmma_fence"),
    _rate("no fence of what was stored", "  qp_fence_async_proxy();\n", "", "without qp_fence_async_proxy"),
    _rate("swizzles by the wrong row", "word / 4 ^ (row & 7)", "word / 4 ^ (row & 3)", kernel="peak_wgmma"),
    _rate("no barrier", "  qp_sync();\n", ""),
    _rate("moves on by half of k", "kStepBytes = 32", "kStepBytes = 16"),
    _quantizer("no barrier", "  qp_sync();\n", ""),
    _quantizer("truncates", "qp_round_to_int(value(vector, word * 4 + i) * inverse)", "static_cast<int>(value(vector, word * 4 + i) * inverse)"),
    _quantizer("forgets a vector", "int at = threadIdx.x + kHeld * QP_THREADS; at < vectors; at += QP_THREADS)\n    largest", "int at = threadIdx.x + (kHeld + 1) * QP_THREADS; at < vectors; at += QP_THREADS)\n    largest"),
    _quantizer("the largest of one warp", "for (int i = 1; i < kWarps; i++)", "for (int i = 1; i < 2; i++)"),
    _quantizer("loads rows that are not aligned", "const bool in_vectors = k % kVector == 0;", "const bool in_vectors = true;"),
    Mutant("copy", "copies beyond the end", "if (at < n) qp_store16_once", "qp_store16_once", words="behind y"),
)  # fmt: skip
