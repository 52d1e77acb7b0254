"""Five hundred mutated zoos: imported or refused clearly, no code run, nothing left behind."""

import fuzz_importers
import pytest


def test_mutated_zoos_are_imported_or_refused() -> None:
    pytest.importorskip("lmdb", reason="writing the LMDB of G.pt takes lmdb, an extra for tests")
    cases = fuzz_importers.run(500, seed=1, progress=False)
    assert [case for case in cases if case.outcome not in ("imported", "refused")] == []
    assert sum(case.outcome == "refused" for case in cases) > 250
    assert sum(case.outcome == "imported" for case in cases) > 50
