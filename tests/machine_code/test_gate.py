"""The gate refuses, by name, every kind of kernel that it is there to refuse, and passes good ones."""

import ctypes

import pytest

from qprobe.kernels.cuda import nvrtc
from qprobe.kernels.cuda.manifest import read_manifest
from qprobe.kernels.cuda.nvrtc import compile_source
from tests.machine_code import disassembly, gate
from tests.machine_code.disassembly import ToolMissingError, find_loops, list_instructions
from tests.machine_code.elf import read_cubin
from tests.machine_code.gate import compile_pairs, count_opcode, find_compiler
from tests.machine_code.pairs import (
    all_pairs,
    asked_of,
    chosen_pairs,
    lines_for,
    list_pairs,
    spread_pairs,
    uncovered,
    without_build,
)
from tests.machine_code.planted import (
    BODY,
    DOT,
    INDEXED,
    LONGHAND,
    PASCAL_AND_LATER,
    SPILLING,
    STATIC,
    complaints,
    insert,
    plant,
    plant_warpgroup,
)


def test_a_good_kernel_passes_everywhere(tmp_path):
    path = plant(tmp_path)
    found = complaints(path, tmp_path)
    assert found == dict.fromkeys(
        f"planted-{name}"
        for name in (
            *("6.1-cuda12", "7.0-cuda12", "7.5-cuda12", "7.5-cuda13", "8.0-cuda13", "8.9-cuda13"),
            *("9.0-cuda13", "10.0-cuda13", "12.0-cuda13"),
        )
    ) | {name: [] for name in found}
    assert without_build(path) == []


BAD = {
    "the instruction is not there": ({"dot": LONGHAND}, "IDP.4A is there 0 times, not 8"),
    "the instruction is there too seldom": (
        {"body": BODY.replace("j < 8", "j < 4").replace("i += 8", "i += 4")},
        "IDP.4A is there 4 times, not 8",
    ),
    "what is forbidden is there": (
        {"body": BODY.replace("y[row] = sum", "y[row] = __float_as_int((float)sum)")},
        " is there 1 times, and is forbidden",
    ),
    "it spills": (
        {"body": insert(SPILLING).replace("(128)", "(128, 8)")},
        "it spills: STL is there ",
    ),
    "an array in local memory": ({"body": insert(INDEXED)}, "bytes in local memory"),
    "too many registers": ({"REGISTERS": 16}, "registers, more than 16"),
    "too much shared memory": (
        {"body": insert(STATIC), "SHARED": 200 * 1024},
        "bytes of shared memory, more than",
    ),
    "other threads": ({"THREADS": 256}, "__launch_bounds__ is 128, the manifest says 256 threads"),
    "no launch bounds": (
        {"body": BODY.replace("__launch_bounds__(128)", "")},
        "__launch_bounds__ is None",
    ),
    "another function": (
        {"body": BODY.replace("planted(", "plant(")},
        "the function is plant, not planted",
    ),
    "another order of arguments": (
        {"body": BODY.replace("int* y, int n", "int n, int* y")},
        "the function takes [8, 8, 4, 8, 4] bytes, the manifest says [8, 8, 8, 4, 4]",
    ),
    "an argument too many": (
        {"body": BODY.replace("int k)", "int k, int m)")},
        "the function takes [8, 8, 8, 4, 4, 4] bytes",
    ),
    "two kernels": (
        {"body": BODY + BODY.replace("planted", "second")},
        "not one kernel but 2",
    ),
    "it does not compile": ({"dot": ""}, 'error: identifier "dot" is undefined'),
}


@pytest.mark.parametrize(("changes", "words"), BAD.values(), ids=BAD)
def test_a_bad_kernel_is_refused_by_name(tmp_path, changes, words):
    found = complaints(plant(tmp_path, architectures='["6.1", "8.0", "9.0"]', **changes), tmp_path)
    assert list(found) == ["planted-6.1-cuda12", "planted-8.0-cuda13", "planted-9.0-cuda13"]
    for name, wrong in found.items():
        assert any(words in one for one in wrong), (name, wrong)


