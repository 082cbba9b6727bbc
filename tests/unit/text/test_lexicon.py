"""What the lexicon finds in a text, how a hit says so, and what the text says without disguise."""

from __future__ import annotations

import pytest

from pipelines.record import Hit
from pipelines.text.lexicon import Lexicon, unmasked
from pipelines.text.lexicon_file import Entries, Entry


def entry(term: str, **fields: object) -> Entry:
    return Entry.model_validate({"policy": "scam", "language": "zh", "term": term, "strength": 0.6, **fields})


def lexicon(*entries: Entry) -> Lexicon:
    return Lexicon(Entries(entries=entries))


ADD_ME = entry("加微信", variants=("加vx", "加薇", "jwx", "vx", "+v"), sounds=True, allow=("加微信支付", "不要加微信"))
BETTING = entry("博彩", policy="gambling", strength=0.7, sounds=True, allow=("菠菜炒",))
KYS = entry("kill yourself", policy="self_harm", language="en", strength=0.9, variants=("kys",))
SNOW = entry("冰毒", policy="drugs", strength=0.8, variants=("❄️", "溜冰"), alone=False)
SHIPPED = lexicon(ADD_ME, BETTING, KYS, SNOW)


def hits(text: str, of: Lexicon = SHIPPED) -> tuple[Hit, ...]:
    return of.read(text).hits


def the_hit(text: str, of: Lexicon = SHIPPED) -> Hit:
    (hit,) = hits(text, of)
    return hit


def test_a_plain_term_is_a_hit_with_its_place_and_an_empty_chain() -> None:
    hit = the_hit("快来加微信领红包")
    assert (hit.term, hit.policy, hit.surface, hit.start, hit.end) == ("加微信", "scam", "加微信", 2, 5)
    assert (hit.chain, hit.strength, hit.needs_context) == ((), 0.6, False)


@pytest.mark.parametrize(
    ("text", "term", "surface", "step"),
    [
        ("ＫＹＳ", "kill yourself", "ＫＹＳ", "compatibility"),
        ("加\u200b微\u200b信", "加微信", "加\u200b微\u200b信", "invisible"),
        ("快加微信號", "加微信", "加微信", ""),
        ("賭博和博彩網", "博彩", "博彩", ""),
        ("加 微 信", "加微信", "加 微 信", "spacing"),
        ("加*微*信", "加微信", "加*微*信", "spacing"),
        ("just k.y.s now", "kill yourself", "k.y.s", "spacing"),
        ("k i l l yourself", "kill yourself", "k i l l yourself", "spacing"),
        ("k1ll yourself", "kill yourself", "k1ll yourself", "leet"),
        ("ky\u0455 bro", "kill yourself", "ky\u0455", "confusable"),
    ],
)
def test_a_disguise_is_undone_and_its_step_named(text: str, term: str, surface: str, step: str) -> None:
    hit = the_hit(text)
    assert (hit.term, hit.surface, text[hit.start : hit.end]) == (term, surface, surface)
    assert step in hit.chain or not step


def test_traditional_characters_are_the_simplified_ones() -> None:
    hit = the_hit("沒人時說殺了", lexicon(entry("杀了", policy="violence")))
    assert (hit.surface, hit.chain) == ("殺了", ("simplified",))


def test_split_characters_are_put_together() -> None:
    hit = the_hit("卖木仓支", lexicon(entry("枪支", policy="weapons")))
    assert (hit.surface, hit.chain) == ("木仓支", ("split",))


@pytest.mark.parametrize(
    ("text", "surface"), [("加VX6677", "加VX"), ("jwx 888", "jwx"), ("+v 888", "+v"), ("私聊加薇", "加薇")]
)
def test_another_spelling_is_a_hit_that_says_so(text: str, surface: str) -> None:
    hit = the_hit(text)
    assert (hit.term, hit.surface, hit.chain[-1], hit.needs_context) == ("加微信", surface, "variant", False)


@pytest.mark.parametrize("text", ["vxworks runs here", "xvx", "skys", "kyss", "1vx", "jwxy", "the skyscraper"])
def test_latin_letters_match_as_whole_words_only(text: str) -> None:
    assert hits(text) == ()


@pytest.mark.parametrize("text", ["mándame tu código", "mandame tu codigo", "MANDAME tu código"])
def test_accents_that_chat_leaves_out_make_no_difference(text: str) -> None:
    assert the_hit(text, lexicon(entry("mándame tu código", language="es"))).surface == text


