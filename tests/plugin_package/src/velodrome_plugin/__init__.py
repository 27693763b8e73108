"""What a package needs to add a family, a data set, an optimizer and a suite to velodrome."""