def test_an_architecture_without_a_build_is_missed(tmp_path):
    path = plant(tmp_path, architectures='["7.0", "8.0"]')
    variants = '//: [variants.a]\n//: architectures = ["8.0"]\n'
    path.write_text(path.read_text().replace(DOT, variants + DOT))
    assert without_build(path) == ["7.0"]


LISTING = """\
//: [variants.old]
//: [variants.new]
//: architectures = ["8.0", "9.0"]
//: [variants.newest]
//: architectures = ["12.0"]
"""


def test_a_build_that_a_card_is_given_is_missed_where_it_is_not_judged(tmp_path):
    """Each build by itself: that another of the kernel is judged there says nothing of it."""
    path = plant(tmp_path, architectures='["7.5", "8.0", "9.0", "12.0"]')
    path.write_text(path.read_text().replace(DOT, LISTING + DOT))
    chosen = {(pair.build.name, pair.target) for pair in chosen_pairs(path)}
    assert chosen == {
        ("old", "7.5"),
        *(("new", c) for c in ("8.0", "8.6", "8.7", "8.9", "9.0", "10.0", "10.3", "11.0")),
        ("newest", "12.0"),
        ("newest", "12.1"),
    }
    assert uncovered(path, all_pairs(path)) == []
    assert uncovered(path, list_pairs(path)) == [
        f"planted[{name}]-{target}-cuda13"
        for name, target in (
            *(("new", "8.6"), ("new", "8.7"), ("new", "8.9"), ("new", "10.0"), ("new", "10.3")),
            *(("new", "11.0"), ("newest", "12.1")),
        )
    ]
    spread = {pair.target for pair in spread_pairs(path)}
    assert spread == {target for _, target in chosen}


def test_a_card_without_the_features_is_given_nothing(tmp_path):
    path = plant(tmp_path, architectures='["9.0a"]')
    path.write_text('//: requires = ["wgmma"]\n' + path.read_text())
    assert [pair.target for pair in chosen_pairs(path)] == ["9.0a"]


def test_where_nothing_is_said_of_an_architecture_the_one_before_counts(tmp_path):
    path = plant(tmp_path, architectures='["8.0", "9.0"]')
    text = path.read_text()
    told = text[text.index("//: sass") : text.index(DOT)]
    each = '//: [sass]\n//: "8.0" = { max_registers = 40 }\n//: "9.0" = { max_registers = 50 }\n'
    path.write_text(text.replace(told, each))
    limits = {pair.target: asked_of(pair).max_registers for pair in all_pairs(path)}
    assert limits == {
        "8.0": 40, "8.6": 40, "8.7": 40, "8.9": 40,
        "9.0": 50, "10.0": 50, "10.3": 50, "11.0": 50, "12.0": 50, "12.1": 50,
    }  # fmt: skip


@pytest.mark.parametrize(
    "types", ['"float16"', '"float16", "bfloat16"', '"float16", "bfloat16", "float32"']
)
@pytest.mark.parametrize("architectures", ['["9.0"]', '["7.0", "7.5"]', PASCAL_AND_LATER])
def test_every_variant_is_judged_everywhere_and_every_type_somewhere(
    tmp_path, types, architectures
):
    path = plant(tmp_path, architectures=architectures)
    variants = f"//: activations = [{types}]\n//: variants = {{ a = {{}}, b = {{}} }}\n"
    path.write_text(variants + path.read_text())
    every, chosen = list_pairs(path), spread_pairs(path)
    assert len(set(map(str, chosen))) == len(chosen)
    listed = [pair for pair in chosen if pair.target in read_manifest(path).architectures]
    for what in (
        lambda pair: (pair.build.variant, pair.target, pair.cuda),
        lambda pair: pair.build.name,
    ):
        assert set(map(what, listed)) == set(map(what, every))
    assert {pair.target for pair in chosen} == {pair.target for pair in all_pairs(path)}


def test_each_architecture_has_the_compilers_that_build_for_it():
    assert [lines_for(t) for t in ("6.1", "7.0", "7.5", "8.0", "9.0a", "12.0")] == [
        (12,), (12,), (12, 13), (13,), (13,), (13,),
    ]  # fmt: skip


