"""Kernels to try the gate on: a good one, what makes it bad, and what the gate says."""

from tests.machine_code.gate import compile_pairs, judge
from tests.machine_code.pairs import list_pairs

PASCAL_AND_LATER = '["6.1", "7.0", "7.5", "8.0", "8.9", "9.0", "10.0", "12.0"]'

HEAD = """\
//: entry = "planted"
//: role = "gemm"
//: architectures = ARCHITECTURES
//: tile = { n = 32 }
//: threads = THREADS
//: blocks = BLOCKS
//: shared_bytes = SHARED
//: arguments = ["x", "packed", "y", "n", "k"]
//: sass = { needs = ["IDP.4A"], at_least = 8, forbids = ["I2F", "I2FP"], max_registers = REGISTERS }
"""

BODY = """\
extern "C" __global__ void __launch_bounds__(128)
planted(const int* x, const int* packed, int* y, int n, int k) {
  const int row = blockIdx.x * 128 + threadIdx.x;
  if (row >= n) return;
  int sum = 0;
#pragma unroll 1
  for (int i = 0; i < k; i += 8)
#pragma unroll
    for (int j = 0; j < 8; j++) sum = DOT(x[row * k + i + j], packed[i + j], sum);
  y[row] = sum;
}
"""

DOT = (
    "static __device__ __forceinline__ int dot(int a, int b, int c) {\n"
    '  asm("dp4a.s32.s32 %0, %1, %2, %0;" : "+r"(c) : "r"(a), "r"(b)); return c; }\n'
)
LONGHAND = (  # without sign: written out in full, the compiler knows the instruction
    "static __device__ __forceinline__ int dot(int a, int b, int c) {\n"
    "  return c + (a & 255) * (b >> 24) + (a >> 8 & 255) * (b >> 16); }\n"
)
SPILLING = """\
  float a[200];
#pragma unroll
  for (int i = 0; i < 200; i++) a[i] = ((const float*)x)[i * n + row];
  for (int j = 0; j < k; j++)
#pragma unroll
    for (int i = 0; i < 200; i++) a[i] = a[i] * a[(i * 7 + 1) % 200] + 1.0f;
#pragma unroll
  for (int i = 0; i < 200; i++) sum += __float_as_int(a[i]);
"""
INDEXED = """\
  int table[16];
  for (int i = 0; i < 16; i++) table[i] = x[i * row];
  for (int i = 0; i < k; i++) { table[x[i] & 15] += i; sum += table[packed[i] & 15]; }
"""
STATIC = "  __shared__ int many[12000]; many[threadIdx.x] = row; __syncthreads(); sum = many[k];\n"


def plant(folder, *, dot=DOT, body=BODY, architectures=PASCAL_AND_LATER, name="planted", **values):
    """A kernel in a folder of its own, good unless told otherwise."""
    head = HEAD.replace("ARCHITECTURES", architectures)
    for word, value in (
        {"THREADS": 128, "BLOCKS": 1, "SHARED": 0, "REGISTERS": 64} | values
    ).items():
        head = head.replace(word, str(value))
    path = folder / f"{name}.cu"
    path.write_text(head + dot + body.replace("DOT", "dot"))
    return path


def insert(statement):
    """The good kernel with more to do after its sum."""
    return BODY.replace("  int sum = 0;\n", "  int sum = 0;\n" + statement)


WARPGROUP = """\
//: entry = "planted"
//: role = "copy"
//: requires = ["wgmma"]
//: architectures = ["9.0a"]
//: tile = { m = 1 }
//: threads = 128
//: arguments = ["x", "y"]
//: sass = { needs = ["IGMMA.64x8x32"], at_least = 2, max_registers = 64 }
extern "C" __global__ void __launch_bounds__(128) planted(const unsigned long long* x, unsigned* y) {
  unsigned d[4] = {y[0], y[1], y[2], y[3]};
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
  PRODUCT
  BETWEEN
  PRODUCT
  asm volatile("wgmma.commit_group.sync.aligned; wgmma.wait_group.sync.aligned 0;" ::: "memory");
  for (int i = 0; i < 4; i++) y[i * 128 + threadIdx.x] = d[i];
}
"""
PRODUCT = """asm volatile("wgmma.mma_async.sync.aligned.m64n8k32.s32.s8.s8 {%0, %1, %2, %3}, %4, %5, 1;"
    : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3]) : "l"(x[0]), "l"(x[1]));"""


def plant_warpgroup(folder, between=""):
    """Two products of a warpgroup, and what stands between them."""
    path = folder / "planted.cu"
    path.write_text(WARPGROUP.replace("PRODUCT", PRODUCT).replace("BETWEEN", between))
    return path


def complaints(path, tmp_path):
    """Pair → all that the gate has against it."""
    pairs = list_pairs(path)
    made = compile_pairs(pairs, tmp_path / "cache")
    return {str(pair): judge(pair, made[str(pair)]) for pair in pairs}
