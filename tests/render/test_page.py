from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from qprobe.render.page import LEAST_COLUMNS, printable, render, table, to_encoding, words


def test_what_could_steer_a_terminal_is_written_out():
    assert printable("a\x1b[31m\u202eb\rc\ud800") == r"a\x1b[31m\u202eb\rc\ud800"


def test_plain_text_of_any_script_stays():
    assert printable("naïve 模型\nµ ×") == "naïve 模型\nµ ×"


def test_markup_and_emoji_codes_are_text():
    assert render([words("[red]x[/red] :smile: [link=a]b")]) == "[red]x[/red] :smile: [link=a]b\n"


def test_color_only_where_asked():
    assert "\x1b" not in render([words("x", "bold red")])
    assert "\x1b" in render([words("x", "bold red")], color=True)


def test_a_long_word_is_folded_and_nothing_is_lost():
    page = render([table(("name", "n"), [("x" * 200, "1")], right=(1,))], width=40)
    assert page.count("x") == 200
    assert max(map(len, page.splitlines())) <= 40


FIGURES = st.lists(st.integers(0, 10**19).map(lambda n: f"{n} ({n}–{n})"[:22]), max_size=7)


@given(st.data(), st.integers(40, 120), st.lists(st.integers(1, 40), min_size=2, max_size=4))
def test_no_figure_of_a_table_is_cut_and_no_word_is_lost_at_any_width(data, width, names):
    rows = [["x" * length, *data.draw(FIGURES), "y" * (50 - length)] for length in names]
    most = max(map(len, rows))
    rows = [[*row[:-1], *["–"] * (most - len(row)), row[-1]] for row in rows]
    headers = ["name", *(f"f{index}" for index in range(most - 2)), "why"]
    built = table(headers, rows, right=range(1, most - 1), firm=(0,))
    page = render([built], width=width)
    assert max(map(len, page.splitlines())) <= width
    for row in rows:
        assert all(figure in page for figure in row[1:-1])
    assert page.count("x") == sum(names)
    assert page.count("y") - page.count("why") == sum(50 - length for length in names)
    least = min(LEAST_COLUMNS, *names)
    assert re.search(rf"^x{{{least}}}|^name +x", page, re.MULTILINE)


def test_a_table_without_room_is_a_block_a_row():
    rows = [("first", "×2", "1234 (1197–1284)", "7.45 GiB"), ("other", "", "1", "8.00 GiB")]
    built = table(("run", "", "ms (p20–p80)", "weights"), rows, right=(2, 3))
    assert render([built], width=37).splitlines()[2] == "first  ×2  1234 (1197–1284)  7.45 GiB"
    assert render([built, words("end")], width=36) == (
        "run           first\n"
        "              ×2\n"
        "ms (p20–p80)  1234 (1197–1284)\n"
        "weights       7.45 GiB\n"
        "\n"
        "run           other\n"
        "ms (p20–p80)  1\n"
        "weights       8.00 GiB\n"
        "\n"
        "end\n"
    )


def test_what_is_firm_stays_whole_where_there_is_room_the_first_first():
    cells = ("n" * 30, "k" * 30, "10.0 ms")
    built = table(("name", "kernel", "time"), [cells], right=(2,), firm=(0, 1))
    assert "n" * 30 in render([built], width=60)
    assert "k" * 30 not in render([built], width=60)
    assert "k" * 30 in render([built], width=71)


def test_signs_that_an_encoding_lacks_become_ascii():
    assert to_encoding("✓ 4 µs – 5", "ascii") == "+ 4 us - 5"
    assert to_encoding("模", "ascii") == "?"
    assert to_encoding("✓ µ", "utf-8") == "✓ µ"
