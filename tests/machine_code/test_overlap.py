"""Kernels that begin before the one before them has ended: the gate sees that they wait, and what they do before."""

import pytest

from tests.machine_code.planted import BODY, complaints, plant

OVERLAPPING = (
    BODY.replace("  int sum", '  asm volatile("griddepcontrol.wait;" ::: "memory");\n  int sum')
    .replace("  y[row]", '  asm volatile("griddepcontrol.launch_dependents;");\n  y[row]')
)  # fmt: skip


@pytest.mark.parametrize("says_so", [True, False])
@pytest.mark.parametrize("does_so", [True, False])
def test_a_kernel_waits_for_the_one_before_where_it_says_so(tmp_path, says_so, does_so):
    path = plant(tmp_path, architectures='["9.0"]', body=OVERLAPPING if does_so else BODY)
    if says_so:
        path.write_text(path.read_text().replace("//: threads", "//: overlaps = true\n//: threads"))
    (found,) = complaints(path, tmp_path).values()
    wrong = [words for words in found if "overlaps" in words]
    assert len(wrong) == (0 if says_so == does_so else 2)


@pytest.mark.parametrize(
    ("early", "opcode"),
    [
        ("sum = x[row];", "LDG"),
        ("y[row] = 1;", "STG"),
        ("if (k > 3) y[row] = 1;", "STG"),
        ("atomicAdd(y, 1);", ""),
    ],
)
def test_what_comes_before_the_wait_is_told(tmp_path, early, opcode):
    body = OVERLAPPING.replace("  asm volatile", f"  int sum = 0; {early}\n  asm volatile", 1)
    path = plant(tmp_path, architectures='["9.0"]', body=body.replace("  int sum = 0;\n", ""))
    path.write_text(path.read_text().replace("//: threads", "//: overlaps = true\n//: threads"))
    (found,) = complaints(path, tmp_path).values()
    assert any(words.startswith(opcode) and "is waited for" in words for words in found), found


def test_before_9_0_no_kernel_overlaps_another(tmp_path):
    path = plant(tmp_path, architectures='["8.0"]')
    path.write_text(path.read_text().replace("//: threads", "//: overlaps = true\n//: threads"))
    assert list(complaints(path, tmp_path).values()) == [[]]
