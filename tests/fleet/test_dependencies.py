"""What a server wants of its image: programs, libraries, a browser."""

import pytest
from trials import made, seen

from bridge.fleet.adding import notes
from bridge.fleet.adding.draft import Draft
from bridge.fleet.adding.trial import dependencies, findings, needs

WITHOUT_PIP = "Error getting packages: Command '['/opt/server/bin/python', '-m', 'pip', 'list']' returned non-zero exit status 1."


def test_a_program_that_is_not_on_the_system_is_one_of_debian_where_that_is_known():
    said = seen(words=["RuntimeWarning: MiniZinc was not found on the system: no driver"], started=0.0)

    assert dependencies.debian_packages(dependencies.programs(said)) == ["minizinc"]


@pytest.mark.parametrize(
    "words, packages",
    [
        ("Error: spawn git ENOENT", ["git"]),
        ("FileNotFoundError: [Errno 2] No such file or directory: 'ffprobe'", ["ffmpeg"]),
        ('exec: "rg": executable file not found in $PATH', ["ripgrep"]),
        ("/bin/sh: 1: pandoc: not found", ["pandoc"]),
        ("Error: tshark not found. Please install Wireshark/tshark.", ["tshark"]),
        ("User not found. Please install it", []),
        ("tesseract is not installed or it's not in your PATH", ["tesseract-ocr"]),
        ("Unable to get page count. Is poppler installed and in PATH?", ["poppler-utils"]),
        ("Page not found", []),
        ("No such file or directory: 'notes.txt'", []),
    ],
)
def test_a_program_that_it_looks_for_comes_from_debian(words, packages):
    failed = seen(made("look", words))

    assert dependencies.debian_packages(dependencies.programs(failed)) == packages


def test_where_a_program_is_that_debian_has_is_nothing_that_an_operator_is_asked_for():
    failed = seen(made("cut", "Error: set the FFMPEG_PATH environment variable"), reads=["FFMPEG_PATH"])

    assert (needs.missing_for_calls(failed)[0], dependencies.programs(failed)) == ([], ["ffmpeg"])


def test_the_headers_that_a_build_does_not_find_come_from_debian():
    printed = "Package libsecret-1 was not found in the pkg-config search path.\nNo package 'cairo' found\nPackage udev, required by 'virtual:world', not found"

    assert dependencies.headers(printed) == ["libsecret-1-dev", "libcairo2-dev", "libudev-dev"]


def test_prose_and_a_desk_name_no_program_that_is_missing():
    failed = seen(
        made("look", "It is configured but is not installed"), made("open", "spawn xdg-open ENOENT"), made("run", "spawn frobnicate ENOENT")
    )

    assert dependencies.programs(failed) == ["frobnicate"]


@pytest.mark.parametrize(
    "line, package",
    [
        (WITHOUT_PIP, "pip"),
        ("/opt/server/bin/python: No module named pip", "pip"),
        ("/opt/server/bin/python3: No module named build.__main__; 'build' is a package", None),
        ("[Errno 2] No such file or directory: 'uvx'", "uv"),
        ("Command '['/opt/server/bin/python', '-m', 'pip', 'install', 'x']' returned non-zero exit status 1.", None),
        ("No module named 'pipelines'", None),
        ("Scanit is not installed or not in your PATH. Options: pip install scanit, brew install scanit", "scanit"),
        ("The module is not installed: pip install scanit", None),
    ],
)
def test_what_of_pythons_own_tools_is_missed_comes_from_pypi(line, package):
    assert dependencies.of_python(seen(made("look"), words=[line])) == [package] * bool(package)


def test_a_program_that_a_call_did_without_is_none_that_it_needs():
    tells = "Error getting environments: [Errno 2] No such file or directory: 'conda'"
    without = seen(made("list_environments", printed=f"{tells}\n"), made("look"), words=[tells])

    assert dependencies.programs(without) == []
    assert dependencies.programs(seen(made("list_environments", "it failed", printed=tells), made("look"), words=[tells])) == ["conda"]
    assert dependencies.programs(seen(made("look"), words=[tells])) == ["conda"]  # at its start
    assert findings.smoke(without, None, True)["tool"] == "look"  # and prints no error


@pytest.mark.parametrize(
    "complaint, package",
    [
        ("[Errno 2] No such file or directory: 'soffice'", "libreoffice-nogui"),
        ("spawn aws ENOENT", "awscli"),
        ('exec: "gh": executable file not found in $PATH', "gh"),
        ("/bin/sh: 1: Rscript: not found", "r-base-core"),
        ("Error: tshark not found. Please install it.", "tshark"),
        ("FileNotFoundError: [Errno 2] No such file or directory: 'curl'", "curl"),
    ],
)
def test_a_program_comes_from_the_debian_package_that_has_it(complaint, package):
    assert dependencies.debian_packages(dependencies.programs(seen(made("look", complaint)))) == [package]


@pytest.mark.parametrize(
    "said, packages",
    [
        ("OSError: PortAudio library not found", ["libportaudio2"]),
        ("ImportError: failed to find libmagic.  Check your installation", ["libmagic1"]),
        ("ImportError: Unable to find zbar shared library", ["libzbar0"]),
        ("ImportError: no pq wrapper available: libpq library not found", ["libpq5"]),
        ("OSError: cannot load library 'libpango-1.0-0': no such file", ["libpango-1.0-0"]),
        ("OSError: cannot load library 'libcairo.so.2': libcairo.so.2: cannot open shared object file", ["libcairo2"]),
        ("ImportError: libtk8.6.so: cannot open shared object file", ["libtk8.6"]),
        ("ImportError: libGL.so.1: cannot open shared object file", ["libgl1"]),
        ("Component library not found", []),
    ],
)
def test_a_library_of_the_system_comes_from_the_debian_package_that_has_it(said, packages):
    assert dependencies.libraries(seen(words=[said], started=0.0)) == packages


def test_who_plays_sound_is_told_where_that_can_be_heard():
    assert dependencies.not_in_a_package(seen(), ["libportaudio2"]).startswith("it plays or records sound, which no container does")


def test_kubectl_is_debian_s_and_what_it_says_without_a_cluster_asks_for_a_kubeconfig():
    refused = "The connection to the server localhost:8080 was refused - did you specify the right host or port?"

    assert dependencies.debian_packages(["kubectl"]) == ["kubernetes-client"]
    assert needs.missing_for_calls(seen(made("get", refused), made("list", refused))) == (["KUBECONFIG"], True)


def test_a_program_that_it_does_not_start_without_is_told_with_the_way_out():
    ended = seen(words=["ERROR: Error: gcloud executable not found"], started=0.0)
    told = notes.of_one_that_did_not_start(Draft("it", why={"egress": ""}), ended, [], [])

    assert told[1].startswith("it starts gcloud, which its image has not: Debian has no package of that name: let it run where that is")
    assert dependencies.programs(seen(words=["Chrome executable not found", "browser binary was not found"])) == []


@pytest.mark.parametrize(
    "complaint, drives, packages",
    [
        ("Error getting cookies: No active browser session", "chromium-driver", ["chromium-driver"]),
        ("Error: Browser not launched: call launch first", "chromium-headless-shell", ["chromium-headless-shell"]),
        ("Error: Browser not launched: call launch first", "", []),
        ("'NoneType' object has no attribute 'title'", "chromium-headless-shell", ["chromium-headless-shell"]),
        ("", "chromium-headless-shell", []),
    ],
)
def test_whose_code_starts_a_browser_and_whose_calls_miss_one_gets_that(complaint, drives, packages):
    assert dependencies.browser(seen(made("look", complaint), drives=drives)) == packages
