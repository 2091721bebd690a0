"""Bugs put into the kernels for packed weights on purpose."""

from __future__ import annotations

from dataclasses import dataclass

from tests.emulator.mutants import Mutant


@dataclass(frozen=True)
class Planted:
    """A bug, and the build of the kernel that shows it."""

    mutant: Mutant
    variant: str
    activation: str

    def __str__(self) -> str:
        return f"{self.mutant.kernel}: {self.mutant.bug}"


def _plant(kernel, source, variant, activation):
    def plant(bug, old, new, words="", sanitized=False):
        mutant = Mutant(kernel, bug, old, new, source, words, sanitized)
        return Planted(mutant, variant, activation)

    return plant


_gemv = _plant("gemv_w4a16", "gemv.cuh", "g128_m4", "float16")
_groups = _plant("gemv_w4a16", "gemv.cuh", "g32_m1", "float16")
_codes = _plant("gemv_w4a16", "weights.cuh", "g128_m1", "bfloat16")
_floats = _plant("gemv_w4a16", "weights.cuh", "nf4_m1", "float16")
_bytes = _plant("gemv_w8a16", "weights.cuh", "m1", "float16")
_rows = _plant("gemv_w8a16", "gemv.cuh", "m1", "float16")
_gemm = _plant("gemm_w4a16", "gemm_weights.cuh", "g128z_m16", "float16")
_zeros = _plant("gemm_w4a16", "gemm_weights.cuh", "g128z_m4", "float16")
_few = _plant("gemm_w4a16", "gemm_weights.cuh", "g128_m1", "float16")
_small = _plant("gemm_w4a16", "gemm_weights.cuh", "g32_m4", "bfloat16")
_turing = _plant("gemm_w4a16", "gemm_weights_stage.cuh", "g64_m16_turing", "float16")
_shared = _plant("gemm_w4a16", "gemm_weights.cuh", "g128z_m128", "bfloat16")
_octets = _plant("gemm_w8a16", "gemm_weights.cuh", "m32", "bfloat16")
_copies = _plant("gemm_w4a16", "gemm_weights_stage.cuh", "g128z_m16", "float16")
_row_copies = _plant("gemm_w4a16", "gemm_weights_stage.cuh", "g128_m16", "float16")
_few_layout = _plant("gemm_w4a16", "gemm_weights_layout.cuh", "g128_m1", "float16")
_few_copies = _plant("gemm_w4a16", "gemm_weights_stage.cuh", "g128_m1", "float16")
_small_copies = _plant("gemm_w4a16", "gemm_weights_stage.cuh", "g32_m4", "bfloat16")
_shared_copies = _plant("gemm_w4a16", "gemm_weights_stage.cuh", "g128z_m128", "bfloat16")
_points = _plant("gemm_w4a16", "weights_pairs.cuh", "g128z_m32", "float16")
_raised = _plant("gemm_w4a16", "weights_pairs.cuh", "g128_m1", "float16")
_pairs = _plant("gemm_w4a16", "weights_pairs.cuh", "nf4_m8", "bfloat16")
_excess = _plant("gemm_w8a16", "weights_pairs.cuh", "m32", "bfloat16")
_bulk = _plant("gemm_w4a16_bulk", "gemm_weights_bulk.cuh", "g128z_m8", "float16")
_pair = _plant("gemm_w4a16_pair", "gemm_weights_bulk.cuh", "g128_m16", "float16")
_numbers = _plant("gemm_w4a16_pair", "gemm_weights_layout.cuh", "g128_m16", "float16")
_small_bulk = _plant("gemm_w4a16_bulk", "gemm_weights_bulk.cuh", "g32_m8_narrow", "bfloat16")
_float_bulk = _plant("gemm_w4a16_bulk", "gemm_weights_bulk.cuh", "nf4_m1", "float16")
_parts = _plant("gemm_w4a16_wgmma", "parts.cuh", "g128", "float16")
_many = _plant("gemm_w4a16_wgmma", "gemm_weights_wgmma.cuh", "g128", "float16")
_scales = _plant("gemm_w4a16_wgmma", "gemm_weights_wgmma.cuh", "g32", "bfloat16")
_many8 = _plant("gemm_w8a16_wgmma", "gemm_weights_wgmma.cuh", "m128", "float16")
_tall = _plant("gemm_w4a16_wgmma", "gemm_weights_wgmma.cuh", "g128_m256", "bfloat16")
_tall8 = _plant("gemm_w8a16_wgmma", "gemm_weights_wgmma.cuh", "m256", "float16")
_whole = _plant("dequantize_w4", "dequantize.cuh", "g32", "float16")
_lookup = _plant("dequantize_w4", "dequantize.cuh", "nf4", "float16")
_whole8 = _plant("dequantize_w8", "dequantize.cuh", "int8", "float16")

