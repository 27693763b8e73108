"""``python -m optimizers.metatrain --config config.json --out DIR``: a run from a config file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from foundation.errors import VelodromeError
from foundation.files import cache_dir
from optimizers.metatrain import load_config


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m optimizers.metatrain", description=__doc__)
    parser.add_argument(
        "--config", required=True, help="name of a built-in config, or JSON of a MetaTrainConfig"
    )
    parser.add_argument("--out", type=Path, required=True, help="directory of this run's own")
    parser.add_argument("--restart", action="store_true", help="ignore a checkpoint in --out")
    parser.add_argument("--max-seconds", type=float, default=None, help="stop after so long")
    options = parser.parse_args(arguments)
    try:
        config = load_config(options.config)
        configure_jax()
        from optimizers.metatrain.loop import metatrain

        result = metatrain(
            config, options.out, resume=not options.restart, max_seconds=options.max_seconds
        )
    except VelodromeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return 130
    print(result.path)
    return 0


def configure_jax() -> None:
    """Exact float32 products, and compiled programs kept between runs."""
    import jax

    jax.config.update("jax_default_matmul_precision", "highest")
    jax.config.update("jax_compilation_cache_dir", str(cache_dir() / "xla"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


if __name__ == "__main__":
    sys.exit(main())
