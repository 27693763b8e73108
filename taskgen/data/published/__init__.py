"""The published data sets that the benchmark of Metz et al. 2022 trains on."""
