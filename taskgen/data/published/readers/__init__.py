"""Readers of the formats that published data sets come in.

An ``open_...`` function takes the facts of a data set and a folder. It returns a
:class:`~velodrome.taskgen.data.published.readers.base.Reader`, or None if the folder has no such
files, and raises a DataError if they are incomplete, damaged, or of another data set.
"""
