#!/bin/sh
# Runs the benchmarks. Arguments go to go test; without a package among them all are run,
# without -bench every benchmark.
set -eu

packages=./... bench="-bench ."
for arg; do
	case $arg in
	./* | ../* | github.com/*) packages= ;;
	-bench | -bench=*) bench= ;;
	esac
done
# shellcheck disable=SC2086 # words on purpose
exec go test -run '^$' -benchmem $bench "$@" $packages
