"""What the emulator itself must do: small kernels, right and wrong, and what is said of them."""

import numpy as np
import pytest

from tests.emulator.build import EmulatorError
from tests.emulator.launch import SCHEDULES, run

HEAD = """\
//: entry = "{entry}"
//: role = "copy"
//: architectures = ["9.0"]
//: tile = {{ n = 1 }}
//: grid = ["n"]
//: threads = {threads}
//: shared_bytes = 1024
//: arguments = ["x", "y", "n"]
//: sass = {{ max_registers = 64 }}
#include "prims.cuh"
QP_KERNEL {entry}(const uint32_t* x, uint32_t* y, int n) {{
  const unsigned thread = threadIdx.x, lane = thread % 32;
  (void)lane;
  {body}
}}
"""


@pytest.fixture
def launch(tmp_path):
    """Runs a body with x of 256 words and gives y."""

    def launch(body, *, threads=64, blocks=1, schedule="eager", seed=0, limit_s=60):
        path = tmp_path / "tiny.cu"
        path.write_text(HEAD.format(entry="tiny", threads=threads, body=body))
        x, y = np.arange(256, dtype=np.uint32), np.zeros(256, np.uint32)
        arguments = {"x": x, "y": y, "n": blocks}
        run(path, "", None, arguments, schedule=schedule, seed=seed, limit_s=limit_s)
        return y

    return launch


BARRIER = """
QP_SHARED_DYNAMIC(given); (void)given;
QP_SHARED(uint64_t, b, [1]);
if (!thread) qp_make_barrier(b, {arrivals}), qp_fence_barriers();
qp_sync();
"""

