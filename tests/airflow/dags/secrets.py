"""Tasks that fail with a connection full of secrets, and say whatever they know; `test_secrets.py` looks for them."""

from __future__ import annotations

import logging

from airflow.sdk import dag, task

from cellar_airflow import BaseBumpedSensor, CellarHook, PlanRebuilds, RegisterModel, base_bumped

CONN_ID = "cellar_secret"


@dag(schedule=base_bumped("sec/rack", conn_id=CONN_ID))
def secrets():
    RegisterModel(task_id="register", rack="sec/rack", path="/nowhere", bump="minor", conn_id=CONN_ID)
    PlanRebuilds(task_id="plan", rack="sec/rack", conn_id=CONN_ID)
    BaseBumpedSensor(task_id="sensor", rack="sec/rack", conn_id=CONN_ID, start_from_trigger=True)

    @task
    def talkative():
        hook = CellarHook(CONN_ID)
        extra = hook.get_connection(CONN_ID).extra_dejson
        try:
            print(hook, hook.cellar, vars(hook.cellar))
        except ValueError as error:  # an environment without the package for such buckets
            print(repr(error))
        logging.getLogger(__name__).info("the options are %s", extra)
        print("the options are", extra)
        raise RuntimeError(f"with {extra}")

    talkative()


secrets()
