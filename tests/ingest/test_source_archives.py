"""How an archive gets into the store: from its publisher, a mirror or this machine, verified; and what does not."""

import hashlib
import http.server
import logging
import os
import threading
import zipfile
from dataclasses import replace
from functools import partial

import pytest

from recsys.config import IngestConfig
from recsys.errors import ConfigError, DataError, PermanentError, TransientError
from recsys.ingest import source_archives
from recsys.ingest.formats.known_releases import Release
from recsys.storage.opening import open_store
from tests.ingest import hostile

SAMPLE = {"dataset": "sample", "sample_users": 20, "sample_movies": 60}


@pytest.fixture
def store(settings):
    return open_store(settings.resolved_store_url)


@pytest.fixture(scope="module")
def web(tmp_path_factory):
    """A real web server over a folder, which says of every file that it is a zip file; yields address and folder."""
    folder = tmp_path_factory.mktemp("www")

    class Handler(http.server.SimpleHTTPRequestHandler):
        extensions_map = {"": "application/zip"}  # noqa: RUF012

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder))
    thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.02))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", folder
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def publisher(web, monkeypatch):
    """A release that nobody froze, and the file that its publisher offers."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    address, folder = web
    for path in folder.iterdir():
        path.unlink()
    path = hostile.write_zip(folder / "ml-test.zip")
    return Release("ml-test", f"{address}/ml-test.zip", "Test terms."), path


def md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


def changed(path, seconds=60):
    """Another edition under the same name, published later."""
    with zipfile.ZipFile(path, "a") as zipped:
        zipped.writestr(f"README-{seconds}.txt", "a new edition")
    later = path.stat().st_mtime + seconds  # HTTP dates have whole seconds
    os.utime(path, (later, later))


def take(path, store, settings):
    return source_archives.bring(IngestConfig(dataset=str(path)), store, settings)


def test_a_release_is_fetched_once_and_asked_for_changes(settings, store, publisher, caplog):
    caplog.set_level(logging.INFO)
    release, path = publisher
    first = source_archives.fetch(release, store, settings)
    assert (first.source, first.licence, first.verified_by) == (release.url, "Test terms.", "nothing")
    assert source_archives.fetch(release, store, settings) == first
    assert "ml-test: unchanged at its source" in caplog.text
    changed(path)
    newer = source_archives.fetch(release, store, settings)
    assert newer.sha256 != first.sha256
    assert len([key for key in store.list("archives/ml-test/") if key.endswith(".zip")]) == 2
    assert list((settings.tmp_dir / "downloads").iterdir()) == []


def test_where_the_server_names_no_version_the_bytes_tell_that_nothing_changed(settings, store, publisher):
    release, path = publisher
    first = source_archives.fetch(release, store, settings)
    later = path.stat().st_mtime + 60
    os.utime(path, (later, later))  # fetched again, for its date is another
    again = source_archives.fetch(release, store, settings)
    assert (again.archive, again.sha256) == (first.archive, first.sha256)


def test_without_network_the_copy_in_the_store_is_used(settings, store, publisher, caplog):
    release, path = publisher
    first = source_archives.fetch(release, store, settings)
    path.unlink()
    assert source_archives.fetch(release, store, settings) == first
    assert "could not ask whether it changed" in caplog.text


def test_a_sum_that_does_not_fit_is_an_error_even_with_a_copy_in_the_store(settings, store, publisher):
    release, path = publisher
    source_archives.fetch(release, store, settings)
    before = list(store.list())
    changed(path)
    path.with_name("ml-test.zip.md5").write_text(f"MD5 (ml-test.zip) = {'0' * 32}\n")
    with pytest.raises(DataError, match="its sidecar is 000"):
        source_archives.fetch(release, store, settings)
    assert list(store.list()) == before


def test_a_configured_mirror_is_asked_first_and_the_publisher_after_it(settings, store, publisher):
    release, path = publisher
    mirror = release.url.replace("ml-test", "mirrored")
    settings = settings.model_copy(update={"mirrors": {"ml-test": (mirror,)}})
    first = source_archives.fetch(release, store, settings)
    assert first.source == release.url  # the mirror has none
    path.with_name("mirrored.zip").write_bytes(path.read_bytes())
    path.with_name("mirrored.zip.md5").write_text(f"{md5(path)}  mirrored.zip\n")
    again = source_archives.fetch(release, store, settings)
    assert again == first  # by the mirror's sum, the same bytes
    changed(path.with_name("mirrored.zip"))
    path.with_name("mirrored.zip.md5").write_text(f"{md5(path.with_name('mirrored.zip'))}  mirrored.zip\n")
    newer = source_archives.fetch(release, store, settings)
    assert (newer.source, newer.verified_by) == (mirror, "the MD5 sum beside it")
    assert newer.sha256 != first.sha256


def test_a_frozen_release_must_have_its_digest_wherever_it_comes_from(settings, store, publisher):
    release, path = publisher
    frozen = replace(release, md5=md5(path))
    mirror = release.url.replace("ml-test", "forged")
    hostile.write_zip(path.with_name("forged.zip"), ("links.csv", b"other"))
    settings = settings.model_copy(update={"mirrors": {"ml-test": (mirror,)}})
    got = source_archives.fetch(frozen, store, settings)
    assert (got.source, got.verified_by) == (release.url, "the pinned MD5 sum")
    path.unlink()
    assert source_archives.fetch(frozen, store, settings) == got  # frozen: nobody is asked


def test_what_is_nowhere_is_an_error_that_names_the_way_out(settings, store, publisher):
    release, path = publisher
    path.unlink()
    with pytest.raises(PermanentError, match=r"answered 404 .* DATASET=/path/to/archive\.zip"):
        source_archives.fetch(release, store, settings)


def test_nobody_to_be_reached_is_a_passing_fault(settings, store, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(source_archives.downloads, "Policy", partial(source_archives.downloads.Policy, n_attempts=1))
    release = Release("ml-test", "http://127.0.0.1:9/ml-test.zip", "Test terms.")
    with pytest.raises(TransientError, match="Check the network"):
        source_archives.fetch(release, store, settings)


def test_a_mirror_of_no_release_is_refused_before_anything_starts(settings, store):
    settings = settings.model_copy(update={"mirrors": {"ml-25": ("https://mirror.example/ml-25m.zip",)}})
    with pytest.raises(ConfigError, match=r"RECSYS_MIRRORS names ml-25; the releases are ml-latest-small, .*ml-25m"):
        source_archives.bring(IngestConfig(**SAMPLE), store, settings)
    assert list(store.list()) == []


def test_the_sample_tells_whether_its_recipe_changed(settings, store):
    def bring(n_ratings):
        return source_archives.bring(IngestConfig(**SAMPLE, sample_ratings=n_ratings), store, settings)

    first, second, third = bring(500), bring(600), bring(500)
    assert (bring(500), second.sha256 != first.sha256) == (third, True)
    assert (third.sha256, third.at > second.at) == (first.sha256, True)  # brought again, so it is the newest


def test_a_local_archive_tells_whether_it_changed(settings, store, tmp_path):
    path = hostile.write_zip(tmp_path / "mine.zip")
    notes = [take(path, store, settings), take(path, store, settings)]
    changed(path)
    notes += [take(path, store, settings), take(path, store, settings)]
    assert (notes[1], notes[3]) == (notes[0], notes[2])
    assert notes[2].sha256 != notes[0].sha256


@pytest.mark.parametrize("style", ["MD5 (mine.zip) = {}\n", "{}  mine.zip\n", "{} *mine.zip\r\n", "{}"])
def test_a_local_archive_is_compared_with_the_sum_beside_it(settings, store, tmp_path, style):
    path = hostile.write_zip(tmp_path / "mine.zip")
    sidecar = path.with_name("mine.zip.md5")
    sidecar.write_text(style.format(md5(path)))
    assert take(path, store, settings).verified_by == "the MD5 sum beside it"
    sidecar.write_text(style.format("0" * 32))
    with pytest.raises(DataError, match=r"mine\.zip\.md5 beside it says 0000"):
        take(path, store, settings)


def test_a_local_table_of_its_own_keeps_its_ending(settings, store, tmp_path):
    path = tmp_path / "ratings.csv.gz"
    path.write_bytes(hostile.gzip.compress(hostile.RATINGS))
    note = take(path, store, settings)
    assert (note.dataset, note.archive.rpartition("/")[2]) == ("ratings", "ratings.csv.gz")
    assert store.get(note.archive) == path.read_bytes()


@pytest.mark.parametrize("case", hostile.ZIPS)
def test_a_hostile_local_archive_leaves_nothing_behind(settings, store, tmp_path, case):
    build, words = hostile.ZIPS[case]
    with pytest.raises(DataError, match=words):
        take(build(tmp_path / "bad.zip"), store, settings)
    assert list(store.list()) == []
    assert list(settings.tmp_dir.iterdir()) == []


@pytest.mark.parametrize("case", hostile.ZIPS)
def test_a_hostile_archive_from_the_network_leaves_nothing_behind(settings, store, publisher, case):
    release, path = publisher
    build, words = hostile.ZIPS[case]
    path.unlink()
    build(path)
    with pytest.raises(DataError, match=words):
        source_archives.fetch(release, store, settings)
    assert list(store.list()) == []
    assert list((settings.tmp_dir / "downloads").iterdir()) == []


@pytest.mark.parametrize("case", hostile.FILES)
def test_a_hostile_table_leaves_nothing_behind(settings, store, tmp_path, case):
    name, build, words = hostile.FILES[case]
    with pytest.raises(DataError, match=words):
        take(build(tmp_path / name), store, settings)
    assert list(store.list()) == []


def test_a_folder_with_a_link_out_of_it_leaves_nothing_behind(settings, store, tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "ratings.csv").write_bytes(hostile.RATINGS)
    (folder / "movies.csv").symlink_to("/etc/passwd")
    with pytest.raises(DataError, match=r"'movies\.csv' is a symbolic link"):
        take(folder, store, settings)
    assert list(store.list()) == []


def test_a_pipe_in_place_of_a_file_is_not_waited_for(settings, store, tmp_path):
    os.mkfifo(tmp_path / "ratings.csv")
    with pytest.raises(ConfigError, match="no such file or folder"):
        take(tmp_path / "ratings.csv", store, settings)
