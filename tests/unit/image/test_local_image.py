"""The image driver ``local``: data that is whole or not there, and descriptions that are found."""

import errno
import hashlib
import os
import signal
import subprocess
import sys
import threading
import tracemalloc
import uuid

import pytest

from tenter import errors, plugins
from tenter.conf import new_conf
from tenter.contracts.image import DownloadRequest, ImageDriver, ImageQuery, ImportRequest, ShowRequest, UploadRequest
from tenter_plugins.image.local import LocalImages, data

MIB = 1 << 20


def make(directory, **options):
    conf = new_conf(files=[], state_dir=directory)
    conf.register_opts(list(LocalImages.options), group="local_image")
    for name, value in options.items():
        conf.set_override(name, value, group="local_image")
    return plugins.load("image", "local", ImageDriver, conf, directory)


def queued(driver, **values):
    wanted = {"name": "one", "owner": "red", "disk_format": "raw", "container_format": "bare"}
    return driver.create({**wanted, **values})


def upload(driver, image, *chunks, size=None):
    return driver.upload(UploadRequest(image.id, iter(chunks), size))


def files(directory):
    """Return the names of all files of data below a state directory, whole or not."""
    return sorted(path.name for path in directory.rglob("*") if path.parent.name in ("data", "incoming"))


@pytest.fixture
def driver(tmp_path):
    found = make(tmp_path)
    yield found
    found.close()


def test_what_was_uploaded_is_what_comes_down(driver):
    content = os.urandom(MIB + 17)
    image = upload(driver, queued(driver), content[:100], b"", content[100:], size=len(content))
    assert image.status == "active" and image.size == len(content)
    assert image.checksum == hashlib.md5(content).hexdigest()
    assert image.hash == ("sha512", hashlib.sha512(content).hexdigest())
    assert b"".join(driver.download(DownloadRequest(image.id))) == content
    assert driver.show(ShowRequest(image.id)) == image


def test_an_empty_image_is_an_image(driver):
    image = upload(driver, queued(driver))
    assert image.size == 0 and b"".join(driver.download(DownloadRequest(image.id))) == b""


def test_neither_direction_takes_memory(driver):
    chunk = os.urandom(MIB)
    image = queued(driver)
    tracemalloc.start()
    try:
        driver.upload(UploadRequest(image.id, (chunk for _ in range(48)), 48 * MIB))
        assert sum(map(len, driver.download(DownloadRequest(image.id)))) == 48 * MIB
        assert tracemalloc.get_traced_memory()[1] < 4 * MIB
    finally:
        tracemalloc.stop()


def broken():
    yield b"x" * MIB
    raise errors.Invalid("The upload broke off")


def full():
    yield b"x" * MIB
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
    ("chunks", "size", "error"),
    [
        (broken, None, errors.Invalid),
        (full, None, errors.ResourceExhausted),
        (lambda: iter([b"x" * 10]), 11, errors.Invalid),
        (lambda: iter([b"x" * MIB] * 3), None, errors.TooLarge),
        (lambda: iter([]), 3 * MIB, errors.TooLarge),
    ],
)
def test_a_failed_upload_leaves_nothing_and_can_be_tried_again(tmp_path, chunks, size, error):
    driver = make(tmp_path, max_image_bytes=2 * MIB)
    image = queued(driver)
    with pytest.raises(error):
        driver.upload(UploadRequest(image.id, chunks(), size))
    found = driver.show(ShowRequest(image.id))
    assert (found.status, found.size, found.checksum, files(tmp_path)) == ("queued", None, None, [])
    with pytest.raises(errors.ImageUnusable):
        driver.download(DownloadRequest(image.id))
    assert upload(driver, image, b"good").status == "active"
    driver.close()


def test_a_disk_that_fills_up_leaves_nothing(tmp_path):
    """A real file system of 2 MiB, in a mount namespace of the test's own."""
    script = f"""
import pathlib, sys
sys.path.insert(0, {str(__file__).rpartition("/")[0]!r})
from test_local_image import *
directory = pathlib.Path(sys.argv[1])
driver = make(directory)
image = queued(driver)
try:
    driver.upload(UploadRequest(image.id, (b"x" * 65536 for _ in range(1000))))
except errors.ResourceExhausted as exc:
    print("refused:", exc, driver.show(ShowRequest(image.id)).status, files(directory))
"""
    inside = f'mount -t tmpfs -o size=2m none {tmp_path} && exec {sys.executable} -c "$0" {tmp_path}'
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", inside, script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"no mount namespaces here: {done.stderr}")
    assert done.stdout.startswith("refused:") and done.stdout.endswith("queued []\n"), done.stderr


