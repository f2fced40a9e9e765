"""Requests about decisions; our own, so they are strict at every microversion."""

from __future__ import annotations

from tenter_api.compute.schemas.parameters import HOST, NON_NEGATIVE, query, single

QUERY = {1: single(query({"limit": {**NON_NEGATIVE, "pattern": "^[0-9]{1,9}$"}, "host": HOST}, strict=True))}