def test_a_letter_that_is_another_one_is_not_left_out() -> None:
    assert hits("feliz ano nuevo", lexicon(entry("año nuevo", language="es"))) == ()


@pytest.mark.parametrize("text", ["jia wei xin", "jiaweixin", "来 jia wei xin", "JIA WEI XIN"])
def test_pinyin_in_latin_letters_is_a_hit_that_needs_context(text: str) -> None:
    hit = the_hit(text)
    assert (hit.term, hit.needs_context) == ("加微信", True)
    assert hit.chain[-1] == "pinyin"


@pytest.mark.parametrize(("text", "surface"), [("想自sha了", "自sha"), ("zi杀吧", "zi杀")])
def test_a_term_of_which_half_is_pinyin_counts_like_the_term_itself(text: str, surface: str) -> None:
    plainly = lexicon(entry("自杀", policy="self_harm"))
    hit = the_hit(text, plainly)
    assert (hit.surface, hit.chain, hit.needs_context) == (surface, ("pinyin",), False)
    assert plainly.read(text).unmasked == text.replace(surface, "自杀")


@pytest.mark.parametrize("text", ["自 sha", "zi sha", "紫sha", "sha", "自she"])
def test_half_a_term_in_pinyin_is_none_with_a_gap_or_with_another_character(text: str) -> None:
    assert hits(text, lexicon(entry("自杀", policy="self_harm"))) == ()


def test_a_latin_word_beside_a_character_is_not_half_a_term() -> None:
    assert hits("打gun了", lexicon(entry("打滚", policy="violence"))) == ()


def test_a_homophone_is_a_hit_that_needs_context() -> None:
    hit = the_hit("今晚有菠菜网站")
    assert (hit.term, hit.surface, hit.chain, hit.needs_context) == ("博彩", "菠菜", ("sound",), True)


@pytest.mark.parametrize("text", ["加薇信", "加薇❤", "加薇 xin"])
def test_a_spelling_that_goes_on_as_the_term_sounds_is_one_hit_as_sure_as_the_spelling(text: str) -> None:
    hit = the_hit(text)
    assert (hit.surface, "variant" in hit.chain, hit.needs_context) == (text, True, False)
    assert SHIPPED.read(text).unmasked == "加微信"


def test_characters_that_are_the_terms_own_are_no_hit_by_sound() -> None:
    assert the_hit("博彩").chain == ()


@pytest.mark.parametrize("text", ["you can men", "she men", "die", "gun", "bang bang", "panda", "a banana"])
def test_english_that_looks_like_pinyin_is_english(text: str) -> None:
    terms = [entry(term, sounds=True) for term in ("射门", "有参门", "爹爹", "棒棒", "判大", "爸那那", "滚滚")]
    assert hits(text, lexicon(*terms)) == ()


def test_one_syllable_is_never_enough() -> None:
    assert hits("滚 gun", lexicon(entry("棍子", sounds=True))) == ()


@pytest.mark.parametrize(("text", "surface"), [("有没有❄️", "❄️"), ("❄ 私聊", "❄")])
def test_a_lone_emoji_is_a_hit_that_needs_context_whatever_its_term(text: str, surface: str) -> None:
    hit = the_hit(text, lexicon(SNOW.model_copy(update={"alone": True})))
    assert (hit.term, hit.surface, hit.needs_context) == ("冰毒", surface, True)


def test_a_term_that_is_not_for_itself_needs_context_when_spelt_plainly() -> None:
    assert the_hit("冰毒").needs_context


@pytest.mark.parametrize("text", ["支持加微信支付", "请不要加微信", "菠菜炒鸡蛋", "不要加微信支付"])
def test_a_term_does_not_count_in_a_phrase_that_allows_it(text: str) -> None:
    assert hits(text) == ()


def test_an_allowed_phrase_elsewhere_in_the_text_allows_nothing() -> None:
    assert the_hit("支持加微信支付，快加微信").start == 9


def test_of_overlapping_hits_of_a_policy_the_longest_stands() -> None:
    found = hits("加微信转账", lexicon(ADD_ME, entry("微信转账"), entry("信转")))
    assert [hit.term for hit in found] == ["微信转账"]


