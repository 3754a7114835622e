"""Import of an archive.

Everything is checked first, then images and answers are stored one by one. Nothing is stored of an archive with a
problem. An import that was interrupted is repeated: images have keys, and answers that are there change nothing.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import structlog

from services.console.adapters.ingest_uploads import UploadRefusedError
from services.console.domain.corrections import CorrectionRefusedError, CorrectionRequest, CorrectionWork
from services.console.domain.import_fit import ImportFit
from services.console.domain.importing import (
    ImportAction,
    ImportAnswer,
    ImportReport,
    decide,
    describe_unknown_classes,
    key_of,
    name_images,
)
from services.console.handlers import ConsolePorts, on_correction
from siad.contracts.corrections import CorrectionVerdict, Selection
from siad.contracts.ids import ImageId, capture_id_of, image_id_of, sha256_hex
from siad.contracts.marked_objects import MarkedObject, ObjectFate
from siad.contracts.timestamps import TimestampError, read_moment
from siad.vision.datasets.opening import open_dataset
from siad.vision.datasets.reading import DatasetError, DatasetFiles, ReadMarks, ReadSample
from siad.vision.headers import ImageError
from siad.vision.images import describe_image
from siad.vision.masks import DEFECT, IGNORE, encode_mask

log = structlog.get_logger()

SIDE_MAX_PX: Final = 8192  # of an image with a mask
_CAPTURE: Final = re.compile("[0-9a-f]{32}")


class ImageSink(Protocol):
    """Where images go. Every call may raise ``TransientError``."""

    @property
    def is_known(self) -> bool:
        """Whether there is one."""
        ...

    async def send(self, line: str, data: bytes, params: Mapping[str, str], headers: Mapping[str, str]) -> str:
        """Send an image; return its capture id."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportRequest:
    """Where an archive goes, and in whose name."""

    line: str
    author: str
    classes: Sequence[str]
    image_bytes_max: int
    is_check: bool
    fit: ImportFit | None = None  # takes what is found; None: the line is not known yet


class UnknownClassesError(DatasetError):
    """Marks of classes that the line does not have."""

    def __init__(self, classes: Collection[str]) -> None:
        super().__init__(f"the line lacks {', '.join(sorted(classes))}")
        self.classes = classes


@dataclass(frozen=True, slots=True, kw_only=True)
class _CheckedSample:
    """One sample whose files are right."""

    sample: ReadSample
    data: bytes
    image_id: ImageId
    verdict: CorrectionVerdict | None = None  # None: nothing is said
    mask: bytes = b""  # PNG
    objects: tuple[MarkedObject, ...] = ()

    @property
    def facts(self) -> Mapping[str, Any]:
        """What an export says of the capture."""
        return self.sample.facts


