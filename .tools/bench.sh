#!/bin/sh
# Runs all benchmarks, then patchbay beside the plain relay, then its adapters beside each
# other. With arguments, which go to
# go test, it runs benchmarks alone: without a package among them those of all, without
# -bench every one.
set -eu

all=
[ $# -gt 0 ] || all=yes
packages=./... bench="-bench ."
for arg; do
	case $arg in
	./* | ../* | github.com/*) packages= ;;
	-bench | -bench=*) bench= ;;
	esac
done
# shellcheck disable=SC2086 # words on purpose
go test -run '^$' -benchmem $bench "$@" $packages
[ -n "$all" ] || exit 0
go run ./examples/relay/compare
go run ./examples/relay/compare --systems patchbay,five9,native,audiohook,oem --calls 100 --rounds 3 --duration 20s
