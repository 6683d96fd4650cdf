"""The asset of a base: one name for one watcher, and no way to spell it wrongly."""

from __future__ import annotations

import pytest
from airflow.sdk import Asset
from airflow.serialization.encoders import encode_trigger
from airflow.triggers.base import BaseEventTrigger

from cellar_airflow import base_bumped
from cellar_core.ref import InvalidRef


def hashed(asset: Asset) -> int:
    """What Airflow tells two watchers apart by."""
    encoded = encode_trigger(asset.watchers[0].trigger)
    return BaseEventTrigger.hash(encoded["classpath"], encoded["kwargs"])


def test_equal_uris_have_equal_watchers_and_others_have_others() -> None:
    """Two DAG files that declare different watchers for one asset take them away from each other."""
    one, same = base_bumped("vit/vit-l"), base_bumped("vit/vit-l", conn_id="cellar_default")
    others = [base_bumped("vit/vit-s"), base_bumped("vit/vit-l", conn_id="prod")]
    others += [base_bumped("vit-l", conn_id="prod/vit"), base_bumped("vit/vit-l", conn_id="PROD")]
    assert (one.name, one.uri, hashed(one)) == (same.name, same.uri, hashed(same))
    assert one.name == one.uri == "cellar://cellar_default/vit/vit-l/base"
    assert (
        len({asset.uri for asset in (one, *others)}) == len({hashed(asset) for asset in (one, *others)}) == 5
    )


def test_a_wrong_rack_is_refused_when_the_dag_is_parsed() -> None:
    with pytest.raises(InvalidRef, match="is no rack"):
        base_bumped("vit/../vit-l")


@pytest.mark.parametrize(
    "uri", ["cellar:///base", "cellar://c/base", "cellar://c/vit/vit-l", "cellar://c/v@1/base"]
)
def test_airflow_refuses_other_uris_of_the_scheme(uri: str) -> None:
    with pytest.raises(ValueError, match=r"base_bumped|is no rack"):
        Asset(uri)
