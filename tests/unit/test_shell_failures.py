"""Why a program could not start, said so that somebody can mend it. The errno is what the kernel says of each file."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks_app.executors.shell_failures import cannot_enter, cannot_run

ELF = b"\x7fELF\x02\x01\x01" + bytes(57)


def write(path: Path, content: bytes, mode: int = 0o755) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


def symlink(path: Path) -> Path:
    path.symlink_to("/no/such/target")
    return path


def folder(path: Path) -> Path:
    path.mkdir()
    return path


def errno_of(argv: list[str], cwd: Path) -> int:
    with pytest.raises(OSError) as caught:
        subprocess.run(argv, cwd=cwd, check=False)
    assert caught.value.errno
    return caught.value.errno


class TestCannotRun:
    @pytest.mark.parametrize(
        ("make", "number", "why"),
        [
            (lambda p: write(p, b"#!/no/such/python\nx"), errno.ENOENT, "its interpreter '/no/such/python' is missing"),
            (
                lambda p: write(p, b"#!/bin/sh\r\necho hi\r\n"),
                errno.ENOENT,
                "its interpreter '/bin/sh\\r' is missing; the line ends as Windows ends lines",
            ),
            (
                lambda p: write(p, b"#! \t/no/perl -w\r\nx"),
                errno.ENOENT,
                "its interpreter '/no/perl' is missing",
            ),
            (symlink, errno.ENOENT, "it is a symbolic link to nothing"),
            (lambda p: write(p, b"echo no first line\n"), errno.ENOEXEC, "it is no program for this system"),
            (lambda p: write(p, b""), errno.ENOEXEC, "it is no program for this system"),
            (lambda p: write(p, b"#!/bin/sh\n", 0o644), errno.EACCES, "it is not executable for the account"),
            (folder, errno.EACCES, "it is a directory"),
            (lambda p: write(p, b"#!/etc/passwd\n"), errno.EACCES, "the interpreter it names is not executable"),
        ],
    )
    def test_says_what_to_mend(self, make: Callable[[Path], Path], number: int, why: str, tmp_path: Path) -> None:
        program = make(tmp_path / "job")
        found = errno_of([str(program)], tmp_path)
        assert found == number
        for name, cwd, path in (
            (str(program), "/", "/bin"),
            ("./job", str(tmp_path), "/bin"),
            ("job", "/", f"{tmp_path}"),
        ):
            said = cannot_run(name, found, cwd=cwd, env={"PATH": path})
            assert said.startswith(f"cannot run {name!r}: ")
            assert why in said

    def test_says_where_a_name_was_looked_for(self) -> None:
        assert cannot_run("nosuch", errno.ENOENT, cwd="/", env={"PATH": "/a:/b"}) == (
            "cannot run 'nosuch': no such program in PATH (/a:/b)"
        )

    def test_names_no_path_for_a_file(self) -> None:
        assert (
            cannot_run("/no/such", errno.ENOENT, cwd="/", env={})
            == "cannot run '/no/such': no such file on this worker"
        )

    def test_says_that_a_part_of_the_path_is_no_directory(self) -> None:
        said = cannot_run("/etc/passwd/x", errno.ENOTDIR, cwd="/", env={})
        assert said == "cannot run '/etc/passwd/x': a part of its path is no directory"

    def test_says_that_a_loader_is_missing(self, tmp_path: Path) -> None:
        program = write(tmp_path / "job", ELF)
        assert "built for another system" in cannot_run(str(program), errno.ENOENT, cwd="/", env={})

    @pytest.mark.parametrize(
        ("number", "why"),
        [
            (errno.E2BIG, "longer than this system takes"),
            (errno.ETXTBSY, "open for writing"),
            (errno.ELOOP, os.strerror(errno.ELOOP)),
            (errno.EACCES, os.strerror(errno.EACCES)),
        ],
    )
    def test_has_words_for_the_rest(self, number: int, why: str) -> None:
        assert why in cannot_run("/no/such", number, cwd="/", env={})

    @pytest.mark.parametrize("number", [errno.EACCES, errno.ENOENT])
    def test_survives_a_link_to_where_the_account_may_not_look(
        self, number: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (link := tmp_path / "link").symlink_to("/closed/program")
        look = os.stat

        def refuse(path: object, **more: bool) -> os.stat_result:
            if str(path) == str(link):
                raise PermissionError(errno.EACCES, "Permission denied")
            return look(str(path), **more)

        monkeypatch.setattr(os, "stat", refuse)
        assert cannot_run(str(link), number, cwd="/", env={}).startswith(f"cannot run {str(link)!r}: it is ")

    def test_survives_any_first_line(self, tmp_path: Path) -> None:
        for number, line in enumerate((b"#!", b"#!\n", b"#!   \n", b"#!\xff\xfe\r\n", b"#!" + b"x" * 5000)):
            program = write(tmp_path / str(number), line)
            assert cannot_run(str(program), errno.ENOENT, cwd="/", env={})


class TestCannotEnter:
    @pytest.mark.parametrize(
        ("number", "why"),
        [
            (errno.ENOENT, "it does not exist on this worker"),
            (errno.ENOTDIR, "is no directory"),
            (errno.EACCES, "may not enter it"),
            (errno.ELOOP, os.strerror(errno.ELOOP)),
        ],
    )
    def test_says_what_to_mend(self, number: int, why: str) -> None:
        assert cannot_enter("/srv/x", number).startswith("cannot enter workingDirectory '/srv/x': ")
        assert why in cannot_enter("/srv/x", number)