def test_a_missing_tool_is_a_failure(tmp_path, monkeypatch):
    path = plant(tmp_path)
    monkeypatch.setattr(disassembly, "FETCHED", tmp_path / "none")
    disassembly.find_nvdisasm.cache_clear()
    with pytest.raises(ToolMissingError, match=r"none is missing: run `python -m tests"):
        compile_pairs(list_pairs(path), tmp_path / "cache")
    disassembly.find_nvdisasm.cache_clear()
    monkeypatch.setattr(gate, "find_compilers", lambda: nvrtc.find_compilers()[:1])
    with pytest.raises(
        ToolMissingError, match=r"NVRTC 12\.9 or later is needed, there is NVRTC 13"
    ):
        compile_pairs(list_pairs(path), tmp_path / "cache")


def test_kernels_are_told_apart_in_one_disassembly(tmp_path):
    """As in one each: by different numbers of instructions, of code whose length is no multiple of anything."""
    pairs = []
    for count in (2, 3, 5):
        body = BODY.replace("j < 8", f"j < {count}").replace("i += 8", f"i += {count}")
        pairs += list_pairs(plant(tmp_path, body=body, name=f"p{count}", architectures='["6.1"]'))
    made = compile_pairs(pairs, tmp_path / "cache")
    assert [made[str(pair)].count("IDP.4A") for pair in pairs] == [2, 3, 5]
    for one in made.values():
        assert list_instructions("6.1", [one.code.instructions]) == [one.instructions]
        assert one.count("EXIT") >= 1


@pytest.mark.parametrize("target", ["6.1", "8.0", "12.0"])
def test_loops_are_found_with_what_is_in_them(tmp_path, target):
    path = plant(tmp_path, architectures=f'["{target}"]')
    (made,) = compile_pairs(list_pairs(path), tmp_path / "cache").values()
    loops = [loop for loop in find_loops(made.instructions) if count_opcode(loop, "IDP")]
    assert [count_opcode(loop, "IDP.4A") for loop in loops] == [8]
    assert count_opcode(loops[0], "LDG") == 16
    assert count_opcode(loops[0], "EXIT") == 0


def test_a_cubin_is_read_as_the_assembler_reports(tmp_path):
    """ptxas says what a kernel takes too, but in its log, which a kept cubin does not have."""
    source = DOT + BODY.replace("DOT", "dot").replace(
        "  int sum = 0;\n", "  int sum = 0;\n" + STATIC
    )
    for target, cuda in (("7.0", 12), ("8.0", 13), ("9.0a", 13)):
        code = read_cubin(compile_source(find_compiler(cuda), source, "k.cu", target)[0])
        log = assembler_log(find_compiler(cuda), source, target)
        assert f"Used {code.registers} registers" in log
        assert f"{code.shared_bytes} bytes smem" in log
        assert "0 bytes stack frame" in log
        assert (code.entry, code.parameters) == ("planted", (8, 8, 8, 4, 4))
        assert (code.max_threads, code.frame_bytes) == (128, 0)


def assembler_log(compiler, source, target):
    """What ptxas says under -v of a source that compiles."""
    library = nvrtc._load(compiler.path)
    program = ctypes.c_void_p()
    library.call("CreateProgram", ctypes.byref(program), source.encode(), b"", 0, None, None)
    flags = [f"-arch=sm_{target.replace('.', '')}", "--ptxas-options=-v"]
    words = (ctypes.c_char_p * len(flags))(*(flag.encode() for flag in flags))
    library.call("CompileProgram", program, len(flags), words)
    return library.read(program, "ProgramLog").decode()


@pytest.mark.parametrize(
    ("between", "words"),
    [
        ("", ""),
        ("y[7] = d[0];", "instructions are serialized due to non wgmma instructions"),
        ("for (int i = 0; i < 4; i++) d[i] += threadIdx.x;", "wait_group is injected"),
    ],
    ids=["in flight together", "sums read between", "sums changed between"],
)
def test_products_of_warpgroups_that_wait_for_one_another_are_refused(tmp_path, between, words):
    (wrong,) = complaints(plant_warpgroup(tmp_path, between), tmp_path).values()
    assert len(wrong) == bool(between)
    assert all(one.startswith("the compiler says: ") and words in one for one in wrong)
