"""The limit of open files is raised for the sockets that may come, or the start is refused with the number needed."""

import resource

import pytest

from common.errors import StartupError
from gateway.file_limit import RESERVED_FILES, raise_file_limit


@pytest.fixture(autouse=True)
def limits():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield before
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_soft_limit_that_is_too_low_is_raised_to_what_is_needed(limits):
    _, hard = limits
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))
    raise_file_limit(600)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (600 + RESERVED_FILES, hard)


def test_a_limit_that_is_enough_stays(limits):
    raise_file_limit(1)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == limits


def test_a_hard_limit_that_is_too_low_refuses_the_start_with_the_number_needed(limits):
    _, hard = limits
    if hard == resource.RLIM_INFINITY:
        pytest.skip("this machine has no hard limit")
    with pytest.raises(
        StartupError, match=rf"^GATEWAY_MAX_CONNECTIONS: .* {hard + 1} open files.*ulimit -n {hard + 1}"
    ):
        raise_file_limit(hard + 1 - RESERVED_FILES)
