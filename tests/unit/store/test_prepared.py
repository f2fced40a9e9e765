"""A prepared statement does what SQLAlchemy would do with it, errors included."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from oslo_db import exception as db_exception

from tenter.store.columns import Json
from tenter.store.engine import Database, sqlite_url
from tenter.store.prepared import Prepared

TABLE = sa.Table(
    "things", sa.MetaData(), sa.Column("key", sa.String(36), primary_key=True), sa.Column("count", sa.BigInteger),
    sa.Column("on", sa.Boolean), sa.Column("at", sa.Double), sa.Column("more", Json),
    sa.Column("state", sa.String(8), default="new"),
)  # fmt: skip
KEY: sa.BindParameter[str] = sa.bindparam("p_key")
INSERT = Prepared(sa.insert(TABLE))
GET = Prepared(sa.select(TABLE).where(TABLE.c.key == KEY))
OPEN = Prepared(sa.select(TABLE.c.key).where(TABLE.c.state.in_(("new", "old"))).order_by(TABLE.c.key))
SET = Prepared(sa.update(TABLE).where(TABLE.c.key == KEY))
ADD = Prepared(
    sa.update(TABLE).where(TABLE.c.key == KEY).values(count=TABLE.c.count + sa.bindparam("p_more", type_=sa.Integer))
)


@pytest.fixture
def db(tmp_path: Path) -> Database:
    found = Database(sqlite_url(tmp_path / "x.sqlite"))
    with found.write() as connection:
        TABLE.create(connection)
    return found


def _row(**values: Any) -> dict[str, Any]:
    return {"key": "a", "count": 1, "on": True, "at": 0.5, "more": {"x": [1]}, "state": "new", **values}


def _get(db: Database, key: str = "a") -> Any:
    with db.read() as connection:
        return GET.rows(connection, {"p_key": key}).mappings().one()


def test_what_goes_in_comes_out(db: Database) -> None:
    with db.write() as connection:
        assert INSERT.change(connection, _row()) == 1
    assert dict(_get(db)) == _row()
    assert _get(db)["on"] is True


@given(more=st.recursive(st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(), st.lists, max_leaves=5),
       on=st.booleans() | st.none(), at=st.floats(allow_nan=False) | st.none(),
       count=st.integers(-(2**63), 2**63 - 1))  # fmt: skip
def test_it_reads_and_writes_as_sqlalchemy_does(more: Any, on: Any, at: Any, count: int) -> None:
    db = Database("sqlite://")
    row = _row(more=[more], on=on, at=at, count=count)
    with db.write() as connection:
        TABLE.create(connection)
        INSERT.change(connection, row)
        theirs = connection.execute(GET.statement, {"p_key": "a"}).mappings().one()
        assert GET.rows(connection, {"p_key": "a"}).mappings().one() == theirs == row
    db.close()


def test_any_columns_may_be_set(db: Database) -> None:
    with db.write() as connection:
        INSERT.change(connection, _row())
        assert SET.change(connection, {"p_key": "a", "more": None, "on": False}) == 1
        assert SET.change(connection, {"p_key": "a", "at": 2.0}) == 1
        assert SET.change(connection, {"p_key": "b", "at": 3.0}) == 0
        assert ADD.change(connection, {"p_key": "a", "p_more": 41}) == 1
    assert dict(_get(db)) == _row(more=None, on=False, at=2.0, count=42)


def test_lists_of_constants(db: Database) -> None:
    with db.write() as connection:
        INSERT.change_all(
            connection, [_row(key=key, state=state) for key, state in zip("abc", ("old", "x", "new"), strict=True)]
        )
    with db.read() as connection:
        assert OPEN.rows(connection, {}).scalars().all() == ["a", "c"]


def test_defaults_are_kept(db: Database) -> None:
    values = _row()
    del values["state"]
    with db.write() as connection:
        assert INSERT.change(connection, values) == 1
    assert _get(db)["state"] == "new"


def test_errors_are_those_that_callers_know(db: Database) -> None:
    with db.write() as connection:
        INSERT.change(connection, _row())
    with pytest.raises(db_exception.DBDuplicateEntry), db.write() as connection:
        INSERT.change(connection, _row())
    with pytest.raises(db_exception.DBDuplicateEntry), db.write() as connection:
        INSERT.change_all(connection, [_row(key="b"), _row(key="a")])
    with db.read() as connection:
        assert OPEN.rows(connection, {}).scalars().all() == ["a"]
    with pytest.raises(sa.exc.InvalidRequestError), db.read() as connection:
        GET.rows(connection, {})
