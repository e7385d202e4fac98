"""A page on one analysis, complete in itself: what was found, on what, by what, and where it went.

Pictures and words come from the encoded objects, that is from what the radiologist gets; where an object is gone, from
what the ledger noted, and the page says so. No patient name, number or date is on it: nothing here reads them.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO

import htpy as h
from PIL import Image

from worker import __version__
from worker.domain.analysis_record import AnalysisRecord
from worker.domain.result import ResultKind
from worker.pictures import page_sections as sections
from worker.pictures.markup import document, picture
from worker.pictures.page_style import STYLE
from worker.pictures.reading.results import ReadBack, read_back
from worker.pictures.scene import DRAFT, Scene
from worker.pictures.sheets import Style, montage, planes, projection

_STYLE = Style(tile_px=340, columns=4, slices=12)


def page_of(record: AnalysisRecord) -> str:
    """The page on one analysis: HTML in one file, with its pictures, that asks nobody for anything."""
    contents = [
        (one.kind, one.sop_instance_uid, one.content)
        for one in record.objects
        # A key image is made of the pixels of its source.
        if one.content is not None and not (record.hidden and one.kind is ResultKind.SC)
    ]
    said = read_back(contents, record.volume)
    maker = _maker(record, said)
    body: list[h.Node] = [
        h.div(class_="banner", role="alert")[f"{DRAFT}. For the person who checks the system, not for diagnosis."],
        h.h1[maker],
        sections.overview(record),
        sections.notices(record, said.problems),
        sections.findings(record, said),
        _section("Pictures", _pictures(record, said, maker)),
        sections.objects(record),
        sections.gate(record.checks),
        sections.deliveries(record),
        sections.timeline(record),
        sections.provenance(record, said),
        h.footer[f"Overread {__version__}. {DRAFT}."],
    ]
    return document(f"{maker} - {DRAFT}", STYLE, body)


def _maker(record: AnalysisRecord, said: ReadBack) -> str:
    titles = [title for title, _ in sorted(said.algorithms) if title]
    return f"{record.title or (titles or [record.model.name])[0]}, version {record.model.version}"


def _pictures(record: AnalysisRecord, said: ReadBack, maker: str) -> Iterator[h.Element]:
    if record.volume is not None and not record.hidden:
        yield from _drawn(said.scene(record.volume, maker))
    elif record.older_picture is not None and not record.hidden:
        with Image.open(BytesIO(record.older_picture)) as older:
            yield _figure(
                older.convert("RGB"),
                "Drawn when the job ran, from what the model itself said; not from the result objects.",
            )
    else:
        yield h.p["There is nothing to draw: see the notices above."]
    for n, image in enumerate(said.key_images, start=1):
        image.thumbnail((720, 720))
        yield _figure(image, f"Key image {n}, as it was encoded for viewers that show no segmentations.")


def _drawn(scene: Scene) -> Iterator[h.Element]:
    found = bool(scene.structures or scene.marks or scene.heats)
    what = "What the result objects show, on the analysed images." if found else "The result objects mark nothing here."
    letters = " Letters: directions in the patient." if scene.volume.in_patient_space else ""
    yield _figure(montage(scene, _STYLE), f"{what}{letters}")
    cut = planes(scene, _STYLE)
    if cut is not None:
        yield _figure(cut, "Three planes through the largest structure; the short lines at the edges show where.")
    projected = projection(scene, _STYLE)
    if projected is not None:
        yield _figure(projected, "Projections through the whole volume, with everything that was found in colour.")


def _figure(image: Image.Image, caption: str) -> h.Element:
    return h.figure[picture(image, caption), h.figcaption[caption]]


def _section(title: str, children: Iterator[h.Element]) -> h.Element:
    return h.section[h.h2[title], children]
