"""From a plan to a full store: jobs, engines, progress."""