PLANTED = (
    _many("does not wait for what is copied first", "  qp_wait_until_filled(ring, turn);\n  qp_read_tile", "  qp_read_tile"),
    _many("does not wait for what is copied next", "      if (tile == 0) qp_wait_until_filled(ring, turn);\n", ""),
    _many("does not wait until a stage is free", "    qp_wait_until_emptied(ring, turn);\n", ""),
    _many("lets go of the stage that is read", "if (tile == 0 && state.before >= 0) qp_let_go(ring.emptied + state.before);", "if (tile == 0) qp_let_go(ring.emptied + state.stage);"),
    _many("keeps the last stage", "  qp_let_go(ring.emptied + state.before);\n", "", "in qp_wait"),
    _many("waits for one product too few", "qp_wgmma_wait<1>", "qp_wgmma_wait<2>"),
    _many("one set of operands for both halves", "to[j / 2][lane / 2]", "to[0][lane / 2]"),
    _many("one set of operands for both tiles", "qp_expand_tile(state.a[(tile + 1) % kSteps]", "qp_expand_tile(state.a[tile]"),
    _many("reads the first words of a stage twice", "qp_read_tile(state, ring, turn.stage, tile);", "qp_read_tile(state, ring, turn.stage, 0);"),
    _many("reads words of the stage that is multiplied", "qp_read_tile(state, ring, turn.stage, tile);", "qp_read_tile(state, ring, state.stage, tile);"),
    _many("stays in a group", "next % kGroupTiles == 0)", "next < 0)"),
    _many("the groups of the tile before", "      groups = make_groups(task);\n", ""),
    _many("a part begins with the first group", "qp_fetch_group(groups, tile / kGroupTiles);", "qp_fetch_group(groups, 0);"),
    _parts("parts begin with one stage", "min(stages, part * each)", "0 * part"),
    _parts("a part of its own alone", "index < split && is_inside", "index < 1 && is_inside"),
    _parts("adds to its own sums", "at(v)[0] = at(v)[1] = at(v)[2] = at(v)[3] = 0;", "(void)v;"),
    _parts("counts one block too few", "(counters + tile, split)", "(counters + tile, split - 1)"),
    _parts("another tile's sums", "static_cast<int64_t>(tile)", "static_cast<int64_t>(0)"),
    _parts("another part's sums", "static_cast<int64_t>(part)", "static_cast<int64_t>(0)"),
    _many("no fence of the registers", "  qp_wgmma_fence();\n", "", "without qp_wgmma_fence"),
    _many("does not wait for the last products", "  for (int half = 0; half < kHalves; half++) qp_wgmma_finish(sums[half]);\n", "  for (int half = 0; half < 0; half++) {}\n", "before a wgmma"),
    _many("announces x alone", "bytes = own * kStripBytes + (copier == 0 ? kXBytes : 0);", "bytes = copier == 0 ? kXBytes : 0;", "in qp_wait"),
    _many("the strips of the first tile", "first = at.n / kStrip + copier * kOwnStrips;", "first = copier * kOwnStrips;"),
    _many("strips for one another", "(copier * kOwnStrips + i) * kStripBytes", "(copier * kOwnStrips + 1 - i) * kStripBytes"),
    _many("goes on in a strip for the next one", "from + i * to_next_strip", "from + i"),
    _many("stays at the first words", "    from += kSteps * kTileLoads * 32;\n", ""),
    _many("the rows of the first tile", "QP_TILE_K * 2, at.m, filled", "QP_TILE_K * 2, 0, filled"),
    _many("counts elements of x for bytes", "index * QP_TILE_K * 2", "index * QP_TILE_K"),
    _many("a strip beyond the last", "own = max(0, min(kOwnStrips, strips - first)),", "own = kOwnStrips,", sanitized=True),
    _many("another strip's words", "(threadIdx.x >> 5) % kStrips, lane)", "(threadIdx.x >> 5 ^ 1) % kStrips, lane)"),
    _many("another lane's pair", "return lane % kQuad * 4; }", "return lane / kQuad % kQuad * 4; }"),
    _many("another quad's words", "lane / kQuad * (kQuad * 16);", "(lane / kQuad ^ 1) * (kQuad * 16);"),
    _many("the first tile's x for both", "qp_wgmma_along(x, tile * kTile * 2)", "x"),
    _many("takes rows of a for its columns", "[lane % 2 * 2 + j % 2]", "[j % 2 * 2 + lane % 2]"),
    _many("takes the second half of k for the first", "qp_wgmma_along(x, i * 32)", "qp_wgmma_along(x, (1 - i) * 32)"),
    _many("another feature's zero point", "qp_prepare_zero(zeros, j)", "qp_prepare_zero(zeros, 0)"),
    _many("no scales", "return qp_act2_mul(whole, scale);", "return whole;"),
    _scales("another feature's scale", "j % 2 ? 0x3232u : 0x1010u", "0x1010u"),
    _scales("the scale of the group before", "qp_fetch_group(of, tile / kGroupTiles + 1)", "qp_fetch_group(of, tile / kGroupTiles)"),
    _scales("writes rows beyond M", "if (row >= m || column >= n)", "if (column >= n)", "behind y"),
    _scales("writes features beyond N", "        if (column + c < n) to[c]", "        to[c]"),
    _scales("16 bytes where rows are not aligned", "if (n % 8 == 0) {", "if (true) {", "not aligned"),
    _scales("does not transpose", "qp_transpose_matrix(qp_act2", "(qp_act2"),
    _scales("does not exchange results", "    qp_transpose_quad(pairs);\n", ""),
    _many8("another pair's bytes", "low = lane % kQuad + lane % kQuad / 2 * 2;", "low = lane % kQuad;"),
    _many8("a byte and the next one", "(low + 2) << 8", "(low + 1) << 8"),
    _many8("the second word for the first", "qp_prmt(first, second, choice)", "qp_prmt(second, first, choice)"),
    _tall("the words of the first half of a strip", "part.half * (kTileLoads == 2 ? 512 : 8)", "0"),
    _tall("the scales of the first half", "(of.scales + at) + of.half)", "(of.scales + at))"),
    _tall("the zero points of the first half", " >> (of.half * 16)", ""),
    _tall("writes the first half alone", "column = part.strip * kStrip + part.half * 16 +", "column = part.strip * kStrip +"),
    _tall("writes the same rows twice", "(i + lane % 4 / kOwn) * 8", "i * 8"),
    _tall8("the words of the first half of a strip", "part.half * (kTileLoads == 2 ? 512 : 8)", "0"),
    _many8("no scales", "scale[j] = !kHasGroups && feature < n ?", "scale[j] = false ?"),
    _many8("scales the bias", "low * ends.scale[j] + offset[j]", "(low + offset[j]) * ends.scale[j]"),
    _gemv("no barrier before x is replaced", "    qp_sync();\n    qp_fill_panel", "    qp_fill_panel"),
    _gemv("no barrier before x is read", "is_aligned);\n    qp_sync();\n", "is_aligned);\n"),
    _groups("no barrier before memory is used again", "  qp_sync();\n#pragma unroll\n  for (int row = 0; row < kRows; row++)\n#pragma", "#pragma unroll\n  for (int row = 0; row < kRows; row++)\n#pragma"),
    _gemv("no barrier before warps are added", "    }\n  qp_sync();\n  float sum = 0;", "    }\n  float sum = 0;"),
    _gemv("lanes of a row are not added", "      v += qp_shuffle_xor(v, 2);\n", ""),
    _gemv("a barrier that some warps skip", "    qp_sync();\n    const int end", "    if (warp < 4) qp_sync();\n    const int end", "nobody can go on"),
    _gemv("another feature's zero point", "qp_byte_to_float(chunk.zeros[group], j, 0)", "qp_byte_to_float(chunk.zeros[group], 0, 0)"),
    _gemv("no zero points", " - zero * sums.plain[row]", ""),
    _gemv("a bias that is not taken off", "part - sums.biased[row]", "part"),
    _gemv("writes rows beyond M", "&& row < m && feature < n;", "&& feature < n;", "behind y"),
    _gemv("writes features beyond N", "&& row < m && feature < n;", "&& row < m;"),
    _gemv("counts one block too few", "counters + tile, split)", "counters + tile, split - 1)"),
    _gemv("adds its own part twice", "  sum = 0;\n  if (is_mine)", "  if (is_mine)"),
    _gemv("every part of K from the start", "tiles, first + warp, lane)", "tiles, warp, lane)"),
    _gemv("takes the rows of x for one another", "panel + row * kPanel + tile", "panel + (kRows - 1 - row) * kPanel + tile"),
    _groups("another lane's scales", "/ kFeatures + lane / 4;", "/ kFeatures + lane / 8;"),
    _groups("the first group's scales for all", "chunk.scales[group].x", "chunk.scales[0].x"),
    _groups("scales that stay behind", "from.scales += kWarps * kChunkGroups", "from.scales += kChunkGroups"),
    _groups("does not load the next scales", "      if (has_next) qp_load_group(chunk, next, group);\n", ""),
    _groups("does not load the next words", "    if (has_next) qp_load_tile(chunk, next, tile);\n", ""),
    _codes("codes in their order", "i % 2 ? 16 + i / 2 * 4 : i / 2 * 4", "i * 4"),
    _gemv("biases for one another", "qp_bias(j) * v[j]", "qp_bias(j ^ 2) * v[j]"),
    _codes("bfloat16 pairs for one another", "return qp_bits_to_float(pair << 16);", "return qp_bits_to_float(pair & 0xffff0000u);"),
    _floats("nibbles of a byte for one another", "4 * (i ^ 1)", "4 * i"),
    _floats("a wrong quantile", "-0.18477343022823334f", "-0.19477343022823334f"),
    _bytes("bytes in their order", "i == 1 ? 2 : i == 2 ? 1 : i", "i"),
    _bytes("features for one another", "j % 2 * 2 + 1)", "j % 2 + 1)"),
    _rows("another feature's scale", "(scales)[feature]", "(scales)[threadIdx.x % kStrip]"),
    _rows("reads x beyond its end", "      if (k + i < end) v[i]", "      v[i]", sanitized=True),
    _copies("no barrier in the loop", "    qp_sync();\n    qp_copy_rows(", "    qp_copy_rows("),
    _copies("waits for one group too few", "qp_copy_wait<kStages - 2>", "qp_copy_wait<kStages - 1>"),
    _copies("does not wait for copies", "    qp_copy_wait<kStages - 2>();\n", ""),
    _copies("takes the slot that is read for the free one", "free_at = (kStages - 1) * kStageBytes", "free_at = 0"),
    _gemm("no barrier before slices are added", "    qp_sync_warps();\n#pragma unroll\n    for (int i =", "#pragma unroll\n    for (int i ="),
    _gemm("no barrier between slices", "    qp_sync_warps();\n#pragma unroll\n    for (int own =", "#pragma unroll\n    for (int own ="),
    _gemm("operands in another order", "{upper[0], lower[0], upper[1], lower[1]}", "{upper[0], upper[1], lower[0], lower[1]}"),
    _copies("multiplies in half a warp", "    qp_multiply_stage(", "    if (at.lane < 16) qp_multiply_stage("),
    _gemm("another feature's scale", "scale[2 * j + c / 2]", "scale[2 * j + c % 2]"),
    _points("another feature's zero point", "0x4040u | j << 8 | j", "0x4040u"),
    _zeros("another feature's zero point", "qp_byte_to_float(zeros, j, -kOffset)", "qp_byte_to_float(zeros, 0, -kOffset)"),
    _zeros("zero points off another row's sums", "excess * totals.plain[i][c]", "excess * totals.plain[i][c ^ 1]"),
    _small("the zero point that most have", "kOffset + kZero", "kOffset"),
    _small("sums of x that stay behind", "totals.plain[i][0] = totals.plain[i][1] =", "totals.plain[i][0] ="),
    _few("half of x twice", "qp_mma_act_16x8x16(totals.plain[i], ones, b)", "qp_mma_act_16x8x16(totals.plain[i], ones, a)"),
    _raised("codes at a wrong place", "const int bit = 4 * i - kOffsetBit;", "const int bit = 4 * (i ^ 1) - kOffsetBit;"),
    _raised("codes for other numbers", "kOffsets = 0x54005400u", "kOffsets = 0x50005000u"),
    _zeros("the zero points of the first slice", "* kStripZeroBytes + group,", "* kStripZeroBytes + at.lane / 4 * kFeatures,"),
    _gemm("rows for columns", "lane % 4 * 2 + number % 2", "lane % 4 + number % 2 * 4"),
    _gemm("writes rows beyond M", "&& row < of.m && feature", "&& feature", "behind y"),
    _gemm("writes features beyond N", "row < of.m && feature < of.n)", "row < of.m)"),
    _copies("every part of K from the start", "qp_open(memory, of, share.first, share.last)", "qp_open(memory, of, 0, share.last)"),
    _gemm("a scratch for one tile", "scratch + static_cast<size_t>(tile) * split * kPart;", "scratch;"),
    _copies("reads rows of x beyond M", "row < of.m ? min(of.k", "true ? min(of.k", sanitized=True),
    _row_copies("reads later rows of x beyond M", "(i == 0 || x.rows > i)", "true", sanitized=True),
    _copies("rows that are stored as they are not read", "(byte ^ row % 2 * kFlip)", "byte"),
    _few("reads the words of the first slice", " + at.slice * kSliceTiles * kTileBytes", ""),
    _few("reads the x of the first slice", "(at.slice * kSlice + at.lane", "(at.lane"),
    _few("even tiles for odd ones", "from.x[tile % 2]", "from.x[0]"),
    _few("does not move on in x", "from.x[1] += step, ", ""),
    _few("adds the first slices alone", "slice = 1; slice < kSlices;", "slice = 1; slice < kSlices - 1;"),
    _few("each slice the same sums", "+ at.slice * kOwnOfRound + own", "+ own"),
    _few("all slices in one place", "shared[at.slice * kOfSlice", "shared[0 * kOfSlice"),
    _few("no barrier between slices", "    qp_sync_warps();\n#pragma unroll\n    for (int own =", "#pragma unroll\n    for (int own ="),
    _few("parts of rows that are not there", "if (sum.row < QP_TILE_M) take(", "take("),
    _few("writes rows of the next block", "if (sum.row < QP_TILE_M && row", "if (row"),
    _few_layout("a ring of a stage less", "(1 - kStages) * kStageBytes", "(2 - kStages) * kStageBytes"),
    _few_copies("x of a kernel that has not ended", "  qp_wait_for_kernel_before();\n", ""),
    _bulk("two lanes alone wait for the kernel before", "  qp_wait_for_kernel_before();\n  const", "  if (at.lane % 31 == 0) qp_wait_for_kernel_before();\n  const"),
    _few_copies("writes y that a kernel before reads", "  qp_wait_for_kernel_before();\n", "  if (blockIdx.y > 0 && threadIdx.x == 0) y[1] = 0;\n  qp_wait_for_kernel_before();\n", "has written before"),
    _bulk("copies x of a kernel that has not ended", "  qp_wait_for_kernel_before();\n  qp_let", "  qp_let"),
    _bulk("the bias of a kernel that has not ended", "  qp_wait_for_kernel_before();\n  const", "  const"),
    _few_copies("stays in x", "next.x.from += kStage, ", ""),
    _few_copies("does not end at the last stage", "min(of.k, last * kStage)", "of.k + 8", sanitized=True),
    _few_copies("reads words beyond the end", "const int end = min(whole, ", "const int end = (", sanitized=True),
    _small("the scales of the first slice", "at.slice * kSlice / kGroup * kStrip + at.lane / 4 * kFeatures", "at.lane / 4 * kFeatures"),
    _small("closes half as many groups", "(tile + 1) % kGroupTiles == 0", "(tile + 1) % (2 * kGroupTiles) == 0"),
    _small("parts of rows that are not there", "if (sum.row < QP_TILE_M) take(", "take("),
    _small_copies("another strip's threads", "own * kStripBytes + offset", "(own ^ 1) * kStripBytes + offset"),
    _pairs("pairs for one another", "qp_shuffle(value, byte >> 4), qp_shuffle(value, byte & 15)", "qp_shuffle(value, byte & 15), qp_shuffle(value, byte >> 4)"),
    _pairs("some lanes have no table", "i < 8; i++", "i < 7; i++"),
    _shared_copies("no barrier in the loop", "    qp_sync();\n    qp_copy_rows(", "    qp_copy_rows("),
    _shared_copies("waits for one group too few", "qp_copy_wait<kStages - 2>", "qp_copy_wait<kStages - 1>"),
    _shared_copies("the words of the first stage for all", "move(next.words, kStripWordBytes)", "move(next.words, 0)"),
    _shared("another strip's words", "kWordsAt + at.strip * kStripWordBytes", "kWordsAt + (at.strip ^ 1) * kStripWordBytes"),
    _shared("the same rows for all warps", "row = at.upper * kRows + min(", "row = min("),
    _shared("writes the same rows from all warps", "{number, at.upper * kRows + pair", "{number, pair"),
    _shared("rows that are read as they are not stored", "flip = row % 2 * kFlip", "flip = 0"),
    _shared_copies("the scales of another stage", "is_new = (stage + 1) % kGroupStages == 0", "is_new = true"),
    _shared_copies("the scales of another part", "begin = first / kRepeats", "begin = first"),
    _shared_copies("reads words beyond the last strip", "strip < of.strips ? end - begin : 0", "end - begin", sanitized=True),
    _bulk("does not wait for what is copied", "    qp_wait_until_filled(ring, turn);\n", ""),
    _bulk("does not wait until a stage is free", "    qp_wait_until_emptied(ring, turn);\n", ""),
    _bulk("lets go of a stage before it is read", "    qp_wait_until_filled(ring, turn);\n", "    qp_wait_until_filled(ring, turn);\n    qp_let_go(ring.emptied + turn.stage);\n"),
    _bulk("lets go of a stage before all lanes have read it", "    qp_sync_warp();  // The other lanes have read their part, too.\n", ""),
    _bulk("keeps stages", "    qp_let_go(ring.emptied + turn.stage);\n", "", "in qp_wait"),
    _bulk("announces words and scales alone", "kOfTile = kTileBytes + kScales + (QP_ASYMMETRIC ? kPoints : 0);", "kOfTile = kTileBytes + kScales;"),
    _bulk("announces rows that are not there", "rows * count * 2", "QP_TILE_M * count * 2", "in qp_wait"),
    _bulk("the words of the first strip for all", "from + i * strip", "from"),
    _bulk("the strips of the first tile", "from += qp_first_strip() * strip + ", "from += "),
    _bulk("the weights of the first stage for all", "static_cast<size_t>(stage) * kStageTiles * tile_bytes", "0"),
    _bulk("the rows of the first tile", "first = qp_first_row(), rows", "first = 0, rows"),
    _bulk("the x of the first stage for all", "column = stage * kStage, count", "column = share.first * kStage, count"),
    _bulk("zero points where scales are", "to + kZerosAt, of.zeros", "to + kXBytes, of.zeros"),
    _bulk("reads one slot alone", "    qp_read_next(from, qp_step(turn.stage));\n", ""),
    _bulk("a strip beyond the last", "strips = max(0, min(kStrips, of.strips - qp_first_strip()))", "strips = kStrips", sanitized=True),
    _bulk("rows beyond M", "rows = min(QP_TILE_M, of.m - first)", "rows = QP_TILE_M", sanitized=True),
    _bulk("tiles beyond the last", "tiles = min(kStageTiles, of.tiles - stage * kStageTiles)", "tiles = kStageTiles", sanitized=True),
    _small_bulk("no zeros behind the end of x", "qp_store16_shared(to + row * kRowBytes + k * 2, make_uint4(0, 0, 0, 0));", "(void)row;"),
    _small_bulk("multiplies what is not there", "if (stage * kStageTiles + first_tile < of.tiles) ", ""),
    _pair("keeps its rows", "qp_copy_bulk_to_both(", "qp_copy_bulk(", "in qp_wait"),
    _pair("both copy the first row", "rank = kIsCluster ? blockIdx.x % QP_CLUSTER : 0", "rank = 0"),
    _pair("each second row from half as far", "from += QP_CLUSTER * of.k;", "from += of.k;"),
    _pair("ends while the other goes on", "  qp_wait_until_read(ring, turn);\n", "", "that has ended"),
    _pair("words of a strip beyond the last", "strips = max(0, min(kStrips, of.strips - qp_first_strip()))", "strips = kStrips", sanitized=True),
    _pair("adds up parts of a tile without features", "if (!kIsCluster || qp_first_strip() < of.strips) ", "", sanitized=True),
    _numbers("numbers tiles along N, of which some have no features", "blockIdx.x * gridDim.y + blockIdx.y", "blockIdx.y * gridDim.x + blockIdx.x"),
    _float_bulk("no barrier before the table is read", "  qp_sync_warps();\n", ""),
    _turing("no barrier in the loop", "    qp_sync();\n    qp_copy_rows(", "    qp_copy_rows("),
    _excess("the wrong excess", "0x43804380u", "0x43004300u"),
    _octets("no scale", "sums[own] * (kHasGroups ? 1 : ends.scale[feature]) + ends", "sums[own] + ends"),
    _octets("the scales of the first tile", "feature = qp_first_strip() * kStrip + threadIdx.x;", "feature = threadIdx.x;"),
    _copies("brings no bias", "  const qp_ends ends = qp_bring_ends(memory, of, bias);\n", "  const qp_ends ends = {reinterpret_cast<float*>(memory + kEndsAt), reinterpret_cast<float*>(memory + kEndsAt) + QP_TILE_N};\n"),
    _gemm("a bias beyond N", "is_there && bias ?", "bias ?", sanitized=True),
    _whole("the scales of the first group", "group = (tile0 + tile) / kGroupTiles", "group = tile0 / kGroupTiles"),
    _whole("writes beyond N", "lane / 4 < n && column < k", "column < k"),
    _whole("writes beyond K", "lane / 4 < n && column < k", "lane / 4 < n"),
    _lookup("rounds the scale", "w[i] *= scale[j];", "w[i] = qp_act_to_float(qp_act_from_float(w[i] * qp_act_to_float(qp_act_from_float(scale[j]))));"),
    _lookup("no barrier", "    qp_sync();\n", ""),
    _whole8("writes 16 bytes where rows are not aligned", "% 16 == 0 && k % kAlong == 0", "% 16 < 16", "not aligned"),
)  # fmt: skip
