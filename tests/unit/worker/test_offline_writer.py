"""The offline writer: usable words in Korean and English, and scenes that can be drawn."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import services.worker
from services.worker.chains.language import with_particles
from services.worker.chains.offline.vocabulary import load_vocabulary
from services.worker.chains.offline.writer import OfflineWriter
from services.worker.chains.writer import HEADLINE_LENGTH_MAX, SUBLINE_LENGTH_MAX

WORLD = Path(services.worker.__file__).parents[2] / "inference" / "bundled" / "sdxl" / "world.json"
VOCABULARY = load_vocabulary(WORLD)
WRITER = OfflineWriter(VOCABULARY)
DEMO = "카페 신메뉴 딸기 라떼 홍보"


async def test_the_demo_becomes_a_scene_that_the_model_can_draw() -> None:
    written = await WRITER.image_prompt(DEMO, "")
    assert written.prompt == "a pink latte glass on a wooden table, cream wall"
    assert written.dropped == ("신메뉴",)
    assert written.writer == "offline"


@pytest.mark.parametrize(
    ("text", "prompt"),
    [
        ("여름 세일 30% 할인 운동화", "a red sneaker on a white table, blue wall"),
        ("노을 앞 모래 해변 위의 파란 풍선", "a blue balloon on a sandy beach, sunset"),
        (
            "핑크라떼와 하얀 케이크",
            "a pink latte glass and a white cake on a wooden table, cream wall",
        ),
        ("a black leather handbag", "a black handbag on a white table, gray wall"),
        ("perfume, purple", "a purple perfume bottle on a marble counter, pink wall"),
        ("mango smoothies on the beach", "a yellow latte glass on a sandy beach, cream wall"),
        ("우리 카페 오픈 이벤트", "a white coffee cup on a wooden table, cream wall"),
        ("법률 상담", "a red gift box on a wooden table, cream wall"),
    ],
)
async def test_a_request_is_mapped_onto_the_vocabulary(text: str, prompt: str) -> None:
    assert (await WRITER.image_prompt(text, "")).prompt == prompt


NUMBERS = ("2", "3", "4")
LARGER = load_vocabulary(Path("inference/training/world/world.json").absolute())


@pytest.mark.parametrize(
    ("text", "prompt", "dropped"),
    [
        (
            "줄무늬 가방 세 개",
            "three brown striped handbags on a white table, gray wall",
            (),
        ),
        (
            "a red balloon, a blue balloon and a metallic toy car",
            "a red balloon, a blue balloon and a red metallic toy car on a green lawn, blue wall",
            (),
        ),
        (
            "two striped cakes and a donut",
            "a pink cake and a pink donut on a wooden table, cream wall",
            ("two", "striped"),
        ),
        (
            "케이크, 도넛, 라떼, 모자, 립스틱, 타일, 노을",
            "a pink cake, a pink donut, a brown latte glass and a blue cap on a tile floor, sunset",
            ("립스틱",),
        ),
    ],
)
async def test_a_larger_world_has_materials_and_more_things(
    text: str, prompt: str, dropped: tuple[str, ...]
) -> None:
    written = await OfflineWriter(LARGER).image_prompt(text, "")
    assert written.prompt == prompt
    assert written.dropped == dropped


async def test_what_a_picture_has_no_room_for_is_named_as_left_out() -> None:
    written = await WRITER.image_prompt("케이크와 라떼와 립스틱 세 개", "")
    assert written.prompt == "a pink cake and a brown latte glass on a wooden table, cream wall"
    assert written.dropped == ("립스틱", "세", "개")


async def test_a_word_inside_another_word_is_not_found() -> None:
    written = await WRITER.image_prompt("아이스크림", "")  # 크림 is the name of a cosmetic jar
    assert "jar" not in written.prompt
    assert written.dropped == ("아이스크림",)


async def test_the_template_s_style_adds_nothing_to_the_scene() -> None:
    plain = await WRITER.image_prompt(DEMO, "")
    assert await WRITER.image_prompt(DEMO, "cinematic film still, blue wall") == plain


async def test_without_a_vocabulary_the_request_is_the_prompt() -> None:
    written = await OfflineWriter(None).image_prompt("a quiet lake", "oil painting")
    assert written.prompt == "a quiet lake, oil painting"
    assert written.dropped == ()


async def test_copy_of_the_demo_names_the_product_and_its_news() -> None:
    written = await WRITER.advert_copy(DEMO, "friendly", "auto")
    assert written.language == "ko"
    assert "딸기 라떼" in written.headline
    assert "딸기 라떼를" in written.body
    assert "카페" in written.body
    assert "#딸기라떼" in written.hashtags
    assert written.writer == "offline"


async def test_copy_is_written_in_the_language_asked_for() -> None:
    english = await WRITER.advert_copy(DEMO, "", "en")
    assert english.language == "en"
    assert "strawberry latte" in english.headline.lower()
    assert english.headline.isascii()
    korean = await WRITER.advert_copy("strawberry latte for our cafe", "", "ko")
    assert "딸기 라떼" in korean.headline


async def test_a_discount_is_repeated_and_none_is_invented() -> None:
    discounted = await WRITER.advert_copy("운동화 30% 할인", "", "auto")
    assert "30%" in discounted.headline
    assert "%" not in str((await WRITER.advert_copy("운동화 홍보", "", "auto")).as_json())


async def test_the_tone_changes_the_subline() -> None:
    tones = ("", "premium", "playful", "urgent", "emotional", "professional")
    sublines = {(await WRITER.advert_copy(DEMO, tone, "ko")).subline for tone in tones}
    assert len(sublines) == len(tones)


@settings(max_examples=150, deadline=None)
@given(
    text=st.text(
        alphabet=st.sampled_from("딸기라떼를운동화 카페여름할인30%1+1 new latte sale {}[]을\n🍓"),
        max_size=200,
    ),
    language=st.sampled_from(["auto", "ko", "en"]),
)
async def test_whatever_is_asked_the_copy_keeps_its_limits(text: str, language: str) -> None:
    written = await WRITER.advert_copy(text, "", language)
    assert 1 <= len(written.headline) <= HEADLINE_LENGTH_MAX[written.language]
    assert 1 <= len(written.subline) <= SUBLINE_LENGTH_MAX
    assert written.body
    assert written.call_to_action
    assert all(tag.startswith("#") and " " not in tag for tag in written.hashtags)
    assert await WRITER.advert_copy(text, "", language) == written  # and is the same again
    prompt = await WRITER.image_prompt(text, "")
    assert prompt.prompt.isascii()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("라떼[을]", "라떼를"),
        ("케이크[과]", "케이크와"),
        ("크림[을]", "크림을"),
        ("서울[으로]", "서울로"),
        ("봄[으로]", "봄으로"),
        ("Tea[을]", "Tea를"),
    ],
)
def test_particles_follow_the_sound_before(text: str, expected: str) -> None:
    assert with_particles(text) == expected


def test_every_hint_points_at_something_of_the_world() -> None:
    for word, meaning in VOCABULARY.words.items():
        assert meaning.ids, word
        for kind, key in meaning.ids.items():
            assert key in (NUMBERS if kind == "count" else VOCABULARY.english[kind]), word
