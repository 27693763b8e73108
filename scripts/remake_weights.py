"""``python scripts/remake_weights.py CARD OUT``: make a search's weights again from their card.

A card lists the numbers that the weights are made with, and the config with their size and seed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from velodrome.foundation.errors import VelodromeError, WeightsError
from velodrome.optimizers.metatrain.config.search import SearchConfig
from velodrome.optimizers.metatrain.search.searcher import searched_weights
from velodrome.optimizers.velo.handmade.numbers import numbers_from_card
from velodrome.optimizers.velo.weights.store import save_weights, weights_hash
from velodrome.optimizers.velo.weights.tree import VeLOWeights


def remake(path: Path) -> VeLOWeights:
    """Return the weights that a card of a search, the ``.json`` beside them, describes.

    Raises:
      WeightsError: It cannot be read, or is not the card of a search.
    """
    card = _read(path)
    try:
        config = SearchConfig.from_json(card["training"]["config"])
        return searched_weights(config, numbers_from_card(card))
    except (ValueError, KeyError, TypeError, AttributeError, VelodromeError) as error:
        raise WeightsError(
            f"{path} is not the card of weights that a search made: {str(error).rstrip('.')}. "
            "`velodrome weights verify` shows what it is."
        ) from error


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise WeightsError(f"cannot read the card {path}: {error.strerror}.") from error
    except ValueError as error:
        raise WeightsError(f"{path} is not JSON: {error}.") from error


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the weights and save them with the same card; return the exit status."""
    parser = argparse.ArgumentParser(prog="python scripts/remake_weights.py", description=__doc__)
    parser.add_argument("card", type=Path, metavar="CARD")
    parser.add_argument("out", type=Path, metavar="OUT")
    options = parser.parse_args(arguments)
    try:
        weights = remake(options.card)
        card = _read(options.card)
        card.pop("sha256", None)  # of the file that is made again
        path = save_weights(options.out, weights, card)
        if card.get("content_hash") != weights_hash(weights):
            print("note: they differ from the card's, if only in a last digit", file=sys.stderr)
    except VelodromeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