@dataclass(slots=True)
class Import:
    """One import into a line."""

    request: ImportRequest
    files: DatasetFiles
    ports: ConsolePorts
    sink: ImageSink
    report: ImportReport = field(default_factory=ImportReport)
    unknown_classes: dict[str, Collection[str]] = field(default_factory=dict)  # by image

    async def run(self) -> ImportReport:
        """Check everything, then store it.

        Raises:
            DatasetError: the archive as a whole can't be read.
            TransientError: ingest, store or broker is away; a repeat goes on.
        """
        seen: dict[str, str] = {}
        fit = self.request.fit
        self.report.is_check = True
        async for checked in self._checked():
            image = checked.sample.image
            if (other := seen.setdefault(key_of(checked.facts, checked.image_id), image)) != image:
                self.report.add_problem(image, f"has the same bytes as {other}. Remove one of them")
                continue
            capture_id, _ = await self._plan(checked)
            if fit is not None and not capture_id:
                await asyncio.to_thread(fit.add, image, checked.data, is_normal=checked.sample.is_normal)
        for problem in () if fit is None else fit.problems():
            self.report.add_problem(problem.file, problem.detail)
        if self.unknown_classes:
            unknown = (name for names in self.unknown_classes.values() for name in names)
            detail = describe_unknown_classes(self.request.line, self.request.classes, unknown)
            self.report.add_problem(name_images(list(self.unknown_classes)), detail)
        if self.report.new_images and not self.sink.is_known:
            detail = "the console does not know ingest, which takes new images. Set SIAD_CONSOLE_INGEST_URL"
            self.report.add_problem("images", detail)
        is_stored = not (self.request.is_check or self.report.problem_count)
        warnings = [] if fit is None else fit.warnings(is_stored=is_stored)
        if not is_stored:
            self.report.warnings = warnings
            return self.report
        self.report = ImportReport(format=self.report.format, warnings=warnings)
        async for checked in self._checked():
            await self._store(checked, await self._plan(checked))
        log.info("data_imported", line=self.request.line, images=self.report.images, answers=self.report.answers)
        return self.report

    async def _checked(self) -> AsyncGenerator[_CheckedSample]:
        """Read every sample; report the problems."""
        self.report.format, samples = await asyncio.to_thread(open_dataset, self.files)
        while (sample := await asyncio.to_thread(next, samples, None)) is not None:
            try:
                checked = await asyncio.to_thread(check_sample, sample, self.files, self.request)
            except UnknownClassesError as error:
                self.unknown_classes[sample.image] = error.classes
            except (DatasetError, ImageError) as error:
                self.report.add_problem(sample.image, str(error))
            else:
                self.report.images += 1
                self.report.normals += sample.is_normal
                self.report.unanswered += checked.verdict is None and not sample.is_normal
                yield checked

    async def _plan(self, checked: _CheckedSample) -> tuple[str, ImportAction | None]:
        """Find a sample's capture, and what becomes of its answer.

        Counts both. The id is empty where the line does not have the capture.
        """
        line = self.request.line
        own = str(checked.facts.get("capture_id", "")) if checked.facts.get("line") == line else ""
        sent = capture_id_of(line, image_id=checked.image_id, idempotency_key=key_of(checked.facts, checked.image_id))
        for capture_id in filter(None, (own, sent)):
            receipt = await self.ports.captures.receipt(line, capture_id)
            if receipt is not None and receipt.image_id == checked.image_id:
                break
        else:
            self.report.new_images += 1
            if checked.verdict is not None:
                self.report.add(ImportAction.ANSWER)
            return "", None if checked.verdict is None else ImportAction.ANSWER
        if checked.verdict is None:
            return capture_id, None
        revisions = await self.ports.corrections.revisions(line, capture_id)
        action = decide(revisions[-1] if revisions else None, self._answer(checked, is_own=capture_id == own))
        self.report.add(action)
        return capture_id, action

    def _answer(self, checked: _CheckedSample, *, is_own: bool) -> ImportAnswer:
        revision = checked.facts.get("revision")
        assert checked.verdict is not None
        return ImportAnswer(
            verdict=checked.verdict,
            author=self.request.author,
            mask_sha256=sha256_hex(checked.mask) if checked.mask else "",
            objects=checked.objects,
            exported_revision=revision if is_own and isinstance(revision, int) else None,
        )

    async def _store(self, checked: _CheckedSample, plan: tuple[str, ImportAction | None]) -> None:
        capture_id, action = plan
        try:
            if not capture_id:
                capture_id = await self._send(checked)
            if action is not ImportAction.ANSWER or checked.verdict is None:
                return
            revisions = await self.ports.corrections.revisions(self.request.line, capture_id)
            request = CorrectionRequest(
                line=self.request.line,
                capture_id=capture_id,
                verdict=checked.verdict,
                author=self.request.author,
                mask=checked.mask,
                selection=Selection.CHOSEN,
                if_match=f'"{revisions[-1].revision if revisions else 0}"',
                work=CorrectionWork(objects=checked.objects),
            )
            await on_correction(request, self.ports)
        except (CorrectionRefusedError, UploadRefusedError) as error:
            self.report.answers -= action is ImportAction.ANSWER
            self.report.add_problem(checked.sample.image, str(error))

    async def _send(self, checked: _CheckedSample) -> str:
        """Send an image to ingest."""
        facts = checked.facts
        params = {"intent": "normal" if checked.sample.is_normal else "inspect"}
        for name in ("serial", "captured_at"):
            if facts.get(name):
                params[name] = str(facts[name])
        headers = {
            "Content-Type": "application/octet-stream",
            "Idempotency-Key": key_of(facts, checked.image_id),
        }
        return await self.sink.send(self.request.line, checked.data, params, headers)


