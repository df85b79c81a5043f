"""Requests that a machine makes up from the API's own description: none may make the server fail."""

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings

from accord.feedback import Form, Role
from accord.store import Store
from accord.web.app import create_app
from web_kit import ORIGIN, campaign, make_site, user, world


def operations():
    """(method, path) of all that the API's description has."""
    with Store.open(":memory:") as store:
        described = create_app(make_site(store, team=True)).openapi()["paths"]
    return [(method, path) for path, methods in sorted(described.items()) for method in sorted(methods)]


OPERATIONS = operations()


@pytest.fixture(scope="module")
def token_and_api(tmp_path_factory):
    """An administrator's token, and the API with questions of every form to be answered."""
    folder = tmp_path_factory.mktemp("fuzz")
    with Store.open(folder / "accord.db") as store:
        store.add(world(prompts=3, answers=4))
        site = make_site(store, team=True, runs=folder / "runs")
        admin = user(site, "admin", Role.ADMIN)
        for form in Form:
            made = campaign(site, form, overlap=3)
            site.asking.next(made.id, admin.annotator_id, 3)
        schema = schemathesis.openapi.from_asgi("/api/openapi.json", create_app(site), headers={"host": ORIGIN[7:]})
        schema.config.update(base_url=ORIGIN)
        yield site.people.open_session(admin.id, name="fuzz"), schema


def test_the_api_describes_itself(token_and_api):
    assert len(OPERATIONS) > 20
    assert ("post", "/api/votes") in OPERATIONS


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_no_request_makes_the_server_fail(token_and_api, method, path):
    token, api = token_and_api

    @given(case=api[path][method].as_strategy())
    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    def try_it(case):
        answer = case.call(base_url=ORIGIN, headers={"authorization": f"Bearer {token}"})
        assert answer.status_code < 500, answer.text

    try_it()
