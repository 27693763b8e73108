"""Ray workers do not see what lies in the current directory."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from velodrome.foundation.errors import VelodromeError
from velodrome.foundation.ray_cluster import join_ray


@pytest.mark.skipif(importlib.util.find_spec("ray") is not None, reason="Ray is installed")
def test_without_ray_the_error_says_how_to_get_it():
    with pytest.raises(VelodromeError, match=r"--engine ray needs ray.*velodrome\[ray\]"):
        join_ray("--engine ray")


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")  # Ray's own, of its processes and sockets
def test_a_module_of_the_current_directory_hides_none_of_the_language(tmp_path: Path, monkeypatch):
    pytest.importorskip("ray", reason="needs Ray: pip install 'velodrome[ray]'")
    monkeypatch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    (tmp_path / "colorsys.py").write_text("raise SystemExit('the wrong colorsys')")
    monkeypatch.chdir(tmp_path)
    ray, owned = join_ray("this test")
    assert owned

    def look() -> tuple[list[str], str, str]:
        import colorsys
        import sys

        import velodrome

        return sys.path, colorsys.__file__, str(velodrome.__file__)

    try:
        path, module, package = ray.get(ray.remote(look).remote())
    finally:
        ray.shutdown()
    assert str(tmp_path) not in path
    assert "colorsys" in module and not module.startswith(str(tmp_path))
    assert package