def check_sample(sample: ReadSample, files: DatasetFiles, request: ImportRequest) -> _CheckedSample:
    """Read one sample, and check image, marks and classes.

    Raises:
        UnknownClassesError: the line lacks classes of its marks.
        DatasetError, ImageError: one of its files can't be stored.
    """
    data = files.read(sample.image)
    if len(data) > request.image_bytes_max:
        msg = f"the image has {len(data)} bytes, at most {request.image_bytes_max} are stored. Compress it"
        raise DatasetError(msg)
    info, image_id = describe_image(data), image_id_of(data)
    _require_facts(sample.facts, image_id)
    if not sample.is_answered or sample.is_normal:
        return _CheckedSample(sample=sample, data=data, image_id=image_id)
    if sample.draw is None:
        return _CheckedSample(sample=sample, data=data, image_id=image_id, verdict=_verdict_without_marks(sample.facts))
    if max(info.width_px, info.height_px) > SIDE_MAX_PX:
        msg = f"the image has {info.width_px}x{info.height_px} px; a side of a marked one may have {SIDE_MAX_PX} px"
        raise DatasetError(msg)
    marks = sample.draw((info.height_px, info.width_px))
    verdict = _verdict_of(marks)
    objects = tuple(one for one in marks.objects if one.fate is not ObjectFate.DELETED)
    if unknown := {one.class_name for one in objects} - {"", *request.classes}:
        raise UnknownClassesError(unknown)
    is_defect = verdict is CorrectionVerdict.DEFECT
    return _CheckedSample(
        sample=sample,
        data=data,
        image_id=image_id,
        verdict=verdict,
        mask=encode_mask(marks.mask_HW) if is_defect else b"",
        objects=tuple(marks.objects) if is_defect else (),
    )


def _verdict_of(marks: ReadMarks) -> CorrectionVerdict:
    if (marks.mask_HW == DEFECT).any():
        return CorrectionVerdict.DEFECT
    return CorrectionVerdict.UNSURE if (marks.mask_HW == IGNORE).any() else CorrectionVerdict.GOOD


def _verdict_without_marks(facts: Mapping[str, Any]) -> CorrectionVerdict:
    """Verdict of an image without a mark.

    Of an export what it said, otherwise good.
    """
    said = str(facts.get("verdict", ""))
    had_no_outline = said in ("defect", "unsure") and not facts.get("mask_sha256")
    return CorrectionVerdict(said) if had_no_outline else CorrectionVerdict.GOOD


def _require_facts(facts: Mapping[str, Any], image_id: str) -> None:
    """Refuse facts that are not those of these bytes."""
    if "image_id" in facts and facts["image_id"] != image_id:
        msg = f"captures.jsonl says image {facts['image_id']!r}, and the bytes are {image_id}. Remove its line"
        raise DatasetError(msg)
    capture_id = facts.get("capture_id", "0" * 32)
    if not isinstance(capture_id, str) or not _CAPTURE.fullmatch(capture_id):
        msg = f"captures.jsonl says capture {capture_id!r}, which is no id of 32 hex digits. Remove its line"
        raise DatasetError(msg)
    try:
        if facts.get("captured_at"):
            read_moment(str(facts["captured_at"]))
    except TimestampError as error:
        msg = f"captures.jsonl says captured_at {error}. Correct or remove its line"
        raise DatasetError(msg) from error
