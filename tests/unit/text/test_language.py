from __future__ import annotations

import pytest

from pipelines.text.language import language_of


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("大家晚上好", "zh"),
        ("加我whatsapp赚钱", "zh"),
        ("超好吃の店", "zh"),
        ("今日はいい天気ですね", "ja"),
        ("안녕하세요 여러분", "ko"),
        ("привет всем", "ru"),
        ("привіт, як справи", "uk"),
        ("مرحبا بالجميع", "ar"),
        ("สวัสดีทุกคน", "th"),
        ("welcome everyone to the stream", "en"),
        ("gg wp", "en"),
        ("vendo hierba y pastillas", "es"),
        ("no puedo más, quiero terminar con mi vida esta noche", "es"),
        ("bonjour à tous", "fr"),
        ("guten abend zusammen", "de"),
        ("obrigado pessoal", "pt"),
        ("terima kasih banyak", "id"),
        ("xin chào mọi người", "vi"),
    ],
)
def test_the_language_of_a_short_line_is_told(text: str, language: str) -> None:
    assert language_of(text) == language


@pytest.mark.parametrize("text", ["", "666", "😂😂", "1 + 1 = ?", "……"])
def test_what_has_no_letters_has_no_language(text: str) -> None:
    assert language_of(text) is None
