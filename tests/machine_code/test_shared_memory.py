"""The gate counts shared memory: what a kernel asks for, what it declares, and what the system keeps."""

from tests.machine_code.gate import compile_pairs
from tests.machine_code.pairs import list_pairs
from tests.machine_code.planted import STATIC, complaints, insert, plant

ROOMS = '["7.0", "8.0", "8.6", "9.0"]'


def test_static_and_dynamic_shared_memory_count_together(tmp_path):
    path = plant(tmp_path, body=insert(STATIC), SHARED=53 * 1024, architectures='["8.6", "8.0"]')
    assert complaints(path, tmp_path) == {
        "planted-8.6-cuda13": ["it takes 102272 bytes of shared memory, more than 101376"],
        "planted-8.0-cuda13": [],
    }


def test_what_is_declared_does_not_take_the_place_of_a_block(tmp_path):
    """Two blocks of 48 KiB, and one more for each that is the system's, leave 2 KiB on 8.6, and none for 47 more."""
    path = plant(tmp_path, body=insert(STATIC), SHARED=48 * 1024, BLOCKS=2, architectures=ROOMS)
    words = "48000 bytes of declared shared memory leave room for 1 of 2 blocks on an SM"
    assert complaints(path, tmp_path) == {
        "planted-7.0-cuda12": [words],
        "planted-8.6-cuda13": [words],
        "planted-8.0-cuda13": [words],
        "planted-9.0-cuda13": [],
    }
    few = STATIC.replace("12000", "256")
    path = plant(tmp_path, body=insert(few), SHARED=48 * 1024, BLOCKS=2, architectures=ROOMS)
    assert complaints(path, tmp_path) == {
        "planted-7.0-cuda12": ["1024 " + words.partition(" ")[2]],
        "planted-8.6-cuda13": [],
        "planted-8.0-cuda13": [],
        "planted-9.0-cuda13": [],
    }


def test_what_the_system_reserves_is_not_the_kernels(tmp_path):
    path = plant(tmp_path, body=insert(STATIC), architectures='["8.0", "9.0", "12.0"]')
    made = compile_pairs(list_pairs(path), tmp_path)
    assert {one.code.shared_bytes for one in made.values()} == {48000}