def test_what_counts_by_itself_stands_before_what_is_longer_and_needs_context() -> None:
    found = hits("加微信转账", lexicon(ADD_ME, entry("微信转账", alone=False)))
    assert [hit.term for hit in found] == ["加微信"]


def test_policies_do_not_take_hits_from_one_another() -> None:
    found = hits("博彩网", lexicon(BETTING, entry("博彩网")))
    assert {(hit.policy, hit.term) for hit in found} == {("gambling", "博彩"), ("scam", "博彩网")}


def test_hits_come_in_the_order_of_the_text() -> None:
    assert [hit.start for hit in hits("kys 加微信 kys")] == [0, 4, 8]


@pytest.mark.parametrize("text", ["", " ", "\u200b", "👍", "123", "。。。"])
def test_texts_without_words_hold_nothing(text: str) -> None:
    assert hits(text) == ()


def test_an_empty_lexicon_finds_nothing_and_still_undoes_disguises() -> None:
    reading = lexicon().read("ＫＹＳ k.y.s")
    assert (reading.hits, reading.unmasked) == ((), unmasked("ＫＹＳ k.y.s"))


def test_a_spelling_whose_letters_may_be_doubled_is_not_cut_short() -> None:
    assert hits("kk", lexicon(entry("kkk", policy="hate", language="en"))) == ()


def test_another_phrase_for_a_term_is_a_plain_hit_of_the_term_and_no_disguise() -> None:
    lots = lexicon(entry("日入过千", phrases=("日赚三百",), variants=("日入过k",)))
    hit = the_hit("日 赚 三 百", lots)
    assert (hit.term, hit.surface, hit.chain) == ("日入过千", "日 赚 三 百", ("spacing",))
    assert lots.read("日赚三百").unmasked is None
    assert lots.read("日入过k").unmasked == "日入过千"


# The second view.


def test_a_text_without_disguise_has_no_second_view() -> None:
    assert SHIPPED.read("快来加微信").unmasked is None
    assert unmasked("快来加微信") is None


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("加vx6677", "加微信6677"),
        ("来 jwx 吧", "来 加微信 吧"),
        ("jiaweixin 888", "加微信 888"),
        ("just k.y.s now", "just kill yourself now"),
    ],
)
def test_the_second_view_says_the_term(text: str, seen: str) -> None:
    assert SHIPPED.read(text).unmasked == seen


@pytest.mark.parametrize("text", ["菠菜很好吃", "我家的菠菜", "秋天去溜冰", "下❄️了"])
def test_what_may_mean_just_what_it_says_stays_as_written(text: str) -> None:
    reading = SHIPPED.read(text)
    assert len(reading.hits) == 1
    assert reading.unmasked is None


def test_a_homophone_is_read_as_the_term_beside_another_term_of_its_policy() -> None:
    both = lexicon(BETTING, entry("上分", policy="gambling"))
    assert both.read("菠菜上分").unmasked == "博彩上分"


def test_a_word_of_three_syllables_with_an_ordinary_word_in_it_stays_as_written() -> None:
    only = lexicon(ADD_ME.model_copy(update={"variants": ()}))
    assert only.read("他家威信很高").unmasked is None
    assert only.read("快加薇信").unmasked == "快加微信"


# What names a lexicon.


def test_the_digest_is_that_of_what_changes_matching() -> None:
    one = Entries(entries=(ADD_ME, BETTING)).digest
    assert one == Entries(entries=(ADD_ME.model_copy(), BETTING)).digest
    assert one != Entries(entries=(ADD_ME,)).digest
    assert one != Entries(entries=(ADD_ME.model_copy(update={"strength": 0.5}), BETTING)).digest


def test_a_lexicon_comes_back_from_what_is_stored_of_it() -> None:
    stored = Entries.model_validate_json(SHIPPED.content.model_dump_json())
    assert Lexicon(stored).digest == SHIPPED.digest
    assert Lexicon(stored).ref == SHIPPED.ref
    assert (SHIPPED.ref.id, SHIPPED.ref.session) == ("lexicons", "aho-corasick")


def test_a_line_full_of_one_term_costs_little_and_is_told_some_times() -> None:
    reading = SHIPPED.read("加薇 菠菜 " * 800)
    assert {hit.term for hit in reading.hits} == {"加微信", "博彩"}
    assert len(reading.hits) == 16
    assert reading.unmasked is not None
    assert "加薇" not in reading.unmasked
