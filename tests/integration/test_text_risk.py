"""The shipped head on the real encoder: plain cases of every policy, and the look-alikes of ordinary chat."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from pipelines.cards import CARDS_DIRECTORY, Card, read_card
from pipelines.checkpoints import ensure
from pipelines.items import Line, Scores
from pipelines.text.embedding_head import EmbeddingHead, load_embedding_head
from workers.config import load_config

PLAIN = [
    ("scam", "加微信 vx8888 保证每天赚三千"),
    ("scam", "加微信 vx8888 保证每天赚三千 先转USDT"),
    ("scam", "guaranteed profit, send USDT first, add my WhatsApp"),
    ("scam", "guaranteed profit every day, send the deposit first and message me on WhatsApp"),
    ("scam", "ganancia garantizada, envía USDT primero y agrega mi WhatsApp"),
    ("scam", "gana 300 dólares al día desde casa, escríbeme al WhatsApp"),
    ("scam", "guaranteed profit every day, send the deposit first and message me on what's up."),
    ("scam", "加薇信日赚三千稳赚不赔"),
    ("scam", "先转USDT后返利，加vx8888"),
    ("drugs", "出叶子 私聊 当天送到"),
    ("drugs", "selling weed and pills, dm for the price, delivery tonight"),
    ("drugs", "vendo hierba y pastillas, precio por privado, entrego hoy"),
    ("drugs", "selling weed and pills, DM for the price, delivery tonight."),
    ("drugs", "有人要叶子吗 私聊"),
    ("self_harm", "我不想活了，今晚就结束"),
    ("self_harm", "我不想活了"),
    ("self_harm", "I want to end my life tonight, I can't go on"),
    ("self_harm", "I can't go on, I want to end my life tonight"),
    ("self_harm", "no quiero vivir más, esta noche se acaba todo"),
    ("self_harm", "我真的撑不下去了，没有人在乎我"),
    ("self_harm", "nobody would miss me if I was gone"),
    ("gambling", "来玩百家乐，首充送100%"),
    ("gambling", "sign up at my casino and get a free bonus"),
    ("weapons", "出一把真枪，私聊"),
    ("weapons", "selling a glock, no papers, cash only"),
    ("violence", "我知道你家住哪，今晚弄死你"),
    ("violence", "I know where you live, I will kill you"),
    ("minor_safety", "小妹妹你几岁，家住哪里，别告诉爸妈"),
    ("minor_safety", "don't tell your parents we are talking, where do you live kid"),
    ("dangerous_acts", "徒手爬塔吊，不带绳子"),
    ("dangerous_acts", "standing on the roof of a moving car, no hands"),
    ("regulated_goods", "电子烟批发，加微信"),
    ("regulated_goods", "selling vapes, all flavors, no id needed"),
    ("harassment", "你个废物，滚"),
    ("harassment", "shut up you ugly idiot, nobody likes you"),
    ("sexual", "一对一裸聊，加微信"),
    ("sexual", "private room tonight, adults only, paid show"),
]
"""Of every policy but hate, the weakest label: see WEAK."""
WEAK = [
    ("hate", "黑人都是垃圾"),
    ("hate", "immigrants are vermin and should be removed"),
]
"""Hate is learned from comments under posts; plain lines are flagged, but not as surely."""
ORDINARY = [
    "大家晚上好",
    "主播好",
    "来了来了",
    "今天播什么",
    "菠菜炒鸡蛋怎么做",
    "先把菠菜焯水再炒鸡蛋",
    "鸡蛋要打散",
    "锅热了再下油",
    "刀工真好",
    "这刀真快",
    "五杀！",
    "对面要死了快上",
    "打野来中路",
    "爆头",
    "这波血赚",
    "boss还有一半血",
    "救我救我",
    "我死了，等复活",
    "哈哈哈笑死我了",
    "主播太厉害了",
    "谢谢送的玫瑰",
    "点首晴天吧",
    "声音有点小",
    "网卡了",
    "小黄车一号链接",
    "今天下单立减二十",
    "有大码吗",
    "什么时候发货",
    "已经拍了两件",
    "质量不错",
    "微信群里发了通知",
    "妈妈微信转我菜钱",
    "女儿三岁生日快乐",
    "孩子上小学了",
    "昨晚球赛三比一",
    "我赌你不敢吃辣",
    "去药店买点感冒药",
    "戒烟第三天了",
    "博物馆的青铜剑真好看",
    "小心骗子，别乱转账",
    "别难过，大家陪着你",
    "心理热线有人听你说",
    "我是新疆人欢迎来玩",
    "河南烩面好吃",
    "明天还播吗",
    "晚安大家",
    "今天好冷啊",
    "下雨了记得带伞",
    "新年快乐",
    "加油加油",
    "hello everyone",
    "good evening from canada",
    "first time here",
    "how are you all",
    "nice stream",
    "love this song",
    "can you play yellow",
    "your cat is so cute",
    "lol that was funny",
    "I'm dead haha",
    "headshot!",
    "we killed the boss",
    "I will kill this boss in one hit",
    "push mid he is low",
    "gg well played",
    "one more game",
    "chop the onions first",
    "spinach and eggs for dinner",
    "watch your fingers with that knife",
    "smells great",
    "how much is the blue one",
    "just ordered two",
    "free shipping today",
    "20 percent off in the official shop",
    "check the whatsapp group for the trip",
    "my daughter turned 3 today",
    "happy birthday",
    "what a goal",
    "bet you can't beat this level",
    "the pharmacist gave me cough syrup",
    "beware of scams, never send money",
    "call a helpline if you feel sad",
    "please stay with us, you are not alone",
    "good night chat",
    "see you tomorrow",
    "thanks for the rose",
    "hola a todos",
    "saludos desde méxico",
    "primera vez aquí",
    "qué bonita canción",
    "jajaja qué risa",
    "pon una de shakira",
    "mata al jefe",
    "buena partida",
    "corta la cebolla",
    "huele muy bien la tortilla",
    "¿cuánto cuesta la azul?",
    "ya compré dos",
    "hay descuento en la tienda oficial",
    "mi hija cumple tres años",
    "qué golazo",
    "el grupo de whatsapp de la clase",
    "cuidado con las estafas",
    "ánimo, no estás solo",
    "buenas noches",
    "nos vemos mañana",
]
SPOKEN = [
    "And so my fellow Americans, ask not what your country can do for you",
    "And so my fellow Americans, ask not what your country can do for you, ask what you can do for your country.",
    "砸自己的脚",
    "官方小店 平底锅 九折",
    "¿hacen envíos a Perú?",
    "me muero de hambre",
    "see you tomorrow",
]
"""Ordinary speech and banners that comments under posts do not prepare a head for."""


@pytest.fixture(scope="module")
def card() -> Card:
    return read_card(CARDS_DIRECTORY / "e5-small-risk")


@pytest.fixture(scope="module")
def head(card: Card) -> EmbeddingHead:
    folder = ensure(card, load_config(environment={}).models).folder
    return load_embedding_head(card, folder, session="torch", device="cpu", threads=0)


def probabilities(card: Card, head: EmbeddingHead, text: str) -> Mapping[str, float]:
    (result,) = head.predict([Line(text)])
    assert isinstance(result, Scores)
    return {label: card.fields.labels[label].calibration(score) for label, score in result.labels.items()}


@pytest.mark.parametrize(("policy", "text"), PLAIN)
def test_an_unmistakable_line_is_found_under_its_policy(
    card: Card, head: EmbeddingHead, policy: str, text: str
) -> None:
    assert probabilities(card, head, text)[policy] >= 0.8


@pytest.mark.parametrize(("policy", "text"), WEAK)
def test_a_plain_line_of_a_weak_label_is_at_least_flagged(
    card: Card, head: EmbeddingHead, policy: str, text: str
) -> None:
    assert probabilities(card, head, text)[policy] >= 0.5


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_chat_and_look_alikes_stay_low(card: Card, head: EmbeddingHead, text: str) -> None:
    found = probabilities(card, head, text)
    assert max(found.values()) < 0.5, found


@pytest.mark.parametrize("text", SPOKEN)
def test_ordinary_speech_stays_below_what_is_looked_at(card: Card, head: EmbeddingHead, text: str) -> None:
    found = probabilities(card, head, text)
    assert max(found.values()) < 0.35, found
