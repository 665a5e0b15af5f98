"""Which photos are of whom. Reads lists and folders; opens no photo."""

import unicodedata
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from app.errors import OperatorError
from app.evaluation.manifests import read_rows

PHOTO_ENDINGS = {".jpg", ".jpeg", ".png", ".webp"}


@dataclass(frozen=True, slots=True)
class Pair:
    """Two photos, of whom each is, and the fold they belong to."""

    first: Path
    second: Path
    first_person: str
    second_person: str
    fold: int

    @property
    def is_same(self) -> bool:
        """Whether both are of one person."""
        return self.first_person == self.second_person


def read_pairs(data: Path, pairs: Path) -> list[Pair]:
    """LFW's format: a line with folds and pairs a fold, then for each fold `name i j` and `name1 i name2 j` lines.

    Photos are `data/name/name_0001.jpg`. Raises `OperatorError` with the line.
    """
    lines = _read_lines(pairs)
    try:
        head = [int(part) for part in lines[0]]
        folds, each = (head[0], head[1]) if len(head) == 2 else (1, head[0])
        if folds < 1 or each < 1:
            raise ValueError
    except (ValueError, IndexError):
        raise OperatorError(f"{pairs}, line 1: want the number of folds and of pairs a fold.") from None
    found = []
    for number, parts in enumerate(lines[1:], 2):
        fold = min((number - 2) // (2 * each), folds - 1)
        if len(parts) == 3:
            one, other = parts[0], parts[0]
            first, second = parts[1], parts[2]
        elif len(parts) == 4:
            one, first, other, second = parts
        elif not parts:
            continue
        else:
            raise OperatorError(f"{pairs}, line {number}: want `name i j` or `name1 i name2 j`.")
        try:
            found.append(Pair(_photo(data, one, first), _photo(data, other, second), one, other, fold))
        except ValueError:
            raise OperatorError(f"{pairs}, line {number}: {first} and {second} must be numbers.") from None
    if not found:
        raise OperatorError(f"{pairs} names no pairs.")
    return found


def _read_lines(pairs: Path) -> list[list[str]]:
    """Each line's parts. LFW's own lists have tabs, so that names may have spaces."""
    try:
        text = pairs.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as exc:
        raise OperatorError(f"{pairs} cannot be read: {exc}") from exc
    lines = [line.strip().split("\t") if "\t" in line else line.split() for line in text.split("\n")]
    for number, parts in enumerate(lines, 1):
        if any(unicodedata.category(letter) == "Cc" for part in parts for letter in part):
            raise OperatorError(f"{pairs}, line {number}: control characters.")
    return lines


def _photo(data: Path, name: str, number: str) -> Path:
    return data / name / f"{name}_{int(number):04}.jpg"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody and their photos, in order."""

    name: str
    photos: tuple[Path, ...]


def read_people(data: Path) -> list[Person]:
    """One folder a person; raises `OperatorError` where there are none."""
    if not data.is_dir():
        raise OperatorError(f"{data} is not a directory.")
    people = []
    for folder in sorted(path for path in data.iterdir() if path.is_dir()):
        photos = tuple(sorted(file for file in folder.iterdir() if file.suffix.lower() in PHOTO_ENDINGS))
        if photos:
            people.append(Person(folder.name, photos))
    if not people:
        raise OperatorError(f"{data} holds no folder with photos in it.")
    return people


@dataclass(frozen=True, slots=True)
class Split:
    """A gallery with one photo a person, searches of people in it, and searches of people who are not."""

    gallery: list[tuple[str, Path]]
    mated: list[tuple[str, Path]]
    strangers: list[tuple[str, Path]]

    @property
    def steps(self) -> int:
        """How many photos are enrolled or searched for."""
        return len(self.gallery) + len(self.mated) + len(self.strangers)


def split_open_set(people: list[Person], size: int, *, seed: int, searches: int, draw: int = 0) -> Split:
    """Draw a gallery of `size` people; searched are other photos of them, and photos of people who are left out.

    The same for the same seed and draw. One draw after the other leaves other people out, until everybody was (see
    `draws_of_everybody`): a gallery of nearly all people leaves few strangers at a time. People with several photos are
    preferred into the gallery for half of it at most, so that there are mates to search for. Raises `OperatorError` for
    too few people.
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


def draws_of_everybody(people: int, size: int) -> int:
    """After how many draws of a gallery of this size everybody was left out once; raises `OperatorError`."""
    return -(-people // _left_out(people, size))


def _left_out(people: int, size: int) -> int:
    if size < 1 or size >= people:
        raise OperatorError(f"A gallery of {size} of {people} people leaves no strangers to search for.")
    return max(1, min(people - size, people // 2))


def _draw(rng: np.random.Generator, items: list[tuple[str, Path]], most: int) -> list[tuple[str, Path]]:
    return [items[index] for index in rng.permutation(len(items))[:most]]


@dataclass(frozen=True, slots=True)
class Event:
    """Photos with the people in each, and selfies to search with."""

    photos: dict[Path, frozenset[str]]
    selfies: list[tuple[str, Path]]


def read_event(data: Path, manifest: Path) -> Event:
    """A CSV with the columns `kind` (photo, selfie), `photo` (a path below `data`) and `people` (separated by `;`).

    Raises `OperatorError` with the line.
    """
    photos: dict[Path, frozenset[str]] = {}
    selfies = []
    for number, row in read_rows(manifest, ("kind", "photo", "people")):
        path = data / row["photo"]
        people = frozenset(name.strip() for name in row["people"].split(";") if name.strip())
        if row["kind"] == "photo":
            photos[path] = people
        elif row["kind"] == "selfie" and len(people) == 1:
            selfies.append((next(iter(people)), path))
        else:
            raise OperatorError(f"{manifest}, line {number}: want a photo, or a selfie of one person.")
    if not photos or not selfies:
        raise OperatorError(f"{manifest} names {len(photos)} photos and {len(selfies)} selfies; both are needed.")
    return Event(photos, selfies)


def read_groups(manifest: Path) -> dict[str, str]:
    """A CSV with the columns `person` and `group`."""
    groups = {}
    for number, row in read_rows(manifest, ("person", "group")):
        if not row["person"] or not row["group"]:
            raise OperatorError(f"{manifest}, line {number}: a person and a group are needed.")
        groups[row["person"]] = row["group"]
    if not groups:
        raise OperatorError(f"{manifest} names nobody.")
    return groups
