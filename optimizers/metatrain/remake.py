"""``python -m optimizers.metatrain.remake CARD OUT``: a search's weights again, from their card.

A card lists the numbers that the weights are made with, and the config with their size and seed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from foundation.errors import VelodromeError, WeightsError
from optimizers.metatrain.numbers import numbers_from_card
from optimizers.metatrain.search import searched_weights
from optimizers.metatrain.search_config import SearchConfig
from optimizers.velo import VeLOWeights
from optimizers.velo.store import save_weights


def remake(path: Path) -> VeLOWeights:
    """Returns the weights that a card of a search describes.

    Args:
      path: The card: the ``.json`` beside the weights.

    Raises:
      WeightsError: It cannot be read, or is not the card of a search.
    """
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        config = SearchConfig.from_json(card["training"]["config"])
        return searched_weights(config, numbers_from_card(card))
    except (OSError, ValueError, KeyError, TypeError, VelodromeError) as error:
        raise WeightsError(f"{path} is not the card of a search's weights: {error}.") from error


def main(arguments: Sequence[str] | None = None) -> int:
    """Makes the weights and saves them with the same card; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m optimizers.metatrain.remake", description=__doc__
    )
    parser.add_argument("card", type=Path, metavar="CARD")
    parser.add_argument("out", type=Path, metavar="OUT")
    options = parser.parse_args(arguments)
    try:
        weights = remake(options.card)
        card = json.loads(options.card.read_text(encoding="utf-8"))
        card.pop("sha256", None)  # of the file that is made again
        path = save_weights(options.out, weights, card)
    except VelodromeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
