"""What the package knows of releases, and how mirrors are configured."""

import json

import pytest

from recsys.config import Settings
from recsys.errors import ConfigError
from recsys.ingest.formats.known_releases import RELEASES


def test_every_release_has_an_address_terms_and_official_counts():
    assert len(RELEASES) == 11
    for release in (release for release in RELEASES.values() if release.name != "sample"):
        assert release.url.startswith("https://"), release.name
        assert "commercial use" in release.licence, release.name
        assert "redistribution" in release.licence, release.name
        assert release.counts.n_ratings > 0, release.name


def test_both_sizes_of_the_movies_dataset_come_from_one_archive():
    full, small = RELEASES["the-movies-dataset"], RELEASES["the-movies-dataset-small"]
    assert full.url == small.url
    assert (full.ratings_file, small.ratings_file) == ("ratings.csv", "ratings_small.csv")


def test_mirrors_come_first_and_copies_last_and_only_for_those_who_hold_nothing():
    release = RELEASES["ml-latest"]
    assert release.addresses(["https://near.example/x.zip"]) == (
        "https://near.example/x.zip",
        release.url,
        *release.copies,
    )
    assert release.addresses(is_held=True) == (release.url,)


def test_mirrors_are_read_from_the_environment(monkeypatch):
    address = "https://near.example/ml-25m.zip"
    monkeypatch.setenv(
        "RECSYS_MIRRORS", json.dumps({"ml-25m": [address], "ml-1m": ["http://127.0.0.1:8000/ml-1m.zip"]})
    )
    assert Settings.load().mirrors["ml-25m"] == (address,)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ('{"ml-25m": ["http://near.example/ml-25m.zip"]}', "unencrypted transfers are refused"),
        ('{"ml-25m": ["ftp://near.example/ml-25m.zip"]}', "is no https address"),
        ('{"ml-25m": ["https:///ml-25m.zip"]}', "is no https address"),
        ('{"ml-25m": "https://near.example/ml-25m.zip"}', "valid tuple"),
        ('{"ml-25m": [', "Write it as JSON"),
    ],
)
def test_a_mirror_that_cannot_be_used_is_refused_at_once(monkeypatch, value, words):
    monkeypatch.setenv("RECSYS_MIRRORS", value)
    with pytest.raises(ConfigError, match=words):
        Settings.load()
