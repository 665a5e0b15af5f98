"""Find the subjects of a collection that meet filters, page by page in the order of their ids.

Row-level security lets PostgreSQL use an index only for leakproof comparisons. Equality and order of text are, pattern
matching and containment in JSON are not. So filters compare the terms of `subject_terms` (migration 0021).

One filter is read by its index, and the others are checked for each subject found:

- The terms of a metadata value are read in the order of subject ids, until the page is full.
- Words and times are read in another order, so the matches are sorted.
- If all filters have more than 5,000 matches, 2,000 subjects are first read in order, which usually fills the page. If
  not, since matches are rare there, the matches of one filter are read as above.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, FromClause, Select, SQLColumnExpression, func, literal, literal_column, select

from app.persistence.models import SubjectModel, SubjectTermModel
from app.persistence.repositories.base import TenantRepository

_MAX_SORTED = 5_000
_MAX_READ = 2_000
_LAST = "\U0010ffff"
"""Sorts after every character."""


@dataclass(frozen=True, slots=True)
class SubjectFilter:
    """Which subjects to list: those that meet every condition that is set.

    `words` are beginnings of words of the id or name, folded by `SubjectSearch.fold`. `metadata` maps keys to the text
    of their values. The times are exclusive.
    """

    words: Sequence[str] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    created_after: datetime | None = None
    created_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Condition:
    """One filter, as conditions on the rows of a table; `is_ordered` if its index yields subjects in their order.

    `of_subject` is the same condition for the rows of one subject, in a form that only the subject's index serves.
    """

    model: type[SubjectModel] | type[SubjectTermModel]
    conditions: Sequence[ColumnElement[bool]] = ()
    of_subject: Sequence[ColumnElement[bool]] = ()
    is_ordered: bool = False


_EVERYBODY = _Condition(SubjectModel, is_ordered=True)


class SubjectSearch(TenantRepository):
    """Finds one tenant's subjects."""

    async def fold(self, text: str) -> list[str]:
        """Split a text into words as stored ones are: lower case, without accents and punctuation."""
        return list(await self._session.scalar(select(func.vultus_words(text))) or [])

    async def find(self, collection_id: UUID, filters: SubjectFilter, after: str | None, limit: int) -> list[str]:
        """Return the ids of up to `limit` subjects after the subject id `after`, by subject id."""
        conditions = _build_conditions(filters)
        driver = await self._choose(collection_id, conditions, after)
        if driver is None:
            in_order = next((condition for condition in conditions if condition.is_ordered), _EVERYBODY)
            statement = self._build(collection_id, in_order, conditions, after, limit, max_read=_MAX_READ)
            found = list(await self._session.scalars(statement))
            if len(found) == limit:
                return found
            driver = in_order if in_order is not _EVERYBODY else conditions[-1]
        statement = self._build(collection_id, driver, conditions, after, limit)
        return list(await self._session.scalars(statement))

    def _build(
        self,
        collection_id: UUID,
        driver: _Condition,
        conditions: Sequence[_Condition],
        after: str | None,
        limit: int,
        *,
        max_read: int | None = None,
    ) -> Select[Any]:
        """Build the statement that reads the matches of `driver`, at most `max_read`, and checks the others."""
        matches = self._read(collection_id, driver, after)
        if not driver.is_ordered:
            matches = select(matches.distinct().cte("matches").prefix_with("MATERIALIZED"))
        # OFFSET 0 keeps the planner from checking the other filters before the matches are in order, and the order
        # through those checks. Literal numbers tell it how few rows it needs: parameters, or a second ORDER BY, would
        # make it sort the whole collection.
        in_order = matches.order_by(matches.selected_columns.subject).offset(literal_column("0"))
        if max_read is not None:
            in_order = in_order.limit(literal_column(f"{max_read:d}"))
        ordered = in_order.subquery("ordered")
        others = [condition for condition in conditions if condition is not driver]
        checks = [self._check(collection_id, condition, ordered) for condition in others]
        return select(ordered.c.subject).where(*checks).limit(literal_column(f"{limit:d}"))

    def _read(self, collection_id: UUID, condition: _Condition, after: str | None) -> Select[Any]:
        model = condition.model
        statement = select(model.subject).where(
            self._of_tenant(model), model.collection_id == collection_id, *condition.conditions
        )
        return statement.where(model.subject > after) if after is not None else statement

    def _check(self, collection_id: UUID, condition: _Condition, ordered: FromClause) -> ColumnElement[bool]:
        """Check a filter for one subject; a scalar subquery, which the planner cannot turn into a join."""
        model = condition.model
        found = (
            select(literal(True))
            .where(
                self._of_tenant(model),
                model.collection_id == collection_id,
                model.subject == ordered.c.subject,
                *condition.of_subject,
            )
            .limit(1)
        )
        return found.correlate(ordered).scalar_subquery()

    async def _choose(
        self, collection_id: UUID, conditions: Sequence[_Condition], after: str | None
    ) -> _Condition | None:
        """Choose the filter with the fewest matches; None if all have more than can be sorted quickly."""
        if not conditions:
            return _EVERYBODY
        if len(conditions) == 1 and conditions[0].is_ordered:
            return conditions[0]
        counts = [
            select(func.count())
            .select_from(self._read(collection_id, condition, after).limit(_MAX_SORTED + 1).subquery())
            .scalar_subquery()
            for condition in conditions
        ]
        row = (await self._session.execute(select(*counts))).one()
        fewest = min(range(len(conditions)), key=lambda index: row[index])
        return conditions[fewest] if row[fewest] <= _MAX_SORTED else None


def _build_conditions(filters: SubjectFilter) -> list[_Condition]:
    conditions = [_build_metadata_condition(key, value) for key, value in filters.metadata.items()]
    conditions += [_build_word_condition(word) for word in filters.words]
    if filters.created_after is not None or filters.created_before is not None:
        conditions.append(_build_time_condition(filters.created_after, filters.created_before))
    return conditions


def _build_time_condition(after: datetime | None, before: datetime | None) -> _Condition:
    def is_between(created_at: SQLColumnExpression[datetime]) -> list[ColumnElement[bool]]:
        return [
            *([created_at > after] if after is not None else []),
            *([created_at < before] if before is not None else []),
        ]

    # The index on times does not know the sum: it would read all times for each subject.
    return _Condition(
        SubjectModel, is_between(SubjectModel.created_at), is_between(SubjectModel.created_at + timedelta())
    )


def _build_metadata_condition(key: str, value: str) -> _Condition:
    is_term = [SubjectTermModel.term == func.vultus_metadata_term(key, value)]
    return _Condition(SubjectTermModel, is_term, is_term, is_ordered=True)


def _build_word_condition(word: str) -> _Condition:
    term, beginning = SubjectTermModel.term, f"w{word}"
    begins_with = [term >= beginning, term <= beginning + _LAST]
    return _Condition(SubjectTermModel, begins_with, [func.starts_with(term, beginning)])
