"""An iterative walk over the elements of one data set (PS3.5 Section 7): nothing is believed, nothing recurses.

Every length is checked against what is left of its parent, at every level; depth, elements and fragments are counted.
Values are skipped, except the few top-level ones that the caller wants. Pixel data is never read.

What writers are known to get wrong, and what can be read in one way only, is let pass: a value representation that is
none, text where the dictionary has a sequence, an element that stands twice with one value, zeros behind the end.
"""

from __future__ import annotations

import struct
from collections.abc import Collection
from typing import Final

from pydicom._dicom_dict import DicomDictionary

from worker.data_elements.byte_source import ByteSource
from worker.data_elements.faults import ScanError
from worker.data_elements.limits import ScanLimits
from worker.data_elements.repeats import refuse_ambiguous_repeats

PIXEL_DATA: Final = 0x7FE00010
_ITEM: Final = 0xFFFEE000
_ITEM_END: Final = 0xFFFEE00D
_SEQUENCE_END: Final = 0xFFFEE0DD
_UNDEFINED: Final = 0xFFFFFFFF
_SHORT_VR: Final = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())
_LONG_VR: Final = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
_NO_VR: Final = frozenset({b"  ", b"\0\0", b"??"})
"""What stands in place of a value representation in the files of writers that do not know it."""
_LOOK_AHEAD_BYTES: Final = 1 << 20
_SEQUENCES: Final = frozenset(tag for tag, entry in DicomDictionary.items() if entry[0] == "SQ")


class _Frame:
    """A level of nesting: the elements of an item (or of the data set), or the items of a sequence.

    ``limit`` is where its parent ends at the latest. ``delimited``: it ends with a delimiter, not at ``limit``.
    ``guess_end`` is not -1 when it is only a guess that this value is a sequence: where to go on if it is none.
    """

    __slots__ = ("delimited", "guess_end", "implicit", "is_sequence", "limit")

    def __init__(self, limit: int, *, is_sequence: bool, delimited: bool, implicit: bool, guess_end: int = -1) -> None:
        self.limit = limit
        self.is_sequence = is_sequence
        self.delimited = delimited
        self.implicit = implicit
        self.guess_end = guess_end


