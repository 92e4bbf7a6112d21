"""What was found when a recording was held against itself."""

from dataclasses import dataclass, field

MOST_DIFFERENCES = 20
"""So many are told in words; of the others, how many there are."""


@dataclass(slots=True)
class SegmentFindings:
    """What was looked at in a segment.

    ``frames`` are pictures that lie where they should, ``unshown`` those of them that refer to others which were lost
    before they could be recorded. ``unrecorded`` frames of its batches are in no file: of streams before their first
    key frame, and in no set where only sets were kept.
    """

    place: str
    is_finished: bool
    batches: int = 0
    sets: int = 0
    gaps: int = 0
    missed: int = 0
    frames: dict[str, int] = field(default_factory=dict)
    unshown: dict[str, int] = field(default_factory=dict)
    unrecorded: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class RecordingFindings:
    """What a recording is: ``differences`` are the first ones, of ``count`` in all; ``notes`` are none."""

    place: str
    segments: list[SegmentFindings] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    count: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        """Whether nothing differs."""
        return not self.count

    def differ(self, place: object, what: str) -> None:
        """Note a difference."""
        self.count += 1
        if len(self.differences) < MOST_DIFFERENCES:
            self.differences.append(f"{place}: {what}")

    def note(self, place: object, what: str) -> None:
        """Note what is no difference, and good to know."""
        self.notes.append(f"{place}: {what}")
