"""Basic Text SR (PS3.3 A.35.1) in the manner of TID 2000, for what has no place in the images.

A statement on the whole study has no outline, and a TID 1500 report with an outline-less group does not open in OHIF; a
text report opens everywhere. Nothing found is said in words, never by silence.
"""

from __future__ import annotations

from pydicom.dataset import Dataset
from pydicom.uid import BasicTextSRStorage

from worker.domain.findings import Narrative
from worker.results import coding
from worker.results import content_items as items
from worker.results.context import EncoderInput
from worker.results.header import Stamp, algorithm_parameters
from worker.results.sr.document import context_items, document, finish
from worker.results.sr.sentences import Sentence, has_words, sentences

DRAFT = "AI DRAFT, not verified by a physician."


def encode_text(inputs: EncoderInput) -> tuple[Dataset, ...]:
    """Encode the statements, when there is something that only words can say to this destination."""
    conclusion, source = inputs.conclusion, inputs.source
    if not has_words(conclusion, inputs.profile):
        return ()
    ds = document(
        BasicTextSRStorage,
        coding.DIAGNOSTIC_IMAGING_REPORT,
        "2000",
        [*source.analysed],
    )
    stated = [_statement(one, inputs) for one in sentences(conclusion, inputs.profile)]
    ds.ContentSequence = [
        *context_items(inputs.stamp, conclusion.volume.modality),
        *([items.section(coding.FINDINGS, stated)] if stated else []),
        *(_narrative(one) for one in conclusion.narratives),
        conclusions(
            inputs.stamp,
            "" if not conclusion.absent else "Not found by the algorithm does not mean that nothing is there.",
        ),
    ]
    finish(ds, inputs.stamp, inputs.names("TEXT"), inputs.context)
    return (ds,)


def conclusions(stamp: Stamp, remark: str) -> Dataset:
    """Who says it, and that nobody has checked it."""
    algorithm = stamp.algorithm
    made_by = f"Made by {algorithm.title}, version {algorithm.model.version}."
    return items.section(
        coding.CONCLUSIONS,
        [
            items.text(items.CONTAINS, coding.CONCLUSION, " ".join(part for part in (DRAFT, made_by, remark) if part)),
            items.text(items.CONTAINS, coding.CONCLUSION, f"Algorithm: {'; '.join(algorithm_parameters(algorithm))}"),
        ],
    )


def _statement(one: Sentence, inputs: EncoderInput) -> Dataset:
    """A sentence with the images that show it. Each needs a concept name: OHIF crashes on one without."""
    frames = [inputs.source.frames[index] for index in one.key_slices]
    shown = [
        items.image(
            items.INFERRED, coding.BEST_ILLUSTRATION,
            (frame.sop_class_uid, frame.sop_instance_uid), frame_number=frame.number,
        )
        for frame in frames
    ]  # fmt: skip
    return items.text(items.CONTAINS, coding.FINDING, one.words, shown)


def _narrative(one: Narrative) -> Dataset:
    """A section of the report that a physician may go on from."""
    return items.section(
        one.section, [items.text(items.CONTAINS, coding.element_of(one.section), f"{DRAFT} {one.text}")]
    )
