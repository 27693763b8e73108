"""The report as one page of HTML that needs no network: see ``velodrome.results.report.page.build``."""
