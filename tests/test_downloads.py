import concurrent.futures
import errno
import hashlib
import io
import os
import subprocess
import tarfile
import threading
import types
import zipfile

import pytest

from hpof_jax import archives, downloads
from hpof_jax.downloads import Package, Pinned, fetch
from hpof_jax.errors import UserError

WHEEL = Package("models", "1.0", "CC0", "the models", tags=("--platform=any",))
NPM = Package("@maker/pose", "2.0", "CC0", "the heavy model", from_npm=True)
CONTENT = {"models/a.bin": b"first", "models/b.bin": b"second", "demo/clip.bin": b"clip", "../evil": b"evil"}


def digest(data):
    return hashlib.sha256(data).hexdigest()


def wheel_bytes(content=None):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in (content or CONTENT).items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return buffer.getvalue()


def odd_wheel(method=zipfile.ZIP_STORED, encrypted=False):
    """A wheel whose members are compressed in another way, or are said to be encrypted."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr("models/a.bin", b"first")
    content = bytearray(buffer.getvalue())
    content[content.index(b"PK\x01\x02") + 8] |= encrypted
    return bytes(content)


def tarball_bytes(link=None):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        member = tarfile.TarInfo("package/heavy.bin")
        if link:
            member.type, member.linkname = tarfile.SYMTYPE, link
        else:
            member.size = len(b"heavy")
        archive.addfile(member, io.BytesIO(b"heavy"))
    return buffer.getvalue()


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """A cache in `tmp_path`, and a pip and an npm that hand out `shop.archive` and count how often they are
    called.
    """
    shop = types.SimpleNamespace(archive=wheel_bytes(), calls=[], error=None, too_slow=False)

    def run(command, timeout, **_):
        assert isinstance(command, list)
        shop.calls.append(command)
        if shop.too_slow:
            raise subprocess.TimeoutExpired(command, timeout)
        if shop.error is not None:
            return subprocess.CompletedProcess(command, 1, "", shop.error)
        [folder] = [
            part.split("=", 1)[1] for part in command if part.startswith(("--dest=", "--pack-destination="))
        ]
        suffix = ".tgz" if "pack" in command else ".whl"
        with open(os.path.join(folder, "archive" + suffix), "wb") as file:
            file.write(shop.archive)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(downloads.shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setenv("HPOF_JAX_CACHE", str(tmp_path / "cache"))
    pins = {
        "a": Pinned(WHEEL, {"models/a.bin": digest(b"first")}),
        "b": Pinned(WHEEL, {"models/b.bin": digest(b"second")}),
        "demo": Pinned(WHEEL, {"demo/clip.bin": digest(b"clip")}, folder="demo"),
        "heavy": Pinned(NPM, {"package/heavy.bin": digest(b"heavy")}),
    }
    monkeypatch.setattr(downloads, "PINNED", pins)
    return shop


def message(name):
    with pytest.raises(UserError) as error:
        fetch(name)
    assert "\n" not in str(error.value)
    return str(error.value)


def kept(tmp_path):
    return sorted(path.name for path in tmp_path.rglob("*") if path.is_file())


def test_one_download_keeps_every_pinned_file_of_the_package(shop, tmp_path):
    assert fetch("a").read_bytes() == b"first"
    assert fetch("b").read_bytes() == b"second"
    assert [path.name for path in fetch("demo").iterdir()] == ["clip.bin"]
    assert len(shop.calls) == 1
    assert (
        "models==1.0" in shop.calls[0] and "--platform=any" in shop.calls[0] and "--no-deps" in shop.calls[0]
    )
    assert kept(tmp_path) == [
        "a.bin",
        "b.bin",
        "clip.bin",
    ]  # nothing else of the wheel, and no temporary file


def test_warm_cache_starts_no_program(shop, monkeypatch):
    path = fetch("a")
    monkeypatch.setattr(subprocess, "run", None)
    assert fetch("a") == path


def test_damaged_file_is_fetched_again(shop):
    fetch("a").write_bytes(b"damaged")
    assert fetch("a").read_bytes() == b"first"
    assert len(shop.calls) == 2


def test_whole_wheel(shop, monkeypatch):
    monkeypatch.setitem(downloads.PINNED, "wheel", Pinned(WHEEL, {"": digest(shop.archive)}))
    assert fetch("wheel").read_bytes() == shop.archive


def test_npm_package(shop):
    shop.archive = tarball_bytes()
    assert fetch("heavy").read_bytes() == b"heavy"
    assert shop.calls[0][:3] == ["/bin/npm", "pack", "@maker/pose@2.0"]


def test_wrong_hash_is_thrown_away(shop, tmp_path):
    shop.archive = wheel_bytes({**CONTENT, "models/a.bin": b"other"})
    assert "models/a.bin of models 1.0 is not the pinned file" in message("a")
    assert "a.bin" not in kept(tmp_path)


@pytest.mark.parametrize("archive", [b"no archive", wheel_bytes({"other": b""}), wheel_bytes()[:60]])
@pytest.mark.parametrize("name", ["a", "heavy"])
def test_damaged_archive(shop, tmp_path, archive, name):
    shop.archive = archive
    assert "is damaged or lacks" in message(name)
    assert kept(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "archive"),
    [
        ("a", odd_wheel(zipfile.ZIP_LZMA)),
        ("a", odd_wheel(zipfile.ZIP_BZIP2)),
        ("a", odd_wheel(encrypted=True)),
        ("heavy", tarball_bytes(link="/etc/passwd")),
        ("heavy", tarball_bytes(link="heavy.bin")),
    ],
)
def test_encryption_odd_compression_and_links_are_refused(shop, tmp_path, name, archive):
    shop.archive = archive
    assert "is damaged or lacks" in message(name)
    assert kept(tmp_path) == []


@pytest.mark.parametrize(("name", "program"), [("a", "pip"), ("heavy", "npm")])
def test_a_program_that_takes_too_long_is_ended(shop, tmp_path, name, program):
    shop.too_slow = True
    assert f"{program} took more than 30 minutes" in message(name)
    assert kept(tmp_path) == []
    assert any("timeout=60" in option for option in shop.calls[0])


def test_two_downloads_at_once_do_not_disturb_each_other(shop, tmp_path, monkeypatch):
    both, run = threading.Barrier(2, timeout=60), subprocess.run

    def run_together(command, **options):
        both.wait()  # each has found that the cache is empty
        return run(command, **options)

    monkeypatch.setattr(subprocess, "run", run_together)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        found = [*pool.map(fetch, ["a", "b"])]
    assert [path.read_bytes() for path in found] == [b"first", b"second"]
    assert len(shop.calls) == 2 and kept(tmp_path) == ["a.bin", "b.bin", "clip.bin"]


def test_a_link_in_the_cache_is_replaced_and_its_target_kept(shop, tmp_path):
    path = fetch("a")
    (tmp_path / "mine").write_bytes(b"my file")
    path.unlink()
    path.symlink_to(tmp_path / "mine")
    assert fetch("a").read_bytes() == b"first"
    assert not path.is_symlink() and (tmp_path / "mine").read_bytes() == b"my file"


@pytest.mark.parametrize(
    ("link", "target"), [("models", "elsewhere"), ("models", "cache/models-1.0/models"), ("", "elsewhere")]
)
def test_a_linked_folder_in_the_cache_is_refused(shop, tmp_path, link, target):
    """It leads out of the cache, or to itself."""
    folder = tmp_path / "cache" / "models-1.0" / link
    folder.parent.mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    folder.symlink_to(tmp_path / target)
    assert "remove the links in that folder" in message("a")
    assert kept(tmp_path) == [] and shop.calls == []


def test_no_network(shop, tmp_path):
    shop.error = "WARNING: Retrying\nERROR: No matching distribution found for models==1.0\n"
    text = message("a")
    assert "network" in text and "No matching distribution" in text and "WARNING" not in text
    assert kept(tmp_path) == []


def test_missing_pip_or_npm(shop, monkeypatch):
    monkeypatch.setattr(downloads.importlib.util, "find_spec", lambda name: None)
    assert "pip is needed" in message("a")
    monkeypatch.setattr(downloads.shutil, "which", lambda name: None)
    assert "npm is needed" in message("heavy")


def test_full_disk(shop, monkeypatch, tmp_path):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(archives.Archive, "copy", full)
        assert "disk is full" in message("a")
    shop.error = "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device"
    assert "disk is full" in message("a")
    assert kept(tmp_path) == []


def test_cache_that_cannot_be_written(shop, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("HPOF_JAX_CACHE", str(tmp_path / "file" / "cache"))
    assert "HPOF_JAX_CACHE" in message("a")


def test_no_file_is_written_outside_the_cache(shop, monkeypatch, tmp_path):
    monkeypatch.setitem(downloads.PINNED, "evil", Pinned(WHEEL, {"../evil": digest(b"evil")}))
    assert "outside the cache" in message("evil")
    assert kept(tmp_path) == [] and shop.calls == []


def test_unknown_name(shop):
    assert "unknown file 'c': the pinned files are a, b, demo, heavy" == message("c")


def test_real_pins_are_whole():
    for pinned in downloads.PINNED.values():
        assert pinned.package.licence
        for member, value in pinned.sha256.items():
            assert len(bytes.fromhex(value)) == 32
            assert pinned.folder is None or member.startswith(pinned.folder + "/")


@pytest.mark.network
def test_real_model_is_fetched():
    assert fetch("pose_detection").stat().st_size == 2959046
