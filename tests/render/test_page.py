from __future__ import annotations

from qprobe.render.page import printable, render, table, to_encoding, words


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


def test_signs_that_an_encoding_lacks_become_ascii():
    assert to_encoding("✓ 4 µs – 5", "ascii") == "+ 4 us - 5"
    assert to_encoding("模", "ascii") == "?"
    assert to_encoding("✓ µ", "utf-8") == "✓ µ"
