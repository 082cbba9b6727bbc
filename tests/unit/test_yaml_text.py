"""YAML that would take its reader down is told by its kind and line before anything is built of it."""

from __future__ import annotations

import pytest

from pipelines.yaml_text import MAX_DEPTH, MAX_VALUES, YamlError, parse_yaml


def doubled(times: int, of: str) -> str:
    """A page that stands for ten to the power of `times` values."""
    more = (f"a{n}: &a{n} {of.format(', '.join([f'*a{n - 1}'] * 10))}\n" for n in range(1, times + 1))
    return "a0: &a0 {x: 1}\n" + "".join(more)


def test_what_people_write_is_read_with_its_anchors_and_merges() -> None:
    text = "base: &base {a: 1, b: [x, 2026-01-31]}\nmore:\n  <<: *base\n  c: *base\n"
    found = parse_yaml(text)

    assert found["more"] == {**found["base"], "c": found["base"]}


@pytest.mark.parametrize("text", ["[" * 200_000, "{a: " * 200_000, "- " * 200_000, "[" * (MAX_DEPTH + 1)])
def test_a_text_that_goes_too_deep_is_refused_before_the_stack_ends(text: str) -> None:
    with pytest.raises(YamlError) as refused:
        parse_yaml(text)

    assert (str(refused.value), refused.value.line) == ("too deep in line 1", 1)


@pytest.mark.parametrize("of", ["[{}]", "{{<<: [{}]}}"])
def test_a_page_that_stands_for_more_than_memory_holds_is_refused(of: str) -> None:
    with pytest.raises(YamlError, match=r"^too large in line"):
        parse_yaml(doubled(9, of))


def test_an_alias_within_itself_is_refused() -> None:
    with pytest.raises(YamlError, match=r"^too large in line 1$"):
        parse_yaml("&a {a: [*a]}")


def test_aliases_count_with_what_they_stand_for_and_others_do_not() -> None:
    hundred = f"a: &a [{', '.join(['1'] * 100)}]\n"

    assert (
        len(parse_yaml(hundred + f"b: [{', '.join(['*a'] * (MAX_VALUES // 101 - 2))}]")["b"]) == MAX_VALUES // 101 - 2
    )
    with pytest.raises(YamlError, match=r"^too large"):
        parse_yaml(hundred + f"b: [{', '.join(['*a'] * (MAX_VALUES // 101 + 1))}]")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("a: 2026-99-99", "ValueError"),
        ("a: " + "9" * 5000, "too long a number in line 1"),
        ("a: !!int 0x" + "f" * 5000, "too long a number in line 1"),
        ('a: !!int ""', "IndexError"),
        ("a: !!bool x", "KeyError"),
        ("a: !!timestamp x", "AttributeError"),
        ("a: 1:" + "00:" * 300 + "00.5", "too long a number in line 1"),
        ("a: \x00", "ReaderError"),
        ("a: *b", "ComposerError in line 1"),
        ("a: !!python/name:os.system", "ConstructorError in line 1"),
    ],
)
def test_a_value_that_is_none_is_told_by_the_kind_of_mistake(text: str, kind: str) -> None:
    with pytest.raises(YamlError) as refused:
        parse_yaml(text)

    assert str(refused.value) == kind
    assert refused.value.problem.isprintable()
