"""A kernel's description of itself: read whole, and refused by name and line where it is wrong."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qprobe.errors import InputError
from qprobe.kernels.cuda.arguments import ARGUMENTS
from qprobe.kernels.cuda.builds import builds
from qprobe.kernels.cuda.manifest import (
    MachineCode,
    Manifest,
    Variant,
    find_kernels,
    parse_manifest,
    read_manifest,
)
from qprobe.kernels.sources import find_sources

GOOD = """\
// Weights of 4 bits on tensor cores.
//: entry = "gemm_w4a16"
//: role = "gemm"
//: schemes = ["W4A16", "W4A16_G64"]
//: packing = "mma_w4"
//: activations = ["float16", "bfloat16"]
//: requires = ["hmma_16816", "ldmatrix"]
//: architectures = ["8.0", "9.0"]
//: max_rows = 128
//: tile = { m = 16, n = 64, k = 64 }
//: threads = 128
//: arguments = ["x", "packed", "scales", "bias", "y", "m", "n", "k"]
//: sass = { needs = ["HMMA.16816"], at_least = 4, max_registers = 128 }

//: [variants.g128]
//: schemes = ["W4A16"]
//: defines = { QP_GROUP = 128 }
//: [variants.g64]
//: schemes = ["W4A16_G64"]
//: activations = ["float16"]
//: defines = { QP_GROUP = 64 }
//: blocks = 2
//: tile = { m = 32, n = 64, k = 64 }
//: threads = 256
//: shared_bytes = 4096
//: max_rows = 64
#include "prims.cuh"
"""

WRONG = {
    "a misspelt key": (
        "//: threads =", "//: thread =",
        "k.cu: line 11: unknown key `thread`; did you mean `threads`?",
    ),
    "a key missing": ("//: threads = 128\n", "", "k.cu: `threads` is missing"),
    "a misspelt key of a table": (
        "at_least = 4", "atleast = 4",
        "k.cu: line 13: unknown key `sass.atleast`; did you mean `at_least`?",
    ),
    "a misspelt key of a variant": (
        "//: max_rows = 64", "//: max_row = 64",
        "unknown key `variants.g64.max_row`; did you mean `max_rows`?",
    ),
    "an unknown role": ('"gemm"', '"gem"', "k.cu: line 3: `role`: Input should be 'copy', 'peak',"),
    "an unknown scheme": ('["W4A16", ', '["W4A17", ', "'W4A17' is no scheme; did you mean `W4A16`?"),
    "an unknown feature": ("hmma_16816", "hmma_1616", "'hmma_1616' is no feature; did you mean `hmma_16816`?"),
    "an unknown argument": ('"packed"', '"paked"', "'paked' is no argument; did you mean `packed`?"),
    "an argument twice": ('"packed"', '"x"', "argument x is there twice"),
    "an unknown architecture": ('"9.0"', '"9.1"', "'9.1' is no architecture; did you mean `9.0`?"),
    "an architecture without the feature": ('"9.0"', '"7.5"', "the kernel lists 7.5, where hmma_16816 is not native"),
    "an architecture twice": ('"9.0"', '"8.0"', "architectures of the kernel 8.0 is there twice"),
    "a feature that wants the specific target": (
        '"ldmatrix"]\n//: architectures = ["8.0", "9.0"]', '"wgmma"]\n//: architectures = ["9.0"]',
        'the kernel lists "9.0", but is built for "9.0a" by its requires',
    ),
    "a specific target for nothing": (
        '"8.0", "9.0"]', '"8.0", "9.0a"]', 'the kernel lists "9.0a", but is built for "9.0" by its requires',
    ),
    "no architecture": ('["8.0", "9.0"]', "[]", "line 8: `architectures`: Tuple should have at least 1 item"),
    "threads that are no warps": ("threads = 128", "threads = 100", "line 11: `threads`: Input should be a multiple of 32, not 100"),
    "text for a number": ("threads = 128", 'threads = "128"', "line 11: `threads`: Input should be a valid integer"),
    "a truth for a number": ("max_rows = 128", "max_rows = true", "line 9: `max_rows`: Input should be a valid integer"),
    "a fraction": ("m = 16", "m = 16.5", "line 10: `tile.m`: Input should be a valid integer"),
    "nothing to compute": ("m = 16", "m = 0", "line 10: `tile.m`: Input should be greater than or equal to 1"),
    "a number for text": ('entry = "gemm_w4a16"', "entry = 4", "line 2: `entry`: Input should be a valid string"),
    "too many registers": ("max_registers = 128", "max_registers = 256", "line 13: `sass.max_registers`"),
    "a macro of somebody else": ("QP_GROUP = 128", "NDEBUG = 1", "variants.g128.defines.NDEBUG"),
    "a variant beyond the kernel": ('["W4A16_G64"]', '["NF4"]', "'NF4' is no member of the kernel's schemes, in variant 'g64'"),
    "more blocks than a multiprocessor holds": ("threads = 128", "threads = 128\n//: blocks = 33", "line 12: `blocks`"),
    "a cluster along M": ("threads = 128", 'threads = 128\n//: grid = ["m", "n"]\n//: cluster = 2', 'they want grid = ["tile"] or "n" first'),
    "a cluster that no card has": ("threads = 128", 'threads = 128\n//: grid = ["tile"]\n//: cluster = 3', "`cluster`: Input should be less than or equal to 2"),
    "tiles beside another axis": ("threads = 128", 'threads = 128\n//: grid = ["tile", "m"]', "no other axis stands beside it"),
    "a box of too many rows": ('n = 64, k = 64 }\n//: threads = 128\n//: arguments = ["x", "packed"',
        'n = 257, k = 64 }\n//: threads = 128\n//: arguments = ["x", "packed_map"', "the kernel is no box of a tensor map"),
    "a box of rows that are too long": ('k = 64 }\n//: threads = 128\n//: arguments = ["x"',
        'k = 144 }\n//: threads = 128\n//: row_bytes = 16\n//: arguments = ["x_map"', "at most 256 rows of 16 to 128 bytes"),
    "a map of rows of any length": ('arguments = ["x"', 'arguments = ["x_map"', "has rows of a multiple of 16 bytes: row_bytes = 16"),
    "no TOML": ("threads = 128", "threads = = 128", "k.cu: line 11: Invalid value"),
    "a table that does not end": ("k = 64 }\n//: threads = 128", "k = 64\n//: threads = 128", "k.cu: line 10: "),
    "a key twice": ("//: threads = 128", "//: threads = 128\n//: threads = 64", "k.cu: line 12: Cannot overwrite a value"),
    "a line after the code": ("//: max_rows = 64\n", "int x;\n//: max_rows = 64\n", "k.cu: line 27: `//:` after the first code"),
}  # fmt: skip


def test_a_kernel_is_read_as_it_describes_itself():
    manifest = parse_manifest(GOOD, "k.cu")
    assert manifest.entry == "gemm_w4a16"
    assert manifest.input == "float"
    assert manifest.grid == ("n", "m", "split")
    found = {build.name: build for build in builds(manifest)}
    assert list(found) == ["g128, float16", "g128, bfloat16", "g64, float16"]
    assert found["g128, bfloat16"].macros() == (
        "-DQP_ACT=1", "-DQP_BLOCKS=1", "-DQP_CLUSTER=1", "-DQP_GROUP=128", "-DQP_SHARED_BYTES=0", "-DQP_THREADS=128",
        "-DQP_TILE_K=64", "-DQP_TILE_M=16", "-DQP_TILE_N=64",
    )  # fmt: skip
    small = found["g64, float16"]
    assert (small.tile.m, small.threads, small.shared_bytes, small.max_rows) == (32, 256, 4096, 64)
    assert (small.blocks, found["g128, float16"].blocks) == (2, 1)
    assert small.schemes == ("W4A16_G64",)
    assert small.architectures == ("8.0", "9.0")
    assert small.machine_code("9.0").needs == ("HMMA.16816",)


@pytest.mark.parametrize(("right", "wrong", "words"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_named(right, wrong, words):
    assert right in GOOD
    with pytest.raises(InputError) as caught:
        parse_manifest(GOOD.replace(right, wrong, 1), "k.cu")
    assert words in str(caught.value)
    assert "kernels/README.md" in caught.value.hint


def test_machine_code_may_differ_by_architecture():
    each = '//: sass = { "8.0" = { needs = ["HMMA"], max_registers = 64 }, "9.0" = { max_registers = 96 } }'
    whole = "//: sass = { needs = ["
    source = "\n".join(each if line.startswith(whole) else line for line in GOOD.splitlines())
    (build, *_) = builds(parse_manifest(source, "k.cu"))
    assert build.machine_code("8.0").max_registers == 64
    assert build.machine_code("9.0").needs == ()
    with pytest.raises(InputError, match=r"sass of the kernel says nothing of 9\.0"):
        parse_manifest(source.replace(', "9.0" = { max_registers = 96 }', ""), "k.cu")
    with pytest.raises(InputError, match=r"'8.6' is no architecture of the kernel"):
        parse_manifest(source.replace('"9.0" = {', '"8.6" = {'), "k.cu")


def test_without_a_description_nothing_is_a_kernel():
    with pytest.raises(InputError, match="no line begins with `//:`"):
        parse_manifest("// a kernel\nint x;\n", "k.cu")


def test_what_cannot_be_read_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.cu cannot be read"):
        read_manifest(tmp_path / "none.cu")
    (tmp_path / "bytes.cu").write_bytes(b"//: \xff\n")
    with pytest.raises(InputError, match=r"bytes\.cu cannot be read"):
        read_manifest(tmp_path / "bytes.cu")


def test_kernels_are_the_files_of_the_folder(tmp_path):
    for name in ("b.cu", "a.cu", "prims.cuh", "notes.md"):
        (tmp_path / name).write_text(GOOD)
    assert list(find_kernels(tmp_path)) == ["a", "b"]


@pytest.mark.parametrize("path", find_kernels().values(), ids=lambda path: path.stem)
def test_every_kernel_describes_itself(path):
    manifest = read_manifest(path)
    assert f"{manifest.entry}(" in path.read_text(encoding="utf-8").replace(" (", "(")
    assert len({build.name for build in builds(manifest)}) == len(builds(manifest))


def _accepted_or_refused(source):
    try:
        assert isinstance(parse_manifest(source, "k.cu"), Manifest)
    except InputError as error:
        assert str(error).startswith("k.cu: ")


@settings(deadline=None)
@given(st.data())
def test_a_damaged_description_is_read_or_refused(data):
    """A few characters of a good one are replaced by any others."""
    start = data.draw(st.integers(0, len(GOOD) - 1))
    end = data.draw(st.integers(start, min(start + 20, len(GOOD))))
    _accepted_or_refused(GOOD[:start] + data.draw(st.text(max_size=12)) + GOOD[end:])


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@settings(deadline=None)
@given(st.sampled_from(sorted(Manifest.model_fields)), VALUES)
def test_any_value_is_taken_or_refused(key, value):
    """Checked on what TOML gave, so that values which nobody would write are seen too."""
    good = parse_manifest(GOOD, "k.cu").model_dump(exclude_none=True)
    try:
        Manifest.model_validate(good | {key: value})
    except ValueError as error:
        assert key in str(error) or "Value error" in str(error)


def test_the_folder_says_what_a_kernel_may_say():
    text = (find_sources() / "README.md").read_text(encoding="utf-8")
    keys = {*Manifest.model_fields, *Variant.model_fields, *MachineCode.model_fields}
    assert [key for key in sorted(keys) if f"`{key}`" not in text] == []
    rows = [f"| `{name}` | {a.kind}{', may be null' if a.optional else ''} | {a.meaning} |"
            for name, a in ARGUMENTS.items()]  # fmt: skip
    assert [row for row in rows if row not in text] == []
