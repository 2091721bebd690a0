"""One source for each feature of `qprobe.documents.arch`, with nothing in it but that instruction."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Probe:
    """A source, and the opcode that it becomes where the feature is native."""

    source: str
    opcode: str


def _product(instruction: str, d: int, a: int, b: int, *, floating: bool) -> str:
    """`mma.sync` with d, a and b registers; what it reads and writes comes from memory, so that it is kept."""
    kind, constraint = ("float", "f") if floating else ("unsigned", "r")
    places = [", ".join(f"%{i}" for i in range(*ends)) for ends in ((0, d), (d, d + a), (d + a, d + a + b))]  # fmt: skip
    outputs = ", ".join(f'"+{constraint}"(sums[{i}])' for i in range(d))
    inputs = ", ".join(f'"r"(words[{i}])' for i in range(a + b))
    text = f"mma.sync.aligned.{instruction} {{{places[0]}}}, {{{places[1]}}}, {{{places[2]}}}, {{{places[0]}}};"
    return f"""
extern "C" __global__ void probe(const unsigned* from, {kind}* to) {{
  {kind} sums[{d}]; unsigned words[{a + b}];
  for (int i = 0; i < {d}; i++) sums[i] = to[i * 32 + threadIdx.x];
  for (int i = 0; i < {a + b}; i++) words[i] = from[i * 32 + threadIdx.x];
  asm volatile("{text}" : {outputs} : {inputs});
  for (int i = 0; i < {d}; i++) to[i * 32 + threadIdx.x] = sums[i];
}}"""


def _block_scaled() -> str:
    """`mma.sync` of fp4 with scales, which come after the sums."""
    source = _product(
        "m16n8k64.row.col.kind::mxf4nvf4.block_scale.scale_vec::4X.f32.e2m1.e2m1.f32.ue4m3",
        4, 4, 4, floating=True,
    )  # fmt: skip
    source = source.replace("{%8, %9, %10, %11}", "{%8, %9}")
    return source.replace("{%0, %1, %2, %3};", "{%0, %1, %2, %3}, {%10}, {0, 0}, {%11}, {0, 0};")


def _warpgroup(instruction: str, tail: str) -> str:
    return f"""
extern "C" __global__ void probe(const unsigned long long* from, unsigned* to) {{
  unsigned sums[4] = {{}};
  asm volatile("wgmma.fence.sync.aligned;");
  asm volatile("{{ .reg .pred p; setp.ne.b32 p, 1, 0; wgmma.mma_async.sync.aligned.{instruction}"
    " {{%0, %1, %2, %3}}, %4, %5, p{tail}; }}"
    : "+r"(sums[0]), "+r"(sums[1]), "+r"(sums[2]), "+r"(sums[3]) : "l"(from[0]), "l"(from[1]));
  asm volatile("wgmma.commit_group.sync.aligned; wgmma.wait_group.sync.aligned 0;");
  for (int i = 0; i < 4; i++) to[i * 128 + threadIdx.x] = sums[i];
}}"""


def _statement(statement: str) -> str:
    """Something with shared memory: its address is `at`, its content is kept."""
    return f"""
