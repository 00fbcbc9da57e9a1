"""Prompt Report on lists of tags as people write them, read by CLIP's own tokenizer and recorded from the demo model.
`dev.py bench --suite report --long` runs all forty long lists; here are four of them."""

import json
import re
import sys
from pathlib import Path

import pytest

from hrv_pack.hrv.prompt.tag_kinds import is_manner
from hrv_pack.hrv.report.finding import KINDS

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))

import report_long  # noqa: E402

CHOSEN = (3, 23, 28, 38)  # 25, 150, 25 and 80 tags, both manners; those of which most is told
SHORT = {
    "masterpiece,best quality,very aesthetic,highres,absurdres,newest,1girl,solo,red star,blue fish": [
        "masterpiece", "best quality", "very aesthetic", "highres", "absurdres", "newest", "1girl", "solo", "red star", "blue fish",
    ],
    "(masterpiece:1.2), 8k uhd, dslr, f/1.8, 50mm, iso 100, a red star, a blue fish on sand": [
        "masterpiece", "8k uhd", "dslr", "f/1.8", "50mm", "iso 100", "a red star", "a blue fish on sand",
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def desk() -> report_long.Desk:
    return report_long.Desk()


@pytest.fixture(scope="module")
def told(desk) -> list[report_long.Told]:
    lists = report_long.prompts()
    return [desk.tell(lists[number], number) for number in CHOSEN]


@pytest.mark.parametrize("prompt", SHORT)
def test_quality_and_camera_tags_are_listed_as_typed_and_not_judged(desk, prompt):
    for seed in range(3):
        one = desk.tell(prompt, seed)
        (picture,) = json.loads(one.report.data)["pictures"]
        assert [word["word"] for word in picture["words"]] == SHORT[prompt]
        judged = {word["word"] for word in picture["words"] if not word["manner"]}
        assert judged == {tag for tag in SHORT[prompt] if re.search("1girl|star|fish", tag)}
        assert {name for f in picture["findings"] for name in f["words"]} <= judged | {"red", "blue"}
        assert not re.search(r"“(8|8k|f|1|k|mm|girl|quality|iso)”", one.report.markdown)


def test_there_are_forty_lists_of_20_to_150_tags():
    sizes = [len(prompt.split(",")) for prompt in report_long.prompts()]
    assert len(sizes) == 40 and (min(sizes), max(sizes)) == (20, 150)


def test_no_report_has_more_than_a_few_sentences(told):
    assert any(one.findings for one in told)
    for one in told:
        assert len(one.findings) <= len(KINDS) < report_long.MOST
        assert one.report.summary.count("• ") == len(one.findings)
        for finding in one.findings:
            assert len(finding.headline) < 300 and not re.search(r"\d of 1\b|agree by", finding.headline)
            assert len(re.findall(r"\(.*?:1\.\d\)", finding.tip)) <= 1, "one weight to try, not forty"


def test_findings_name_tags_as_typed_and_no_manner(told):
    for one in told:
        (picture,) = json.loads(one.report.data)["pictures"]
        tags = {word["word"] for word in picture["words"]}
        words = {word for tag in tags for word in re.split(r"[ ()]+", tag.partition("#")[0])}
        for finding in picture["findings"]:
            for name in finding["words"]:
                plain = re.sub(r"#\d+$", "", name)
                assert name in tags or plain in words, name
                assert not is_manner(plain), name