class ElementReader:
    """One pass over a data set.

    Parameters
    ----------
    window:
        The data set.
    implicit, big_endian, encapsulated:
        What the transfer syntax says.
    wanted:
        Top-level tags whose raw values are kept in ``values``, if they are no longer than ``limits.text_bytes``.

    Attributes
    ----------
    values, vrs:
        Raw value by tag, and the value representation that it is declared to have (empty in implicit VR).
    lengths:
        Value length in bytes by tag, of native top-level pixel data.
    fragments:
        How many fragments the top-level pixel data has (without the Basic Offset Table), or None if it is native.
    repairs:
        Where a value representation stands that is none, and which one of the same form says what was meant: a reader
        that is given these two bytes instead finds the same elements.
    """

    def __init__(
        self,
        window: ByteSource,
        *,
        implicit: bool,
        big_endian: bool,
        encapsulated: bool,
        wanted: Collection[int],
        limits: ScanLimits,
    ) -> None:
        self.values: dict[int, bytes] = {}
        self.vrs: dict[int, bytes] = {}
        self.repairs: dict[int, bytes] = {}
        self.lengths: dict[int, int] = {}
        self.fragments: int | None = None
        self._window = window
        self._encapsulated = encapsulated
        self._wanted = wanted
        self._limits = limits
        self._elements = 0
        self._fragments = 0
        self._depth = 0
        self._tops: list[tuple[int, int, int]] = []
        self._not_fill_before = 0
        order = ">" if big_endian else "<"
        self._tag_length = struct.Struct(order + "HHI")
        self._short = struct.Struct(order + "H")
        self._long = struct.Struct(order + "I")
        self._stack = [_Frame(window.end, is_sequence=False, delimited=False, implicit=implicit)]

    def run(self) -> None:
        """Walk to the end. Raises ScanError."""
        position = 0
        stack = self._stack
        while stack:
            frame = stack[-1]
            try:
                if frame.is_sequence:
                    position = self._next_item(frame, position)
                else:
                    position = self._run_of_elements(frame, position)
            except ScanError as error:
                position = self._drop_guess(error)
        refuse_ambiguous_repeats(self._window, self._tops, position)

    def _drop_guess(self, error: ScanError) -> int:
        """Return to the element that was only guessed to be a sequence, and skip it as opaque bytes."""
        if error.code in ("too-deep", "too-many-elements", "deflate-bomb"):
            raise error
        guesses = [i for i, frame in enumerate(self._stack) if frame.guess_end >= 0]
        if not guesses:
            raise error
        position = self._stack[guesses[0]].guess_end
        del self._stack[guesses[0] :]
        self._depth = sum(frame.is_sequence for frame in self._stack)
        return position

    def _look(self, position: int, count: int) -> int:
        """Return the index in ``window.data`` of ``position``; ScanError when fewer than ``count`` bytes follow."""
        window = self._window
        index = position - window.base
        if index < 0 or index + count > len(window.data):
            window.look(position, count)
            index = position - window.base
            if index < 0 or index + count > len(window.data):
                raise ScanError("The data set ends in the middle of an element.", code="truncated")
        return index

    def _header(self, position: int) -> tuple[int, int, int]:
        """Group, element and 32-bit length of what stands at ``position`` (an item, or an implicit VR element)."""
        window = self._window
        index = position - window.base
        if index < 0 or index + 8 > len(window.data):
            index = self._look(position, 8)
        header: tuple[int, int, int] = self._tag_length.unpack_from(window.data, index)
        return header

    def _count(self) -> None:
        self._elements += 1
        if self._elements > self._limits.elements:
            raise ScanError("The data set has more elements than the limit.", code="too-many-elements")

    # ------------------------------------------------------------------------------------------------- elements

    def _run_of_elements(self, frame: _Frame, position: int) -> int:
        """Walk elements of one level until it ends or a nested one begins; return where to go on."""
        stack = self._stack
        top = len(stack) == 1
        while stack and stack[-1] is frame:
            if position >= frame.limit or (top and self._is_end(position)):
                if frame.delimited:
                    raise ScanError("An item is not delimited.", code="truncated")
                stack.pop()
                return position
            position = self._element(frame, position, top=top)
        return position

    def _is_end(self, position: int) -> bool:
        """Tell whether the data set ends here, or with the zeros that begin here: fillers of a block, no elements."""
        data, index = self._window.data, position - self._window.base
        if 0 <= index < len(data) and data[index]:
            return False
        return self._window.ended(position) or self._is_fill(position)

    def _is_fill(self, position: int) -> bool:
        index = position - self._window.base
        if not 0 <= index <= len(self._window.data) - 8:
            self._window.look(position, 8)
            index = position - self._window.base
        if position < self._not_fill_before or self._window.data[index : index + 8].strip(b"\0"):
            return False
        past = self._window.past_zeros(position)
        self._not_fill_before = past or 0
        return past is None

    def _element(self, frame: _Frame, position: int, *, top: bool) -> int:
        """Take one element: skip its value, or enter it, or leave the item; return where to go on."""
        limit = frame.limit
        if limit - position < 8:
            raise ScanError("An element does not fit into its parent.", code="truncated")
        group, number, length = self._header(position)
        tag = (group << 16) | number
        if group == 0xFFFE:
            return self._end_of_item(frame, tag, length, position)
        if group == 0x0002:  # readers take it for the file's own, which says how everything else is encoded
            raise ScanError("File meta information stands in the data set.", code="bad-group")
        self._count()
        vr, value_at = b"", position + 8
        if not frame.implicit:
            vr, length, value_at = self._explicit(frame, tag, position)
        if top:
            self._note_top(tag, length, position, value_at)
        if length == _UNDEFINED:
            return self._undefined(frame, tag, vr, value_at)
        if length > limit - value_at:
            raise ScanError("An element is longer than what is left of its parent.", code="truncated")
        if self._is_sequence(frame, tag, vr, value_at, length):
            return value_at
        if top and tag in self._wanted:
            self._keep(tag, vr, value_at, length)
        return value_at + length

    def _explicit(self, frame: _Frame, tag: int, position: int) -> tuple[bytes, int, int]:
        """VR, length and place of the value (PS3.5 7.1.2)."""
        data = self._window.data
        index = position - self._window.base
        vr = data[index + 4 : index + 6]
        if vr in _SHORT_VR:
            return vr, int(self._short.unpack_from(data, index + 6)[0]), position + 8
        if vr not in _LONG_VR:
            return self._unknown(frame, tag, vr, position)
        if frame.limit - position < 12:
            raise ScanError("An element does not fit into its parent.", code="truncated")
        index = self._look(position, 12)
        return vr, int(self._long.unpack_from(self._window.data, index + 8)[0]), position + 12

    def _unknown(self, frame: _Frame, tag: int, vr: bytes, position: int) -> tuple[bytes, int, int]:
        """Find out which form an element with an unknown VR has: a later edition's has the long one (PS3.5 6.2).

        Writers that know no better put spaces, NUL or question marks there, or two letters, before a length of 16 bits.
        Which of the two it is shows in what follows the value.
        """
        is_later_edition = vr.isalpha() and vr.isupper()
        if not is_later_edition and vr not in _NO_VR:
            raise ScanError("A value representation is not one.", code="bad-vr")
        available = min(12, frame.limit - position)
        index = self._look(position, 8)
        short = int(self._short.unpack_from(self._window.data, index + 6)[0])
        forms = [(b"UN" if is_later_edition else b"", short, position + 8)]
        if not short and available == 12 and self._has(position, 12):
            index = position - self._window.base
            forms.append((b"UN", int(self._long.unpack_from(self._window.data, index + 8)[0]), position + 12))
        likely = [form for form in forms if self._fits(frame, tag, position, form[2] + form[1])]
        if not likely or (len(likely) > 1 and tag in self._wanted):
            raise ScanError("A value representation is not one.", code="bad-vr")
        self._look(position, 8)
        _, length, value_at = likely[-1] if is_later_edition else likely[0]
        is_long = value_at == position + 12
        self.repairs[position + 4] = b"UN" if is_long else _short_vr_of(tag)
        return vr, length, value_at

    def _has(self, position: int, count: int) -> bool:
        """Tell whether ``count`` bytes follow ``position``, and have them in the window."""
        self._window.look(position, count)
        return position - self._window.base + count <= len(self._window.data)

    def _fits(self, frame: _Frame, tag: int, position: int, end: int) -> bool:
        """Tell whether a value may end there: with its parent, or before something that can be the next element."""
        if end > frame.limit or end - position > _LOOK_AHEAD_BYTES:
            return False
        span = end - position
        self._window.look(position, span + 8)
        start = position - self._window.base
        following = self._window.data[start + span : start + span + 8]
        if end == frame.limit or (len(self._stack) == 1 and not following.strip(b"\0")):
            return len(self._window.data) >= start + span
        if len(following) < 8:
            return False
        group, number, _ = self._tag_length.unpack(following)
        if group == 0xFFFE:
            return frame.delimited
        vr = following[4:6]
        return (group << 16 | number) > tag and (vr in _SHORT_VR or vr in _LONG_VR or vr in _NO_VR or vr.isupper())

    def _note_top(self, tag: int, length: int, position: int, value_at: int) -> None:
        self._tops.append((tag, position, value_at))
        if tag in _PIXEL_TAGS and length != _UNDEFINED:
            self.lengths[tag] = length
            if self._encapsulated and tag == PIXEL_DATA and length:
                raise ScanError(
                    "Native pixel data in a compressed transfer syntax.", code="pixel-data-not-encapsulated"
                )
            if value_at + length > self._window.end:
                raise ScanError("The pixel data is cut off.", code="truncated")

    def _keep(self, tag: int, vr: bytes, value_at: int, length: int) -> None:
        if length > self._limits.text_bytes:
            raise ScanError("An identifying value is longer than the limit.", code="value-too-long")
        index = self._look(value_at, length) if length else 0
        self.vrs[tag] = vr
        self.values[tag] = bytes(self._window.data[index : index + length]) if length else b""

    def _end_of_item(self, frame: _Frame, tag: int, length: int, position: int) -> int:
        if tag == _ITEM_END and frame.delimited and length == 0:
            self._stack.pop()
            return position + 8
        raise ScanError("An item or delimiter stands where an element should.", code="bad-item")

    # ------------------------------------------------------------------------------------------------ sequences

    def _undefined(self, frame: _Frame, tag: int, vr: bytes, value_at: int) -> int:
        """Enter a value of undefined length (PS3.5 7.5, A.4; CP-246 for UN)."""
        if tag in self._wanted:
            raise ScanError("An identifying value has undefined length.", code="bad-value")
        if tag == PIXEL_DATA and vr in (b"", b"OB", b"OW", b"UN"):
            if not self._encapsulated:
                raise ScanError("Encapsulated pixel data in a native transfer syntax.", code="pixel-data-encapsulated")
            return self._skip_fragments(frame, value_at)
        if frame.implicit or vr in (b"SQ", b"UN"):
            implicit = frame.implicit or (vr == b"UN" and self._looks_implicit(value_at))
            self._push_sequence(frame.limit, delimited=True, implicit=implicit)
            return value_at
        raise ScanError("A value that is no sequence has undefined length.", code="undefined-length")

    def _is_sequence(self, frame: _Frame, tag: int, vr: bytes, value_at: int, length: int) -> bool:
        """Enter a sequence of defined length, also where only a dictionary or the value itself tells that it is one.

        A reader with a dictionary would descend there, so the limits must have been checked.
        """
        if vr == b"SQ":
            certain = True
        elif frame.implicit or vr == b"UN":
            if length < 8 or not (tag in _SEQUENCES or tag & 0x10000):
                return False
            first = self._header(value_at)[:2]
            if (first[0] << 16) | first[1] != _ITEM:
                return False  # also where the dictionary has a sequence: old and private uses of a tag are text
            certain = frame.implicit and tag in _SEQUENCES
        else:
            return False
        if tag in self._wanted:
            raise ScanError("An identifying value is a sequence.", code="bad-value")
        end = value_at + length
        implicit = frame.implicit or (vr == b"UN" and self._looks_implicit(value_at))
        self._push_sequence(end, delimited=False, implicit=implicit, guess_end=-1 if certain else end)
        return True

    def _looks_implicit(self, value_at: int) -> bool:
        """Tell how the items of a UN value are encoded: implicit by CP-246, explicit in the hands of some writers."""
        self._window.look(value_at, 14)
        index = value_at - self._window.base
        vr = self._window.data[index + 12 : index + 14]
        return not (vr in _SHORT_VR or vr in _LONG_VR)

    def _push_sequence(self, limit: int, *, delimited: bool, implicit: bool, guess_end: int = -1) -> None:
        self._depth += 1
        if self._depth > self._limits.depth:
            raise ScanError("Sequences are nested deeper than the limit.", code="too-deep")
        self._stack.append(_Frame(limit, is_sequence=True, delimited=delimited, implicit=implicit, guess_end=guess_end))

    def _next_item(self, frame: _Frame, position: int) -> int:
        """Enter the next item of a sequence, or leave the sequence."""
        if position >= frame.limit:
            if frame.delimited:
                raise ScanError("A sequence is not delimited.", code="truncated")
            self._leave_sequence()
            return position
        if frame.limit - position < 8:
            raise ScanError("An item does not fit into its sequence.", code="truncated")
        group, number, length = self._header(position)
        tag = (group << 16) | number
        position += 8
        if tag == _SEQUENCE_END and frame.delimited and length == 0:
            self._leave_sequence()
            return position
        if tag != _ITEM:
            raise ScanError("Something else than an item stands in a sequence.", code="bad-item")
        self._count()
        delimited = length == _UNDEFINED
        if not delimited and length > frame.limit - position:
            raise ScanError("An item is longer than what is left of its sequence.", code="truncated")
        limit = frame.limit if delimited else position + length
        self._stack.append(_Frame(limit, is_sequence=False, delimited=delimited, implicit=frame.implicit))
        return position

    def _leave_sequence(self) -> None:
        self._stack.pop()
        self._depth -= 1

    def _skip_fragments(self, frame: _Frame, position: int) -> int:
        """Check the item structure of encapsulated pixel data (PS3.5 A.4) and skip it."""
        count = -1  # the first item is the Basic Offset Table
        while True:
            if frame.limit - position < 8:
                raise ScanError("The encapsulated pixel data is not delimited.", code="truncated")
            group, number, length = self._header(position)
            tag = (group << 16) | number
            position += 8
            if tag == _SEQUENCE_END and length == 0:
                break
            if tag != _ITEM or length == _UNDEFINED:
                raise ScanError("Something else than a fragment stands in the pixel data.", code="bad-fragment")
            if length > frame.limit - position:
                raise ScanError("A fragment is longer than what is left of the data set.", code="truncated")
            if count == -1 and length % 4:
                raise ScanError("The Basic Offset Table is not one.", code="bad-fragment")
            count += 1
            self._fragments += 1
            if self._fragments > self._limits.fragments:
                raise ScanError("The pixel data has more fragments than the limit.", code="too-many-elements")
            position += length
        if count == -1:
            raise ScanError("The Basic Offset Table is missing.", code="bad-fragment")
        if len(self._stack) == 1:
            self.fragments = count
        return position


_PIXEL_TAGS: Final = frozenset({PIXEL_DATA, 0x7FE00008, 0x7FE00009})


def _short_vr_of(tag: int) -> bytes:
    """The dictionary's VR of a tag where it has the short form; text where it has none."""
    vr = DicomDictionary[tag][0].encode()[:2] if tag in DicomDictionary else b""
    return vr if vr in _SHORT_VR else b"LO"
