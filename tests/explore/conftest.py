"""One session of a short video for the tests of the page's logic."""

from __future__ import annotations

import pytest

from agents.explore.models import Models
from agents.explore.session import Session


@pytest.fixture(scope="session")
def models():
    return Models.load("cpu")


@pytest.fixture(scope="session")
def opened(models, make_video):
    return Session(models, make_video(4))


@pytest.fixture
def session(opened):
    """With a search by hand that has just begun."""
    opened.search.restart()
    return opened


@pytest.fixture
def search(session):
    return session.search
