"""From a suite to a plan: cells, shards, their batching and their predicted cost."""
