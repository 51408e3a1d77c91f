"""What a worker lets SHELL tasks run, and which variables they get."""

from __future__ import annotations

import time
from datetime import timedelta
from functools import cache
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks_app import conf
from tasks_app.executors.base import Execution
from tasks_app.executors.shell_policy import environment_of, refusal

#: Variables known to make some program run, load or read another thing. The rule knows none of them.
_KNOWN = """
    PATH HOME TMPDIR TMP TEMP PWD OLDPWD CDPATH SHELL USER LOGNAME IFS ENV BASH_ENV SHELLOPTS BASHOPTS PS4
    PROMPT_COMMAND BASH_FUNC_ls BASH_LOADABLES_PATH INPUTRC FPATH ZDOTDIR EDITOR VISUAL PAGER MANPAGER LESS LESSOPEN
    LESSCLOSE BROWSER LD_PRELOAD LD_LIBRARY_PATH LD_AUDIT LD_DEBUG_OUTPUT LD_PROFILE_OUTPUT DYLD_INSERT_LIBRARIES
    DYLD_LIBRARY_PATH GLIBC_TUNABLES GCONV_PATH LOCPATH NLSPATH MALLOC_CHECK_ RES_OPTIONS HOSTALIASES LOCALDOMAIN
    TZDIR TERM TERMINFO TERMINFO_DIRS TERMCAP XDG_CONFIG_HOME XDG_CONFIG_DIRS XDG_DATA_HOME XDG_DATA_DIRS
    XDG_CACHE_HOME XDG_RUNTIME_DIR PYTHONPATH PYTHONHOME PYTHONSTARTUP PYTHONWARNINGS PYTHONBREAKPOINT PYTHONINSPECT
    PYTHONUSERBASE PYTHONPYCACHEPREFIX PERL5LIB PERL5OPT PERL5DB PERLLIB PERLIO_DEBUG RUBYLIB RUBYOPT GEM_HOME
    GEM_PATH BUNDLE_GEMFILE NODE_OPTIONS NODE_PATH NODE_EXTRA_CA_CERTS NPM_CONFIG_PREFIX npm_config_script_shell
    JAVA_TOOL_OPTIONS _JAVA_OPTIONS JDK_JAVA_OPTIONS CLASSPATH JAVA_HOME LUA_PATH LUA_CPATH LUA_INIT PHPRC
    PHP_INI_SCAN_DIR TCLLIBPATH R_PROFILE R_HOME GUILE_LOAD_PATH EMACSLOADPATH GIT_SSH GIT_SSH_COMMAND
    GIT_EXTERNAL_DIFF GIT_PAGER GIT_EDITOR GIT_SEQUENCE_EDITOR GIT_ASKPASS SSH_ASKPASS GIT_PROXY_COMMAND
    GIT_CONFIG_COUNT GIT_CONFIG_GLOBAL GIT_CONFIG_SYSTEM GIT_CONFIG_PARAMETERS GIT_EXEC_PATH GIT_TEMPLATE_DIR
    GIT_DIR GIT_WORK_TREE HGRCPATH SVN_SSH CVS_RSH RSYNC_RSH SSH_AUTH_SOCK SSH_SK_PROVIDER SUDO_ASKPASS TAR_OPTIONS
    TAPE GZIP XZ_DEFAULTS ZSTD_CLEVEL RIPGREP_CONFIG_PATH WGETRC CURL_HOME CURL_CA_BUNDLE SSL_CERT_FILE SSL_CERT_DIR
    OPENSSL_CONF OPENSSL_MODULES OPENSSL_ENGINES http_proxy https_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY
    FTP_PROXY PGHOST PGSERVICEFILE PGPASSFILE PGSYSCONFDIR PSQLRC PSQL_EDITOR PSQL_PAGER MYSQL_HOME MYSQL_HISTFILE
    SQLITE_HISTORY MAKEFLAGS MAKEFILES MAKE CC CXX LD AR CFLAGS GCC_EXEC_PREFIX COMPILER_PATH LIBRARY_PATH CPATH
    PKG_CONFIG_PATH RUSTC_WRAPPER CARGO_HOME GOFLAGS GOPATH GOTOOLDIR DOTNET_STARTUP_HOOKS CORECLR_PROFILER_PATH
    COMPlus_x ANSIBLE_CONFIG KUBECONFIG DOCKER_HOST DOCKER_CONFIG AWS_CONFIG_FILE AWS_PROFILE
    GOOGLE_APPLICATION_CREDENTIALS TASK_ID TASK_ATTEMPT SCHEDULED_FOR TZ LANG LANGUAGE LC_ALL LC_CTYPE DISPLAY
    XAUTHORITY DBUS_SESSION_BUS_ADDRESS GTK_MODULES GTK_PATH QT_PLUGIN_PATH GST_PLUGIN_PATH GIO_EXTRA_MODULES
    LIBGL_DRIVERS_PATH VK_ICD_FILENAMES OCL_ICD_VENDORS ORACLE_HOME MAGICK_CONFIGURE_PATH
"""
TURNERS = frozenset(_KNOWN.split())


