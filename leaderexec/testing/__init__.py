"""For who writes a kind of election: what every kind promises, as tests to be inherited.

    class TestMine(Conformance):
        @pytest.fixture
        def kind(self) -> Kind: ...          # the declaration

        @pytest.fixture
        def election(self) -> Iterator[Election]: ...   # a real server, and the options

Needs pytest; nothing of the program imports this. Raises ImportError without it.
"""

try:
    import pytest
except ImportError:
    raise ImportError(
        "leaderexec.testing needs pytest, which is not installed here:"
        " pip install 'leaderexec[testing]'"
    ) from None

# Before they are imported, so that what fails shows its values.
pytest.register_assert_rewrite("leaderexec.testing.conformance", "leaderexec.testing.processes")

from leaderexec.testing.conformance import Conformance, Election  # noqa: E402 - see above
from leaderexec.testing.processes import Wrapper, wait_for  # noqa: E402

__all__ = ["Conformance", "Election", "Wrapper", "wait_for"]
