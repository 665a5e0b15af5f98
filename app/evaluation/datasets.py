"""Which photos show whom. Reads lists and folders; opens no photo."""

import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from app.errors import OperatorError
from app.evaluation.manifests import read_rows

PHOTO_ENDINGS = {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    *(".png", ".apng", ".webp", ".avif", ".heic", ".heif", ".gif", ".bmp", ".tif", ".tiff"),
}


@dataclass(frozen=True, slots=True)
class Pair:
    """Two photos, the person in each, and the fold of the pair."""

    first: Path
    second: Path
    first_person: str
    second_person: str
    fold: int

    @property
    def is_same(self) -> bool:
        """Whether both photos show one person."""
        return self.first_person == self.second_person


def read_pairs(data: Path, pairs: Path) -> list[Pair]:
    """Read pairs in LFW's format; photos are `data/name/name_0001.jpg`.

    The first line has the number of folds and of pairs per fold. Then follow, fold by fold, lines `name i j` (genuine)
    and `name1 i name2 j` (impostor). Raises `OperatorError` with the line.
    """
    lines = _read_lines(pairs)
    try:
        header = [int(part) for part in lines[0]]
        folds, per_fold = (header[0], header[1]) if len(header) == 2 else (1, header[0])
        if folds < 1 or per_fold < 1:
            raise ValueError
    except (ValueError, IndexError):
        raise OperatorError(f"{pairs}, line 1: expected the number of folds and of pairs per fold.") from None
    found = []
    for number, parts in enumerate(lines[1:], 2):
        fold = min((number - 2) // (2 * per_fold), folds - 1)
        if len(parts) == 3:
            first_person = second_person = parts[0]
            first, second = parts[1], parts[2]
        elif len(parts) == 4:
            first_person, first, second_person, second = parts
        elif not parts:
            continue
        else:
            raise OperatorError(f"{pairs}, line {number}: expected `name i j` or `name1 i name2 j`.")
        try:
            photos = _photo(data, first_person, first), _photo(data, second_person, second)
            found.append(Pair(*photos, first_person, second_person, fold))
        except ValueError:
            raise OperatorError(
                f"{pairs}, line {number}: {first!r} and {second!r} must be the numbers of photos."
            ) from None
    if not found:
        raise OperatorError(f"{pairs} has no pairs after its first line.")
    return found


def _read_lines(pairs: Path) -> list[list[str]]:
    """Split the lines at tabs, as in LFW's own lists, where names may contain spaces; without tabs at spaces."""
    try:
        text = pairs.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as exc:
        raise OperatorError(f"{pairs} cannot be read: {exc}") from exc
    lines = [line.strip().split("\t") if "\t" in line else line.split() for line in text.split("\n")]
    for number, parts in enumerate(lines, 1):
        if any(unicodedata.category(letter) == "Cc" for part in parts for letter in part):
            raise OperatorError(f"{pairs}, line {number}: control characters are not allowed.")
    return lines


def _photo(data: Path, name: str, number: str) -> Path:
    return data / name / f"{name}_{int(number):04}.jpg"


@dataclass(frozen=True, slots=True)
class Person:
    """A person and their photos, sorted by file name."""

    name: str
    photos: tuple[Path, ...]


def read_people(data: Path) -> list[Person]:
    """Read one folder per person, named after the person; raises `OperatorError` if there is none with photos."""
    if not data.is_dir():
        raise OperatorError(f"{data} is not a directory.")
    people = []
    for folder in sorted(path for path in data.iterdir() if path.is_dir()):
        photos = tuple(sorted(file for file in folder.iterdir() if file.suffix.lower() in PHOTO_ENDINGS))
        if photos:
            people.append(Person(folder.name, photos))
    if not people:
        raise OperatorError(f"{data} has no folder with photos; it needs one folder per person, with photos.")
    return people


@dataclass(frozen=True, slots=True)
class Split:
    """A gallery with one photo per person, and the photos to search: of enrolled people (mated) and of strangers.

    Each entry is a person's name and a photo.
    """

    gallery: list[tuple[str, Path]]
    mated: list[tuple[str, Path]]
    strangers: list[tuple[str, Path]]

    @property
    def steps(self) -> int:
        """The number of photos to enroll and to search."""
        return len(self.gallery) + len(self.mated) + len(self.strangers)


def split_open_set(people: list[Person], size: int, *, seed: int, searches: int, draw: int = 0) -> Split:
    """Draw a gallery of `size` people, and searches with their other photos and with photos of the people left out.

    At most `searches` of each kind. The result depends only on the seed and the draw. Successive draws leave out
    different people, until everyone was left out once (`draws_to_leave_out_everyone`): a gallery of nearly all people
    leaves few strangers at a time. Up to half of the gallery are preferably people with several photos, so that there
    are mated searches. Raises `OperatorError` for too few people.
    """
    outside_size = _left_out(len(people), size)
    order = np.random.default_rng(seed).permutation(len(people))
    outside = [people[order[(draw * outside_size + index) % len(people)]] for index in range(outside_size)]
    rng = np.random.default_rng([seed, draw])
    left_out = {person.name for person in outside}
    others = [people[index] for index in rng.permutation(len(people)) if people[index].name not in left_out]
    several = [person for person in others if len(person.photos) > 1][: max(1, size // 2)]
    preferred = {person.name for person in several}
    inside = [*several, *(person for person in others if person.name not in preferred)][:size]
    gallery, mated = [], []
    for person in inside:
        photos = [person.photos[index] for index in rng.permutation(len(person.photos))]
        gallery.append((person.name, photos[0]))
        mated += [(person.name, photo) for photo in photos[1:3]]
    strangers = [(person.name, photo) for person in outside for photo in person.photos[:3]]
    return Split(gallery, _draw(rng, mated, searches), _draw(rng, strangers, searches))


def draws_to_leave_out_everyone(people: int, size: int) -> int:
    """Return how many draws leave everyone out at least once; raises `OperatorError` if a draw leaves nobody out."""
    return -(-people // _left_out(people, size))


def _left_out(people: int, size: int) -> int:
    if size < 1 or size >= people:
        raise OperatorError(
            f"A gallery of {size} from {people} people leaves no strangers to search; use a size from 1 to "
            f"{people - 1}."
        )
    return max(1, min(people - size, people // 2))


def _draw(rng: np.random.Generator, items: list[tuple[str, Path]], max_items: int) -> list[tuple[str, Path]]:
    return [items[index] for index in rng.permutation(len(items))[:max_items]]


@dataclass(frozen=True, slots=True)
class Event:
    """Photos with the people in each, and selfies to search with."""

    photos: dict[Path, frozenset[str]]
    selfies: list[tuple[str, Path]]


def read_event(data: Path, manifest: Path) -> Event:
    """Read a CSV with the columns `kind` (photo, selfie), `photo` (a path below `data`) and `people` (`;` between).

    Raises `OperatorError` with the line.
    """
    photos: dict[Path, frozenset[str]] = {}
    lines: dict[str, int] = {}
    selfies = []
    for number, row in read_rows(manifest, ("kind", "photo", "people")):
        path = data / row["photo"]
        people = frozenset(name.strip() for name in row["people"].split(";") if name.strip())
        if row["kind"] == "photo":
            photos[path] = people
            lines.update(dict.fromkeys(people, number))
        elif row["kind"] == "selfie" and len(people) == 1:
            selfies.append((next(iter(people)), path))
        else:
            raise OperatorError(
                f"{manifest}, line {number}: `kind` must be photo, or selfie with exactly one person in `people`."
            )
    if not photos or not selfies:
        raise OperatorError(
            f"{manifest} has {len(photos)} photos and {len(selfies)} selfies; it needs at least one of each."
        )
    _refuse_other_separators(manifest, lines, {person for person, _ in selfies})
    return Event(photos, selfies)


def _refuse_other_separators(manifest: Path, lines: dict[str, int], searched: set[str]) -> None:
    """Raise `OperatorError` if a name is a list of people with a separator other than `;`, or no selfie fits a photo.

    `lines` are the lines of the photos' people.
    """
    for name, number in lines.items():
        if name not in searched and {part.strip() for part in re.split(r"[,|/:&+]", name)} & searched:
            raise OperatorError(f"{manifest}, line {number}: `people` has {name!r}; separate people with `;`.")
    if not searched & lines.keys():
        raise OperatorError(
            f"{manifest}: no photo shows anybody who has a selfie, so nothing can be found. Use the same names in "
            f"`people` of photos and selfies, separated by `;`."
        )


def read_groups(manifest: Path) -> dict[str, str]:
    """Read each person's group from a CSV with the columns `person` and `group`; raises `OperatorError`."""
    groups = {}
    for number, row in read_rows(manifest, ("person", "group")):
        if not row["person"] or not row["group"]:
            raise OperatorError(f"{manifest}, line {number}: `person` and `group` must not be empty.")
        groups[row["person"]] = row["group"]
    if not groups:
        raise OperatorError(f"{manifest} has no rows after its header.")
    return groups