WRONG = {
    "a barrier that some do not reach": ("if (thread < 40) qp_sync();", "nobody can go on: 40 threads wait in qp_sync, 0 in qp_sync_first"),
    "a barrier of others": ("qp_sync_first<32>();", "that is not among the first"),
    "a barrier of the first that one does not reach": ("if (thread < 31) qp_sync_first<32>();", "0 threads wait in qp_sync, 31 in qp_sync_first"),
    "an exit before a barrier": ("if (thread == 3) return; qp_sync();", "and 1 have ended"),
    "a warp that divides": ("if (lane < 7) qp_shuffle_xor(1, 1); else qp_sync_warp();", "its warp is divided: it came to"),
    "a warp operation that some do not reach": ("if (lane) qp_sync_warp();", "62 in an operation of their warp (qp_sync_warp)"),
    "a vector that is not aligned": ("qp_load16(x + 1);", "block (0, 0, 0), thread 0: a load of 16 bytes at"),
    "an address in the wild": ("y[0] = *reinterpret_cast<volatile uint32_t*>(64);", "where there is no memory"),
    "a store behind the end": ("y[256] = 1;", "it writes before or behind y"),
    "a store before the start": ("y[-1] = 1;", "it writes before or behind y"),
    "a store to what is only read": ("const_cast<uint32_t*>(x)[-1] = 1;", "it writes before or behind x"),
    "copies that nobody commits": ("QP_SHARED_DYNAMIC(s); qp_copy_async16(s + lane * 16, x);", "did not commit"),
    "copies that nobody waits for": ("QP_SHARED_DYNAMIC(s); qp_copy_async16(s + lane * 16, x); qp_copy_commit();", "did not wait for"),
    "a copy beyond shared memory": ("QP_SHARED_DYNAMIC(s); qp_copy_async16(s + 1024, x);", "where there is no shared memory"),
    "a copy of too many bytes": ("QP_SHARED_DYNAMIC(s); qp_copy_async16(s, x, 17);", "more than its size"),
    "matrices of global memory": ("uint32_t r[4]; qp_ldmatrix_x4(r, x);", "ldmatrix of what is not shared memory"),
    "a barrier that nobody made": ("QP_SHARED(uint64_t, b, [1]); qp_wait(b, 0);", "a barrier that nobody has made"),
    "a barrier made twice": ("QP_SHARED(uint64_t, b, [1]); qp_make_barrier(b, 1);", "made twice"),
    "a barrier in global memory": ("qp_make_barrier(reinterpret_cast<uint64_t*>(y), 1);", "not in shared memory"),
    "a barrier that is not aligned": ("QP_SHARED_DYNAMIC(s); qp_make_barrier(reinterpret_cast<uint64_t*>(s + 4), 1);", "a barrier of 8 bytes"),
    "an arrival too many": (BARRIER.format(arrivals=2) + "if (thread < 3) qp_arrive_and_expect(b, 16);", "more threads arrive"),
    "a wait that nobody ends": (BARRIER.format(arrivals=65) + "qp_arrive(b); qp_wait(b, 0);", "64 in qp_wait"),
    "bytes that do not come": (BARRIER.format(arrivals=1) + "if (!thread) qp_arrive_and_expect(b, 16); qp_wait(b, 0);", "64 in qp_wait"),
    "a box of no tensor map": (BARRIER.format(arrivals=1) + "qp_tensor_map map = {}; qp_copy_box(given, map, 0, 0, b);", "no tensor map"),
    "an operand where no swizzle begins": ("QP_SHARED_DYNAMIC(s); qp_wgmma_descriptor(s);", "not QP_SHARED_SWIZZLED"),
    "wgmma in half a warpgroup": ("int d[64]; qp_wgmma_fence(); qp_wgmma_s8_64x128x32(d, 0, 0);", "fewer than 128 threads"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_said(launch, what):
    body, words = WRONG[what]
    with pytest.raises(EmulatorError) as caught:
        launch(body)
    assert words in str(caught.value)


def test_a_kernel_that_does_not_end_is_stopped(launch):
    with pytest.raises(EmulatorError, match="it does not end"):
        launch("for (volatile int i = 0; i >= 0; i = 1) {}", limit_s=1)


def test_shared_memory_starts_as_garbage_and_anew_in_each_block(launch):
    body = """
    QP_SHARED(uint32_t, own, [64]);
    QP_SHARED_DYNAMIC(given);
    if (thread == 0) y[blockIdx.x * 2] = own[5], y[blockIdx.x * 2 + 1] = reinterpret_cast<uint32_t*>(given)[7];
    qp_sync();
    own[thread] = 1, reinterpret_cast<uint32_t*>(given)[thread] = 1;"""
    assert np.all(launch(body, blocks=5)[:10] == 0xFFFFFFFF)


def test_registers_start_as_garbage(launch):
    assert launch("volatile uint32_t never_set; y[thread] = never_set;")[3] not in (0, 3)


COPY = """
QP_SHARED_DYNAMIC(given);
uint32_t* words = reinterpret_cast<uint32_t*>(given);
qp_copy_async16(words + thread * 4, x + thread % 32 * 4);
qp_copy_commit();
{wait}
y[thread] = words[thread * 4];"""


def test_copies_land_at_their_wait_and_not_before(launch):
    # Too late for the read: the copies are waited for behind it.
    early = launch(COPY.format(wait="") + "qp_copy_wait<0>();")
    assert np.all(early[:64] == 0xFFFFFFFF)
    assert list(launch(COPY.format(wait="qp_copy_wait<0>();"))[:3]) == [0, 4, 8]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_barrier_goes_through_phases(launch, schedule):
    """Each thread writes, arrives and reads what the next one wrote, again and again."""
    body = (
        BARRIER.format(arrivals=64)
        + """
    QP_SHARED(uint32_t, words, [2][64]);
    uint32_t sum = 0;
    for (int i = 0; i < 5; i++) {
      words[i & 1][thread] = thread + i;
      qp_arrive(b);
      qp_wait(b, i & 1);
      sum += words[i & 1][(thread + 1) & 63];
    }
    y[thread] = sum;"""
    )
    assert np.array_equal(launch(body, schedule=schedule)[:64], (np.arange(64) + 1) % 64 * 5 + 10)


EXCHANGE = """
QP_SHARED(uint32_t, words, [64]);
words[thread] = thread;
{between}
y[thread] = words[{other}];"""


@pytest.mark.parametrize(
    ("other", "barrier"), [("63 - thread", "qp_sync();"), ("thread ^ 5", "qp_sync_warp();")]
)
def test_some_schedule_shows_that_a_barrier_is_missing(launch, other, barrier):
    wanted = launch(EXCHANGE.format(between=barrier, other=other))
    wrong = []
    for schedule in SCHEDULES:
        body = EXCHANGE.format(between=barrier, other=other)
        assert np.array_equal(launch(body, schedule=schedule), wanted)
        wrong.append(
            not np.array_equal(
                launch(EXCHANGE.format(between="", other=other), schedule=schedule), wanted
            )
        )
    assert any(wrong)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_last_block_sees_what_all_have_written(launch, schedule):
    body = """
    float* parts = reinterpret_cast<float*>(y) + 16;
    if (thread == 0) parts[blockIdx.x] = blockIdx.x + 1;
    if (qp_is_last_block(y, n) && thread == 0) {
      float sum = 0;
      for (int i = 0; i < n; i++) sum += qp_load_fresh(parts + i);
      y[1] = sum;
      y[2] += 1;
    }"""
    for seed in range(4):
        y = launch(body, blocks=9, schedule=schedule, seed=seed)
        assert list(y[:3]) == [0, 45, 1]


ARRIVALS = """
for (int i = 0; i < 2; i++)
  if (lane == 0) y[qp_atomic_add(y + 255, 1)] = blockIdx.x * 2 + thread / 32;"""


def test_schedules_differ_in_who_comes_first(launch):
    orders = {
        schedule: launch(ARRIVALS, blocks=4, schedule=schedule)[:16].tolist()
        for schedule in SCHEDULES
    }
    for order in orders.values():
        assert sorted(order) == sorted([*range(8), *range(8)])
    assert orders["eager"] == sorted(orders["eager"])
    assert orders["reversed"] == orders["eager"][::-1]
    assert orders["in_turn"][:8] == [0, 1, 2, 3] * 2
    assert orders["random"] not in [orders[name] for name in SCHEDULES if name != "random"]


def test_the_random_schedule_repeats_itself(launch):
    body = "if (lane == 0) y[qp_atomic_add(y + 255, 1)] = blockIdx.x * 2 + thread / 32;"
    runs = [tuple(launch(body, blocks=8, schedule="random", seed=seed)[:16]) for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]


def test_a_schedule_that_is_not_there_is_refused(launch):
    with pytest.raises(EmulatorError, match="there is no schedule backwards"):
        launch("", schedule="backwards")