CRASH = """
import os, pathlib, signal, sys
sys.path.insert(0, sys.argv[2])
from test_local_image import *
driver = make(pathlib.Path(sys.argv[1]))
image = queued(driver, id=sys.argv[3])
def chunks():
    yield b"x" * 100000
    if sys.argv[4] == "writing":
        os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[4] == "recording":
    real = driver._catalog.move
    driver._catalog.move = lambda *a, **k: (
        os.kill(os.getpid(), signal.SIGKILL) if a[1] == "saving" else real(*a, **k))
driver.upload(UploadRequest(image.id, chunks()))
"""


@pytest.mark.parametrize("moment", ["writing", "recording"])
def test_a_killed_upload_is_swept_at_the_next_start(tmp_path, moment):
    image_id = str(uuid.uuid4())
    here = __file__.rpartition("/")[0]
    command = [sys.executable, "-c", CRASH, str(tmp_path), here, image_id, moment]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert files(tmp_path) == [image_id]
    driver = make(tmp_path)
    assert (driver.show(ShowRequest(image_id)).status, files(tmp_path)) == ("queued", [])
    assert upload(driver, driver.show(ShowRequest(image_id)), b"again").status == "active"
    driver.close()


def test_data_that_nobody_describes_is_swept(driver, tmp_path):
    kept = upload(driver, queued(driver), b"kept")
    (data_dir,) = tmp_path.rglob("data")
    (data_dir / str(uuid.uuid4())).write_bytes(b"orphan")
    driver.close()
    again = make(tmp_path)
    assert files(tmp_path) == [kept.id]
    assert b"".join(again.download(DownloadRequest(kept.id))) == b"kept"
    again.close()


def test_a_start_beside_a_running_upload_does_not_disturb_it(driver, tmp_path):
    image = queued(driver)

    def chunks():
        yield b"first"
        other = make(tmp_path)
        assert other.show(ShowRequest(image.id)).status == "saving"
        with pytest.raises(errors.Conflict):
            upload(other, image, b"mine")
        other.close()
        yield b"second"

    driver.upload(UploadRequest(image.id, chunks()))
    assert b"".join(driver.download(DownloadRequest(image.id))) == b"firstsecond"


