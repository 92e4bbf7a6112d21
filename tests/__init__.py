"""The tests; a package, so that files of one name may live in several folders."""
