from __future__ import annotations

import base64
import io
from html.parser import HTMLParser
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from signalrp.report import Report

HOSTILE = "<script>alert(1)</script>\"><img src=x onerror='alert(2)'>&amp;</title>"
PNG = b"\x89PNG\r\n\x1a\n"
GIF = b"GIF89a\x01\x00"
MP4 = b"\x00\x00\x00\x20ftypisom"
WAV = b"RIFF\x24\x00\x00\x00WAVE"


class Page(HTMLParser):
    """Tags with their attributes, and the text between them."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("img", "meta"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if data.strip():
            self.texts.append((self.open[-1], data))

    def text_of(self, tag: str) -> list[str]:
        return [text for where, text in self.texts if where == tag]


def full_report(title: str, words: str) -> Report:
    report = Report(title)
    report.heading(words)
    report.text(words)
    report.table(pd.DataFrame({words: [words], "share": [0.123456]}))
    figure, ax = plt.subplots()
    ax.plot([0, 1])
    report.figure(figure, words, dpi=20)
    report.open_details(words)
    report.image(PNG, words)
    report.audio(WAV, words)
    report.video(MP4, words)
    report.close_details()
    return report


def test_hostile_text_stays_text_wherever_it_is_put(tmp_path):
    page = Page(full_report(HOSTILE, HOSTILE).save(tmp_path / "report.html"))
    assert page.open == []
    for tag in ("title", "h1", "h2", "p", "td", "th", "figcaption", "summary"):
        assert HOSTILE in page.text_of(tag), tag
    names = [tag for tag, _ in page.tags]
    assert "script" not in names
    assert names.count("img") == 2
    for tag, attributes in page.tags:
        assert not any(name.startswith("on") for name in attributes)
        if tag == "img":
            assert attributes["alt"] == HOSTILE
            assert attributes["src"].startswith("data:image/png;base64,")
        if tag in ("audio", "video"):
            assert attributes["aria-label"] == HOSTILE
    assert page.text_of("figcaption") == [HOSTILE] * 4


def test_everything_stands_in_order_on_a_page_that_needs_no_other(tmp_path):
    path = full_report("Who?", "words").save(tmp_path / "report.html")
    assert path == tmp_path / "report.html"
    page = Page(path)
    order = ["h1", "h2", "p", "table", "figure", "details"]
    assert [tag for tag, _ in page.tags if tag in order] == [*order, *["figure"] * 3]
    assert page.text_of("td") == ["words", "0.123"]
    for _, attributes in page.tags:
        assert "href" not in attributes
        assert attributes.get("src", "data:").startswith("data:")
    images = [attributes["src"] for tag, attributes in page.tags if tag == "img"]
    pixels = plt.imread(io.BytesIO(base64.b64decode(images[0].split(",")[1])))
    assert pixels.shape[:2] == (96, 128)
    assert base64.b64decode(images[1].split(",")[1]) == PNG


def test_sounds_are_within_the_page_and_have_controls(tmp_path):
    page = Page(full_report("Who?", "words").save(tmp_path / "report.html"))
    (player,) = [attributes for tag, attributes in page.tags if tag == "audio"]
    assert "controls" in player
    kind, data = player["src"].split(",")
    assert kind == "data:audio/wav;base64"
    assert base64.b64decode(data) == WAV


def test_films_are_within_the_page_and_repeat_without_sound(tmp_path):
    page = Page(full_report("Who?", "words").save(tmp_path / "report.html"))
    (player,) = [attributes for tag, attributes in page.tags if tag == "video"]
    assert {"controls", "loop", "muted", "playsinline"} <= set(player)
    kind, data = player["src"].split(",")
    assert kind == "data:video/mp4;base64"
    assert base64.b64decode(data) == MP4


def test_images_may_be_gifs(tmp_path):
    report = Report("Who?")
    report.image(GIF, "moving")
    report.image(PNG, "resting")
    page = Page(report.save(tmp_path / "report.html"))
    sources = [attributes["src"].split(",") for tag, attributes in page.tags if tag == "img"]
    assert [(kind, base64.b64decode(data)) for kind, data in sources] == [
        ("data:image/gif;base64", GIF),
        ("data:image/png;base64", PNG),
    ]


def test_figures_are_closed():
    figure = plt.figure()
    Report("Who?").figure(figure, "one")
    assert not plt.fignum_exists(figure.number)


def test_decimals_can_be_chosen(tmp_path):
    report = Report("Who?")
    report.table(pd.DataFrame({"p": [0.123456], "trials": [1234567]}), decimals=5)
    assert Page(report.save(tmp_path / "report.html")).text_of("td") == ["0.12346", "1234567"]


def test_a_page_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    path = Report("old").save(tmp_path / "report.html")
    before = path.read_bytes()
    write = Path.write_text

    def full_disk(self, text, **options):
        write(self, text[: len(text) // 2], **options)
        raise OSError("no space left")

    monkeypatch.setattr(Path, "write_text", full_disk)
    with pytest.raises(OSError, match="no space left"):
        Report("new").save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_new_page_replaces_the_old_one(tmp_path):
    Report("old").save(tmp_path / "report.html")
    path = Report("new").save(str(tmp_path / "report.html"))
    assert Page(path).text_of("h1") == ["new"]
    assert list(tmp_path.iterdir()) == [path]