def test_of_many_uploads_at_once_one_wins(driver, tmp_path):
    image, outcomes = queued(driver), []
    barrier = threading.Barrier(6)

    def run(letter):
        barrier.wait()
        try:
            upload(driver, image, letter * MIB)
            outcomes.append(letter)
        except errors.Conflict:
            pass

    threads = [threading.Thread(target=run, args=(bytes([97 + n]),)) for n in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
    (winner,) = outcomes
    assert b"".join(driver.download(DownloadRequest(image.id))) == winner * MIB
    assert files(tmp_path) == [image.id]


def test_an_image_deleted_during_its_upload_is_gone(driver, tmp_path):
    image = queued(driver)

    def chunks():
        yield b"first"
        driver.delete(image.id)
        yield b"second"

    with pytest.raises(errors.NotFound):
        driver.upload(UploadRequest(image.id, chunks()))
    assert files(tmp_path) == []


def test_delete_takes_the_data_but_not_from_who_reads_it(driver, tmp_path):
    content = os.urandom(3 * data.CHUNK)
    image = upload(driver, queued(driver), content)
    reading = driver.download(DownloadRequest(image.id))
    start = next(reading)
    driver.delete(image.id)
    assert files(tmp_path) == []
    assert start + b"".join(reading) == content
    for use, asked in (
        (driver.show, ShowRequest(image.id)), (driver.download, DownloadRequest(image.id)), (driver.delete, image.id),
    ):  # fmt: skip
        with pytest.raises(errors.NotFound):
            use(asked)


def test_a_protected_image_stays(driver):
    image = upload(driver, queued(driver, protected=True), b"x")
    with pytest.raises(errors.Forbidden):
        driver.delete(image.id)
    driver.update(image.id, {"protected": False})
    driver.delete(image.id)


def test_data_needs_formats_and_fixes_them(driver):
    image = queued(driver, disk_format=None)
    with pytest.raises(errors.Invalid, match="disk_format"):
        upload(driver, image, b"x")
    driver.update(image.id, {"disk_format": "qcow2"})
    upload(driver, image, b"x")
    with pytest.raises(errors.Conflict):
        driver.update(image.id, {"disk_format": "raw"})
    with pytest.raises(errors.Conflict):
        upload(driver, image, b"y")
    assert b"".join(driver.download(DownloadRequest(image.id))) == b"x"


def test_an_id_can_be_chosen_once_and_is_no_path(driver):
    image = queued(driver, id=str(uuid.uuid4()))
    with pytest.raises(errors.Conflict):
        queued(driver, id=image.id)
    for bad in ("../../etc/passwd", "x", "", image.id.upper()):
        with pytest.raises(errors.Invalid):
            queued(driver, id=bad)


@pytest.mark.parametrize(
    ("visibility", "shown", "listed"),
    [("public", True, True), ("private", False, False), ("shared", False, False), ("community", True, False)],
)
def test_what_another_project_sees(driver, visibility, shown, listed):
    image = queued(driver, visibility=visibility)
    assert driver.show(ShowRequest(image.id, "red")) == image
    assert driver.list(ImageQuery(project_id="red")) == [image]
    assert driver.list(ImageQuery()) == [image]
    assert bool(driver.list(ImageQuery(project_id="blue"))) == listed
    if shown:
        assert driver.show(ShowRequest(image.id, "blue")) == image
        assert driver.list(ImageQuery(project_id="blue", visibility=visibility)) == [image]
    else:
        with pytest.raises(errors.NotFound):
            driver.show(ShowRequest(image.id, "blue"))
        assert driver.list(ImageQuery(project_id="blue", visibility=visibility)) == []


def test_filters(driver):
    one = upload(driver, queued(driver, tags=["a", 'q"u,o']), b"12345")
    two = queued(driver, name="two", owner="blue", properties={"os": "linux"}, min_ram=5)
    three = queued(driver, name=None, disk_format="iso", protected=True)
    cases = {
        (one.id,): [ImageQuery(ids=(one.id, "none")), ImageQuery(statuses=("active",)), ImageQuery(tags=("a",)),
                    ImageQuery(tags=("a", 'q"u,o')), ImageQuery(size_min=5, size_max=5),
                    ImageQuery(checksum=one.checksum)],
        (two.id,): [ImageQuery(names=("two",)), ImageQuery(owner="blue"), ImageQuery(properties={"os": "linux"})],
        (three.id,): [ImageQuery(disk_formats=("iso",)), ImageQuery(protected=True)],
        (): [ImageQuery(tags=("a", "b")), ImageQuery(tags=("o",)), ImageQuery(size_min=6), ImageQuery(ids=()),
             ImageQuery(properties={"os": "bsd"}), ImageQuery(names=("' OR 1=1 --",))],
    }  # fmt: skip
    for wanted, queries in cases.items():
        for query in queries:
            assert tuple(image.id for image in driver.list(query)) == wanted, query


@pytest.mark.parametrize("way", ["asc", "desc"])
@pytest.mark.parametrize(
    "keys", [("created_at",), ("name",), ("size", "name"), ("disk_format", "min_ram"), ("id",)]
)
def test_pages_hold_every_image_once_in_order(driver, keys, way):
    names = ["b", None, "a", "a", None, "c", "b"]
    for number, name in enumerate(names):
        image = queued(driver, name=name, min_ram=number % 2, disk_format=[None, "raw", "iso"][number % 3])
        if number in (1, 5):
            upload(driver, image, b"x" * number)
    sort = tuple((key, way) for key in keys)
    whole = [image.id for image in driver.list(ImageQuery(sort=sort))]
    paged, marker = [], None
    while page := driver.list(ImageQuery(sort=sort, limit=2, marker=marker)):
        paged += [image.id for image in page]
        marker = page[-1].id
    assert paged == whole and len(set(paged)) == len(names)


def test_strange_pages_are_refused(driver):
    for query in (
        ImageQuery(marker="none"),
        ImageQuery(sort=(("properties", "asc"),)),
        ImageQuery(sort=(("id", "up"),)),
    ):
        with pytest.raises(errors.Invalid):
            driver.list(query)


def test_a_file_is_imported_once(driver, tmp_path):
    path = tmp_path / "tiny.img"
    path.write_bytes(b"tiny" * 1000)
    request = ImportRequest(
        path, "tiny", "admin", "raw", values={"min_ram": 64, "properties": {"os": "linux"}}
    )
    image = driver.import_file(request)
    assert (image.status, image.visibility, image.min_ram, image.properties) == (
        "active",
        "public",
        64,
        {"os": "linux"},
    )
    assert driver.import_file(request) == image
    path.write_bytes(b"other")
    assert b"".join(driver.download(DownloadRequest(image.id))) == b"tiny" * 1000
    assert driver.import_file(request).id != image.id
    with pytest.raises(errors.Invalid):
        driver.import_file(ImportRequest(tmp_path / "none", "none", "admin"))
    assert len(driver.list(ImageQuery())) == 2


def test_an_import_that_fails_leaves_no_image(tmp_path):
    driver = make(tmp_path, max_image_bytes=10)
    path = tmp_path / "tiny.img"
    path.write_bytes(b"x" * 11)
    with pytest.raises(errors.TooLarge):
        driver.import_file(ImportRequest(path, "tiny", "admin"))
    assert driver.list(ImageQuery()) == [] and files(tmp_path) == []
    driver.close()
