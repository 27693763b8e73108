"""The hot loop: lanes of one shard, trained on the device."""