extern "C" __global__ void probe(unsigned* p, unsigned long long global) {{
  __shared__ __align__(1024) unsigned words[1024];
  unsigned at = (unsigned)__cvta_generic_to_shared(words);
  {statement}
  p[threadIdx.x] = words[threadIdx.x];
}}"""


def _tensor_memory(kind: str, more: str = "") -> str:
    operands = "%0, %1, %2, %3" if not more else "%0, %1, %2, %3, [%4], [%5]"
    extra = ', "r"(p[2]), "r"(p[3])' if more else ""
    return _statement(
        f'asm volatile("{{ .reg .pred q; setp.ne.b32 q, 1, 0; tcgen05.mma.cta_group::1.kind::{kind}{more}'
        f' [%0], {operands[4:]}, q; }}" :: "r"(p[0]), "l"(global), "l"(global + 1), "r"(p[1]){extra});'
    )


PROBES = {
    "dp4a": Probe(
        'extern "C" __global__ void probe(int* p) {'
        ' asm volatile("dp4a.s32.s32 %0, %1, %2, %0;" : "+r"(p[0]) : "r"(p[1]), "r"(p[2])); }',
        "IDP.4A",
    ),
    "hmma_884": Probe(
        _product("m8n8k4.row.col.f32.f16.f16.f32", 8, 2, 2, floating=True), "HMMA.884"
    ),
    "hmma_1688": Probe(
        _product("m16n8k8.row.col.f32.f16.f16.f32", 4, 2, 1, floating=True), "HMMA.1688"
    ),
    "hmma_16816": Probe(
        _product("m16n8k16.row.col.f32.f16.f16.f32", 4, 4, 2, floating=True), "HMMA.16816"
    ),
    "hmma_16816_bf16": Probe(
        _product("m16n8k16.row.col.f32.bf16.bf16.f32", 4, 4, 2, floating=True), "HMMA.16816.BF16"
    ),
    "hmma_1688_tf32": Probe(
        _product("m16n8k8.row.col.f32.tf32.tf32.f32", 4, 4, 2, floating=True), "HMMA.1688.TF32"
    ),
    "imma_8816": Probe(_product("m8n8k16.row.col.s32.s8.s8.s32", 2, 1, 1, floating=False), "IMMA.8816"),
    "imma_16832": Probe(
        _product("m16n8k32.row.col.s32.s8.s8.s32", 4, 4, 2, floating=False), "IMMA.16832"
    ),
    "imma_8832_s4": Probe(
        _product("m8n8k32.row.col.s32.s4.s4.s32", 2, 1, 1, floating=False), "IMMA.8832.S4"
    ),
    "imma_16864_s4": Probe(
        _product("m16n8k64.row.col.s32.s4.s4.s32", 4, 4, 2, floating=False), "IMMA.16864.S4"
    ),
    "qmma_16832_fp8": Probe(
        _product("m16n8k32.row.col.f32.e4m3.e4m3.f32", 4, 4, 2, floating=True), "QMMA.16832.E4M3"
    ),
    "qmma_16832_fp4": Probe(
        _product("m16n8k32.row.col.kind::f8f6f4.f32.e2m1.e2m1.f32", 4, 4, 2, floating=True),
        "QMMA.16832.E2M1",
    ),
    "omma_16864_fp4": Probe(_block_scaled(), "OMMA.16864"),
    "wgmma": Probe(_warpgroup("m64n8k32.s32.s8.s8", ""), "IGMMA.64x8x32"),
    "tcgen05_f16": Probe(_tensor_memory("f16"), "UTCHMMA"),
    "tcgen05_i8": Probe(_tensor_memory("i8"), "UTCIMMA"),
    "tcgen05_f8f6f4": Probe(_tensor_memory("f8f6f4"), "UTCQMMA"),
    "tcgen05_mxf4": Probe(_tensor_memory("mxf4nvf4", ".block_scale.block16"), "UTCOMMA"),
    "ldmatrix": Probe(
        _statement(
            "unsigned a, b, c, d;"
            ' asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"'
            ' : "=r"(a), "=r"(b), "=r"(c), "=r"(d) : "r"(at)); words[0] = a + b + c + d;'
        ),
        "LDSM.M88.4",
    ),
    "cp_async": Probe(
        _statement(
            'asm volatile("cp.async.cg.shared.global [%0], [%1], 16; cp.async.commit_group;'
            ' cp.async.wait_group 0;" :: "r"(at), "l"(p));'
        ),
        "LDGSTS",
    ),
    "cp_async_bulk": Probe(
        _statement(
            'asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" :: "r"(at));'
            ' asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes'
            ' [%0], [%1], 64, [%2];" :: "r"(at + 128), "l"(p), "r"(at));'
        ),
        "UBLKCP",
    ),
    "bulk_multicast": Probe(
        _statement(
            'asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" :: "r"(at));'
            ' asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes'
            '.multicast::cluster [%0], [%1], 64, [%2], %3;"'
            ' :: "r"(at + 128), "l"(p), "r"(at), "h"((unsigned short)3));'
        ),
        "UBLKCP.S.G.MULTICAST",
    ),
    "griddepcontrol": Probe(_statement('asm volatile("griddepcontrol.wait;");'), "ACQBULK"),
    "setmaxnreg": Probe(
        'extern "C" __global__ void __launch_bounds__(128, 1) probe(unsigned* p) {'
        ' asm volatile("setmaxnreg.inc.sync.aligned.u32 240;"); p[0] = 1; }',
        "USETMAXREG",
    ),
    "cvt_e4m3": Probe(
        _statement(
            'unsigned short h; asm volatile("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(h)'
            ' : "f"(__uint_as_float(p[0])), "f"(__uint_as_float(p[1]))); words[0] = h;'
        ),
        "F2FP.E4M3",
    ),
}  # fmt: skip