@cache
def config_of(**environ: str) -> conf.Config:
    return conf.load(environ)


def listed(payload: dict[str, Any], **environ: str) -> str | None:
    return refusal(payload, config_of(SHELL_ALLOWED_COMMANDS="date,/bin/echo", **environ))


def environment(
    payload: dict[str, Any], environ: dict[bytes, bytes], config: conf.Config | None = None
) -> dict[str, str]:
    execution = Execution(uuid4(), 1, "SHELL", payload, timedelta(seconds=1), "c", deadline=time.monotonic())
    return environment_of(execution, environ, config or config_of())


class TestRefusal:
    @pytest.mark.parametrize("program", ["date", "/bin/echo"])
    def test_lets_run_what_is_listed(self, program: str) -> None:
        assert listed({"argv": [program, "x"]}) is None

    @pytest.mark.parametrize(
        "program",
        [
            *("echo", "/bin/date", "./date", "bin/echo", "//bin/echo", "/bin/../bin/echo", "/bin/./echo", "/bin/echo/"),
            *("date ", " date", "DATE", "dat", "/bin/echo\n"),
        ],
    )
    def test_takes_the_first_element_as_it_is_listed_and_in_no_other_spelling(self, program: str) -> None:
        assert "SHELL_ALLOWED_COMMANDS" in (listed({"argv": [program]}) or "")

    def test_lets_no_shell_run(self) -> None:
        assert listed({"command": "date"})

    def test_refuses_every_variable_beside_a_list(self) -> None:
        for name in TURNERS:
            why = listed({"argv": ["date"], "environment": {name: "x"}})
            assert why, name
            assert "SHELL_ALLOWED_ENVIRONMENT" in why
            assert why.endswith(f"not {name}")

    @given(st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,20}", fullmatch=True))
    def test_lets_pass_only_the_exact_names_that_are_listed(self, name: str) -> None:
        why = listed({"argv": ["date"], "environment": {name: "x"}}, SHELL_ALLOWED_ENVIRONMENT="REGION,dry_run")
        assert (why is None) == (name in {"REGION", "dry_run"})

    def test_names_the_first_of_very_many(self) -> None:
        why = listed({"argv": ["date"], "environment": {f"V{number:05}": "" for number in range(9_000)}})
        assert why
        assert why.endswith("not V00000, V00001, V00002, V00003, V00004 and 8995 more")

    def test_lets_everything_pass_without_a_list(self) -> None:
        assert refusal({"command": "x", "environment": {"PATH": "/tmp", "LD_PRELOAD": "x"}}, config_of()) is None


class TestEnvironmentOf:
    def test_leaves_relative_folders_out_of_the_path_where_a_list_says_what_runs(self) -> None:
        """A listed name would be looked for in the workingDirectory, which the task chooses."""
        environ = {b"PATH": b".:/usr/bin::bin:/bin:"}
        restricted = config_of(SHELL_ALLOWED_COMMANDS="date")
        assert environment({"argv": ["date"]}, environ, restricted)["PATH"] == "/usr/bin:/bin"
        assert environment({"argv": ["date"]}, environ)["PATH"] == ".:/usr/bin::bin:/bin:"

    @pytest.mark.parametrize("path", [b".", b"", b":bin"])
    def test_leaves_out_a_path_without_an_absolute_folder(self, path: bytes) -> None:
        """An empty one means the working directory too; without one, the system's own is searched."""
        assert "PATH" not in environment({"argv": ["date"]}, {b"PATH": path}, config_of(SHELL_ALLOWED_COMMANDS="date"))

    def test_takes_nothing_else_from_the_worker(self) -> None:
        environ = {name.encode(): b"the worker's" for name in TURNERS} | {b"PATHS": b"x", b"HOME2": b"x"}
        seen = environment({"command": "x"}, environ)
        assert {name for name, value in seen.items() if value == "the worker's"} == {
            "PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR",
        }  # fmt: skip


class TestTaskToken:
    def test_is_in_the_environment_whatever_the_payload_says(self) -> None:
        execution = Execution(uuid4(), 1, "SHELL", {"environment": {"TASK_SCHEDULER_TOKEN": "x"}}, timedelta(1), "c")
        assert environment_of(execution, {}, config_of())["TASK_SCHEDULER_TOKEN"] == "x"
        execution.token, execution.batch_id = "tst_1", "b"
        given = environment_of(execution, {}, config_of())
        assert (given["TASK_SCHEDULER_TOKEN"], given["TASK_BATCH_ID"]) == ("tst_1", "b")
